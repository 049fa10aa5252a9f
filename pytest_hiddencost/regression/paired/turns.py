"""Lock-step: two sides take turns, block by block, so that the machine treats both alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Protocol

BLOCK_NS = 10_000_000  # of calls; what is longer than that is a block by itself
GROWTH = 1.3  # blocks from one look at them to the next


class Side(Protocol):
    """One of the two, its call warm."""

    def turn(self, duration_ns: int) -> Sequence[int]:
        """Timed calls for about so long, one at least, in ns."""

    def prepare(self) -> None:
        """Get ready for profiler windows."""

    def window(self) -> None:
        """Take one profiler window."""


def take_turns(
    here: Side,
    there: Side,
    enough: Callable[[Sequence[float], int], bool],
    *,
    fewest: int,
    here_first: bool = True,
) -> list[float]:
    """Logarithms of here / there, block by block, the order alternating.

    ``enough`` is asked with them and the time spent in ns, first after ``fewest`` blocks.
    """
    ratios: list[float] = []
    spent_ns, look = 0, fewest
    while True:
        if here_first ^ (len(ratios) % 2 == 1):
            ours, theirs = here.turn(BLOCK_NS), there.turn(BLOCK_NS)
        else:
            theirs, ours = there.turn(BLOCK_NS), here.turn(BLOCK_NS)
        spent_ns += sum(ours) + sum(theirs)
        ratios.append(math.log(median(ours) / median(theirs)))
        if len(ratios) >= look:
            if enough(ratios, spent_ns):
                return ratios
            look = max(look + 1, int(look * GROWTH))


def take_windows(here: Side, there: Side, count: int) -> None:
    """So many profiler windows of each, in turns."""
    here.prepare()
    there.prepare()
    for turn in range(count):
        for side in (here, there) if turn % 2 == 0 else (there, here):
            side.window()
