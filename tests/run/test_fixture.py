"""What a test may hand to the fixture, and from where it may be called."""

from __future__ import annotations

import pytest

from tests.suites import NEIGHBOUR, RUN_FILE, passes, profiles, run, verdicts

JSON = f"--hiddencost-json={RUN_FILE}"


def test_gives_the_profile_of_the_call(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        def test_it(hiddencost, request):
            profile = hiddencost(MODEL, X)
            assert (profile.macs, profile.parameters) == (128, 144)
            assert profile.operator("aten::addmm").calls == 1
            assert 0 < profile.latency.min_ns <= profile.latency.median_ns
            assert profile.label == "" and profile.test == request.node.nodeid
            assert profile.model == "Sequential" and profile.verdicts == ()
            assert hiddencost.profiles == [profile]
        """,
    )


def test_verdicts_are_known_at_once(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        @budget(p50="10 s", macs=128)
        def test_it(hiddencost):
            found = hiddencost(MODEL, X).verdicts
            assert {v.gate: v.verdict for v in found} == {"p50": "pass", "macs": "pass"}
        """,
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("lambda x: x @ x", "test_it.<locals>.<lambda>"),
        ("twice", "twice"),
        ("torch.nn.functional.gelu", "gelu"),
        ("functools.partial(twice, 3 * X)", "partial"),
        ("Encoder().encode", "Encoder"),
    ],
)
def test_measures_any_callable(pytester: pytest.Pytester, model: str, name: str) -> None:
    arguments = "" if "partial" in model else "torch.ones(8, 8)"
    passes(
        pytester,
        f"""
        import functools

        def twice(x): return x * 2

        class Encoder(nn.Linear):
            def __init__(self): super().__init__(8, 4)
            def encode(self, x): return self(x)

        def test_it(hiddencost):
            profile = hiddencost({model}, {arguments})
            assert profile.model == {name!r}
            assert profile.operators
        """,
    )


def test_a_method_of_a_module_counts_its_parameters(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        def test_it(hiddencost):
            assert hiddencost(MODEL.forward, X).parameters == 144
            assert hiddencost(torch.relu, X, label="function").parameters is None
        """,
    )


def test_keyword_arguments_reach_the_model(pytester: pytest.Pytester) -> None:
    """Only ``label`` and ``grad_mode`` are the fixture's own."""
    passes(
        pytester,
        """
        seen = []

        def function(x, *, scale, **rest):
            seen.append((scale, rest))
            return x * scale

        def test_it(hiddencost):
            hiddencost(function, X, scale=2.0, model="m", self="s", args=(1,), label="a")
            assert {repr(call) for call in seen} == {
                "(2.0, {'model': 'm', 'self': 's', 'args': (1,)})"
            }
        """,
    )


@pytest.mark.parametrize(
    "values",
    [
        "torch.eye(4).to_sparse()",
        "torch.eye(4).to_sparse_csr()",
        "torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.strided)",
        "torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)",
        "torch.full((4,), complex(float('nan'), 1.0))",
        "torch.full((4,), float('nan'), dtype=torch.bfloat16)",
        "torch.ones(4).expand(3, 4)",
        "torch.ones(0)",
        "torch.ones(4).to_mkldnn()",
        "torch.ones(4).conj()",
        "torch.ones(1, 8, requires_grad=True)",
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_measures_inputs_of_every_kind(pytester: pytest.Pytester, values: str) -> None:
    """And sees that they were not changed."""
    passes(
        pytester,
        f"""
        def test_it(hiddencost):
            values = {values}
            assert hiddencost(torch.clone, values).notes == ()
        """,
    )


@pytest.mark.parametrize(
    ("mode", "inference", "grad"),
    [("inference", True, False), ("no_grad", False, False), ("grad", False, True)],
)
@pytest.mark.parametrize("around", ["torch.enable_grad()", "torch.inference_mode()"])
def test_grad_mode(
    pytester: pytest.Pytester, mode: str, inference: bool, grad: bool, around: str
) -> None:
    """The mode asked for holds in every call, whatever the test itself runs under."""
    passes(
        pytester,
        f"""
        def test_it(hiddencost):
            seen = set()

            def function(x):
                seen.add((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
                return x + 1

            with {around}:
                before = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
                profile = hiddencost(function, X, grad_mode={mode!r})
                assert (torch.is_inference_mode_enabled(), torch.is_grad_enabled()) == before
            assert profile.grad_mode == {mode!r}
            assert seen == {{({inference}, {grad})}}
        """,
    )


def test_inference_is_the_default_grad_mode(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        def test_it(hiddencost):
            assert hiddencost(MODEL, X).grad_mode == "inference"
        """,
    )


def test_several_calls_with_labels(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        def test_it(hiddencost):
            hiddencost(MODEL, X)
            hiddencost(MODEL, torch.ones(2, 8), label="batch of 2")
            hiddencost(MODEL, torch.ones(3, 8), label="größer")
            assert [p.macs for p in hiddencost.profiles] == [128, 256, 384]
        """,
        JSON,
    )
    assert {name: entry["macs"] for name, entry in profiles(pytester).items()} == {
        "test_it": 128,
        "test_it batch of 2": 256,
        "test_it größer": 384,
    }


def test_asked_for_and_not_called(pytester: pytest.Pytester) -> None:
    """Without a marker nothing was promised."""
    output = passes(pytester, "def test_it(hiddencost): pass")
    assert "hidden costs" not in output


# --- from where ---------------------------------------------------------------------------------


def test_through_a_fixture_of_the_users(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.fixture
        def measure(hiddencost):
            return lambda model: hiddencost(model, X)

        @budget(macs=128)
        def test_within(measure): measure(MODEL)

        @budget(macs=127)
        def test_beyond(measure): measure(MODEL)
        """,
    )
    result.assert_outcomes(passed=1, failed=1)


def test_measured_while_a_fixture_is_set_up(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.fixture
        def profile(hiddencost):
            return hiddencost(MODEL, X)

        @budget(macs=128)
        def test_within(profile): assert profile.macs == 128

        @budget(macs=127)
        def test_beyond(profile): pass
        """,
    )
    result.assert_outcomes(passed=1, failed=1)


def test_measured_while_a_fixture_is_torn_down(pytester: pytest.Pytester) -> None:
    """After the verdict is before the end: a limit on such a call must not be lost."""
    result = run(
        pytester,
        """
        @pytest.fixture
        def late(hiddencost):
            yield
            hiddencost(MODEL, X, label="late")

        @budget(macs=127)
        def test_it(hiddencost, late):
            hiddencost(nn.Linear(2, 2).eval(), torch.ones(1, 2))
        """,
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_autouse_fixture_and_unittest_class(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import unittest

        class TestCase(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _measure(self, hiddencost):
                self.hiddencost = hiddencost

            @budget(macs=128)
            def test_within(self): self.hiddencost(MODEL, X)

            @budget(macs=127)
            def test_beyond(self): self.hiddencost(MODEL, X)

            @budget(macs=127)
            def test_body_first(self):
                self.hiddencost(MODEL, X)
                self.assertEqual(1, 2)

            @budget(macs=127)
            def test_skipped(self):
                self.skipTest("not today")
        """,
    )
    result.assert_outcomes(passed=1, failed=2, skipped=1)
    assert "AssertionError: 1 != 2" in result.stdout.str()


@pytest.mark.parametrize("scope", ["class", "module", "package", "session"])
def test_wider_scopes_cannot_ask_for_it(pytester: pytest.Pytester, scope: str) -> None:
    result = run(
        pytester,
        f"""
        @pytest.fixture(scope={scope!r})
        def wide(hiddencost): return hiddencost

        def test_it(wide): pass
        def test_neighbour(hiddencost): hiddencost(MODEL, X)
        """,
    )
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        [f"ScopeMismatch: *the function scoped fixture hiddencost with a {scope} scoped request*"]
    )


def test_device_fixture(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        @budget(macs=128)
        def test_it(hiddencost, hiddencost_device):
            assert hiddencost_device == torch.device("cpu")
            hiddencost(MODEL.to(hiddencost_device), X.to(hiddencost_device))

        def test_device_alone(hiddencost_device):
            assert isinstance(hiddencost_device, torch.device)
        """,
        count=2,
    )


# --- which marker holds -------------------------------------------------------------------------


def test_closest_marker_wins(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        pytestmark = budget(macs=1)

        @budget(macs=2)
        class TestClass:
            def test_of_class(self, hiddencost): hiddencost(MODEL, X)

            @budget(macs=3)
            def test_of_function(self, hiddencost): hiddencost(MODEL, X)

            @budget(p50="10 s")
            def test_replaced_as_a_whole(self, hiddencost): hiddencost(MODEL, X)

        def test_of_module(hiddencost): hiddencost(MODEL, X)
        """,
        JSON,
    )
    result.assert_outcomes(failed=3, passed=1)
    found = {
        name: [(v["gate"], v["limit"]) for v in entry["verdicts"]]
        for name, entry in profiles(pytester).items()
    }
    assert found == {
        "TestClass::test_of_class": [("macs", 2)],
        "TestClass::test_of_function": [("macs", 3)],
        "TestClass::test_replaced_as_a_whole": [("p50", 1e10)],
        "test_of_module": [("macs", 1)],
    }


def test_marker_of_a_parameter_is_closer_than_the_functions(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.parametrize("x", [X, pytest.param(X, marks=budget(macs=4))])
        @budget(macs=128)
        def test_it(hiddencost, x): hiddencost(MODEL, x)
        """,
    )
    result.assert_outcomes(failed=1, passed=1)
    assert "at most 4 MAC" in result.stdout.str()


def test_label_says_which_call_a_marker_is_about(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @budget(macs=256, label="two")
        @budget(macs=127, label="one")
        def test_it(hiddencost):
            hiddencost(MODEL, X, label="one")
            hiddencost(MODEL, torch.ones(2, 8), label="two")
            hiddencost(MODEL, X, label="free")
        """,
        JSON,
    )
    result.assert_outcomes(failed=1)
    assert {name: verdicts(entry) for name, entry in profiles(pytester).items()} == {
        "test_it one": {"macs": "fail"},
        "test_it two": {"macs": "pass"},
        "test_it free": {},
    }


@pytest.mark.parametrize("order", [1, -1], ids=["label on top", "label below"])
def test_label_and_no_label_on_one_function(pytester: pytest.Pytester, order: int) -> None:
    """Neither is closer; the label is more exact. No limit is dropped in silence."""
    markers = "\n".join(['@budget(macs=1, label="one")', "@budget(macs=256)"][::order])
    result = run(
        pytester,
        markers
        + """
def test_it(hiddencost):
    hiddencost(MODEL, X, label="one")
    hiddencost(MODEL, torch.ones(2, 8), label="two")
    hiddencost(MODEL, X)
""",
        JSON,
    )
    result.assert_outcomes(failed=1)
    assert {name: verdicts(entry) for name, entry in profiles(pytester).items()} == {
        "test_it one": {"macs": "fail"},
        "test_it two": {"macs": "pass"},
        "test_it": {"macs": "pass"},
    }


@pytest.mark.parametrize("order", [1, -1], ids=["beyond on top", "beyond below"])
def test_two_markers_on_one_function(pytester: pytest.Pytester, order: int) -> None:
    """One of them would be dropped; which one is no guess of ours."""
    markers = "\n".join(["@budget(macs=1)", '@budget(p50="10 s")'][::order])
    result = run(pytester, [markers + "\ndef test_it(hiddencost): hiddencost(MODEL, X)", NEIGHBOUR])
    result.assert_outcomes(errors=1, passed=1)
    assert "hiddencost: two latency_budget markers" in result.stdout.str()
    assert "put their limits into one" in result.stdout.str()


def test_marker_without_label_is_about_every_call(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @budget(macs=128)
        def test_it(hiddencost):
            hiddencost(MODEL, X, label="one")
            hiddencost(MODEL, torch.ones(2, 8), label="two")
            hiddencost(MODEL, torch.ones(3, 8), label="three")
        """,
    )
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    assert "1 of 1 limits broken by Sequential (two)" in output
    assert "1 of 1 limits broken by Sequential (three)" in output
    assert "by Sequential (one)" not in output


# --- test ids and places ------------------------------------------------------------------------


def test_ids_with_spaces_and_unicode(pytester: pytest.Pytester) -> None:
    output = passes(
        pytester,
        """
        @budget(macs=128)
        @pytest.mark.parametrize("name", ["two words", "a::b", "[x]", "ünï"])
        def test_it(hiddencost, name): hiddencost(MODEL, X, label=name)
        """,
        JSON,
        count=4,
    )
    entries = profiles(pytester)
    assert [entry["label"] for entry in entries.values()] == ["two words", "a::b", "[x]", "ünï"]
    for entry in entries.values():
        assert f"{entry['test']} {entry['label']}" in output


def test_from_another_folder_and_with_another_ini(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(pytester, "@budget(macs=1)\ndef test_it(hiddencost): hiddencost(MODEL, X)")
    result.assert_outcomes(failed=1)
    ini = pytester.mkdir("config") / "other.ini"
    ini.write_text("[pytest]\nhiddencost_max_time = 30ms\nhiddencost_json = run.json\n")
    elsewhere = pytester.mkdir("elsewhere")
    monkeypatch.chdir(elsewhere)
    result = pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "-c", str(ini), f"--rootdir={pytester.path}", "../test_it.py"
    )
    result.assert_outcomes(failed=1)
    assert "\ntest_it.py::test_it" in result.stdout.str()
