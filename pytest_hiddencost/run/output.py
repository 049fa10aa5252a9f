"""The output of a run: failing messages, and at its end the summary and the run file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.report import run_file
from pytest_hiddencost.report.failure import failure_messages
from pytest_hiddencost.report.terminal import write_count, write_summary, write_wrapped
from pytest_hiddencost.run.modes.base import Ending, Judgement
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def failing(judged: Sequence[Judgement], *, strict: bool) -> str:
    """Return why these judgements fail the test; empty if they do not."""
    for judgement in judged:
        if judgement.error:
            return f"hiddencost: {judgement.error}"
    profiles = [judgement.profile for judgement in judged]
    return "\n\n".join(failure_messages(profiles, strict=strict))


def write_run_file(settings: Settings, results: Results, root: Path) -> str:
    """Write the run file if the settings name one; return why that failed, empty if it did not."""
    if settings.json is None:
        return ""
    try:
        device = results.device or _default_device(settings)
        run_file.save(settings.json, results.in_order(), device, root)
    except (OSError, ValueError) as error:
        return (
            f"hiddencost: the run file was not written: {error}; choose another path "
            "(--hiddencost-json)"
        )
    return ""


def _default_device(settings: Settings) -> Device:
    """Return the device that the settings name, or torch's default if the machine lacks it."""
    from pytest_hiddencost.measure import choose_device, describe_device

    try:
        device = choose_device(settings.device)
    except HiddenCostError:
        device = choose_device(None)
    return describe_device(device, settings.threads)


def write_terminal(
    reporter: pytest.TerminalReporter, settings: Settings, results: Results, ending: Ending
) -> None:
    """Write the table of profiles, and the lines of the session's end."""
    any_failed = results.measured_failed or ending.failed
    quiet = settings.verbosity < 0 and not any_failed
    if quiet:
        unused = sum(line.unused for line in ending.lines)
        write_count(reporter, results.in_order(), unused)
    elif results.profiles:
        write_summary(reporter, results.in_order(), results.device, settings.verbosity)
    for line in ending.lines:
        if not quiet or (line.color != "green" and not line.unused and not line.detail):
            write_wrapped(reporter, line.text, **{line.color: True})
