"""One core for both sides of a pair, where their calls keep to one thread.

Left alone, a side often has a core to itself for as long as it is measured, and cores of one
machine differ by percents (``benchmarks/README.md``): on a shared machine for what their neighbours
do, on a board by their kind.
"""

from __future__ import annotations

import os
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from types import TracebackType

STAT = Path("/proc/thread-self/stat")
PROCESSOR = 36  # of the fields after the name (proc(5), field 39)


def current_core() -> int | None:
    """The number of the core that this thread ran on last; None where it is not known."""
    try:
        return int(
            STAT.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[PROCESSOR]
        )
    except (OSError, ValueError, IndexError):
        return None


class Seat:
    """Keeps this thread on a core until the end of the ``with`` block; threads it starts as well.

    Where the system does not let it, nothing is kept anywhere.
    """

    def __init__(self) -> None:
        self._core: int | None = None
        self._before: Set[int] = frozenset()

    def take(self, core: int | None) -> None:
        """Stay on this core from now on; None changes nothing."""
        if core is None or core == self._core or not hasattr(os, "sched_setaffinity"):
            return
        with suppress(OSError):
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {core})
            self._before = self._before or before
            self._core = core

    def __enter__(self) -> Seat:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before:
            with suppress(OSError):
                os.sched_setaffinity(0, self._before)
