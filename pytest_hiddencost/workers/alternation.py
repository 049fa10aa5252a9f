"""Head and base take turns, so that the machine treats both alike.

A turn is as short as can be, one call if possible: what disturbs a machine changes within tens of
milliseconds (``python -m benchmarks alternation``). In a block of four turns each side comes once
before the other and once after it. Which side starts a block is random, so that nothing that
returns at intervals meets one side only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from statistics import median
from typing import Protocol, TypeVar

from pytest_hiddencost.judge.interleaved.ratios import WindowTime

SIDE_TURN_NS = 3_000_000  # of calls; a longer call is a turn by itself
LOOKS_GROWTH = 1.3  # blocks from one look at them to the next
UNAFFECTED_NS = 100_000_000  # a call that does not notice what the other side left behind
NOTICEABLE = 0.15  # share of a call by which the other side's leftovers may slow it

T = TypeVar("T")


class Side(Protocol):
    """Head or base, its call warm."""

    def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
        """Time calls for about so long, at least one, in ns, after ``refill`` more of them."""

    def prepare(self) -> None:
        """Get ready for profiler windows."""

    def window(self) -> WindowTime:
        """Take one profiler window."""


class Refills:
    """Whether a turn needs calls that do not count, for what the other side left behind.

    The other side emptied the caches, and its threads may hold a core while they wait for work.
    But such calls take half of the time, and the machine changes meanwhile. They are left out if
    the first call of a turn turned out hardly slower than the others.
    """

    def __init__(self) -> None:
        self.needed = True
        self._slower: dict[str, list[float]] = {}

    def calls(self, turn: int) -> int:
        """Return how many in this turn of a block: a model may alternate between two kinds of work."""
        return turn + 1 if self.needed else 0

    def counted(self, times: Sequence[int], calls: int, side: str) -> Sequence[int]:
        """Return the times of a turn after the first ``calls``."""
        counted = times[calls:]
        if calls:
            usual = median(counted)
            self._slower.setdefault(side, []).append(math.log(times[0] / usual))
            self.needed = self.needed and usual < UNAFFECTED_NS
        return counted

    def look(self) -> None:
        """Decide, by all turns so far."""
        self.needed = self.needed and any(median(s) > NOTICEABLE for s in self._slower.values())


def take_turns(
    head: Side,
    base: Side,
    enough: Callable[[Sequence[float], int], bool],
    refills: Refills,
    *,
    fewest: int,
) -> list[float]:
    """Return the logarithms of head over base, block by block: the mean over both orders.

    ``enough`` is asked with them and the time spent in ns, first after ``fewest`` blocks.
    ``refills`` is what earlier pairs have learnt of this call.
    """
    spent_ns = 0
    changes: list[float] = []
    orders = _orders()

    def taken(side: Side, name: str, turn: int) -> float:
        nonlocal spent_ns
        calls = refills.calls(turn)
        times = side.turn(SIDE_TURN_NS, refill=calls)
        spent_ns += sum(times)
        return math.log(median(refills.counted(times, calls, name)))

    def one() -> None:
        turns = [
            _in_turn(
                partial(taken, head, "head", turn),
                partial(taken, base, "base", turn),
                head_first=next(orders),
            )
            for turn in range(2)
        ]
        changes.append(math.fsum(of_head - of_base for of_head, of_base in turns) / len(turns))

    def look() -> bool:
        refills.look()
        return enough(changes, spent_ns)

    _until(look, fewest, one)
    return changes


def take_windows(
    head: Side,
    base: Side,
    enough: Callable[[Sequence[tuple[WindowTime, WindowTime]]], bool],
    *,
    fewest: int,
) -> list[tuple[WindowTime, WindowTime]]:
    """Return profiler windows of head and base, taken in turns until ``enough``."""
    head.prepare()
    base.prepare()
    found: list[tuple[WindowTime, WindowTime]] = []
    orders = _orders()
    _until(
        lambda: enough(found),
        fewest,
        lambda: found.append(_in_turn(head.window, base.window, head_first=next(orders))),
    )
    return found


def _orders() -> Iterator[bool]:
    """Whether head comes first: in one of two turns, but which one is random."""
    random = Random()  # not the one that the user may have seeded
    while True:
        head_first = random.random() < 0.5
        yield head_first
        yield not head_first


def _in_turn(head: Callable[[], T], base: Callable[[], T], *, head_first: bool) -> tuple[T, T]:
    if head_first:
        return head(), base()
    theirs = base()
    return head(), theirs


def _until(enough: Callable[[], bool], fewest: int, one: Callable[[], object]) -> None:
    """Do ``one``, with a look after the ``fewest`` of them and then ever more."""
    done, look = 0, fewest
    while True:
        one()
        done += 1
        if done >= look:
            if enough():
                return
            look = max(look + 1, int(look * LOOKS_GROWTH))
