"""Calls that take seconds or minutes: the threshold, the sample counts, a waiting time as text."""

from __future__ import annotations

LENGTHY_CALL_NS = 1_000_000_000  # with its setup; the plugin makes as few of them as it can
WORTH_SAYING_S = 5.0  # the terminal shows no shorter wait
ENOUGH_NS = 10_000_000_000  # of lengthy calls in one pass; beyond it the fewest calls are enough
FEWEST_LENGTHY_SAMPLES = 3  # more if a limit depends on them


def format_wait(seconds: float) -> str:
    """Return ``95 s``, ``2.6 min``, ``19 min`` or ``2.5 h``: a time to wait."""
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    if seconds < 600:
        return f"{seconds / 60:.1f} min"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
