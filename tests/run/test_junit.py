"""JUnit files: the failure, and the figures as properties."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.suites import (
    JUNIT,
    RUN_FILE,
    junit_cases,
    outcomes_in,
    profiles,
    properties,
    run,
)

FILES = (f"--junitxml={JUNIT}", f"--hiddencost-json={RUN_FILE}")
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


def cases(pytester: pytest.Pytester, *tests: str) -> dict[str, ElementTree.Element]:
    """The test cases that a run of these tests writes."""
    run(pytester, list(tests), *FILES)
    return junit_cases(pytester.path / JUNIT)


def test_figures_are_those_of_the_run_file(pytester: pytest.Pytester) -> None:
    found = cases(
        pytester, '@budget(p50="10 s", macs=128)\ndef test_it(hiddencost): hiddencost(MODEL, X)'
    )
    figures = properties(found["test_it"])
    entry = profiles(pytester)["test_it"]
    assert figures.keys() == {f"hiddencost.{name}" for name in NAMES} | {
        "hiddencost.verdict.p50",
        "hiddencost.verdict.macs",
    }
    assert float(figures["hiddencost.p50_ns"]) == round(entry["latency"]["median_ns"])
    assert float(figures["hiddencost.p99_ns"]) == round(entry["latency"]["p99_ns"])
    assert int(figures["hiddencost.samples"]) == len(entry["latency"]["samples_ns"])
    assert figures["hiddencost.macs"] == "128"
    assert float(figures["hiddencost.non_mac_share"]) == pytest.approx(
        entry["non_mac_share"], abs=1e-4
    )
    assert int(figures["hiddencost.activation_peak_bytes"]) == entry["activation_peak_bytes"]
    assert figures["hiddencost.verdict.p50"] == "pass"


def test_labels_tell_calls_apart(pytester: pytest.Pytester) -> None:
    found = cases(
        pytester,
        """
        @budget(macs=128)
        def test_it(hiddencost, record_property):
            record_property("mine", 1)
            hiddencost(MODEL, X, label="one")
            hiddencost(MODEL, torch.ones(2, 8), label="größer")
            hiddencost(MODEL, X)
        """,
    )
    figures = properties(found["test_it"])
    assert figures["mine"] == "1"
    assert figures["hiddencost[one].macs"] == "128"
    assert figures["hiddencost[größer].macs"] == "256"
    assert figures["hiddencost[größer].verdict.macs"] == "fail"
    assert figures["hiddencost.verdict.macs"] == "pass"


def test_outcomes(pytester: pytest.Pytester) -> None:
    found = cases(
        pytester,
        """
        @budget(macs=128)
        def test_within(hiddencost): hiddencost(MODEL, X)

        @budget(macs=127)
        def test_beyond(hiddencost): hiddencost(MODEL, X)

        @pytest.mark.xfail
        @budget(macs=127)
        def test_expected(hiddencost): hiddencost(MODEL, X)

        @budget(macs="127")
        def test_bad_marker(hiddencost): hiddencost(MODEL, X)

        @budget(macs=127)
        def test_never_called(hiddencost): pass
        """,
    )
    assert outcomes_in(found) == {
        "test_within": "passed",
        "test_beyond": "failure",
        "test_expected": "skipped",
        "test_bad_marker": "error",
        "test_never_called": "failure",
    }
    suite = ElementTree.parse(pytester.path / JUNIT).getroot().find("testsuite")
    assert suite is not None
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"]) == (
        "5",
        "2",
        "1",
    )


def test_failure_says_what_and_why(pytester: pytest.Pytester) -> None:
    found = cases(pytester, "@budget(macs=127)\ndef test_it(hiddencost): hiddencost(MODEL, X)")
    failure = found["test_it"].find("failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("Failed: macs 128 MAC, at most 127 MAC")
    assert failure.text is not None
    assert "Where the MACs are:" in failure.text
    assert properties(found["test_it"])["hiddencost.verdict.macs"] == "fail"


def test_error_says_what_is_accepted(pytester: pytest.Pytester) -> None:
    found = cases(pytester, '@budget(p50="15")\ndef test_it(hiddencost): pass')
    error = found["test_it"].find("error")
    assert error is not None
    assert "'15' has no unit; did you mean '15 ms'?" in error.attrib["message"]
    assert properties(found["test_it"]) == {}


def test_figures_of_a_test_whose_body_fails(pytester: pytest.Pytester) -> None:
    found = cases(
        pytester,
        """
        @budget(macs=127)
        def test_it(hiddencost):
            hiddencost(MODEL, X)
            assert False, "mine"
        """,
    )
    failure = found["test_it"].find("failure")
    assert failure is not None
    assert "mine" in failure.attrib["message"]
    assert properties(found["test_it"])["hiddencost.verdict.macs"] == "fail"


def test_figures_of_what_fixtures_measure(pytester: pytest.Pytester) -> None:
    found = cases(
        pytester,
        """
        @pytest.fixture
        def around(hiddencost):
            hiddencost(MODEL, X, label="before")
            yield
            hiddencost(MODEL, X, label="after")

        def test_it(around): pass
        """,
    )
    figures = properties(found["test_it"])
    assert figures["hiddencost[before].macs"] == figures["hiddencost[after].macs"] == "128"


def test_retried_test_has_its_figures_once(pytester: pytest.Pytester) -> None:
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
    found = cases(pytester, "def test_it(hiddencost): hiddencost(MODEL, X)")
    assert properties(found["test_it"])["hiddencost.macs"] == "128"


def test_tests_that_do_not_measure_have_no_properties(pytester: pytest.Pytester) -> None:
    found = cases(pytester, "def test_it(): pass")
    assert properties(found["test_it"]) == {}
