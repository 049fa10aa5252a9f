"""Lock-step: two sides take turns, so that the machine treats both alike.

A turn is as short as can be, one call where it can: what disturbs a machine changes within tens of
milliseconds (``benchmarks/turns.py``). In a block of four turns each side comes once before the
other and once after it; which comes first in a block is random, so that nothing that returns at
intervals meets one side only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from statistics import median
from typing import Protocol, TypeVar

TURN_NS = 3_000_000  # of calls; a call that is longer is a turn by itself
GROWTH = 1.3  # blocks from one look at them to the next
LONG_NS = 20_000_000  # a call that does not notice that the caches are to be refilled
LITTLE = 0.15  # by how much of a call refilling them may be noticed


class Side(Protocol):
    """One of the two, its call warm."""

    def turn(self, duration_ns: int, *, refill: bool) -> Sequence[int]:
        """Timed calls for about so long, one at least, in ns; ``refill``: after one more."""

    def prepare(self) -> None:
        """Get ready for profiler windows."""

    def window(self) -> tuple[int, int]:
        """Take one profiler window: the time outside MAC kernels, and all of it, in ns."""


T = TypeVar("T")
Window = tuple[int, int]  # outside MAC kernels, whole


class Refills:
    """Whether a turn needs a call that does not count: the other side may have emptied the caches.

    It takes half of the time, and lets the machine change between one side and the other. So it is
    left out where it was seen to be hardly slower than those after it.
    """

    def __init__(self) -> None:
        self.needed = True
        self._slower: dict[str, list[float]] = {}

    def counted(self, times: Sequence[int], side: str) -> Sequence[int]:
        """Those calls of a turn that count."""
        if not self.needed:
            return times
        first, *others = times
        usual = median(others)
        self._slower.setdefault(side, []).append(math.log(first / usual))
        self.needed = usual < LONG_NS
        return others

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

    def taken(side: Side, name: str) -> float:
        nonlocal spent_ns
        times = side.turn(TURN_NS, refill=refills.needed)
        spent_ns += sum(times)
        return math.log(median(refills.counted(times, name)))

    def one() -> None:
        turns = [
            _in_turn(
                lambda: taken(here, "here"),
                lambda: taken(there, "there"),
                here_first=next(either),
            )
            for _ in range(2)
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
