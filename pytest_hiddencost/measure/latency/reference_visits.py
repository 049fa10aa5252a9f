"""Visits: the call and the reference workload in alternation, and the latency relative to it.

On a shared machine the speed changes within tens of milliseconds, and a workload that runs after
another one finds other data in the caches. Only a call between two runs of the reference
workload, many times over, slows down and speeds up together with it. The benchmark is
``benchmarks/accuracy/reference.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, median, median_low
from time import perf_counter_ns

from pytest_hiddencost.core.records import ReferenceTime
from pytest_hiddencost.measure.latency.reference_workload import VERSION

REFERENCE_BLOCK_NS = 3_000_000  # calls between two runs of the reference workload; one at least
LONGEST_BLOCK_NS = 10 * REFERENCE_BLOCK_NS  # with the setup of its calls, which may take seconds
DISTURBED_LOG_RATIO = 0.2  # a block this far from the middle was disturbed in one of the two parts


class ReferenceVisits:
    """The visits of one measurement: blocks of calls between runs of the reference workload.

    ``reference`` runs the reference workload once and returns its duration in ns.
    """

    def __init__(self, reference: Callable[[], int]) -> None:
        self._reference = reference
        self._blocks: list[tuple[float, float]] = []  # log reference ns, log (latency / reference)

    def warm_up(self, runs: int) -> None:
        """Run the reference workload alone; these runs do not count."""
        for _ in range(runs):
            self._reference()

    def visit(self, time_one: Callable[[], int], duration_ns: float) -> list[int]:
        """Measure blocks for about ``duration_ns``, one at least; return the calls' times in ns."""
        durations: list[int] = []
        end_ns = perf_counter_ns() + duration_ns
        before_ns = self._reference()
        while not durations or perf_counter_ns() < end_ns:
            last_ns = perf_counter_ns() + LONGEST_BLOCK_NS
            block = [time_one()]
            spent_ns = block[0]
            while spent_ns < REFERENCE_BLOCK_NS and perf_counter_ns() < last_ns:
                block.append(time_one())
                spent_ns += block[-1]
            after_ns = self._reference()
            log_reference = math.log((before_ns + after_ns) / 2)
            self._blocks.append((log_reference, math.log(max(1, median(block))) - log_reference))
            durations += block
            before_ns = after_ns
        return durations

    def result(self) -> ReferenceTime:
        """Return the times of all visits; zeros if there was none.

        Both are geometric means. If the device had two speeds, medians could take the reference
        time from one speed and the ratio from the other.
        """
        if not self._blocks:
            return ReferenceTime()
        middle = median_low(ratio for _, ratio in self._blocks)
        kept = [block for block in self._blocks if abs(block[1] - middle) <= DISTURBED_LOG_RATIO]
        mean_ns, relative = (math.exp(fmean(column)) for column in zip(*kept, strict=True))
        return ReferenceTime(mean_ns, relative, len(kept), VERSION)
