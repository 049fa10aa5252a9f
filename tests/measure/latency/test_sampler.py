"""The latency sampler: how long, how often and how precisely it times a call, on a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.latency import sampler as sampler_module
from pytest_hiddencost.measure.latency.sampler import LatencySampler, latency_of

MS = 1_000_000


class Clock:
    """A model with given durations, and the clock that they move."""

    def __init__(self, durations_ns: Iterator[int]) -> None:
        self.now_ns = 0
        self.calls = 0
        self._durations_ns = durations_ns

    def __call__(self) -> None:
        self.calls += 1
        self.now_ns += next(self._durations_ns)

    def read(self) -> int:
        return self.now_ns


@pytest.fixture
def sampler_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[LatencySampler, Clock]]:
    def build(
        durations_ns: Iterator[int], *, decides: bool = False, **sampling: int | float
    ) -> tuple[LatencySampler, Clock]:
        clock = Clock(durations_ns)
        monkeypatch.setattr(sampler_module, "perf_counter_ns", clock.read)
        call = Call(clock, (), {}, torch.device("cpu"))
        settings = Sampling(**sampling)  # type: ignore[arg-type]  # int and float are mixed
        return LatencySampler(call, settings, decides=decides), clock

    return build


def endlessly(*durations_ns: int) -> Iterator[int]:
    while True:
        yield from durations_ns


def test_every_sample_is_kept_in_order(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, _ = sampler_of(iter(range(1, 10_000)), max_time_ns=1_000, min_samples=10)
    sampler.sample()
    samples = sampler.result().samples_ns
    assert samples == tuple(range(1, len(samples) + 1))


def test_a_steady_call_is_timed_for_half_of_max_time_at_least(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, _ = sampler_of(endlessly(MS), max_time_ns=2_000 * MS, min_samples=20)
    sampler.sample()
    assert 1_000 * MS <= sampler.spent_ns <= 1_300 * MS


def test_a_noisy_call_is_timed_until_max_time_is_over(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, _ = sampler_of(endlessly(MS, 2 * MS), max_time_ns=300 * MS, min_samples=20)
    sampler.sample()
    assert 300 * MS <= sampler.spent_ns < 303 * MS


def test_min_samples_are_taken_within_max_time(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, _ = sampler_of(endlessly(20 * MS), max_time_ns=2_000 * MS, min_samples=50)
    sampler.sample()
    assert len(sampler.result().samples_ns) >= 50


@pytest.mark.parametrize(("call_ms", "samples"), [(900, 5), (1_000, 5), (3_000, 4), (14_000, 3)])
def test_a_slow_call_still_gets_five_samples_and_one_of_seconds_three(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]], call_ms: int, samples: int
) -> None:
    sampler, _ = sampler_of(endlessly(call_ms * MS), max_time_ns=2_000 * MS, min_samples=20)
    sampler.sample()
    result = sampler.result()
    assert len(result.samples_ns) == samples
    assert result.median_ci_ns is None


def test_a_slow_call_with_a_limit_gets_the_samples_that_its_interval_needs(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, _ = sampler_of(
        endlessly(3_000 * MS), decides=True, max_time_ns=2_000 * MS, min_samples=20
    )
    sampler.sample()
    result = sampler.result()
    assert len(result.samples_ns) == 8
    assert result.median_ci_ns == (3_000 * MS, 3_000 * MS)


def test_more_samples_stay_within_max_time(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, _ = sampler_of(endlessly(MS), max_time_ns=150 * MS, min_samples=20)
    sampler.sample()
    while sampler.time_left:
        sampler.sample_more()
    assert sampler.spent_ns == 150 * MS


def test_warm_up_lasts_until_calls_get_no_faster(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    falling = [int(MS * 0.9**i) for i in range(12)]
    sampler, clock = sampler_of(iter(falling + [falling[-1]] * 1_000), max_time_ns=2_000 * MS)
    assert sampler.warm_up() == 12 + sampler_module.STEADY_CALLS
    assert clock.calls == 12 + sampler_module.STEADY_CALLS
    assert sampler.spent_ns == 0


def test_warm_up_takes_a_quarter_of_max_time_at_most(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, _ = sampler_of(endlessly(10_000 * MS), max_time_ns=2_000 * MS)
    assert sampler.warm_up() == 1


def test_a_turn_is_as_long_as_requested_and_its_calls_are_samples(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, clock = sampler_of(iter([MS, 2 * MS, 3 * MS, 40 * MS]), max_time_ns=300 * MS)
    assert sampler.turn(4 * MS) == (MS, 2 * MS, 3 * MS)
    assert sampler.turn(4 * MS) == (40 * MS,), "a turn has one call at least"
    assert sampler.result().samples_ns == (MS, 2 * MS, 3 * MS, 40 * MS)
    assert sampler.spent_ns == clock.now_ns


def test_calls_that_refill_the_caches_come_first_and_are_no_samples(
    sampler_of: Callable[..., tuple[LatencySampler, Clock]],
) -> None:
    sampler, _ = sampler_of(iter([9 * MS, 8 * MS, 2 * MS, 3 * MS]), max_time_ns=300 * MS)
    assert sampler.turn(4 * MS, refill=2) == (9 * MS, 8 * MS, 2 * MS, 3 * MS)
    assert sampler.result().samples_ns == (2 * MS, 3 * MS)


def test_the_record_holds_the_figures_of_the_samples() -> None:
    result = latency_of(list(range(1, 102)), 0.99)
    assert (result.median_ns, result.p95_ns, result.p99_ns, result.min_ns) == (51, 96, 100, 1)
    assert result.median_ci_ns is not None
    low, high = result.median_ci_ns
    assert low < 51 < high
    assert result.confidence == 0.99
