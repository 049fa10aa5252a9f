"""A call that cannot be measured or checked: that one test fails, and says what to do."""

from __future__ import annotations

import pytest

from tests.suites import JUNIT, NEIGHBOUR, Finished, passes, run, run_apart

# The tests: the name, the text, and what the message must say.
BAD = {
    "test_never_called": (
        """
        @budget(p50="10 s")
        def test_never_called(hiddencost):
            pass
        """,
        ["test_never_called is marked latency_budget", "never called", "no limit was checked"],
    ),
    "test_fixture_not_used": (
        """
        @budget(p50="10 s")
        def test_fixture_not_used():
            MODEL(X)
        """,
        ["test_fixture_not_used is marked", "never called the hiddencost fixture"],
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
        ["two hiddencost calls", "label 'a'", "give each call a label of its own"],
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
        ["hiddencost(..., label=...)", "expected a string, got 3"],
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
        ["grad_mode='eval' is not known", "inference, no_grad, grad"],
    ),
    "test_no_operator_at_all": (
        """
        @budget(operators={"aten::*": "100%"})
        def test_no_operator_at_all(hiddencost):
            hiddencost(lambda: None)
        """,
        ["'aten::*' matches no operator of this call"],
    ),
}
RAISED_BY_THE_MODEL = {
    "test_raises",
    "test_raises_later",
    "test_wrong_arguments",
    "test_wrong_shape",
    "test_input_elsewhere",
}


@pytest.fixture(scope="module", params=[(), ("-n2",)], ids=["plain", "two workers"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """All of them in one run, among tests that have nothing wrong."""
    folder = tmp_path_factory.mktemp("bad_calls")
    texts = [text for text, _ in BAD.values()]
    last = "def test_last(hiddencost): assert hiddencost(MODEL, X).macs == 128"
    return run_apart(folder, [NEIGHBOUR, *texts, last], f"--junitxml={JUNIT}", *request.param)


@pytest.mark.parametrize("name", BAD)
def test_message_says_what_and_what_to_do(finished: Finished, name: str) -> None:
    message = finished.message(name)
    for part in BAD[name][1]:
        assert part in message


def test_only_those_tests_fail(finished: Finished) -> None:
    assert finished.code == 1
    expected = {name: "failure" for name in BAD} | {
        "test_neighbour": "passed",
        "test_last": "passed",
    }
    assert finished.outcomes == expected


def test_messages_show_the_users_code_and_none_of_ours(finished: Finished) -> None:
    """Where the test is at fault, its line is what to look at; our sources do not help."""
    messages = {n: finished.message(n) for n, o in finished.outcomes.items() if o == "failure"}
    assert [name for name, text in messages.items() if "pytest_hiddencost/" in text] == []


def test_messages_show_no_broken_repr(finished: Finished) -> None:
    assert "raised in repr()" not in finished.output


@pytest.mark.parametrize("name", sorted(RAISED_BY_THE_MODEL))
def test_what_the_model_raises_is_no_error_of_ours(finished: Finished, name: str) -> None:
    assert "hiddencost.errors" not in finished.message(name)


def test_training_mode_warns_at_the_users_line(pytester: pytest.Pytester) -> None:
    output = passes(
        pytester,
        """
        def test_it(hiddencost):
            model = Net().train()
            hiddencost(model, IMAGE)  # here
        """,
        "--hiddencost-threads=1",
    )
    assert "HiddenCostWarning: Net is in training mode" in output
    assert "call .eval() to measure inference" in output
    assert "hiddencost(model, IMAGE)  # here" in output


def test_training_mode_is_an_error_for_who_wants_warnings_to_be(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        ["def test_it(hiddencost): hiddencost(nn.ReLU().train(), X)", NEIGHBOUR],
        "-Werror::pytest_hiddencost.core.errors.HiddenCostWarning",
    )
    result.assert_outcomes(failed=1, passed=1)


def test_a_model_that_changes_its_input_warns(pytester: pytest.Pytester) -> None:
    output = passes(
        pytester,
        """
        def test_it(hiddencost):
            hiddencost(nn.ReLU(inplace=True).eval(), -X)
        """,
    )
    assert "HiddenCostWarning: the call changes 1 of its inputs in place" in output


def test_a_model_that_changes_its_parameters_warns(pytester: pytest.Pytester) -> None:
    output = passes(
        pytester,
        """
        class Drifting(nn.Linear):
            def forward(self, x):
                with torch.no_grad():
                    self.weight.mul_(1.0)
                return super().forward(x)

        def test_it(hiddencost):
            hiddencost(Drifting(8, 8).eval(), X)
        """,
    )
    assert "HiddenCostWarning: the call changes parameters in place (weight)" in output


def test_the_users_profiler_goes_on(pytester: pytest.Pytester) -> None:
    """Refusing must not end the session that was there first."""
    passes(
        pytester,
        """
        def test_it(hiddencost):
            with torch.profiler.profile() as theirs:
                with pytest.raises(RuntimeError, match="already running"):
                    hiddencost(MODEL, X)
                torch.relu(X)
            assert "aten::relu" in {event.name for event in theirs.events()}
            hiddencost(MODEL, X)
        """,
    )


def test_a_model_that_profiles_itself(pytester: pytest.Pytester) -> None:
    """Of two nested profilers the outer one comes back empty: nothing must pass by that."""
    result = run(
        pytester,
        """
        def profiled(x):
            with torch.autograd.profiler.profile(use_cpu=True):
                return x + 1

        @budget(activation_memory="0 B", operators={"aten::add": "0 calls"})
        def test_it(hiddencost):
            hiddencost(profiled, X)
        """,
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "profiler" in result.stdout.str()
