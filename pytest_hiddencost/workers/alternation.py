"""Head and base take turns, so that the machine treats both alike.

A turn is as short as can be, one call if possible: disturbances of a machine change within tens of
milliseconds (``python -m benchmarks alternation``). In a block of four turns each side comes once
before the other and once after it. Which side starts a block is random, so that a disturbance that
returns at intervals does not always meet the same side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from random import Random
from statistics import median
from time import perf_counter_ns
from typing import Protocol, TypeVar

from pytest_hiddencost.core.lengthy import ENOUGH_NS, LENGTHY_CALL_NS
from pytest_hiddencost.judge.interleaved.disagreement import Conditions
from pytest_hiddencost.judge.interleaved.ratios import WindowTime
from pytest_hiddencost.workers.messages import Times

SIDE_TURN_NS = 3_000_000  # of calls; a longer call is a turn by itself
UNAFFECTED_NS = 50_000_000  # a call that long does not notice what the other side left behind

T = TypeVar("T")


class Side(Protocol):
    """Head or base, its call warm."""

    def turn(self, duration_ns: int, *, refill: int) -> Times:
        """Return the times of ``refill`` calls, and of further ones for ``duration_ns``."""

    def prepare(self) -> None:
        """Get ready for profiler windows."""

    def window(self) -> WindowTime:
        """Take one profiler window."""


class Turns:
    """The turns of one pair, block by block: their times, and the conditions meanwhile.

    ``call_ns`` is about the time of a call, 0 if it is not known.
    """

    def __init__(self, head: Side, base: Side, *, call_ns: float = 0.0) -> None:
        self.blocks = 0
        self._spent_ns = 0
        self._sides = {"head": head, "base": base}
        self._usual: dict[str, list[float]] = {"head": [], "base": []}
        self._faults: dict[str, list[float]] = {"head": [], "base": []}
        self._preempted = 0
        self._changes: dict[bool, list[float]] = {True: [], False: []}  # by: head comes first
        self._orders = _orders()
        self._refill = call_ns < UNAFFECTED_NS

    def take(self, duration_ns: float, *, fewest: int) -> None:
        """Take blocks for ``duration_ns``, and at least ``fewest``.

        If calls take seconds, one block may be enough.
        """
        while self._spent_ns < duration_ns or not (self.blocks >= fewest or self._enough):
            for number in range(2):
                head_first = next(self._orders)
                of_head, of_base = _in_turn(
                    partial(self._turn, "head", number),
                    partial(self._turn, "base", number),
                    head_first=head_first,
                )
                self._changes[head_first].append(math.log(of_head / of_base))
            self.blocks += 1

    @property
    def _enough(self) -> bool:
        """Whether turns of a second or more, on both sides, have taken enough time together."""
        turns = [turn for times in self._usual.values() for turn in times]
        lengthy = min(turns, default=0.0) >= LENGTHY_CALL_NS
        return lengthy and self._spent_ns >= 2 * ENOUGH_NS

    @property
    def change(self) -> float:
        """The logarithm of head over base: the median of each order of turns, and their mean."""
        return sum(map(median, self._changes.values())) / 2.0

    def _turn(self, name: str, number: int) -> float:
        """Take one turn; return the median time in ns of its calls that count.

        A call that does not count goes first, since the other side emptied the caches. Turn 1 of a
        block has one more of them: a model may alternate between two kinds of work.
        """
        refill = number + 1 if self._refill else 0
        found = self._sides[name].turn(SIDE_TURN_NS, refill=refill)
        usual_ns = median(found.samples_ns[refill:])
        self._refill = usual_ns < UNAFFECTED_NS
        self._spent_ns += sum(found.samples_ns)
        self._usual[name].append(usual_ns)
        self._faults[name].append(found.faults / len(found.samples_ns))
        self._preempted += found.preempted
        return usual_ns

    def conditions(self, *, threads_share_cores: bool) -> Conditions:
        """Return the conditions that the workers noticed while they timed calls."""
        steps = [
            abs(math.log(later / earlier))
            for times in self._usual.values()
            for earlier, later in pairwise(times)
        ]
        return Conditions(
            faults=max(median(faults) for faults in self._faults.values()),
            preemptions=self._preempted / max(1, self._spent_ns) * 1e9,
            scatter=math.expm1(median(steps)),
            threads_share_cores=threads_share_cores,
        )


def take_windows(
    head: Side, base: Side, duration_ns: float, *, fewest: int
) -> list[tuple[WindowTime, WindowTime]]:
    """Return profiler windows of head and base, taken in turns for ``duration_ns``."""
    head.prepare()
    base.prepare()
    found: list[tuple[WindowTime, WindowTime]] = []
    end_ns = perf_counter_ns() + duration_ns
    for head_first in _orders():
        found.append(_in_turn(head.window, base.window, head_first=head_first))
        if len(found) >= fewest and perf_counter_ns() >= end_ns:
            break
    return found


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
