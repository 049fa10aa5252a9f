"""The latency of a call: single timed calls, with no instrument on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter_ns

from pytest_hiddencost.intervals import median_interval, quantile, samples_needed
from pytest_hiddencost.profiling.calls import Call
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
BLOCK_NS = 25_000_000  # of timed calls between two runs of the control,
CONTROL_SHARE = 0.05  # or so much more that the control takes no more than this of the time


@dataclass
class Block:
    """Calls timed one after another, and the control before and after them, in ns."""

    control_ns: int
    samples_ns: list[int] = field(default_factory=list)


class LatencySampler:
    """Times one call again and again, the control between blocks of calls; keeps every sample.

    ``decides`` says that a limit hinges on the median: a slow call then gets as many samples as
    its interval needs to exist at all.
    """

    def __init__(
        self,
        call: Call,
        sampling: Sampling,
        *,
        decides: bool = False,
        control: Callable[[], int] = lambda: 0,
    ) -> None:
        self._call = call
        self._sampling = sampling
        self._samples: list[int] = []
        self._control = control
        self._blocks: list[Block] = []
        self._block_ns = 0
        self._last_control_ns = 0
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
        for _ in range(WARM_UP_CALLS):
            self._control()
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
        self._last_control_ns = self._control()

    def sample_more(self) -> None:
        """Another quarter of what there is, within ``max_time``."""
        self._open_block()
        self._round(max(len(self._samples) + 1, int(len(self._samples) * 1.25)))
        self._last_control_ns = self._control()

    def turn(self, duration_ns: int, *, refill: int = 0) -> tuple[int, ...]:
        """Calls for about so long, one at least; in ns, each counted as a sample too.

        ``refill``: so many more come first, which are no samples. No control: another process
        that measures in turns takes its place.
        """
        block = Block(0)
        with timed_calls(self._call) as time_one:
            first = [time_one() for _ in range(refill)]
            spent_ns = 0
            while spent_ns < duration_ns:
                block.samples_ns.append(time_one())
                spent_ns += block.samples_ns[-1]
        self._blocks.append(block)
        self._samples += block.samples_ns
        self._spent_ns += spent_ns
        return (*first, *block.samples_ns)

    def _enough(self) -> bool:
        return len(self._samples) >= self._floor and not self.time_left

    def _round(self, target: int) -> None:
        max_time_ns = self._sampling.max_time_ns
        with timed_calls(self._call) as time_one:
            while len(self._samples) < target:
                if self._spent_ns >= max_time_ns and len(self._samples) >= self._floor:
                    return
                block = self._block()
                duration = time_one()
                block.samples_ns.append(duration)
                self._block_ns += duration
                self._samples.append(duration)
                self._spent_ns += duration

    def _block(self) -> Block:
        """The block the next call belongs to."""
        if self._blocks:
            last = self._blocks[-1]
            if self._block_ns < max(BLOCK_NS, last.control_ns / CONTROL_SHARE):
                return last
        return self._open_block()

    def _open_block(self) -> Block:
        self._block_ns = 0
        self._blocks.append(Block(self._control()))
        return self._blocks[-1]

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
        return control_time_of(self._blocks, self._last_control_ns)

    def result(self) -> LatencySamples:
        """The record of all samples so far."""
        return latency_of(self._samples, self._sampling.confidence)


def control_time_of(blocks: Sequence[Block], last_ns: int) -> ControlTime:
    """The median of latency / control, block by block; ``last_ns`` is the control after the last.

    Within a block both ran in the same tens of milliseconds, whatever the machine does in others.
    """
    controls_ns = [block.control_ns for block in blocks] + [last_ns]
    if not all(controls_ns):
        return ControlTime()
    ratios = [
        median(block.samples_ns) / ((before_ns + after_ns) / 2)
        for block, before_ns, after_ns in zip(blocks, controls_ns, controls_ns[1:], strict=False)
        if block.samples_ns
    ]
    return ControlTime(median(controls_ns), median(ratios), len(blocks))


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
