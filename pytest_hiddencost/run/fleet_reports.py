"""One test's reports from several devices, as the one set of reports that pytest shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from pytest_hiddencost.fleet.device_task import DONE, DeviceAnswer
from pytest_hiddencost.run.results import identified

Phase = Literal["setup", "call", "teardown"]
PHASES: tuple[Phase, ...] = ("setup", "call", "teardown")
DeviceReports = Mapping[str, Sequence[pytest.TestReport]]
"""The reports of a test by kind of device."""
DeviceOutcome = Literal["passed", "failed", "skipped"]


def reports_of(
    config: pytest.Config, item: pytest.Item, answer: DeviceAnswer, kind: str
) -> list[pytest.TestReport]:
    """Return the reports of a device; a process that ended without the last one has failed."""
    found: list[pytest.TestReport] = []
    for data in answer.reports:
        report = config.hook.pytest_report_from_serializable(config=config, data=dict(data))
        if isinstance(report, pytest.TestReport):
            longrepr: Any = report.longrepr
            if isinstance(longrepr, list):  # JSON has no tuples
                file, line, reason = longrepr
                report.longrepr = file, line, reason
            report.location = item.location
            found.append(report)
    if answer.status == DONE and not any(report.when == "teardown" for report in found):
        found.append(_failed(item, _ending(answer, kind)))
    return found


def _ending(answer: DeviceAnswer, kind: str) -> str:
    code = answer.exit_code
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    lines = [text for text, color in answer.lines if color == "red"]
    said = "\n".join(lines) or answer.output.strip() or "it printed nothing"
    return f"hiddencost: the test's process {how} on {kind} ({answer.device}):\n{said}"


def _failed(item: pytest.Item, text: str) -> pytest.TestReport:
    return _report(item, "teardown", "failed", text)


def _report(
    item: pytest.Item, when: Phase, outcome: DeviceOutcome, longrepr: Any
) -> pytest.TestReport:
    keywords: dict[str, Literal[1]] = dict.fromkeys(item.keywords, 1)
    return pytest.TestReport(item.nodeid, item.location, keywords, outcome, longrepr, when)


def merged_reports(
    item: pytest.Item, by_kind: DeviceReports, inconclusive: Mapping[str, str], *, strict: bool
) -> list[pytest.TestReport]:
    """Return the reports of a test: it fails if it fails on any device.

    ``inconclusive`` has the reason by kind. A test without any answer is skipped; with ``strict``,
    a missing answer fails. An expected failure beside a skip is a skip.
    """
    found = [report for when in PHASES if (report := _merged(item, when, by_kind)) is not None]
    properties = _properties(by_kind, inconclusive)
    if inconclusive and (strict or not found):
        text = "; ".join(f"inconclusive on {kind}: {why}" for kind, why in inconclusive.items())
        file, line, _ = item.location
        missing: Any = (file, (line or 0) + 1, f"Skipped: {text}")
        outcome: DeviceOutcome = "skipped"
        if strict:
            outcome, missing = "failed", f"hiddencost: {text} (--hiddencost-strict)"
        if not found:
            found = [
                _report(item, "setup", outcome, missing),
                _report(item, "teardown", "passed", None),
            ]
        else:
            found[-1] = _report(item, "teardown", outcome, missing)
    for report in found:
        report.user_properties = properties
        identified(item, report)
    return found


def _merged(item: pytest.Item, when: Phase, by_kind: DeviceReports) -> pytest.TestReport | None:
    each = [(kind, r) for kind, found in by_kind.items() for r in found if r.when == when]
    if not each:
        return None
    failed = [(kind, report) for kind, report in each if report.failed]
    skipped = [report for _, report in each if report.skipped]
    outcome: DeviceOutcome = (
        "failed" if failed else "skipped" if len(skipped) == len(each) else "passed"
    )
    longrepr: Any = None
    if len(failed) == 1 and len(by_kind) == 1:
        longrepr = failed[0][1].longrepr
    elif failed:
        longrepr = "\n\n".join(f"on {kind}: {report.longreprtext}" for kind, report in failed)
    elif outcome == "skipped":
        # pytest prints a skip by its place, and an expected failure by ``wasxfail``.
        real = [report for report in skipped if not hasattr(report, "wasxfail")]
        longrepr = (real or skipped)[0].longrepr
    report = _report(item, when, outcome, longrepr)
    report.duration = max(r.duration for _, r in each)
    report.sections = [(f"{name} on {kind}", text) for kind, r in each for name, text in r.sections]
    if not failed and all(hasattr(r, "wasxfail") for _, r in each):
        report.wasxfail = each[0][1].wasxfail
    return report


def _properties(
    by_kind: DeviceReports, inconclusive: Mapping[str, str]
) -> list[tuple[str, object]]:
    """Return the properties for JUnit: the outcome on each kind, then each device's figures."""
    found: list[tuple[str, object]] = []
    figures: list[tuple[str, object]] = []
    for kind, reports in by_kind.items():
        found.append((f"hiddencost.outcome[{kind}]", outcome_of(reports)))
        if reports:
            figures += [(f"{name}[{kind}]", value) for name, value in reports[-1].user_properties]
    found += [(f"hiddencost.outcome[{kind}]", "inconclusive") for kind in inconclusive]
    return found + figures


def outcome_of(reports: Sequence[pytest.TestReport]) -> DeviceOutcome:
    """Return the outcome of a test on one device."""
    if any(report.failed for report in reports):
        return "failed"
    return "skipped" if any(report.skipped for report in reports) else "passed"
