"""A broken budget among everything else that can become of a test."""

from __future__ import annotations

import pytest

from tests.suites import RUN_FILE, SHORT, profiles, run, run_here, suite, verdicts

JSON = f"--hiddencost-json={RUN_FILE}"
BEYOND = "@budget(macs=127)\ndef test_beyond(hiddencost): hiddencost(MODEL, X)"
WITHIN = "@budget(macs=128)\ndef test_within(hiddencost): hiddencost(MODEL, X)"


# --- expected failures --------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
def test_expected_failure(pytester: pytest.Pytester, strict: bool) -> None:
    result = run(
        pytester,
        f"""
        @pytest.mark.xfail(reason="known to be large", strict={strict})
        @budget(macs=127)
        def test_beyond(hiddencost): hiddencost(MODEL, X)
        """,
        "-rx",
    )
    result.assert_outcomes(xfailed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["XFAIL test_it.py::test_beyond - *known to be large*"])


def test_expected_failure_that_holds(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.xfail
        @budget(macs=128)
        def test_lenient(hiddencost): hiddencost(MODEL, X)

        @pytest.mark.xfail(strict=True)
        @budget(macs=128)
        def test_strict(hiddencost): hiddencost(MODEL, X)
        """,
    )
    result.assert_outcomes(xpassed=1, failed=1)
    assert "[XPASS(strict)]" in result.stdout.str()


def test_expected_failure_of_another_kind(pytester: pytest.Pytester) -> None:
    result = run(
        pytester, "@pytest.mark.xfail(raises=ZeroDivisionError)\n" + BEYOND, "--strict-markers"
    )
    result.assert_outcomes(failed=1)
    assert "macs 128 MAC, at most 127 MAC" in result.stdout.str()


def test_expected_failure_that_is_not_run(pytester: pytest.Pytester) -> None:
    result = run(pytester, "@pytest.mark.xfail(run=False)\n" + BEYOND)
    result.assert_outcomes(xfailed=1)


def test_expected_failure_from_within(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @budget(macs=127)
        def test_beyond(hiddencost):
            hiddencost(MODEL, X)
            pytest.xfail("as we know")
        """,
    )
    result.assert_outcomes(xfailed=1)


# --- skipped ------------------------------------------------------------------------------------


def test_skipped_tests_need_not_measure(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.skip(reason="not here")
        @budget(macs=127)
        def test_marked(hiddencost): pass

        @pytest.mark.skipif(True, reason="not here")
        @budget(macs=127)
        def test_marked_if(hiddencost): pass

        @budget(macs=127)
        def test_before_the_call(hiddencost): pytest.skip("not here")

        @budget(macs=127)
        def test_after_the_call(hiddencost):
            hiddencost(MODEL, X)
            pytest.skip("not here")

        @pytest.fixture
        def weights(): pytest.skip("not here")

        @budget(macs=127)
        def test_by_a_fixture(hiddencost, weights): pass

        @budget(macs=127)
        def test_by_an_import(hiddencost): pytest.importorskip("no_such_module")
        """,
    )
    result.assert_outcomes(skipped=6)
    assert result.ret == 0
    assert "never called" not in result.stdout.str()


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
    result = run_here(pytester, SHORT, "-v", "--lf", *cache)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["test_it.py::test_beyond FAILED*"])


def test_verdicts_of_several_files_and_repeated_names(pytester: pytest.Pytester) -> None:
    for folder in ("a", "b"):
        pytester.mkpydir(folder)
        text = suite(WITHIN, BEYOND)
        (pytester.path / folder / "test_it.py").write_text(text, encoding="utf-8")
    result = run_here(pytester, SHORT)
    result.assert_outcomes(passed=2, failed=2)
    for folder in ("a", "b"):
        assert f"{folder}/test_it.py::test_beyond" in result.stdout.str()


# --- other failures -----------------------------------------------------------------------------


def test_what_the_body_raises_goes_first(pytester: pytest.Pytester) -> None:
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
    assert "never called" not in output
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
    assert "test_nothing_measured is marked latency_budget but never" in result.stdout.str()


def test_failing_fixtures(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.fixture
        def broken(): raise ValueError("before")

        @pytest.fixture
        def breaking():
            yield
            raise ValueError("after")

        @budget(macs=128)
        def test_set_up(hiddencost, broken): hiddencost(MODEL, X)

        @budget(macs=128)
        def test_torn_down(hiddencost, breaking): hiddencost(MODEL, X)

        @budget(macs=127)
        def test_beyond_and_torn_down(hiddencost, breaking): hiddencost(MODEL, X)
        """,
        JSON,
    )
    result.assert_outcomes(errors=3, passed=1, failed=1)
    output = result.stdout.str()
    assert "never called" not in output
    assert {name: verdicts(entry) for name, entry in profiles(pytester).items()} == {
        "test_torn_down": {"macs": "pass"},
        "test_beyond_and_torn_down": {"macs": "fail"},
    }


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


RETRIES = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""


def test_retries_start_afresh(pytester: pytest.Pytester) -> None:
    """As pytest-rerunfailures does it: the same item is run again."""
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
    )
    result.assert_outcomes(passed=1, failed=2)
    entries = profiles(pytester)
    assert verdicts(entries["test_second_time_lucky one"]) == {"macs": "pass"}
    assert "test_calls_the_first_time_only is marked latency_budget but" in result.stdout.str()


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


def test_interrupted_run_still_reports(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        [WITHIN, "def test_exit(): pytest.exit('enough', returncode=7)", BEYOND],
        JSON,
    )
    assert result.ret == 7
    assert list(profiles(pytester)) == ["test_within"]
