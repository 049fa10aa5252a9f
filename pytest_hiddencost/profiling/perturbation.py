"""What the profiler itself costs a call, and the times of its operators without that.

Every event costs some time before its clock starts and after it stops, which lands in whatever is
around it, and a little between the two, which lands in its own interval. Both are calibrated once
per process, with operators that do next to nothing, called alone and inside one another; what a
given call really paid per event, (profiled - plain) / events, then corrects the calibration as far
as it can be told from noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median, quantiles
from time import perf_counter_ns

import torch
from torch.utils._python_dispatch import _disable_current_modes

from pytest_hiddencost.profiling.folding import Node
from pytest_hiddencost.profiling.kineto import profiled

CALLS = 200  # in one calibration loop; a loop is over in less than a millisecond
REPEATS = 10
DOUBT = 0.5  # share of the calibrated cost by which a real call's may differ: its caches are cold
UNEVEN = 0.25  # share of the cost by which single operators differ (benchmarks/attribution.py)
CONFIDENT = 2.58  # standard deviations
IQR_OF_NORMAL = 1.349
MEDIAN_SPREAD = 1.2533  # of a median, relative to a mean
RESOLUTION_EVENTS = 3  # times the cost of an event: shorter operators are below resolution


@dataclass(frozen=True)
class Calibration:
    """Cost of one event, ns, of operators that call nothing and of nested ones.

    ``inside_share`` of it lies in the event's own interval.
    """

    leaf_ns: float
    nested_ns: float
    inside_share: float

    @property
    def event_ns(self) -> float:
        """Cost of an event, whatever it is."""
        return (self.leaf_ns + self.nested_ns) / 2


@dataclass(frozen=True)
class EventCost:
    """What one event costs in one call, ns: in its own interval, and in what is around it.

    ``sd_ns`` is the standard deviation of the estimate of their sum; ``observed_ns`` is
    (profiled - plain) / events of this call alone, ``calibrated_ns`` that of the calibration.
    """

    inside_ns: float
    around_ns: float
    sd_ns: float = 0.0
    observed_ns: float = 0.0
    calibrated_ns: float = 0.0

    @property
    def event_ns(self) -> float:
        """Both parts together."""
        return self.inside_ns + self.around_ns

    def corrected_ns(self, calls: float, raw_ns: float, children: float) -> float:
        """Self time without the profiler's part: of ``calls`` events with ``children`` below."""
        return max(0.0, raw_ns - calls * self.inside_ns - children * self.around_ns)

    def uncertainty_ns(self, calls: float, children: float) -> float:
        """By how much the correction of such a self time may be wrong."""
        return max(calls, children) * (UNEVEN * self.event_ns + CONFIDENT * self.sd_ns)

    def resolves(self, self_ns: float, calls: int) -> bool:
        """Whether operators of this self time, all calls together, can be told from the events."""
        return self_ns >= RESOLUTION_EVENTS * self.event_ns * calls


NO_COST = EventCost(0.0, 0.0)
"""Where operators are charged with kernels, which no event on the host makes slower."""


def event_cost(calibration: Calibration, observed_ns: Sequence[float]) -> EventCost:
    """The calibration and what a call paid per event in each window, by their precision."""
    prior, prior_sd = calibration.event_ns, DOUBT * calibration.event_ns
    seen = median(observed_ns) if observed_ns else prior
    seen_sd = _sd_of_median(observed_ns)
    weight = prior_sd**2 / (prior_sd**2 + seen_sd**2) if math.isfinite(seen_sd) else 0.0
    total_ns = max(0.0, prior + weight * (seen - prior))
    inside_ns = calibration.inside_share * total_ns  # a slower processor makes both parts slower
    return EventCost(
        inside_ns=inside_ns,
        around_ns=total_ns - inside_ns,
        sd_ns=prior_sd * math.sqrt(1.0 - weight),
        observed_ns=seen,
        calibrated_ns=prior,
    )


def _sd_of_median(values: Sequence[float]) -> float:
    """Standard deviation of the median of so few values; from their quartiles, once there are."""
    if len(values) < 2:
        return math.inf
    if len(values) < 5:
        spread = (max(values) - min(values)) / math.sqrt(len(values))  # its expectation is near sd
    else:
        low, _, high = quantiles(values, n=4)
        spread = (high - low) / IQR_OF_NORMAL
    return MEDIAN_SPREAD * spread / math.sqrt(len(values))


@cache
def calibrated() -> Calibration:
    """Measure the cost of an event on this device, once per process: some 50 ms."""
    with torch.inference_mode(), _disable_current_modes():
        tensor = torch.zeros(8)
        leaf = _looped(lambda: torch.resolve_conj(tensor))
        nested = _looped(lambda: torch.narrow(tensor, 0, 0, 4))
        leaf_ns, inside_ns = _event_cost_of(leaf)
        nested_ns, _ = _event_cost_of(nested)
    return Calibration(leaf_ns, nested_ns, min(1.0, inside_ns / leaf_ns) if leaf_ns else 0.0)


def _looped(call: Callable[[], object]) -> Callable[[], None]:
    def loop() -> None:
        for _ in range(CALLS):
            call()

    return loop


def _event_cost_of(loop: Callable[[], None]) -> tuple[float, float]:
    """Cost per event, and the duration the profiler sees of one, ns; the least of all repeats."""
    loop()
    plain_ns = profiled_ns = duration_ns = math.inf
    events = 1
    for _ in range(REPEATS):
        start = perf_counter_ns()
        loop()
        plain_ns = min(plain_ns, perf_counter_ns() - start)
        session = profiled(loop)
        profiled_ns = min(profiled_ns, session.wall_ns)
        roots = session.result.experimental_event_tree()
        events = _count(roots)
        duration_ns = min(duration_ns, median(node.duration_time_ns for node in roots))
    return max(0.0, profiled_ns - plain_ns) / events, duration_ns


def _count(nodes: Iterable[Node]) -> int:
    return sum(1 + _count(node.children) for node in nodes)
