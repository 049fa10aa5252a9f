from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_hiddencost.fleet.device_task import DONE, DeviceAnswer
from pytest_hiddencost.run.fleet_reports import merged_reports, outcome_of, reports_of

ITEM = cast(
    "pytest.Item",
    SimpleNamespace(
        nodeid="test_it.py::test_it",
        location=("test_it.py", 3, "test_it"),
        keywords={"test_it": 1},
        fixturenames=("hiddencost",),
        get_closest_marker=lambda name: None,
    ),
)


def ran(call: str = "passed", text: str = "", **figures: int) -> list[pytest.TestReport]:
    """The reports of a device."""
    longrepr: Any = text or None
    found = [
        pytest.TestReport(ITEM.nodeid, ITEM.location, {}, "passed", None, "setup"),
        pytest.TestReport(ITEM.nodeid, ITEM.location, {}, call, longrepr, "call"),  # type: ignore[arg-type]
        pytest.TestReport(ITEM.nodeid, ITEM.location, {}, "passed", None, "teardown"),
    ]
    found[-1].user_properties = list(figures.items())
    return found


def test_a_test_fails_if_it_fails_on_any_device() -> None:
    found = merged_reports(ITEM, {"a": ran(), "b": ran("failed", "too slow")}, {}, strict=False)
    assert [report.outcome for report in found] == ["passed", "failed", "passed"]
    assert found[1].longreprtext == "on b: too slow"


def test_a_test_that_passes_on_every_device_passes() -> None:
    found = merged_reports(ITEM, {"a": ran(), "b": ran()}, {}, strict=False)
    assert {report.outcome for report in found} == {"passed"}


def test_a_test_is_skipped_if_every_device_skips_it() -> None:
    both = {"a": ran("skipped", "no camera"), "b": ran("skipped", "no camera")}
    assert merged_reports(ITEM, both, {}, strict=False)[1].outcome == "skipped"
    one = {"a": ran("skipped", "no camera"), "b": ran()}
    assert merged_reports(ITEM, one, {}, strict=False)[1].outcome == "passed"


def test_an_expected_failure_stays_one() -> None:
    reports = ran("skipped", "as expected")
    reports[1].wasxfail = "slow"
    assert merged_reports(ITEM, {"a": reports}, {}, strict=False)[1].wasxfail == "slow"


def test_junit_has_the_outcome_and_the_figures_of_each_device() -> None:
    by_kind = {"a": ran(p50_ns=1), "b": ran("failed", "x", p50_ns=2)}
    found = merged_reports(ITEM, by_kind, {"c": "it was lost"}, strict=False)
    assert dict(found[-1].user_properties) == {
        "hiddencost.outcome[a]": "passed",
        "hiddencost.outcome[b]": "failed",
        "hiddencost.outcome[c]": "inconclusive",
        "p50_ns[a]": 1,
        "p50_ns[b]": 2,
    }


def test_a_test_without_any_answer_never_passes() -> None:
    [setup, teardown] = merged_reports(ITEM, {}, {"a": "it was lost"}, strict=False)
    assert (setup.outcome, teardown.outcome) == ("skipped", "passed")
    assert "inconclusive on a: it was lost" in setup.longreprtext
    assert merged_reports(ITEM, {}, {"a": "it was lost"}, strict=True)[0].outcome == "failed"


def test_a_missing_answer_fails_under_strict_alone() -> None:
    lost = {"b": "it was lost"}
    assert {r.outcome for r in merged_reports(ITEM, {"a": ran()}, lost, strict=False)} == {"passed"}
    last = merged_reports(ITEM, {"a": ran()}, lost, strict=True)[-1]
    assert last.outcome == "failed"
    assert "inconclusive on b: it was lost (--hiddencost-strict)" in last.longreprtext


def test_a_process_that_crashed_fails_its_test(pytestconfig: pytest.Config) -> None:
    answer = DeviceAnswer(DONE, "pi-3", exit_code=-11, output="Fatal Python error")
    reports = reports_of(pytestconfig, ITEM, answer, "cpu-pi")
    assert outcome_of(reports) == "failed"
    text = reports[-1].longreprtext
    assert "the test's process was ended by signal 11 on cpu-pi (pi-3)" in text
    assert "Fatal Python error" in text


def test_reports_travel_as_pytest_writes_them(pytestconfig: pytest.Config) -> None:
    hook = pytestconfig.hook
    data = [
        hook.pytest_report_to_serializable(config=pytestconfig, report=report)
        for report in ran("failed", "too slow", macs=3)
    ]
    found = reports_of(pytestconfig, ITEM, DeviceAnswer(DONE, reports=tuple(data)), "a")
    assert [report.when for report in found] == ["setup", "call", "teardown"]
    assert found[1].longreprtext == "too slow"
    assert [tuple(pair) for pair in found[2].user_properties] == [("macs", 3)]


def test_a_skip_on_a_device_is_one_here(pytestconfig: pytest.Config) -> None:
    data: dict[str, Any] = {
        "$report_type": "TestReport",
        "nodeid": ITEM.nodeid,
        "location": list(ITEM.location),
    }
    data |= {"keywords": {}, "outcome": "skipped", "longrepr": ["f.py", 3, "Skipped: no camera"]}
    data |= {"when": "setup", "user_properties": [], "sections": [], "duration": 0.0}
    answer = DeviceAnswer(DONE, reports=(data,))
    assert reports_of(pytestconfig, ITEM, answer, "a")[0].longrepr == (
        "f.py",
        3,
        "Skipped: no camera",
    )
