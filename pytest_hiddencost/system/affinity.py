"""The cores of this process: the usable ones, the current one, and a pin to one core.

Without a pin, each process of a pair often stays on one core for as long as it is measured. The
cores of one machine differ by percents: on a shared machine because of other load, on a board
because of their kind. So both sides are pinned to the same core.
"""

from __future__ import annotations

import os
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

THREAD_STAT = Path("/proc/thread-self/stat")
PROCESSOR_FIELD = 36  # counted after the name: field 39 of proc(5)


def usable_cores() -> set[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def current_core() -> int | None:
    """Return the number of the core that this thread ran on last; None if it is not known."""
    try:
        text = THREAD_STAT.read_text(encoding="ascii", errors="replace")
        return int(text.rpartition(")")[2].split()[PROCESSOR_FIELD])
    except (OSError, ValueError, IndexError):
        return None


class CorePin:
    """Pins this thread, and the threads it starts, to a core until the ``with`` block ends.

    If the system refuses, the thread stays unpinned.
    """

    def __init__(self) -> None:
        self._core: int | None = None
        self._before: Set[int] = frozenset()

    def take(self, core: int | None) -> None:
        """Pin the thread to ``core``; None changes nothing."""
        if core is None or core == self._core or not hasattr(os, "sched_setaffinity"):
            return
        with suppress(OSError):
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {core})
            self._before = self._before or before
            self._core = core

    def __enter__(self) -> CorePin:
        return self

    def __exit__(self, *_: object) -> None:
        if self._before:
            with suppress(OSError):
                os.sched_setaffinity(0, self._before)
