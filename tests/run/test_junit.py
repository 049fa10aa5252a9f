"""JUnit files: the failure, and the figures as properties."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.suites import JUNIT, Finished, finished_here, properties

pytestmark = pytest.mark.xdist_group("junit")

SUITE = """
@budget(p50="10 s", macs=128)
def test_within(hiddencost): hiddencost(MODEL, X)

@budget(macs=127)
def test_beyond(hiddencost): hiddencost(MODEL, X)

@pytest.mark.xfail
@budget(macs=127)
def test_expected(hiddencost): hiddencost(MODEL, X)

@budget(p50="15")
def test_bad_marker(hiddencost): hiddencost(MODEL, X)

@budget(macs=127)
def test_never_called(hiddencost): pass

@budget(macs=128)
def test_labelled(hiddencost, record_property):
    record_property("mine", 1)
    hiddencost(MODEL, X, label="one")
    hiddencost(MODEL, torch.ones(2, 8), label="größer")
    hiddencost(MODEL, X)

@budget(macs=127)
def test_whose_body_fails(hiddencost):
    hiddencost(MODEL, X)
    assert False, "mine"

@pytest.fixture
def around(hiddencost):
    hiddencost(MODEL, X, label="before")
    yield
    hiddencost(MODEL, X, label="after")

def test_by_a_fixture(around): pass

def test_that_does_not_measure(): pass
"""
NAMES = {
    "p50_ns",
    "p95_ns",
    "p99_ns",
    "samples",
    "macs",
    "mac_rate",
    "non_mac_share",
    "activation_peak_bytes",
}


@pytest.fixture(scope="module")
def kept_runs() -> list[Finished]:
    """The run that all tests look at."""
    return []


@pytest.fixture
def finished(kept_runs: list[Finished], pytester: pytest.Pytester) -> Finished:
    if not kept_runs:
        kept_runs.append(finished_here(pytester, SUITE))
    return kept_runs[0]


def figures(finished: Finished, test: str) -> dict[str, str]:
    return properties(finished.cases[test])


def test_outcomes(finished: Finished) -> None:
    assert finished.outcomes == {
        "test_within": "passed",
        "test_beyond": "failure",
        "test_expected": "skipped",
        "test_bad_marker": "error",
        "test_never_called": "failure",
        "test_labelled": "failure",
        "test_whose_body_fails": "failure",
        "test_by_a_fixture": "passed",
        "test_that_does_not_measure": "passed",
    }
    suite = ElementTree.parse(finished.folder / JUNIT).getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 9, "failures": 4, "errors": 1, "skipped": 1}


def test_figures_are_those_of_the_run_file(finished: Finished) -> None:
    found, entry = figures(finished, "test_within"), finished.profiles["test_within"]
    assert found.keys() == {f"hiddencost.{name}" for name in NAMES} | {
        "hiddencost.verdict.p50",
        "hiddencost.verdict.macs",
    }
    assert float(found["hiddencost.p50_ns"]) == round(entry["latency"]["median_ns"])
    assert float(found["hiddencost.p99_ns"]) == round(entry["latency"]["p99_ns"])
    assert int(found["hiddencost.samples"]) == len(entry["latency"]["samples_ns"])
    assert found["hiddencost.macs"] == "128"
    share = float(found["hiddencost.non_mac_share"])
    assert share == pytest.approx(entry["non_mac_share"], abs=1e-4)
    assert int(found["hiddencost.activation_peak_bytes"]) == entry["activation_peak_bytes"]
    assert found["hiddencost.verdict.p50"] == "pass"


def test_labels_tell_calls_apart(finished: Finished) -> None:
    found = figures(finished, "test_labelled")
    assert found["mine"] == "1"
    assert found["hiddencost[one].macs"] == "128"
    assert found["hiddencost[größer].macs"] == "256"
    assert found["hiddencost[größer].verdict.macs"] == "fail"
    assert found["hiddencost.verdict.macs"] == "pass"


def test_a_failure_says_what_and_why(finished: Finished) -> None:
    failure = finished.cases["test_beyond"].find("failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("Failed: macs 128 MAC, at most 127 MAC")
    assert failure.text is not None
    assert "Operators with MACs:" in failure.text
    assert figures(finished, "test_beyond")["hiddencost.verdict.macs"] == "fail"


def test_an_error_says_what_is_accepted(finished: Finished) -> None:
    error = finished.cases["test_bad_marker"].find("error")
    assert error is not None
    assert "'15' has no unit; did you mean '15 ms'?" in error.attrib["message"]
    assert figures(finished, "test_bad_marker") == {}


def test_figures_of_a_test_whose_body_fails(finished: Finished) -> None:
    assert "mine" in finished.message("test_whose_body_fails")
    assert figures(finished, "test_whose_body_fails")["hiddencost.verdict.macs"] == "fail"


def test_figures_of_what_fixtures_measure(finished: Finished) -> None:
    found = figures(finished, "test_by_a_fixture")
    assert found["hiddencost[before].macs"] == found["hiddencost[after].macs"] == "128"


def test_tests_that_do_not_measure_have_no_properties(finished: Finished) -> None:
    assert figures(finished, "test_that_does_not_measure") == {}
    assert figures(finished, "test_never_called") == {}


def test_a_retried_test_has_its_figures_once(pytester: pytest.Pytester) -> None:
    """A property that occurs twice, with different values, says nothing."""
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(2):
                item._initrequest()
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    retried = finished_here(pytester, "def test_it(hiddencost): hiddencost(MODEL, X)")
    assert figures(retried, "test_it")["hiddencost.macs"] == "128"
