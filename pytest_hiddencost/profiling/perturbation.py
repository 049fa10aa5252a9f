"""What the profiler itself costs a call, and the times of its operators without that.

Every event costs some time before its clock starts and after it stops, which lands in whatever is
around it, and a little between the two, which lands in its own interval. Both are calibrated once
per process, with operators that do next to nothing, called from Python and nested in one another.
A root operator costs more: Python finds its caches full of events. What a given call really paid,
profiled - plain, then corrects both, as far as it can be told from noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median, quantiles
from time import perf_counter_ns

import torch
from torch.utils._python_dispatch import _disable_current_modes

from pytest_hiddencost.profiling.folding import Node
from pytest_hiddencost.profiling.kineto import profiled

CALLS = 200  # of the operator that calls nothing, in one loop: less than a millisecond
CHUNKS = 64  # of the operator that calls others: three operators each
REPEATS = 60
CONTROL_REPEATS = 3
DOUBT = 0.25  # share of the calibrated cost by which a real call's may differ
ROOT_EVENTS = 5.0  # a root operator costs so many events more (benchmarks/attribution.py),
ROOT_EVENTS_SD = 5.0  # or none, or twice that
MISFIT = 0.02  # share of a latency that the correction may miss for reasons of its own
UNEVEN = 0.25  # share of the cost by which single operators differ (benchmarks/attribution.py)
CONFIDENT = 2.58  # standard deviations
IQR_OF_NORMAL = 1.349
MEDIAN_SPREAD = 1.2533  # of a median, relative to a mean
RESOLUTION_EVENTS = 3  # times the cost of an event: shorter operators are below resolution


@dataclass(frozen=True)
class Calibration:
    """Cost of one event, ns, of operators called from Python and of nested ones.

    ``inside_share`` of it lies in the event's own interval. ``control_ns`` is what ``control_ns()``
    measured at the time, 0 where that is not known.
    """

    leaf_ns: float
    nested_ns: float
    inside_share: float
    control_ns: float = 0.0

    @property
    def event_ns(self) -> float:
        """Cost of an event, whatever it is."""
        return (self.leaf_ns + self.nested_ns) / 2

    def at(self, control_ns: float) -> Calibration:
        """The same on a processor that has become slower or faster since."""
        if not self.control_ns or not control_ns:
            return self
        pace = control_ns / self.control_ns
        return Calibration(
            pace * self.leaf_ns, pace * self.nested_ns, self.inside_share, control_ns
        )


@dataclass(frozen=True)
class Excess:
    """By how much a window took longer than the plain call, and what it had in it."""

    excess_ns: float
    events: int
    root_events: int
    control_ns: float = 0.0


@dataclass(frozen=True)
class EventCost:
    """What one event costs in one call, ns: in its own interval, and in what is around it.

    ``root_ns`` is what a root event costs the caller beyond that. ``sd_ns`` is the standard
    deviation of the estimate of ``event_ns``. ``observed_ns`` is (profiled - plain) / events of
    this call alone, ``calibrated_ns`` the cost of the calibration.
    """

    inside_ns: float
    around_ns: float
    root_ns: float = 0.0
    sd_ns: float = 0.0
    observed_ns: float = 0.0
    calibrated_ns: float = 0.0

    @property
    def event_ns(self) -> float:
        """Both parts together."""
        return self.inside_ns + self.around_ns

    def total_ns(self, events: int, root_events: int) -> float:
        """What the profiler cost a whole call."""
        return events * self.event_ns + root_events * self.root_ns

    def net_ns(self, calls: float, raw_ns: float, children: float, annotations: float) -> float:
        """Self time without the profiler's part: of ``calls`` events with ``children`` below.

        Of an annotation among these the whole cost is in here. Noise, and a cost that fits badly,
        can make the result negative.
        """
        return raw_ns - (calls + annotations) * self.inside_ns - children * self.around_ns

    def outside_ns(self, raw_ns: float, root_events: int, root_annotations: int = 0) -> float:
        """Time in no operator without the profiler's part; may be negative as well."""
        surcharge_ns = root_events * self.root_ns
        return self.net_ns(0, raw_ns, root_events, root_annotations) - surcharge_ns

    def uncertainty_ns(self, calls: float, children: float) -> float:
        """By how much the correction of such a self time may be wrong."""
        return max(calls, children) * (UNEVEN * self.event_ns + CONFIDENT * self.sd_ns)

    def resolves(self, self_ns: float, calls: float) -> bool:
        """Whether operators of this self time, all calls together, can be told from the events."""
        return self_ns >= RESOLUTION_EVENTS * self.event_ns * calls


NO_COST = EventCost(0.0, 0.0)
"""Where operators are charged with kernels, which no event on the host makes slower."""


def event_cost(calibration: Calibration, windows: Sequence[Excess]) -> EventCost:
    """The calibration, corrected by what the windows of a call saw, each by its precision.

    The excess of a window is events x cost + root events x surcharge. Both are unknown within the
    calibration's doubt; the excess moves each by its share in the doubt (the conditional mean of
    normal distributions), and noise between windows takes the rest.
    """
    if windows:
        calibration = calibration.at(median(window.control_ns for window in windows))
    prior = calibration.event_ns
    events = fmean(window.events for window in windows) if windows else 0.0
    if not events:
        return _cost(calibration, prior, ROOT_EVENTS * prior, DOUBT * prior, prior)
    roots = fmean(window.root_events for window in windows)
    surprises_ns = [
        window.excess_ns - prior * (window.events + ROOT_EVENTS * window.root_events)
        for window in windows
    ]
    of_events = (DOUBT * prior * events) ** 2
    of_roots = (ROOT_EVENTS_SD * prior * roots) ** 2
    of_noise = _sd_of_median(surprises_ns) ** 2
    variance = of_events + of_roots + of_noise
    event_gain, root_gain = (
        (part / variance if math.isfinite(variance) and variance else 0.0)
        for part in (of_events, of_roots)
    )
    surprise_ns = median(surprises_ns)
    return _cost(
        calibration,
        prior + event_gain * surprise_ns / events,
        ROOT_EVENTS * prior + (root_gain * surprise_ns / roots if roots else 0.0),
        DOUBT * prior * math.sqrt(1.0 - event_gain),
        median(window.excess_ns for window in windows) / events,
    )


def fit(ratios: Sequence[float]) -> float:
    """What a corrected window takes, relative to the plain calls around it; ideally 1.

    ``ratios`` are those of single windows. Their median differs from 1 because the correction
    does not fit, which stays to be seen, or because the machine was faster or slower in one of the
    two, which says nothing: a part as large as the misfit's share in the doubt is kept; all of it
    where a single window says nothing of the noise.
    """
    if len(ratios) < 2:
        return ratios[0]
    of_misfit, of_noise = MISFIT**2, _sd_of_median(ratios) ** 2
    return 1.0 + (median(ratios) - 1.0) * (of_misfit / (of_misfit + of_noise))


def _cost(
    calibration: Calibration, event_ns: float, root_ns: float, sd_ns: float, observed_ns: float
) -> EventCost:
    event_ns = max(0.0, event_ns)
    inside_ns = calibration.inside_share * event_ns  # a slower processor makes both parts slower
    return EventCost(
        inside_ns=inside_ns,
        around_ns=event_ns - inside_ns,
        root_ns=max(0.0, root_ns),
        sd_ns=sd_ns,
        observed_ns=observed_ns,
        calibrated_ns=calibration.event_ns,
    )


def _sd_of_median(values: Sequence[float]) -> float:
    """Standard deviation of the median of so few values; from their quartiles, once there are."""
    count = len(values)
    if count < 2:
        return math.inf
    if count < 5:
        spread = (max(values) - min(values)) / math.sqrt(count)  # its expectation is near the sd,
        spread *= (count + 3) / (count - 1)  # but it is often far less
    else:
        low, _, high = quantiles(values, n=4)
        spread = (high - low) / IQR_OF_NORMAL
    return MEDIAN_SPREAD * spread / math.sqrt(count)


def control_ns() -> float:
    """How fast the processor is now: time of a loop of operators that do nothing, unprofiled."""
    with torch.inference_mode(), _disable_current_modes():
        tensor = torch.zeros(1)
        durations = []
        for _ in range(CONTROL_REPEATS):
            start = perf_counter_ns()
            _leaves(tensor)
            durations.append(perf_counter_ns() - start)
    return median(durations)


def _leaves(tensor: torch.Tensor) -> None:
    for _ in range(CALLS):
        torch.resolve_conj(tensor)


@cache
def calibrated() -> Calibration:
    """Measure the cost of an event on this device, once per process: some 200 ms."""
    with torch.inference_mode(), _disable_current_modes():
        tensor = torch.zeros(CHUNKS, 8)
        leaf = _Loop(lambda: _leaves(tensor))
        nested = _Loop(lambda: torch.chunk(tensor, CHUNKS))
        for _ in range(REPEATS):
            leaf.measure()
            nested.measure()
    inside_share = min(1.0, leaf.root_ns / leaf.event_ns) if leaf.event_ns else 0.0
    return Calibration(leaf.event_ns, nested.event_ns, inside_share, leaf.plain_ns)


class _Loop:
    """Times operators that do next to nothing, with and without the profiler; keeps the least."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self.plain_ns = self._profiled_ns = self.root_ns = math.inf
        self._events = 1

    def measure(self) -> None:
        self._run()
        start = perf_counter_ns()
        self._run()
        self.plain_ns = min(self.plain_ns, perf_counter_ns() - start)
        session = profiled(self._run)
        self._profiled_ns = min(self._profiled_ns, session.wall_ns)
        roots = session.result.experimental_event_tree()
        self._events = _count(roots)
        self.root_ns = min(self.root_ns, median(node.duration_time_ns for node in roots))

    @property
    def event_ns(self) -> float:
        """What the profiler cost per event."""
        return max(0.0, self._profiled_ns - self.plain_ns) / self._events


def _count(nodes: Iterable[Node]) -> int:
    return sum(1 + _count(node.children) for node in nodes)
