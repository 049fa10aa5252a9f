"""The fixture's arguments, the places it may be called from, and the marker that holds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import pytest_hiddencost
from pytest_hiddencost.core.errors import HiddenCostWarning, MeasurementError
from pytest_hiddencost.run.markers import latency_budget
from tests.run.fixtures import TEST, hidden_cost
from tests.suites import (
    JSON,
    NEIGHBOUR,
    NO_BASELINES,
    Finished,
    finished_here,
    passes,
    profiles,
    run,
    run_here,
    verdicts,
    write_suite,
)

MODEL = nn.Sequential(nn.Linear(8, 16), nn.ReLU()).eval()  # 128 MACs, 144 parameters
X = torch.ones(1, 8)


# --- what it is handed --------------------------------------------------------------------------


def test_gives_the_profile_of_the_call() -> None:
    hiddencost = hidden_cost()
    profile = hiddencost(MODEL, X)
    assert (profile.macs, profile.parameters) == (128, 144)
    assert profile.operator("aten::addmm").calls == 1
    assert 0 < profile.latency.min_ns <= profile.latency.median_ns
    assert (profile.label, profile.test) == ("", TEST)
    assert (profile.model, profile.verdicts) == ("Sequential", ())
    assert [measurement.profile for measurement in hiddencost.measurements] == [profile]


def test_verdicts_are_known_at_once() -> None:
    found = hidden_cost(latency_budget(p50="10 s", macs=128))(MODEL, X).verdicts
    assert {str(v.check): v.verdict for v in found} == {"p50": "pass", "macs": "pass"}


def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


class Encoder(nn.Linear):
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self(x)  # type: ignore[no-any-return]  # a module is called untyped


CALLABLES: dict[str, tuple[Callable[..., object], list[torch.Tensor]]] = {
    "<lambda>": (lambda x: x @ x, [torch.ones(8, 8)]),
    "twice": (twice, [X]),
    "gelu": (torch.nn.functional.gelu, [X]),
    "partial": (functools.partial(twice, 3 * X), []),
    "Encoder": (Encoder(8, 4).eval().encode, [X]),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_measures_any_callable(name: str) -> None:
    model, arguments = CALLABLES[name]
    profile = hidden_cost()(model, *arguments)
    assert profile.model == name
    assert profile.operators


def test_a_method_of_a_module_counts_its_parameters() -> None:
    hiddencost = hidden_cost()
    assert hiddencost(MODEL.forward, X).parameters == 144
    assert hiddencost(torch.relu, X, label="function").parameters is None


def test_keyword_arguments_reach_the_model() -> None:
    """Only ``label`` and ``grad_mode`` are the fixture's own."""
    seen = set()

    def function(x: torch.Tensor, *, scale: float, **rest: object) -> torch.Tensor:
        seen.add(repr((scale, rest)))
        return x * scale

    others: dict[str, Any] = {"model": "m", "self": "s", "args": (1,)}
    hidden_cost()(function, X, scale=2.0, label="a", **others)
    assert seen == {repr((2.0, others))}


class Conditioned(nn.Linear):
    """Takes arguments whose names are keywords of the fixture."""

    def forward(  # type: ignore[override]  # more arguments
        self, x: torch.Tensor, label: object, *, grad_mode: object = None, setup: object = None
    ) -> torch.Tensor:
        assert label is not None
        return super().forward(x)


NEEDS_MODE = lambda x, grad_mode: x * grad_mode  # noqa: E731  # a callable of another kind
TAKEN: dict[str, tuple[Callable[..., object], dict[str, Any]]] = {
    "a tensor": (Conditioned(8, 4).eval(), {"label": X}),
    "a number": (Conditioned(8, 4).eval(), {"label": 3}),
    "a text": (Conditioned(8, 4).eval(), {"label": "cat"}),
    "a text for a function": (NEEDS_MODE, {"grad_mode": "grad"}),
    "a mode": (Conditioned(8, 4).eval(), {"grad_mode": X}),
    "a setup": (Conditioned(8, 4).eval(), {"setup": X}),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_a_keyword_that_was_meant_for_the_model_names_the_way_out(kind: str) -> None:
    model, given = TAKEN[kind]
    [name] = given
    with pytest.raises(MeasurementError) as caught:
        hidden_cost()(model, X, **given)
    assert f"{name} is a keyword of hiddencost itself" in str(caught.value)
    assert f"hiddencost(functools.partial(model, {name}=...), x)" in str(caught.value)
    with pytest.raises(MeasurementError, match=f"{name} is a keyword of hiddencost itself"):
        pytest_hiddencost.profile(model, X, **given)


def test_the_way_out_passes_the_keyword_to_the_model() -> None:
    bound = functools.partial(Conditioned(8, 4).eval(), label=X)
    assert hidden_cost()(bound, X, label="b1").macs == 32
    assert hidden_cost()(Conditioned(8, 4).eval(), setup=lambda: ((X,), {"label": X})).macs == 32


def test_an_error_of_the_model_about_other_arguments_is_its_own() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        hidden_cost()(lambda x, y: x + y, X, label="b1")


def nested(layout: torch.layout) -> torch.Tensor:
    found: torch.Tensor = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)
    return found


INPUTS: dict[str, Callable[[], torch.Tensor]] = {
    "sparse": lambda: torch.eye(4).to_sparse(),
    "sparse rows": lambda: torch.eye(4).to_sparse_csr(),
    "nested": lambda: nested(torch.strided),
    "jagged": lambda: nested(torch.jagged),
    "complex nan": lambda: torch.full((4,), complex(float("nan"), 1.0)),
    "half nan": lambda: torch.full((4,), float("nan"), dtype=torch.bfloat16),
    "expanded": lambda: torch.ones(4).expand(3, 4),
    "empty": lambda: torch.ones(0),
    "mkldnn": lambda: torch.ones(4).to_mkldnn(),
    "conjugated": lambda: torch.ones(4).conj(),
    "with gradient": lambda: torch.ones(1, 8, requires_grad=True),
}


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_measures_inputs_of_every_kind(kind: str) -> None:
    """And sees that they were not changed."""
    assert hidden_cost()(torch.clone, INPUTS[kind]()).notes == ()


@pytest.mark.parametrize(
    ("mode", "inference", "grad"),
    [("inference", True, False), ("no_grad", False, False), ("grad", False, True)],
)
@pytest.mark.parametrize("around", [torch.enable_grad, torch.inference_mode])
def test_grad_mode(mode: str, inference: bool, grad: bool, around: Callable[[], Any]) -> None:
    """The mode asked for holds in every call, whatever the test itself runs under."""

    def modes() -> tuple[bool, bool]:
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    seen = set()

    def function(x: torch.Tensor) -> torch.Tensor:
        seen.add(modes())
        return x + 1

    with around():
        before = modes()
        profile = hidden_cost()(function, X, grad_mode=mode)
        assert modes() == before
    assert profile.grad_mode == mode
    assert seen == {(inference, grad)}


def test_inference_is_the_default_grad_mode() -> None:
    assert hidden_cost()(MODEL, X).grad_mode == "inference"


def test_several_calls_with_labels() -> None:
    hiddencost = hidden_cost()
    macs = [
        hiddencost(MODEL, torch.ones(n, 8), label=label).macs
        for n, label in ((1, None), (2, "batch of 2"), (3, "größer"))
    ]
    assert macs == [128, 256, 384]
    assert hiddencost.labels() == ["", "batch of 2", "größer"]
    assert [profile.macs for profile in hiddencost.profiles] == macs


# --- remarks on it ------------------------------------------------------------------------------


def test_training_mode_warns_at_the_users_line() -> None:
    with pytest.warns(HiddenCostWarning, match="ReLU is in training mode.*call .eval()") as found:
        hidden_cost()(nn.ReLU().train(), X)
    assert [warning.filename for warning in found] == [__file__]


def test_a_model_that_changes_its_input_warns() -> None:
    with pytest.warns(HiddenCostWarning, match="the call changes 1 of its inputs in place"):
        hidden_cost()(nn.ReLU(inplace=True).eval(), -X)


def test_a_model_that_changes_its_parameters_warns() -> None:
    class Drifting(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                self.weight.mul_(1.0)
            return super().forward(x)

    with pytest.warns(HiddenCostWarning, match=r"changes parameters in place \(weight\)"):
        hidden_cost()(Drifting(8, 8).eval(), X)


def test_warnings_are_an_error_for_who_wants_them_to_be(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        ["def test_it(hiddencost): hiddencost(nn.ReLU().train(), X)", NEIGHBOUR],
        "-Werror::pytest_hiddencost.core.errors.HiddenCostWarning",
    )
    result.assert_outcomes(failed=1, passed=1)


# --- what cannot be measured or checked ---------------------------------------------------------

# The tests: the name, the text, and what the message must say.
BAD = {
    "test_never_called": (
        """
        @budget(p50="10 s")
        def test_never_called(hiddencost):
            pass
        """,
        ["test_never_called is marked latency_budget", "measured nothing", "no limit was checked"],
    ),
    "test_fixture_not_used": (
        """
        @budget(p50="10 s")
        def test_fixture_not_used():
            MODEL(X)
        """,
        ["test_fixture_not_used is marked", "call the hiddencost fixture in it"],
    ),
    "test_no_label_twice": (
        """
        def test_no_label_twice(hiddencost):
            hiddencost(MODEL, X)
            hiddencost(MODEL, X)
        """,
        ["two hiddencost calls in test_it.py::test_no_label_twice have no label", 'label="..."'],
    ),
    "test_label_twice": (
        """
        def test_label_twice(hiddencost):
            hiddencost(MODEL, X, label="a")
            hiddencost(MODEL, X, label="b")
            hiddencost(MODEL, X, label="a")
        """,
        ["two hiddencost calls", "label 'a'", "give each call its own label"],
    ),
    "test_label_of_no_call": (
        """
        @budget(p50="10 s", label="typo")
        def test_label_of_no_call(hiddencost):
            hiddencost(MODEL, X, label="a")
            hiddencost(MODEL, X, label="b")
        """,
        ["latency_budget(label='typo')", "no call of test_label_of_no_call", "'a', 'b'"],
    ),
    "test_label_of_another_type": (
        """
        def test_label_of_another_type(hiddencost):
            hiddencost(MODEL, X, label=3)
        """,
        ["hiddencost(..., label=3)", "a label is text", 'label="b1"'],
    ),
    "test_no_such_operator": (
        """
        @budget(operators={"aten::cat": "5%"})
        def test_no_such_operator(hiddencost):
            hiddencost(torch.relu, X)
        """,
        ["operators[aten::cat]", "matches no operator of this call", "aten::clamp_min"],
    ),
    "test_no_such_glob": (
        """
        @budget(operators={"aten::*pool*": "3 calls"})
        def test_no_such_glob(hiddencost):
            hiddencost(MODEL, X)
        """,
        ["'aten::*pool*' matches no operator of this call", "the limit checks nothing"],
    ),
    "test_group_of_nothing": (
        """
        @budget(operators={"pooling": "1 ms"})
        def test_group_of_nothing(hiddencost):
            hiddencost(MODEL, X)
        """,
        ["operators[pooling]", "'pooling' matches no operator of this call"],
    ),
    "test_misspelt_operator_forbidden": (
        """
        @budget(operators={"aten::catt": "0 calls"})
        def test_misspelt_operator_forbidden(hiddencost):
            hiddencost(MODEL, X)
        """,
        ["'aten::catt' matches no operator", "the limit checks nothing"],
    ),
    "test_raises": (
        """
        class Broken(nn.Module):
            def forward(self, x):
                raise ValueError("the model's own words")

        def test_raises(hiddencost):
            hiddencost(Broken(), X)
        """,
        ["ValueError: the model's own words", "def forward", "test_it.py"],
    ),
    "test_raises_later": (
        """
        class Later(nn.Module):
            calls = 0
            def forward(self, x):
                self.calls += 1
                if self.calls > 9:
                    raise ValueError(f"not {self.calls} times")
                return x

        def test_raises_later(hiddencost):
            hiddencost(Later(), X)
        """,
        ["ValueError: not 10 times", "test_it.py"],
    ),
    "test_wrong_arguments": (
        """
        def test_wrong_arguments(hiddencost):
            hiddencost(MODEL)
        """,
        ["TypeError", "missing 1 required positional argument"],
    ),
    "test_wrong_shape": (
        """
        def test_wrong_shape(hiddencost):
            hiddencost(MODEL, torch.ones(1, 9))
        """,
        ["RuntimeError", "mat1 and mat2 shapes cannot be multiplied"],
    ),
    "test_output_elsewhere": (
        """
        class Elsewhere(nn.Module):
            def forward(self, x):
                return {"out": [x.to("meta")]}

        def test_output_elsewhere(hiddencost):
            hiddencost(Elsewhere(), X)
        """,
        ["Elsewhere returned a tensor on meta", "measures on cpu", "--hiddencost-device=meta"],
    ),
    "test_all_elsewhere": (
        """
        def test_all_elsewhere(hiddencost):
            hiddencost(nn.Linear(8, 8).eval().to("meta"), X.to("meta"))
        """,
        ["Linear returned a tensor on meta", "measures on cpu"],
    ),
    "test_input_elsewhere": (
        """
        def test_input_elsewhere(hiddencost):
            hiddencost(MODEL, X.to("meta"))
        """,
        ["RuntimeError", "Tensor on device cpu is not on the expected device meta"],
    ),
    "test_profiler_running": (
        """
        def test_profiler_running(hiddencost):
            with torch.profiler.profile() as theirs:
                hiddencost(MODEL, X)
        """,
        ["a torch profiler is already running", "outside `with torch.profiler.profile()`"],
    ),
    "test_older_profiler_running": (
        """
        def test_older_profiler_running(hiddencost):
            with torch.autograd.profiler.profile():
                hiddencost(MODEL, X)
        """,
        ["a torch profiler is already running"],
    ),
    "test_no_model": (
        """
        def test_no_model(hiddencost):
            hiddencost("resnet18", X)
        """,
        ["the model must be callable, got 'resnet18'"],
    ),
    "test_output_instead_of_model": (
        """
        def test_output_instead_of_model(hiddencost):
            hiddencost(MODEL(X))
        """,
        ["the model must be callable, got tensor("],
    ),
    "test_unknown_grad_mode": (
        """
        def test_unknown_grad_mode(hiddencost):
            hiddencost(MODEL, X, grad_mode="eval")
        """,
        ["grad_mode='eval'", "inference, no_grad, grad"],
    ),
    "test_no_operator_at_all": (
        """
        @budget(operators={"aten::*": "100%"})
        def test_no_operator_at_all(hiddencost):
            hiddencost(lambda: None)
        """,
        ["'aten::*' matches no operator of this call", "the profiler saw no operator"],
    ),
}
RAISED_BY_THE_MODEL = {
    "test_raises",
    "test_raises_later",
    "test_wrong_arguments",
    "test_wrong_shape",
    "test_input_elsewhere",
}


@pytest.fixture(scope="module")
def kept_runs() -> dict[str, Finished]:
    """Runs that several tests look at."""
    return {}


@pytest.fixture
def bad_calls(kept_runs: dict[str, Finished], pytester: pytest.Pytester) -> Finished:
    """All of them in one run, among tests that have nothing wrong."""
    if not kept_runs:
        texts = [text for text, _ in BAD.values()]
        last = "def test_last(hiddencost): assert hiddencost(MODEL, X).macs == 128"
        kept_runs["bad calls"] = finished_here(pytester, [NEIGHBOUR, *texts, last])
    return kept_runs["bad calls"]


@pytest.mark.xdist_group("bad calls")
class TestBadCalls:
    """That one test fails, and says what to do."""

    @pytest.mark.parametrize("name", BAD)
    def test_the_message_says_what_and_what_to_do(self, bad_calls: Finished, name: str) -> None:
        message = bad_calls.message(name)
        assert [part for part in BAD[name][1] if part not in message] == []

    def test_only_those_tests_fail(self, bad_calls: Finished) -> None:
        assert bad_calls.code == 1
        expected = dict.fromkeys(BAD, "failure")
        expected |= {"test_neighbour": "passed", "test_last": "passed"}
        assert bad_calls.outcomes == expected

    def test_messages_show_the_users_code_and_none_of_ours(self, bad_calls: Finished) -> None:
        """If the test is at fault, the error shows its line, and none of our sources."""
        assert [name for name in BAD if "pytest_hiddencost/" in bad_calls.message(name)] == []

    def test_messages_show_no_broken_repr(self, bad_calls: Finished) -> None:
        assert "raised in repr()" not in bad_calls.output

    @pytest.mark.parametrize("name", sorted(RAISED_BY_THE_MODEL))
    def test_an_error_of_the_model_is_no_error_of_ours(
        self, bad_calls: Finished, name: str
    ) -> None:
        assert "hiddencost.core.errors" not in bad_calls.message(name)


def test_the_users_profiler_goes_on() -> None:
    """Refusing must not end the session that was there first."""
    hiddencost = hidden_cost()
    with torch.profiler.profile() as theirs:
        with pytest.raises(RuntimeError, match="already running"):
            hiddencost(MODEL, X)
        torch.relu(X)
    events = theirs.events()
    assert events is not None
    assert "aten::relu" in {event.name for event in events}
    assert hiddencost(MODEL, X).operators


def test_a_model_that_profiles_itself() -> None:
    """The outer one of two nested profilers comes back empty: no limit must pass by that."""

    def profiled(x: torch.Tensor) -> torch.Tensor:
        with torch.autograd.profiler.profile(use_cpu=True):
            return x + 1

    with pytest.raises(RuntimeError, match="profiler of its own"):
        hidden_cost()(profiled, X)


# --- from where ---------------------------------------------------------------------------------


@pytest.fixture
def within_and_beyond(pytester: pytest.Pytester) -> Callable[[str], pytest.RunResult]:
    """Runs one test that keeps its budget, and one that does not."""

    def ran(text: str) -> pytest.RunResult:
        result = run(pytester, text)
        result.assert_outcomes(passed=1, failed=1)
        return result

    return ran


def test_through_a_fixture_of_the_users(
    within_and_beyond: Callable[[str], pytest.RunResult],
) -> None:
    within_and_beyond("""
        @pytest.fixture
        def measure(hiddencost):
            return lambda model: hiddencost(model, X)

        @budget(macs=128)
        def test_within(measure): measure(MODEL)

        @budget(macs=127)
        def test_beyond(measure): measure(MODEL)
    """)


def test_measured_while_a_fixture_is_set_up(
    within_and_beyond: Callable[[str], pytest.RunResult],
) -> None:
    within_and_beyond("""
        @pytest.fixture
        def profile(hiddencost):
            return hiddencost(MODEL, X)

        @budget(macs=128)
        def test_within(profile): assert profile.macs == 128

        @budget(macs=127)
        def test_beyond(profile): pass
    """)


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
    result.assert_outcomes(passed=1, errors=1)
    assert "limits broken by Sequential (late)" in result.stdout.str()


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


def test_wider_scopes_cannot_ask_for_it(pytester: pytest.Pytester) -> None:
    scopes = ("class", "module", "package", "session")
    tests = [
        f"""
        @pytest.fixture(scope={scope!r})
        def wide_{scope}(hiddencost): return hiddencost

        def test_{scope}(wide_{scope}): pass
        """
        for scope in scopes
    ]
    result = run(pytester, [*tests, NEIGHBOUR])
    result.assert_outcomes(errors=4, passed=1)
    result.stdout.fnmatch_lines(
        [
            f"ScopeMismatch: *function scoped fixture hiddencost with a {scope} scoped request*"
            for scope in scopes
        ]
    )


def test_asked_for_and_not_called(pytester: pytest.Pytester) -> None:
    """Without a marker nothing was promised."""
    assert "hidden costs" not in passes(pytester, "def test_it(hiddencost): pass")


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
    write_suite(pytester, "@budget(macs=1)\ndef test_it(hiddencost): hiddencost(MODEL, X)")
    ini = pytester.mkdir("config") / "other.ini"
    ini.write_text("[pytest]\nhiddencost_max_time = 5ms\n", encoding="utf-8")
    monkeypatch.chdir(pytester.mkdir("elsewhere"))
    result = run_here(
        pytester, "-c", str(ini), f"--rootdir={pytester.path}", NO_BASELINES, "../test_it.py"
    )
    result.assert_outcomes(failed=1)
    assert "\ntest_it.py::test_it" in result.stdout.str()
