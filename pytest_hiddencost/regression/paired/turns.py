"""Lock-step: two sides take turns, block by block, so that the machine treats both alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Protocol, TypeVar

BLOCK_NS = 20_000_000  # of calls; what is longer than that is a block by itself
GROWTH = 1.3  # blocks from one look at them to the next


class Side(Protocol):
    """One of the two, its call warm."""

    def turn(self, duration_ns: int) -> Sequence[int]:
        """Timed calls for about so long, one at least, in ns."""

    def prepare(self) -> None:
        """Get ready for profiler windows."""

    def window(self) -> int:
        """Take one profiler window; what it spent outside MAC kernels, in ns."""


T = TypeVar("T")


def take_turns(
    here: Side, there: Side, enough: Callable[[Sequence[float], int], bool], *, fewest: int
) -> list[float]:
    """Logarithms of here / there, block by block, the order alternating.

    ``enough`` is asked with them and the time spent in ns, first after ``fewest`` blocks.
    """
    spent_ns = 0
    ratios: list[float] = []

    def one(turn: int) -> None:
        nonlocal spent_ns
        ours, theirs = _in_turn(turn, lambda: here.turn(BLOCK_NS), lambda: there.turn(BLOCK_NS))
        spent_ns += sum(ours) + sum(theirs)
        ratios.append(math.log(median(ours) / median(theirs)))

    _until(lambda: enough(ratios, spent_ns), fewest, one)
    return ratios


def take_windows(
    here: Side,
    there: Side,
    enough: Callable[[Sequence[tuple[int, int]]], bool],
    *,
    fewest: int,
) -> list[tuple[int, int]]:
    """Profiler windows in turns: times outside MAC kernels, here and there, until ``enough``."""
    here.prepare()
    there.prepare()
    found: list[tuple[int, int]] = []
    _until(
        lambda: enough(found),
        fewest,
        lambda turn: found.append(_in_turn(turn, here.window, there.window)),
    )
    return found


def _in_turn(turn: int, here: Callable[[], T], there: Callable[[], T]) -> tuple[T, T]:
    """Both, in an order that changes every other turn.

    Not every turn: a side may do something else every other time.
    """
    if turn % 4 < 2:
        return here(), there()
    theirs = there()
    return here(), theirs


def _until(enough: Callable[[], bool], fewest: int, one: Callable[[int], object]) -> None:
    """Turns, with a look at them after the ``fewest`` and then ever more."""
    done, look = 0, fewest
    while True:
        one(done)
        done += 1
        if done >= look:
            if enough():
                return
            look = max(look + 1, int(look * GROWTH))
