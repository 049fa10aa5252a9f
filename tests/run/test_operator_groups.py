"""``pytest_hiddencost_taxonomy``: a conftest.py puts operators into groups."""

from __future__ import annotations

import pluggy
import pytest

from tests.suites import JSON, passes, profiles, run, verdicts

CALL = "def test_it(hiddencost): hiddencost(MODEL, X)"
NEIGHBOUR = "def test_neighbour(): MODEL(X)"


def hook(pytester: pytest.Pytester, body: str, name: str = "conftest") -> None:
    """A plugin whose hook has this body."""
    text = f"def pytest_hiddencost_taxonomy(config):\n    {body}\n"
    (pytester.path / f"{name}.py").write_text(text, encoding="utf-8")


def groups(pytester: pytest.Pytester) -> dict[str, str]:
    """Operator to group, by the run file."""
    return {o["name"]: o["group"] for o in profiles(pytester)["test_it"]["operators"]}


def test_without_one(pytester: pytest.Pytester) -> None:
    passes(pytester, CALL, JSON)
    assert groups(pytester)["aten::relu"] == "activation"
    assert groups(pytester)["aten::addmm"] == "mac"


def test_entries_win_over_the_table(pytester: pytest.Pytester) -> None:
    hook(pytester, "return {'aten::relu': 'pooling', 'aten::*clamp*': 'elementwise'}")
    output = passes(
        pytester,
        '@budget(operators={"pooling": "1 calls", "activation": "0 calls"})\n' + CALL,
        JSON,
        "-v",
    )
    found = groups(pytester)
    assert found["aten::relu"] == "pooling"
    assert found["aten::clamp_min"] == "elementwise"
    assert found["aten::addmm"] == "mac"
    assert verdicts(profiles(pytester)["test_it"]) == {
        "operators[pooling]": "pass",
        "operators[activation]": "pass",
    }
    assert "\npooling " in output


def test_mac_kernels_can_be_added(pytester: pytest.Pytester) -> None:
    hook(pytester, "return {'aten::clamp_min': 'mac'}")
    passes(pytester, CALL, JSON)
    operators = profiles(pytester)["test_it"]["operators"]
    assert {o["name"] for o in operators if o["mac_share"] == 1} == {
        "aten::addmm",
        "aten::clamp_min",
    }


def test_none_is_no_opinion(pytester: pytest.Pytester) -> None:
    hook(pytester, "return None")
    passes(pytester, CALL, JSON)
    assert groups(pytester)["aten::relu"] == "activation"


def test_of_several_the_one_called_first_wins(pytester: pytest.Pytester) -> None:
    """pytest calls a conftest.py before a plugin given by ``-p``."""
    hook(pytester, "return {'aten::relu': 'pooling', 'aten::addmm': 'wrapper'}", "shared")
    hook(pytester, "return {'aten::relu': 'reduction'}")
    pytester.syspathinsert()
    passes(pytester, CALL, JSON, "-p", "shared")
    found = groups(pytester)
    assert found["aten::relu"] == "reduction"
    assert found["aten::addmm"] == "wrapper"


def test_is_asked_once_with_the_config(pytester: pytest.Pytester) -> None:
    hook(pytester, "print('ASKED', config.rootpath.name); return {}")
    output = passes(pytester, [CALL, CALL.replace("test_it", "test_two")], "-s", count=2)
    assert output.count(f"ASKED {pytester.path.name}") == 1


def test_is_not_asked_when_nothing_measures(pytester: pytest.Pytester) -> None:
    hook(pytester, "raise RuntimeError")
    passes(pytester, "def test_it(): pass")


def test_unknown_group(pytester: pytest.Pytester) -> None:
    hook(pytester, "return {'mylib::norm': 'normalisation'}")
    result = run(pytester, [CALL, CALL.replace("test_it", "test_two"), NEIGHBOUR])
    result.assert_outcomes(errors=2, passed=1)
    output = result.stdout.str()
    lines = [line for line in output.splitlines() if line.startswith("hiddencost: ")]
    assert len(lines) == 2
    for part in (
        "operator groups: 'mylib::norm' is put into 'normalisation', which is no group",
        "did you mean 'normalization'?",
        "groups are mac, normalization, activation",
    ):
        assert part in lines[0]
    assert "pytest_hiddencost/" not in output


def test_unknown_group_for_a_fixture_asked_for_at_run_time(pytester: pytest.Pytester) -> None:
    hook(pytester, "return {'mylib::norm': 'normalisation'}")
    result = run(
        pytester,
        [
            "def test_it(request): request.getfixturevalue('hiddencost')(MODEL, X)",
            NEIGHBOUR,
        ],
    )
    result.assert_outcomes(failed=1, passed=1)
    assert "which is no group" in result.stdout.str()


@pytest.mark.parametrize("answer", ["{3: 'view'}", "{'': 'view'}"])
def test_key_that_is_no_operator(pytester: pytest.Pytester, answer: str) -> None:
    hook(pytester, f"return {answer}")
    result = run(pytester, [CALL, NEIGHBOUR])
    result.assert_outcomes(errors=1, passed=1)
    assert "is not an operator name or glob" in result.stdout.str()


def test_answer_that_is_no_mapping(pytester: pytest.Pytester) -> None:
    hook(pytester, "return ['aten::relu']")
    result = run(pytester, [CALL, NEIGHBOUR])
    result.assert_outcomes(errors=1, passed=1)
    output = result.stdout.str()
    assert "pytest_hiddencost_taxonomy" in output
    assert "mapping" in output
    assert "AttributeError" not in output


def test_a_hook_that_raises(pytester: pytest.Pytester) -> None:
    hook(pytester, "raise ZeroDivisionError('their own')")
    result = run(pytester, [CALL, NEIGHBOUR])
    result.assert_outcomes(errors=1, passed=1)
    assert "ZeroDivisionError: their own" in result.stdout.str()


def test_a_wrong_argument_name_is_an_error_of_pytest(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_hiddencost_taxonomy(settings): return {}")
    with pytest.raises(pluggy.PluginValidationError, match="'pytest_hiddencost_taxonomy'"):
        pytester.parseconfig()


def test_custom_operator_in_a_group_of_its_users_choice(pytester: pytest.Pytester) -> None:
    hook(pytester, "return {'hiddencost_hook_tests::*norm*': 'normalization'}")
    passes(
        pytester,
        """
        LIBRARY = torch.library.Library("hiddencost_hook_tests", "DEF")
        LIBRARY.define("my_norm_op(Tensor x) -> Tensor")
        LIBRARY.impl("my_norm_op", lambda x: x.clone(), "CPU")

        @budget(operators={"normalization": "1 calls"})
        def test_it(hiddencost):
            hiddencost(torch.ops.hiddencost_hook_tests.my_norm_op, X)
        """,
        JSON,
    )
    assert groups(pytester)["hiddencost_hook_tests::my_norm_op"] == "normalization"
    assert verdicts(profiles(pytester)["test_it"]) == {"operators[normalization]": "pass"}
