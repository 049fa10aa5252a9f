"""Profiler overhead: the cost of the profiler's events, and operator times without that cost.

Every event takes time in two parts. The time before its clock starts and after it stops lands in
the operator around it. The time in between lands in its own interval. Both parts are calibrated
once per process, on operators that do almost no work, called from Python and nested in another.
A root operator costs more, because Python finds its caches full of events. The overhead that a
given call paid (profiled - plain) then corrects both parts, as far as noise allows.
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

from pytest_hiddencost.measure.latency.tracers import untraced
from pytest_hiddencost.measure.operators.folding import Node
from pytest_hiddencost.measure.operators.profiler import profiled

CALLS = 200  # of an operator that calls no other, in one loop: less than a millisecond
CHUNKS = 64  # of an operator that calls three others for each
REPEATS = 60
PROBE_REPEATS = 3
DOUBT = 0.25  # standard deviation of a real call's event cost, relative to the calibrated one
ROOT_EVENTS = 5.0  # a root operator costs this many events more (benchmarks/accuracy)
ROOT_EVENTS_SD = 5.0  # standard deviation of ROOT_EVENTS between calls
MISFIT = 0.02  # standard deviation of the correction's own error, as a share of a latency
UNEVEN = 0.25  # share of the cost by which single operators differ (benchmarks/accuracy)
CONFIDENT = 2.58  # standard deviations
IQR_OF_NORMAL = 1.349  # interquartile range of a normal distribution, in standard deviations
MEDIAN_SPREAD = 1.2533  # standard error of a median, relative to that of a mean
RESOLUTION_EVENTS = 3  # an operator shorter than this many events is below resolution


@dataclass(frozen=True)
class Calibration:
    """Cost of one event in ns, and the time of the speed probe during the calibration."""

    leaf_ns: float  # of an operator called from Python
    nested_ns: float  # of an operator inside another
    inside_share: float  # of the cost, in the event's own interval
    probe_ns: float = 0.0  # 0: not known

    @property
    def event_ns(self) -> float:
        """Cost of an average event, in ns."""
        return (self.leaf_ns + self.nested_ns) / 2

    def at(self, probe_ns: float) -> Calibration:
        """Scale the costs to the processor's speed when the probe took ``probe_ns``."""
        if not self.probe_ns or not probe_ns:
            return self
        slowdown = probe_ns / self.probe_ns
        leaf_ns, nested_ns = slowdown * self.leaf_ns, slowdown * self.nested_ns
        return Calibration(leaf_ns, nested_ns, self.inside_share, probe_ns)


@dataclass(frozen=True)
class Excess:
    """The time by which a window was longer than the plain call, and its number of events."""

    excess_ns: float
    events: int
    root_events: int
    probe_ns: float = 0.0


@dataclass(frozen=True)
class EventCost:
    """Cost of one event in one call, in ns."""

    inside_ns: float  # in the event's own interval
    around_ns: float  # before and after it
    root_ns: float = 0.0  # additional cost of a root event to the caller
    sd_ns: float = 0.0  # standard deviation of the estimate of event_ns
    observed_ns: float = 0.0  # (profiled - plain) / events of this call alone
    calibrated_ns: float = 0.0

    @property
    def event_ns(self) -> float:
        """Cost inside and around the event together, in ns."""
        return self.inside_ns + self.around_ns

    def total_ns(self, events: int, root_events: int) -> float:
        """Return the overhead of a whole call in ns."""
        return events * self.event_ns + root_events * self.root_ns

    def net_ns(self, calls: float, raw_ns: float, children: float, annotations: float) -> float:
        """Return the self time in ns of ``calls`` events with ``children`` without the overhead.

        The cost of an annotation among the children lies wholly in this self time. Noise or a
        wrong cost can make the result negative.
        """
        return raw_ns - (calls + annotations) * self.inside_ns - children * self.around_ns

    def outside_ns(self, raw_ns: float, root_events: int, root_annotations: int = 0) -> float:
        """Return the time outside operators in ns without the overhead; it may be negative."""
        surcharge_ns = root_events * self.root_ns
        return self.net_ns(0, raw_ns, root_events, root_annotations) - surcharge_ns

    def uncertainty_ns(self, calls: float, children: float) -> float:
        """Return the possible error of the correction of such a self time, in ns."""
        return max(calls, children) * (UNEVEN * self.event_ns + CONFIDENT * self.sd_ns)

    def resolves(self, self_ns: float, calls: float) -> bool:
        """Return whether the self time of all ``calls`` exceeds the resolution of their events."""
        return self_ns >= RESOLUTION_EVENTS * self.event_ns * calls


NO_COST = EventCost(0.0, 0.0)
"""The cost on an accelerator: events on the host do not slow its kernels down."""


def event_cost(calibration: Calibration, windows: Sequence[Excess]) -> EventCost:
    """Return the calibrated cost, corrected by the excess of a call's windows.

    The excess of a window is events x cost + root events x surcharge + noise. Each of the three
    takes the share of the unexpected excess that it has in the variance: the conditional mean of
    normal distributions.
    """
    if windows:
        calibration = calibration.at(median(window.probe_ns for window in windows))
    prior = calibration.event_ns
    events = fmean(window.events for window in windows) if windows else 0.0
    if not events:
        return _cost(calibration, prior, ROOT_EVENTS * prior, DOUBT * prior, prior)
    roots = fmean(window.root_events for window in windows)
    surprises_ns = [w.excess_ns - prior * (w.events + ROOT_EVENTS * w.root_events) for w in windows]
    events_variance = (DOUBT * prior * events) ** 2
    roots_variance = (ROOT_EVENTS_SD * prior * roots) ** 2
    variance = events_variance + roots_variance + _sd_of_median(surprises_ns) ** 2
    known = math.isfinite(variance) and variance > 0
    event_gain = events_variance / variance if known else 0.0
    root_gain = roots_variance / variance if known else 0.0
    surprise_ns = median(surprises_ns)
    return _cost(
        calibration,
        prior + event_gain * surprise_ns / events,
        ROOT_EVENTS * prior + (root_gain * surprise_ns / roots if roots else 0.0),
        DOUBT * prior * math.sqrt(1.0 - event_gain),
        median(window.excess_ns for window in windows) / events,
    )


def fit(ratios: Sequence[float]) -> float:
    """Return the time of corrected windows relative to the plain calls around them; ideally 1.

    ``ratios`` has one ratio for each window. Their median differs from 1 because the correction
    does not fit, or because the device changed. The result keeps the share of the difference that
    the misfit has in the variance; with a single ratio, whose noise is not known, all of it.
    """
    if len(ratios) < 2:
        return ratios[0]
    misfit_share = MISFIT**2 / (MISFIT**2 + _sd_of_median(ratios) ** 2)
    return 1.0 + (median(ratios) - 1.0) * misfit_share


def _cost(
    calibration: Calibration, event_ns: float, root_ns: float, sd_ns: float, observed_ns: float
) -> EventCost:
    event_ns = max(0.0, event_ns)
    inside_ns = calibration.inside_share * event_ns  # a slower processor slows both parts
    around_ns, root_ns = event_ns - inside_ns, max(0.0, root_ns)
    return EventCost(inside_ns, around_ns, root_ns, sd_ns, observed_ns, calibration.event_ns)


def _sd_of_median(values: Sequence[float]) -> float:
    """Return the standard deviation of the median, from the range or the quartiles of values."""
    count = len(values)
    if count < 2:
        return math.inf
    if count < 5:
        spread = (max(values) - min(values)) / math.sqrt(count)  # near the standard deviation
        spread *= (count + 3) / (count - 1)  # on average, but often far below it
    else:
        low, _, high = quantiles(values, n=4)
        spread = (high - low) / IQR_OF_NORMAL
    return MEDIAN_SPREAD * spread / math.sqrt(count)


@untraced
def probe_ns() -> float:
    """Run the speed probe: return the time in ns of a loop of operators that do no work.

    The probe runs without the profiler; it shows how fast the processor is now.
    """
    with torch.inference_mode(), _disable_current_modes():
        tensor = torch.zeros(1)
        durations = []
        for _ in range(PROBE_REPEATS):
            start = perf_counter_ns()
            _probe_loop(tensor)
            durations.append(perf_counter_ns() - start)
    return median(durations)


def _probe_loop(tensor: torch.Tensor) -> None:
    for _ in range(CALLS):
        torch.resolve_conj(tensor)


@cache
def calibrated() -> Calibration:
    """Measure the cost of an event on this device, once per process; takes about 200 ms."""
    with torch.inference_mode(), _disable_current_modes():
        tensor = torch.zeros(CHUNKS, 8)
        leaf = _Loop(lambda: _probe_loop(tensor))
        nested = _Loop(lambda: torch.chunk(tensor, CHUNKS))
        for _ in range(REPEATS):
            leaf.measure()
            nested.measure()
    inside_share = min(1.0, leaf.root_ns / leaf.event_ns) if leaf.event_ns else 0.0
    return Calibration(leaf.event_ns, nested.event_ns, inside_share, leaf.plain_ns)


class _Loop:
    """Times a loop of operators with and without the profiler, and keeps the shortest times."""

    def __init__(self, run: Callable[[], object]) -> None:
        self._run = run
        self.plain_ns = self._profiled_ns = self.root_ns = math.inf
        self._events = 1

    @untraced
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
        return max(0.0, self._profiled_ns - self.plain_ns) / self._events


def _count(nodes: Iterable[Node]) -> int:
    return sum(1 + _count(node.children) for node in nodes)
