"""The lines of the summary on a recording of baselines."""

from __future__ import annotations

from pathlib import Path

from pytest_hiddencost.core.lengthy import format_wait
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.records import call_name
from pytest_hiddencost.judge.baseline.recording import Recording
from pytest_hiddencost.report.wording import grouped
from pytest_hiddencost.run.modes.base import Line
from pytest_hiddencost.run.modes.unused import MOST_LISTED

LONG_RECORDING_S = 60.0


def counts_line(done: Recording, folder: Path, launches: int, took_s: float) -> Line:
    """Return the line with the numbers of entries, and the time of a long recording."""
    found = {"added": done.added, "rewritten": done.rewritten, "dropped": done.dropped}
    counts = ", ".join(f"{count} {word}" for word, count in found.items() if count)
    what = f"{counts} in {folder.as_posix()}" if counts else "nothing to record"
    took = ""
    if took_s >= LONG_RECORDING_S:
        took = f"; it took {format_wait(took_s)}, fewer --hiddencost-launches take less"
    return Line(f"baselines: {what} ({launches} launches each{took})", "green")


def unfit_lines(done: Recording) -> list[Line]:
    """Return lines on recorded times that cannot be compared with, with the reasons."""
    by_why = grouped((why, call_name(*key)) for key, why in done.unfit.items())
    return [
        Line(
            f"times that later runs cannot use: {listed(calls, MOST_LISTED)}: {why}; record "
            "again when the device is idle",
            "yellow",
        )
        for why, calls in by_why.items()
    ]


def refused_lines(done: Recording) -> list[Line]:
    """Return a line for each call that was not recorded, with the reason."""
    return [
        Line(f"not recorded: {call_name(test, label)}: {why}", "red")
        for (test, label), why in sorted(done.refused.items())
    ]
