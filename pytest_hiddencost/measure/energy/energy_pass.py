"""The energy of an action, from windows in which it runs back to back beside idle windows.

A meter changes its value now and then, so a window is known to within one change. The pass measures
the time between two changes, and makes each window long enough for ``RESOLVED`` of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import NormalDist, fmean, median, stdev
from time import perf_counter_ns

from pytest_hiddencost.core.energy_records import EnergyUse
from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.intervals import median_interval, samples_needed
from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.core.units import format_duration
from pytest_hiddencost.measure.energy.meter import OTHER_METER, EnergyMeter, named_errors, running
from pytest_hiddencost.measure.energy.sampled_power import SampledPower

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
RESOLVED = 100  # changes of the meter in a window, so that one of them is 1 % of it
ENERGY_PRECISION = 0.01  # half-width of the median's interval, relative to the median
CHANGES = 5  # of the meter, whose median distance counts
LEAD_SHARE = 0.05  # of a window, before it: the meter lags behind, and clocks settle
IDLE_POLL_S = 0.000_2  # between two readings of an idle device
LONGEST_POLL_NS = 5_000_000_000
LONGEST_WINDOW_NS = 60_000_000_000


@dataclass(frozen=True)
class MeterClock:
    """The time beside the meter, and the rest of an idle window."""

    now_ns: Callable[[], int] = perf_counter_ns
    sleep_s: Callable[[float], None] = time.sleep


def energy_of(
    action: Callable[[], object],
    meter: EnergyMeter,
    *,
    confidence: float = Sampling.confidence,
    max_time_ns: int = Sampling.max_time_ns,
    clock: MeterClock = MeterClock(),  # frozen, so shared safely
) -> EnergyUse:
    """Return the energy of one repetition of ``action``, which should be warm.

    Takes the windows that the median's interval needs. Their spread tells how many more are needed
    to know it within 1 %; those are taken until ``max_time_ns`` is over. Raises the errors of
    ``action``, and ``EnergyError``.
    """
    with running(meter):
        return energy_by_running(
            action, meter, confidence=confidence, max_time_ns=max_time_ns, clock=clock
        )


def energy_by_running(
    action: Callable[[], object],
    meter: EnergyMeter,
    *,
    confidence: float = Sampling.confidence,
    max_time_ns: int = Sampling.max_time_ns,
    clock: MeterClock = MeterClock(),
) -> EnergyUse:
    """Return the energy of ``action`` as ``energy_of`` does, by a meter that has been started."""
    busy: list[_Window] = []
    idle: list[_Window] = []
    metered = _Metered(meter, clock)
    end_ns = clock.now_ns() + max_time_ns
    least_ns = metered.window_ns(action)
    rest = partial(clock.sleep_s, LEAD_SHARE * least_ns / 1e9)
    fewest = wanted = samples_needed(0.5, confidence)
    while len(busy) < fewest or (len(busy) < wanted and clock.now_ns() < end_ns):
        idle.append(metered.window(rest, least_ns))
        busy.append(metered.window(action, least_ns, metered.action_ns))
        if not (busy[-1].updated and busy[-1].energy_nj > 0):
            raise metered.stalled(busy[-1].duration_ns)
        if len(busy) == fewest:
            wanted = windows_for([window.each_nj for window in busy], confidence)
    return _use_of(busy, idle, meter, confidence)


def windows_for(first_nj: Sequence[float], confidence: float) -> int:
    """Return the number of windows that know the median within 1 %, by the spread of the first.

    The interval would contain the true median less often than it says if the pass looked at it
    after each window, and ended when it is narrow.
    """
    reach = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    spread = stdev(first_nj) / fmean(first_nj)
    # A median's standard error is that of a mean times the root of pi / 2.
    return math.ceil(math.pi / 2.0 * (reach * spread / ENERGY_PRECISION) ** 2)


def _use_of(
    busy: Sequence[_Window], idle: Sequence[_Window], meter: EnergyMeter, confidence: float
) -> EnergyUse:
    each_nj = [window.each_nj for window in busy]
    return EnergyUse(
        energy_nj=median(each_nj),
        interval_nj=median_interval(each_nj, confidence),
        windows_nj=tuple(each_nj),
        calls=sum(window.repetitions for window in busy),
        power_w=median(window.power_w for window in busy),
        idle_w=median(window.power_w for window in idle),
        resolution_share=1 / RESOLVED,
        meter=meter.name,
        domain=meter.domain,
        confidence=confidence,
    )


@dataclass(frozen=True)
class _Window:
    updated: bool
    energy_nj: float
    duration_ns: int
    repetitions: int

    @property
    def each_nj(self) -> float:
        return self.energy_nj / self.repetitions

    @property
    def power_w(self) -> float:
        return self.energy_nj / self.duration_ns


class _Metered:
    """A meter that is running, and the clock beside it."""

    def __init__(self, meter: EnergyMeter, clock: MeterClock) -> None:
        self._meter = meter
        self._clock = clock
        self._last_nj = -math.inf
        self.action_ns = 0

    def window_ns(self, action: Callable[[], object]) -> int:
        """Return the shortest window that holds ``RESOLVED`` changes while ``action`` runs."""
        begun_ns = self._clock.now_ns()
        action()
        self.action_ns = self._clock.now_ns() - begun_ns
        between_ns = self._between_changes_ns(lambda: self._clock.sleep_s(IDLE_POLL_S))
        # Both distances bound the time between two changes: an idle device may take long to use
        # one unit of the meter, and an action may outlast many changes.
        if self.action_ns < between_ns:
            between_ns = min(between_ns, self._between_changes_ns(action))
        if math.isinf(between_ns):
            raise self.stalled(LONGEST_POLL_NS)
        window_ns = math.ceil(RESOLVED * between_ns)
        if window_ns > LONGEST_WINDOW_NS:
            raise EnergyError(
                f"{self._meter.name} changes every {format_duration(between_ns)} only, so a window "
                f"that it resolves to 1 % takes {format_duration(window_ns)}",
                OTHER_METER,
            )
        return window_ns

    def _between_changes_ns(self, step: Callable[[], object]) -> float:
        """Return the median time between changes, read after each step; infinite without any."""
        changes_ns: list[int] = []
        end_ns = self._clock.now_ns() + LONGEST_POLL_NS
        last = self._updates()
        while len(changes_ns) <= CHANGES and self._clock.now_ns() < end_ns:
            step()
            now = self._updates()
            if now != last:
                changes_ns.append(self._clock.now_ns())
            last = now
        gaps = [later - earlier for earlier, later in pairwise(changes_ns)]
        return median(gaps) if gaps else math.inf

    def window(self, step: Callable[[], object], least_ns: int, step_ns: int = 0) -> _Window:
        """Repeat ``step`` for ``least_ns``, once at least; return the energy of all repetitions."""
        lead_ns = round(LEAD_SHARE * least_ns)
        if step_ns < lead_ns:  # a lag of the meter is little beside a longer step
            self._repeat(step, lead_ns)
        before, start_nj, start_ns = self._updates(), self._last_nj, self._clock.now_ns()
        repetitions = self._repeat(step, least_ns)
        updated, energy_nj = self._updates() != before, self._last_nj - start_nj
        return _Window(updated, energy_nj, self._clock.now_ns() - start_ns, repetitions)

    def _repeat(self, step: Callable[[], object], least_ns: int) -> int:
        """Repeat ``step`` for ``least_ns``, once at least; return the number of repetitions."""
        end_ns, repetitions = self._clock.now_ns() + least_ns, 0
        while not repetitions or self._clock.now_ns() < end_ns:
            step()
            repetitions += 1
        return repetitions

    def _updates(self) -> float:
        """Read the meter; return a number that changes with each of its new values."""
        now_nj = self._read_nj()
        # A sampled energy grows at each reading, even if the sensor shows its old value.
        return self._meter.updates if isinstance(self._meter, SampledPower) else now_nj

    def _read_nj(self) -> float:
        meter = self._meter
        with named_errors(meter.name, "read"):
            now_nj = float(meter.read_nj())
        if not self._last_nj <= now_nj < math.inf:  # also for NaN
            raise EnergyError(f"{meter.name} fell from {self._last_nj} to {now_nj} nJ", OTHER_METER)
        self._last_nj = now_nj
        return now_nj

    def stalled(self, duration_ns: float) -> EnergyError:
        """Return the error of a meter that did not change in this time."""
        waited = format_duration(duration_ns)
        return EnergyError(f"{self._meter.name} stalls: no change in {waited}", OTHER_METER)
