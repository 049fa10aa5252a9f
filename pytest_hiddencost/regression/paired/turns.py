"""Lock-step: two sides take turns, so that the machine treats both alike.

A turn is as short as can be, one call where it can: what disturbs a machine changes within tens of
milliseconds (``benchmarks/turns.py``). In a block of four turns each side comes once before the
other and once after it; which comes first in a block is random, so that nothing that returns at
intervals meets one side only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from statistics import median
from typing import Protocol, TypeVar

TURN_NS = 3_000_000  # of calls; a call that is longer is a turn by itself
GROWTH = 1.3  # blocks from one look at them to the next
LONG_NS = 100_000_000  # a call that does not notice what the other side left behind
LITTLE = 0.15  # by how much of a call that may be noticed


T = TypeVar("T")
Window = tuple[int, int]  # the time outside MAC kernels, and all of it, in ns


class Side(Protocol):
    """One of the two, its call warm."""

    def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
        """Timed calls for about so long, one at least, in ns, after ``refill`` more of them."""

    def prepare(self) -> None:
        """Get ready for profiler windows."""

    def window(self) -> Window:
        """Take one profiler window."""


class Refills:
    """Whether a turn needs calls that do not count, for what the other side left behind.

    It emptied the caches, and its threads may wait for more work without letting go of a core. But
    such calls take half of the time, and let the machine change between one side and the other. So
    they are left out where the first call of a turn was seen to be hardly slower than the others.
    """

    def __init__(self) -> None:
        self.needed = True
        self._slower: dict[str, list[float]] = {}

    def calls(self, turn: int) -> int:
        """How many in this turn of a block: a model may do something else every other call."""
        return turn + 1 if self.needed else 0

    def counted(self, times: Sequence[int], calls: int, side: str) -> Sequence[int]:
        """Those of a turn after the first ``calls``."""
        counted = times[calls:]
        if calls:
            usual = median(counted)
            self._slower.setdefault(side, []).append(math.log(times[0] / usual))
            self.needed = self.needed and usual < LONG_NS
        return counted

    def look(self) -> None:
        """Decide, by all turns so far."""
        self.needed = self.needed and any(median(s) > LITTLE for s in self._slower.values())


def take_turns(
    here: Side,
    there: Side,
    enough: Callable[[Sequence[float], int], bool],
    refills: Refills,
    *,
    fewest: int,
) -> list[float]:
    """Logarithms of here / there, block by block: the mean of a turn in either order.

    ``enough`` is asked with them and the time spent in ns, first after ``fewest`` blocks.
    ``refills`` is what earlier pairs have learnt of this call.
    """
    spent_ns = 0
    changes: list[float] = []
    either = _orders()

    def taken(side: Side, name: str, turn: int) -> float:
        nonlocal spent_ns
        calls = refills.calls(turn)
        times = side.turn(TURN_NS, refill=calls)
        spent_ns += sum(times)
        return math.log(median(refills.counted(times, calls, name)))

    def one() -> None:
        turns = [
            _in_turn(
                partial(taken, here, "here", turn),
                partial(taken, there, "there", turn),
                here_first=next(either),
            )
            for turn in range(2)
        ]
        changes.append(math.fsum(ours - theirs for ours, theirs in turns) / len(turns))

    def look() -> bool:
        refills.look()
        return enough(changes, spent_ns)

    _until(look, fewest, one)
    return changes


def take_windows(
    here: Side,
    there: Side,
    enough: Callable[[Sequence[tuple[Window, Window]]], bool],
    *,
    fewest: int,
) -> list[tuple[Window, Window]]:
    """Profiler windows in turns, here and there, until ``enough``."""
    here.prepare()
    there.prepare()
    found: list[tuple[Window, Window]] = []
    either = _orders()
    _until(
        lambda: enough(found),
        fewest,
        lambda: found.append(_in_turn(here.window, there.window, here_first=next(either))),
    )
    return found


def _orders() -> Iterator[bool]:
    """Whether here comes first: in one of two, but which one is random."""
    random = Random()  # not the one that the user may have seeded
    while True:
        here_first = random.random() < 0.5
        yield here_first
        yield not here_first


def _in_turn(here: Callable[[], T], there: Callable[[], T], *, here_first: bool) -> tuple[T, T]:
    if here_first:
        return here(), there()
    theirs = there()
    return here(), theirs


def _until(enough: Callable[[], bool], fewest: int, one: Callable[[], object]) -> None:
    """Do ``one``, with a look after the ``fewest`` of them and then ever more."""
    done, look = 0, fewest
    while True:
        one()
        done += 1
        if done >= look:
            if enough():
                return
            look = max(look + 1, int(look * GROWTH))
