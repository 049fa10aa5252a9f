"""The call and the control in turns: how long the one takes relative to the other.

A machine with neighbours changes its pace within tens of milliseconds, and what runs on it after
something else finds other caches: only a call between two runs of the control, again and again,
has them move alike (``benchmarks/control.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, median, median_low
from time import perf_counter_ns

from pytest_hiddencost.profiling.control import VERSION
from pytest_hiddencost.records import ControlTime

TURN_NS = 3_000_000  # of calls; a call that is longer is a turn by itself
DISTURBED = 0.2  # logarithm by which a ratio is off that has nothing to do with the machine's pace


class InTurns:
    """Visits to the call with the control before and after every turn; what came of them all."""

    def __init__(self, control: Callable[[], int]) -> None:
        self._control = control
        self._turns: list[tuple[float, float]] = []  # logarithms: of the control, of the ratio

    def warm_up(self, runs: int) -> None:
        """Run the control alone; this does not count."""
        for _ in range(runs):
            self._control()

    def visit(self, time_one: Callable[[], int], duration_ns: float) -> list[int]:
        """Take turns for about so long, one at least; the durations of the calls in ns."""
        durations: list[int] = []
        end_ns = perf_counter_ns() + duration_ns
        before_ns = self._control()
        while not durations or perf_counter_ns() < end_ns:
            turn = [time_one()]
            spent_ns = turn[0]
            while spent_ns < TURN_NS:
                turn.append(time_one())
                spent_ns += turn[-1]
            after_ns = self._control()
            log_control = math.log((before_ns + after_ns) / 2)
            self._turns.append((log_control, math.log(max(1, median(turn))) - log_control))
            durations += turn
            before_ns = after_ns
        return durations

    def result(self) -> ControlTime:
        """Over all visits; zeros where there was none.

        Means of logarithms: where the machine had two paces, call and control are as of the same
        one between them, and not, as medians might be, the one here and the other there.
        """
        if not self._turns:
            return ControlTime()
        middle = median_low(ratio for _, ratio in self._turns)
        kept = [turn for turn in self._turns if abs(turn[1] - middle) <= DISTURBED]
        control, ratio = (math.exp(fmean(column)) for column in zip(*kept, strict=True))
        return ControlTime(control, ratio, len(kept), VERSION)
