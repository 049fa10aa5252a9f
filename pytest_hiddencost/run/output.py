"""The output of a run for people: failing messages, and the summary at its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

import pytest

from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.report.failure import failure_messages
from pytest_hiddencost.report.terminal import write_count, write_summary, write_wrapped
from pytest_hiddencost.report.wording import inert
from pytest_hiddencost.run.modes.base import Judgement
from pytest_hiddencost.run.output_files import Written
from pytest_hiddencost.run.reporter_writer import ReporterWriter
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.settings import Settings


def failing(judged: Sequence[Judgement], *, strict: bool) -> str:
    """Return why these judgements fail the test; empty if they do not."""
    for judgement in judged:
        if judgement.error:
            return inert(f"hiddencost: {judgement.error}")
    profiles = [judgement.profile for judgement in judged]
    return inert("\n\n".join(failure_messages(profiles, strict=strict)))


def write_terminal(
    reporter: pytest.TerminalReporter,
    settings: Settings,
    results: Results,
    written: Written,
    kind: str = "",
) -> None:
    """Write the table of profiles, the lines of the session's end, and the paths of files.

    On GitHub Actions, the annotations are the last lines. ``kind`` is that of the device, in a
    fleet.
    """
    ending = results.ending
    writer = ReporterWriter(reporter)
    for text in written.errors:
        writer.write_line(text, red=True)
    any_failed = results.measured_failed or ending.failed
    quiet = settings.verbosity < 0 and not any_failed
    if quiet:
        unused = sum(line.unused for line in ending.lines)
        write_count(writer, results.in_order(), unused)
    elif results.profiles:
        write_summary(writer, results.in_order(), results.device, settings.verbosity, kind)
    for line in ending.lines:
        if not quiet or (line.color != "green" and not line.unused and not line.detail):
            write_wrapped(writer, line.text, **{line.color: True})
    for text in () if quiet else written.lines:
        writer.write_line(text)  # not wrapped: a path is to be copied
    for text in written.warnings:
        write_wrapped(writer, text, yellow=True)
    for command in written.commands:
        writer.write_line(command)


def write_without_summary(file: TextIO, results: Results, written: Written) -> None:
    """Write why the session fails, and the commands for CI, of a run that wrote no summary.

    pytest writes none with ``--no-summary``, and none with ``-p no:terminal``.
    """
    failed = (line.text for line in results.ending.lines if line.color == "red")
    for text in (*written.errors, *failed):
        print(printable(text), file=file)
    for command in written.commands:
        print(command, file=file)


class RunOutput:
    """The plugin object that writes the summary, or why the run fails if pytest writes none.

    The session sets ``written`` at its end.
    """

    def __init__(self, settings: Settings, results: Results) -> None:
        self.written = Written()
        self._settings = settings
        self._results = results
        self._summary_written = False

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the table of profiles, the lines of the run's end, and the paths of files."""
        self._summary_written = True
        write_terminal(terminalreporter, self._settings, self._results, self.written)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Write why the run fails to standard error, if pytest wrote no summary."""
        if not self._summary_written:
            write_without_summary(sys.stderr, self._results, self.written)
