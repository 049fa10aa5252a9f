"""A broken budget among everything else that can become of a test."""

from __future__ import annotations

import pytest

from pytest_hiddencost.run.modes.base import Judgement, Measurement
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from tests.suites import (
    BRIEF,
    JSON,
    endings,
    finished_here,
    profiles,
    properties,
    run,
    run_here,
    section,
    suite,
    verdicts,
)

BEYOND = "@budget(macs=127)\ndef test_beyond(hiddencost): hiddencost(MODEL, X)"
WITHIN = "@budget(macs=128)\ndef test_within(hiddencost): hiddencost(MODEL, X)"


# --- expected failures, skipped -----------------------------------------------------------------


def test_expected_failures(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.xfail(reason="known to be large")
        @budget(macs=127)
        def test_beyond(hiddencost): hiddencost(MODEL, X)

        @pytest.mark.xfail(strict=True)
        @budget(macs=127)
        def test_beyond_strict(hiddencost): hiddencost(MODEL, X)

        @pytest.mark.xfail
        @budget(macs=128)
        def test_within(hiddencost): hiddencost(MODEL, X)

        @pytest.mark.xfail(strict=True)
        @budget(macs=128)
        def test_within_strict(hiddencost): hiddencost(MODEL, X)

        @pytest.mark.xfail(raises=ZeroDivisionError)
        @budget(macs=127)
        def test_of_another_kind(hiddencost): hiddencost(MODEL, X)

        @pytest.mark.xfail(run=False)
        @budget(macs=127)
        def test_not_run(hiddencost): hiddencost(MODEL, X)

        @budget(macs=127)
        def test_from_within(hiddencost):
            hiddencost(MODEL, X)
            pytest.xfail("as we know")
        """,
        "-rA",
    )
    assert endings(result.stdout.str()) == {
        "test_beyond": ["XFAIL"],
        "test_beyond_strict": ["XFAIL"],
        "test_within": ["XPASS"],
        "test_within_strict": ["FAILED"],
        "test_of_another_kind": ["FAILED"],
        "test_not_run": ["XFAIL"],
        "test_from_within": ["XFAIL"],
    }
    result.stdout.fnmatch_lines(["XFAIL test_it.py::test_beyond - *known to be large*"])
    assert "macs 128 MAC, at most 127 MAC" in result.stdout.str()


def test_skipped_tests_need_not_measure(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.skip(reason="not on this board")
        @budget(macs=127)
        def test_marked(hiddencost): pass

        @pytest.mark.skipif(True, reason="not on this board")
        @budget(macs=127)
        def test_marked_if(hiddencost): pass

        @budget(macs=127)
        def test_before_the_call(hiddencost): pytest.skip("not on this board")

        @budget(macs=127)
        def test_after_the_call(hiddencost):
            hiddencost(MODEL, X)
            pytest.skip("not on this board")

        @pytest.fixture
        def weights(): pytest.skip("not on this board")

        @budget(macs=127)
        def test_by_a_fixture(hiddencost, weights): pass

        @budget(macs=127)
        def test_by_an_import(hiddencost): pytest.importorskip("no_such_module")
        """,
    )
    result.assert_outcomes(skipped=6)
    assert result.ret == 0
    assert "measured nothing" not in result.stdout.str()


# --- parameters, selection ----------------------------------------------------------------------


def test_each_parameter_has_its_verdict(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.parametrize("batch", [1, 2, 3])
        @budget(macs=256)
        def test_it(hiddencost, batch): hiddencost(MODEL, torch.ones(batch, 8))

        @pytest.mark.parametrize("batch", [
            pytest.param(1, marks=budget(macs=128)),
            pytest.param(2, marks=[budget(macs=128), pytest.mark.xfail]),
            3,
        ])
        def test_marked(hiddencost, batch): hiddencost(MODEL, torch.ones(batch, 8))
        """,
        JSON,
    )
    result.assert_outcomes(passed=4, failed=1, xfailed=1)
    assert {name: list(verdicts(e).values()) for name, e in profiles(pytester).items()} == {
        "test_it[1]": ["pass"],
        "test_it[2]": ["pass"],
        "test_it[3]": ["fail"],
        "test_marked[1]": ["pass"],
        "test_marked[2]": ["fail"],
        "test_marked[3]": [],
    }


def test_stop_at_the_first_broken_budget(pytester: pytest.Pytester) -> None:
    result = run(pytester, [WITHIN, BEYOND, BEYOND.replace("beyond", "after")], "-x")
    result.assert_outcomes(passed=1, failed=1)
    assert "stopping after 1 failures" in result.stdout.str()
    assert "test_it.py::test_beyond" in result.stdout.str()


def test_last_failed_runs_the_broken_ones_again(pytester: pytest.Pytester) -> None:
    cache = ("-p", "cacheprovider", "-o", "cache_dir=.cache")
    run(pytester, [WITHIN, BEYOND], *cache).assert_outcomes(passed=1, failed=1)
    result = run_here(pytester, BRIEF, "-v", "--lf", *cache)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["test_it.py::test_beyond FAILED*"])


def test_verdicts_of_several_files_and_repeated_names(pytester: pytest.Pytester) -> None:
    for folder in ("a", "b"):
        pytester.mkpydir(folder)
        text = suite(WITHIN, BEYOND)
        (pytester.path / folder / "test_it.py").write_text(text, encoding="utf-8")
    result = run_here(pytester, BRIEF)
    result.assert_outcomes(passed=2, failed=2)
    for folder in ("a", "b"):
        assert f"{folder}/test_it.py::test_beyond" in result.stdout.str()


def test_an_interrupted_run_still_reports(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        [WITHIN, "def test_exit(): pytest.exit('enough', returncode=7)", BEYOND],
        JSON,
    )
    assert result.ret == 7
    assert list(profiles(pytester)) == ["test_within"]


# --- other failures -----------------------------------------------------------------------------


def test_an_error_of_the_body_goes_first(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @budget(macs=127)
        def test_wrong(hiddencost):
            hiddencost(MODEL, X)
            assert MODEL(X).shape == (1, 17), "the user's own check"

        @budget(macs=127)
        def test_wrong_before(hiddencost):
            raise ValueError("the user's own check")
        """,
        JSON,
    )
    result.assert_outcomes(failed=2)
    output = result.stdout.str()
    assert "AssertionError: the user's own check" in output
    assert "ValueError: the user's own check" in output
    assert "limits broken" not in output
    assert "measured nothing" not in output
    assert verdicts(profiles(pytester)["test_wrong"]) == {"macs": "fail"}, "measured is measured"


def test_a_test_may_catch_what_the_model_raises(pytester: pytest.Pytester) -> None:
    """The failed call has measured nothing: a marker needs another."""
    result = run(
        pytester,
        """
        @budget(macs=128)
        def test_measured_then(hiddencost):
            with pytest.raises(RuntimeError): hiddencost(MODEL, torch.ones(1, 9))
            hiddencost(MODEL, X)

        @budget(macs=128)
        def test_nothing_measured(hiddencost):
            with pytest.raises(RuntimeError): hiddencost(MODEL, torch.ones(1, 9))
        """,
    )
    result.assert_outcomes(passed=1, failed=1)
    assert "test_nothing_measured is marked latency_budget but measured" in result.stdout.str()


def test_other_hooks_around_a_test_see_the_failure(pytester: pytest.Pytester) -> None:
    """A broken budget is an exception of the call phase, as any plugin expects a failure to be."""
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if call.when == "call":
                print(f"{item.name}: {report.outcome} {call.excinfo and call.excinfo.typename}")
            return report
        """
    )
    result = run(pytester, [WITHIN, BEYOND], "-s")
    assert "test_within: passed None" in result.stdout.str()
    assert "test_beyond: failed Failed" in result.stdout.str()


def test_subtests(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @budget(macs=256)
        def test_it(hiddencost, subtests):
            for batch in (1, 2, 3):
                with subtests.test(batch=batch):
                    hiddencost(MODEL, torch.ones(batch, 8), label=f"batch {batch}")
        """,
        JSON,
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "1 of 1 limits broken by Sequential (batch 3)" in result.stdout.str()
    assert list(profiles(pytester)) == ["test_it batch 1", "test_it batch 2", "test_it batch 3"]


# --- retries ------------------------------------------------------------------------------------

# As plugins that retry do it: the same item is run again.
RETRIES = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        for report in reports:
            report.outcome = "rerun" if report.failed else report.outcome
            item.ihook.pytest_runtest_logreport(report=report)
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True

def pytest_report_teststatus(report):
    if report.outcome == "rerun":
        return "rerun", "R", "RERUN"
"""


def test_retries_start_afresh(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(RETRIES)
    result = run(
        pytester,
        """
        attempts = []

        @budget(macs=128)
        def test_second_time_lucky(hiddencost):
            attempts.append(1)
            hiddencost(MODEL, torch.ones(3 - len(attempts), 8), label="one")

        @budget(macs=127)
        def test_never(hiddencost): hiddencost(MODEL, X)

        called = []

        @budget(macs=128)
        def test_calls_the_first_time_only(hiddencost):
            if not called:
                called.append(1)
                hiddencost(MODEL, torch.ones(2, 8))
        """,
        JSON,
        "-rA",
    )
    output = result.stdout.str()
    assert endings(output) == {
        "test_second_time_lucky": ["PASSED"],
        "test_never": ["FAILED"],
        "test_calls_the_first_time_only": ["FAILED"],
    }
    entries = profiles(pytester)
    assert verdicts(entries["test_second_time_lucky one"]) == {"macs": "pass"}
    assert "test_calls_the_first_time_only is marked latency_budget but" in output
    rows = [line for line in section(output) if "test_second_time_lucky one" in line]
    assert len(rows) == 1


# --- once ---------------------------------------------------------------------------------------

FIXTURES = """
@pytest.fixture
def first(hiddencost):
    hiddencost(MODEL, X, label="in setup")

@pytest.fixture
def broken(first): raise ValueError("in setup")

@pytest.fixture
def breaking(first):
    yield
    raise ValueError("in teardown")
"""
# Test to how it ends.
AROUND = {
    "test_passes": ("@budget(macs=128)", "first", "pass", ["PASSED"]),
    "test_beyond": ("@budget(macs=127)", "first", "pass", ["FAILED"]),
    "test_raises": ("@budget(macs=127)", "first", "raise KeyError", ["FAILED"]),
    "test_skips": ("@budget(macs=127)", "first", "pytest.skip()", []),
    "test_not_set_up": ("@budget(macs=127)", "broken", "pass", ["ERROR"]),
    "test_not_torn_down": ("@budget(macs=128)", "breaking", "pass", ["PASSED", "ERROR"]),
    "test_beyond_and_not_torn_down": ("@budget(macs=127)", "breaking", "pass", ["FAILED", "ERROR"]),
    "test_raises_and_not_torn_down": (
        "@budget(macs=127)", "breaking", "raise KeyError", ["FAILED", "ERROR"],
    ),
}  # fmt: skip


def test_what_a_fixture_measures_is_judged_and_reported_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the test ends."""
    judged: list[str] = []
    judge = BudgetsOnly.judge

    def counting(mode: BudgetsOnly, measurement: Measurement) -> Judgement:
        judged.append(measurement.profile.test.partition("::")[2])
        return judge(mode, measurement)

    monkeypatch.setattr(BudgetsOnly, "judge", counting)
    tests = [
        f"{marker}\ndef {name}({fixture}): {body}"
        for name, (marker, fixture, body, _) in AROUND.items()
    ]
    finished = finished_here(pytester, [FIXTURES, *tests], "-rA")
    ended = endings(finished.stdout)
    assert {name: ended.get(name, []) for name in AROUND} == {
        name: expected for name, (*_, expected) in AROUND.items()
    }
    assert judged == list(AROUND)
    assert list(finished.profiles) == [f"{name} in setup" for name in AROUND]
    rows = [line.partition("::")[2].split()[0] for line in section(finished.stdout) if "::" in line]
    assert rows == list(AROUND)
    for name, (marker, *_) in AROUND.items():
        verdict = "pass" if "128" in marker else "fail"
        assert verdicts(finished.profiles[f"{name} in setup"]) == {"macs": verdict}
        assert properties(finished.cases[name])["hiddencost[in setup].macs"] == "128"


@pytest.mark.parametrize(
    ("measured", "ended"), [("hiddencost, first", ["FAILED"]), ("late", ["PASSED", "ERROR"])]
)
def test_what_raises_in_judging_fails_the_test_once(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    measured: str,
    ended: list[str],
) -> None:
    def raising(mode: BudgetsOnly, measurement: Measurement) -> Judgement:
        raise ZeroDivisionError("in judging")

    monkeypatch.setattr(BudgetsOnly, "judge", raising)
    late = """
    @pytest.fixture
    def late(hiddencost):
        yield
        hiddencost(MODEL, X, label="late")
    """
    tests = [FIXTURES, late, f"def test_it({measured}): pass", "def test_neighbour(): pass"]
    result = run(pytester, tests, "-rA")
    assert endings(result.stdout.str()) == {"test_it": ended, "test_neighbour": ["PASSED"]}
    assert "ZeroDivisionError: in judging" in result.stdout.str()


def test_a_failed_test_whose_teardown_fails_is_told_as_pytest_does(
    pytester: pytest.Pytester,
) -> None:
    """Broken in its call, and an error in its teardown: no third failure of ours."""
    result = run(
        pytester,
        [
            FIXTURES,
            "@budget(macs=127)\ndef test_it(hiddencost, breaking): hiddencost(MODEL, X)",
        ],
    )
    result.assert_outcomes(failed=1, errors=1)
    assert result.stdout.str().count("limits broken by Sequential (in setup)") <= 2
