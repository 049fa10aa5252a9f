"""What the end of a run writes: the summary, and the run file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.report import run_file
from pytest_hiddencost.report.terminal import write_summary, write_wrapped
from pytest_hiddencost.run.modes.base import Ending
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def write_run_file(settings: Settings, results: Results, root: Path) -> str:
    """Write the run file if the settings name one; return why that failed, or an empty string."""
    if settings.json is None or settings.worker is not None:
        return ""
    try:
        device = results.device or _default_device(settings)
        run_file.write(settings.json, results.in_order(), device, root)
    except (OSError, ValueError) as error:
        return (
            f"hiddencost: the run file was not written: {error}; choose another path "
            "(--hiddencost-json)"
        )
    return ""


def _default_device(settings: Settings) -> Device:
    """The device that would have been measured, or torch's default if it is not there."""
    from pytest_hiddencost.measure import choose_device, describe_device

    try:
        device = choose_device(settings.device)
    except HiddenCostError:
        device = choose_device(None)
    return describe_device(device, settings.threads)


def write_terminal(
    reporter: pytest.TerminalReporter, settings: Settings, results: Results, ending: Ending
) -> None:
    """Write the table of profiles, and what the end of the session says."""
    if results.profiles:
        reports = [*reporter.getreports("failed"), *reporter.getreports("error")]
        failed = {report.nodeid for report in reports}
        write_summary(
            reporter,
            results.in_order(),
            results.device,
            settings.verbosity,
            failed=any(test in failed for test, _ in results.profiles) or ending.failed,
        )
    for line in ending.lines:
        if line.color != "green" or settings.verbosity >= 0:
            write_wrapped(reporter, line.text, **{line.color: True})
