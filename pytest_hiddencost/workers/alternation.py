"""Head and base take turns, so that the machine treats both alike.

A turn is as short as can be, one call if possible: disturbances of a machine change within tens of
milliseconds (``python -m benchmarks alternation``). In a block of four turns each side comes once
before the other and once after it. Which side starts a block is random, so that a disturbance that
returns at intervals does not always meet the same side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from random import Random
from statistics import median
from typing import Protocol, TypeVar

from pytest_hiddencost.judge.interleaved.ratios import WindowTime

SIDE_TURN_NS = 3_000_000  # of calls; a longer call is a turn by itself
LOOKS_GROWTH = 1.3  # blocks from one look at them to the next
UNAFFECTED_NS = 100_000_000  # a call that long does not notice what the other side left behind
NOTICEABLE = 0.15  # share of a call by which the other side's leftovers may slow it

T = TypeVar("T")


class Side(Protocol):
    """Head or base, its call warm."""

    def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
        """Return the times in ns of ``refill`` calls, and of further ones for ``duration_ns``."""

    def prepare(self) -> None:
        """Get ready for profiler windows."""

    def window(self) -> WindowTime:
        """Take one profiler window."""


class Refills:
    """Learns whether turns need refills: calls that do not count, after a turn of the other side.

    The other side emptied the caches, and its threads may hold a core while they wait for work.
    But refills take half of the time, and the machine changes meanwhile. Turns go without them if
    the first call of a turn is hardly slower than the others.
    """

    def __init__(self) -> None:
        self.needed = True
        self._slower: dict[str, list[float]] = {}

    def turn(self, side: Side, name: str, number: int) -> tuple[int, float]:
        """Take a turn; return the time of all its calls, and the median of those that count, in ns.

        Turn 1 of a block has one refill more than turn 0: a model may alternate between two kinds
        of work.
        """
        refills = number + 1 if self.needed else 0
        times = side.turn(SIDE_TURN_NS, refill=refills)
        usual_ns = median(times[refills:])
        if refills:
            self._slower.setdefault(name, []).append(math.log(times[0] / usual_ns))
            self.needed = usual_ns < UNAFFECTED_NS
        return sum(times), usual_ns

    def look(self) -> None:
        """Decide from all turns so far."""
        self.needed = self.needed and any(median(s) > NOTICEABLE for s in self._slower.values())


def take_turns(
    head: Side,
    base: Side,
    enough: Callable[[Sequence[float], int], bool],
    refills: Refills,
    *,
    fewest: int,
) -> list[float]:
    """Return for each block the logarithm of head over base, the mean over both orders.

    ``enough`` gets these and the time spent in ns, first after ``fewest`` blocks. ``refills`` keeps
    what earlier pairs learnt about this call.
    """
    changes: list[float] = []
    spent_ns = 0
    orders = _orders()
    for look in _looks(fewest):
        change = 0.0
        for number in range(2):
            (head_ns, of_head), (base_ns, of_base) = _in_turn(
                partial(refills.turn, head, "head", number),
                partial(refills.turn, base, "base", number),
                head_first=next(orders),
            )
            spent_ns += head_ns + base_ns
            change += (math.log(of_head) - math.log(of_base)) / 2.0
        changes.append(change)
        if look:
            refills.look()
            if enough(changes, spent_ns):
                break
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
    for look, head_first in zip(_looks(fewest), _orders(), strict=False):
        found.append(_in_turn(head.window, base.window, head_first=head_first))
        if look and enough(found):
            break
    return found


def _looks(fewest: int) -> Iterator[bool]:
    """Yield for each block whether to look after it: after ``fewest``, then ever more rarely."""
    look = fewest
    for done in count(1):
        yield done >= look
        if done >= look:
            look = max(look + 1, int(look * LOOKS_GROWTH))


def _orders() -> Iterator[bool]:
    """Yield whether head comes first: in one of two turns, chosen at random."""
    random = Random()  # not the one that the user may have seeded
    while True:
        head_first = random.random() < 0.5
        yield head_first
        yield not head_first


def _in_turn(head: Callable[[], T], base: Callable[[], T], *, head_first: bool) -> tuple[T, T]:
    if head_first:
        return head(), base()
    of_base = base()
    return head(), of_base
