"""The latency of a call, from single timed calls without any instrument."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns

from pytest_hiddencost.core.intervals import median_interval, quantile, samples_needed
from pytest_hiddencost.core.lengthy import ENOUGH_NS, FEWEST_LENGTHY_SAMPLES, LENGTHY_CALL_NS
from pytest_hiddencost.core.records import LatencySamples, ReferenceTime, Sampling
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.latency.reference_visits import ReferenceVisits
from pytest_hiddencost.measure.latency.tracers import untraced

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
FEWEST_SAMPLES = 5
SHORTEST_SHARE = 0.5  # of max_time, at least: a shorter measurement misses the machine's noise
PRECISION = 0.01  # half-width of the median's interval, relative to the median
WARM_UP_CALLS = 3  # at least: caches, allocator and oneDNN's primitives settle within these
WARM_UP_SHARE = 0.25  # of max_time, at most
STEADY_CALLS = 5  # calls in a row without a new minimum
STEADY_GAIN = 0.02  # a new minimum is this much faster, relative to the last one
VISIT_NS = 50_000_000  # of a visit; plain calls of the same length follow it
VISIT_SHARE = 0.1  # of max_time, if that is shorter
LONG_CALL_NS = 50_000_000  # a longer call is not slower after cold caches or a profiler's set-up
GROWTH = 1.25  # of the number of samples, from round to round


class LatencySampler:
    """Times one call many times, with visits to the reference workload in between.

    ``reference`` runs the reference workload once and returns its duration in ns; None: no visits.
    A call right after the reference workload is slower, so only long calls count as samples there.
    ``decides``: a limit depends on the median, so even a slow call gets as many samples as the
    median's interval needs. ``brief``: one sample of a call that takes seconds is enough.
    """

    def __init__(
        self,
        call: Call,
        sampling: Sampling,
        *,
        decides: bool = False,
        brief: bool = False,
        reference: Callable[[], int] | None = None,
    ) -> None:
        self._call = call
        self._sampling = sampling
        self._samples: list[int] = []
        self._reference_visits = None if reference is None else ReferenceVisits(reference)
        self._visit_ns = min(VISIT_NS, VISIT_SHARE * sampling.max_time_ns)
        self._gap_ns = self._visit_ns  # of plain calls until the next visit
        self._plain_ns = self._gap_ns  # since the last visit; a visit precedes the first sample
        self._plain_calls = 0
        self._visits = 0
        self._called_ns = 0  # in timed calls
        self._setup_before_ns = call.setup_ns
        self._fewest_lengthy = 1 if brief else FEWEST_LENGTHY_SAMPLES
        self._needed = samples_needed(0.5, sampling.confidence) if decides else 0

    @property
    def spent_ns(self) -> int:
        """Time spent in timed calls and their setup so far, in ns."""
        return self._called_ns + self._call.setup_ns - self._setup_before_ns

    @property
    def time_left(self) -> bool:
        """Whether ``max_time`` allows more samples."""
        return self.spent_ns < self._sampling.max_time_ns

    @property
    def lengthy(self) -> bool:
        """Whether a call, with its setup, takes a second or more."""
        setup_ns = self._call.setup_ns / max(1, self._call.tally.calls)
        return median(self._samples) + setup_ns >= LENGTHY_CALL_NS

    @property
    def _fewest(self) -> int:
        """The number of samples to take, whatever ``max_time`` says."""
        lengthy = min(self._samples, default=0) >= LENGTHY_CALL_NS
        few = lengthy and self.spent_ns >= ENOUGH_NS
        return max(self._needed, self._fewest_lengthy if few else FEWEST_SAMPLES)

    def foreseen(self, call_ns: int) -> int:
        """Return about how many samples of a lengthy call of ``call_ns`` will be taken."""
        at_most = min(FEWEST_SAMPLES, math.ceil(ENOUGH_NS / call_ns))
        fewest = max(self._needed, self._fewest_lengthy, at_most)
        return max(fewest, math.ceil(self._sampling.max_time_ns / call_ns))

    @untraced
    def warm_up(self, *, warm: bool = False) -> int:
        """Call until ``STEADY_CALLS`` in a row are no faster; return the number of calls.

        ``warm``: earlier passes have warmed the call up, so only the reference workload runs.
        """
        budget_ns = self._sampling.max_time_ns * WARM_UP_SHARE
        best, since_best, spent, calls = float("inf"), 0, 0, 0
        if self._reference_visits is not None:
            self._reference_visits.warm_up(WARM_UP_CALLS)
        with timed_calls(self._call) as time_one:
            while not warm and (
                calls < 1
                or (spent < budget_ns and (calls < WARM_UP_CALLS or since_best < STEADY_CALLS))
            ):
                before_ns = self._call.setup_ns
                duration = time_one()
                spent += duration + self._call.setup_ns - before_ns
                calls += 1
                since_best = 0 if duration < best * (1 - STEADY_GAIN) else since_best + 1
                best = min(best, duration)
        return calls

    def sample(self) -> None:
        """Take ``min_samples``, then more until the median is known within 1 % or time is over."""
        target = self._sampling.min_samples
        while not self._enough():
            self._round(target)
            if len(self._samples) >= target:
                long_enough = self.spent_ns >= SHORTEST_SHARE * self._sampling.max_time_ns
                if long_enough and self._precise():
                    break
                target = max(target + 1, int(len(self._samples) * GROWTH))

    def sample_more(self) -> None:
        """Take a quarter more samples, within ``max_time``, and a visit among them."""
        self._plain_ns, self._plain_calls = self._gap_ns, 0
        taken = len(self._samples)
        self._round(max(taken + 1, int(taken * GROWTH)))

    @untraced
    def turn(self, duration_ns: int, *, refill: int = 0) -> tuple[int, ...]:
        """Call for about ``duration_ns``, one time at least; return the calls' times in ns.

        The calls count as samples, except for ``refill`` calls before them that fill the caches;
        their times come first. There is no visit: the other process of the pair is the reference.
        """
        samples: list[int] = []
        with timed_calls(self._call) as time_one:
            first = [time_one() for _ in range(refill)]
            end_ns = self.spent_ns + duration_ns
            while self.spent_ns < end_ns:
                samples.append(time_one())
                self._keep(samples[-1])
        return (*first, *samples)

    def _enough(self) -> bool:
        return not self.time_left and len(self._samples) >= self._fewest

    @untraced
    def _round(self, target: int) -> None:
        with timed_calls(self._call) as time_one:
            while len(self._samples) < target and not self._enough():
                # After an even number of samples: a model may alternate between two kinds of calls.
                due = self._plain_ns >= self._gap_ns and self._plain_calls % 2 == 0
                if due and self._reference_visits is not None:
                    self._visit(self._reference_visits, time_one)
                else:
                    self._keep(time_one())

    def _visit(self, visits: ReferenceVisits, time_one: Callable[[], int]) -> None:
        self._plain_ns = self._plain_calls = 0
        self._visits += 1
        start_ns = perf_counter_ns()
        durations = visits.visit(time_one, self._visit_ns)
        # If others use the cores, one run of the reference workload can outlast a visit.
        self._gap_ns = max(self._visit_ns, perf_counter_ns() - start_ns - sum(durations))
        if durations[-1] >= LONG_CALL_NS:
            for duration in durations:
                self._keep(duration)
        else:
            self._called_ns += sum(durations)
            # A model may alternate between two kinds of calls: samples start with each in turn.
            for _ in range(1 + self._visits % 2):
                time_one()

    def _keep(self, duration: int) -> None:
        self._samples.append(duration)
        self._called_ns += duration
        self._plain_ns += duration
        self._plain_calls += 1

    def _precise(self) -> bool:
        bounds = median_interval(self._samples, self._sampling.confidence)
        if bounds is None:
            return False
        return (bounds[1] - bounds[0]) / 2 <= PRECISION * quantile(sorted(self._samples), 0.5)

    def reference_time(self) -> ReferenceTime:
        """Return the time of the reference workload, and the latency relative to it."""
        return self._reference_visits.result() if self._reference_visits else ReferenceTime()

    def result(self) -> LatencySamples:
        """Return the record of all samples so far."""
        return latency_of(self._samples, self._sampling.confidence)


def latency_of(samples_ns: list[int], confidence: float) -> LatencySamples:
    """Return median, p95, p99 (interpolated), minimum and the median's interval of the samples."""
    ordered = sorted(samples_ns)
    return LatencySamples(
        median_ns=quantile(ordered, 0.5),
        p95_ns=quantile(ordered, 0.95),
        p99_ns=quantile(ordered, 0.99),
        min_ns=float(ordered[0]),
        samples_ns=tuple(samples_ns),
        median_ci_ns=median_interval(ordered, confidence),
        confidence=confidence,
    )


@contextmanager
def timed_calls(call: Call) -> Iterator[Callable[[], int]]:
    """Yield a function that runs the call once and returns its duration in ns, without setup."""
    fresh, synchronize = call.fresh, call.synchronize

    def on_host() -> int:
        run = fresh()
        start = perf_counter_ns()
        output = run()
        duration = perf_counter_ns() - start
        del output  # free it after the clock has stopped

        return duration

    def on_device() -> int:
        assert synchronize is not None
        run = fresh()
        synchronize()
        start = perf_counter_ns()
        output = run()
        synchronize()
        duration = perf_counter_ns() - start
        del output
        return duration

    with call.gradients():
        yield on_host if synchronize is None else on_device
