"""The latency of a call: single timed calls, with no instrument on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns

from pytest_hiddencost.intervals import median_interval, quantile, samples_needed
from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.in_turns import InTurns
from pytest_hiddencost.records import ControlTime, LatencySamples, Sampling

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
FEWEST_SAMPLES = 5
SHORTEST_SHARE = 0.5  # of max_time: what lasts less has not seen the noise of the machine
PRECISION = 0.01  # half-width of the median's interval, relative to the median
WARM_UP_CALLS = 3  # the least; caches, allocator and oneDNN's primitives settle within these
WARM_UP_SHARE = 0.25  # of max_time, at most
STEADY_CALLS = 5  # as many calls in a row without a new minimum
STEADY_GAIN = 0.02
VISIT_NS = 50_000_000  # in turns with the control, and as long without it,
VISIT_SHARE = 0.1  # or so much of max_time
LONG_NS = 50_000_000  # a call that does not notice what the control left in the caches


class LatencySampler:
    """Times one call again and again, now and then in turns with the control; keeps every sample.

    A call that comes after the control is no sample, unless it is a long one: it is slower.
    ``decides`` says that a limit hinges on the median: a slow call then gets as many samples as
    its interval needs to exist at all.
    """

    def __init__(
        self,
        call: Call,
        sampling: Sampling,
        *,
        decides: bool = False,
        control: Callable[[], int] | None = None,
    ) -> None:
        self._call = call
        self._sampling = sampling
        self._samples: list[int] = []
        self._in_turns = InTurns(control) if control is not None else None
        self._visit_ns = min(VISIT_NS, VISIT_SHARE * sampling.max_time_ns)
        self._plain_ns = self._visit_ns  # since the last visit; one comes before the first sample
        self._plain_calls = 0
        self._visits = 0
        self._spent_ns = 0
        needed = samples_needed(0.5, sampling.confidence)
        self._floor = max(FEWEST_SAMPLES, needed) if decides else FEWEST_SAMPLES

    @property
    def spent_ns(self) -> int:
        """Time in timed calls so far."""
        return self._spent_ns

    @property
    def time_left(self) -> bool:
        """Whether ``max_time`` allows another round."""
        return self.spent_ns < self._sampling.max_time_ns

    def warm_up(self) -> int:
        """Call until no call in a row of five was notably the fastest; the calls it took."""
        budget_ns = self._sampling.max_time_ns * WARM_UP_SHARE
        best, since_best, spent, calls = float("inf"), 0, 0, 0
        if self._in_turns is not None:
            self._in_turns.warm_up(WARM_UP_CALLS)
        with timed_calls(self._call) as time_one:
            while calls < 1 or (
                spent < budget_ns and (calls < WARM_UP_CALLS or since_best < STEADY_CALLS)
            ):
                duration = time_one()
                spent, calls = spent + duration, calls + 1
                since_best = 0 if duration < best * (1 - STEADY_GAIN) else since_best + 1
                best = min(best, duration)
        return calls

    def sample(self) -> None:
        """Until the median is known within 1 %, and at least ``min_samples``; or time is over."""
        target = self._sampling.min_samples
        while not self._enough():
            self._round(target)
            if len(self._samples) >= target:
                if self._precise() and self._long_enough():
                    break
                target = max(target + 1, int(len(self._samples) * 1.25))

    def sample_more(self) -> None:
        """Another quarter of what there is, within ``max_time``."""
        self._plain_ns, self._plain_calls = self._visit_ns, 0
        self._round(max(len(self._samples) + 1, int(len(self._samples) * 1.25)))

    def turn(self, duration_ns: int, *, refill: int = 0) -> tuple[int, ...]:
        """Calls for about so long, one at least; in ns, each counted as a sample too.

        ``refill``: so many more come first, which are no samples. No control: another process
        that measures in turns takes its place.
        """
        samples: list[int] = []
        with timed_calls(self._call) as time_one:
            first = [time_one() for _ in range(refill)]
            end_ns = self._spent_ns + duration_ns
            while self._spent_ns < end_ns:
                samples.append(time_one())
                self._keep(samples[-1])
        return (*first, *samples)

    def _enough(self) -> bool:
        return len(self._samples) >= self._floor and not self.time_left

    def _round(self, target: int) -> None:
        max_time_ns = self._sampling.max_time_ns
        with timed_calls(self._call) as time_one:
            while len(self._samples) < target:
                if self._spent_ns >= max_time_ns and len(self._samples) >= self._floor:
                    return
                if self._in_turns is not None and self._visit_due:
                    self._visit(self._in_turns, time_one)
                else:
                    self._keep(time_one())

    @property
    def _visit_due(self) -> bool:
        """After an even number of samples: a model may do something else every other call."""
        return self._plain_ns >= self._visit_ns and self._plain_calls % 2 == 0

    def _visit(self, in_turns: InTurns, time_one: Callable[[], int]) -> None:
        self._plain_ns = self._plain_calls = 0
        self._visits += 1
        durations = in_turns.visit(time_one, self._visit_ns)
        if durations[-1] >= LONG_NS:
            for duration in durations:
                self._keep(duration)
        else:
            self._spent_ns += sum(durations)
            for _ in range(1 + self._visits % 2):  # not the same every other call either
                time_one()

    def _keep(self, duration: int) -> None:
        self._samples.append(duration)
        self._spent_ns += duration
        self._plain_ns += duration
        self._plain_calls += 1

    def _long_enough(self) -> bool:
        return self.spent_ns >= SHORTEST_SHARE * self._sampling.max_time_ns

    def _precise(self) -> bool:
        bounds = median_interval(self._samples, self._sampling.confidence)
        if bounds is None:
            return False
        median = quantile(sorted(self._samples), 0.5)
        return (bounds[1] - bounds[0]) / 2 <= PRECISION * median

    def control_time(self) -> ControlTime:
        """What the control took meanwhile, and the latency relative to it."""
        return ControlTime() if self._in_turns is None else self._in_turns.result()

    def result(self) -> LatencySamples:
        """The record of all samples so far."""
        return latency_of(self._samples, self._sampling.confidence)


def latency_of(samples_ns: list[int], confidence: float) -> LatencySamples:
    """Median, p95, p99 (interpolated), minimum and the interval of the median of samples in ns."""
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
    """A function that runs the call once and gives its duration in ns."""
    run, synchronize = call.run, call.synchronize

    def on_host() -> int:
        start = perf_counter_ns()
        output = run()
        duration = perf_counter_ns() - start
        del output  # freed after the clock has stopped
        return duration

    def on_device() -> int:
        assert synchronize is not None
        synchronize()
        start = perf_counter_ns()
        output = run()
        synchronize()
        duration = perf_counter_ns() - start
        del output
        return duration

    with call.gradients():
        yield on_host if synchronize is None else on_device
