"""The headroom of a limit: the next run keeps it, and a doubling does not."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.intervals import median_interval, quantile
from pytest_hiddencost.judge.statistics import STEADY_SPREAD
from pytest_hiddencost.suggest.headroom import least_limit
from tests.profiles import patient

CONFIDENCE = 0.99
Z = 2.5758  # the normal distribution's quantile at 99.5 %: published tables


def limit_of(series: list[float], confidence: float = CONFIDENCE) -> float:
    interval = median_interval(series, confidence)
    assert interval is not None
    return least_limit(quantile(sorted(series), 0.5), interval, series, 0.5, confidence)


def run_of(rng: random.Random, count: int, *, noise: float, drift: float) -> list[float]:
    """Times around 1: noise of each call, and a speed of this launch that lasts."""
    speed = rng.gauss(0.0, drift)
    return [math.exp(speed + rng.gauss(0.0, noise)) for _ in range(count)]


def wandering(rng: random.Random, count: int) -> list[float]:
    """Times around 1, at a speed that changes by 10 % from one tenth of the run to the next."""
    speeds = [rng.gauss(0.0, 0.1) for _ in range(10)]
    return [math.exp(speeds[i * 10 // count] + rng.gauss(0.0, 0.02)) for i in range(count)]


def test_steady_calls_get_the_spread_between_launches_of_a_quiet_board() -> None:
    assert limit_of([100.0] * 80) == pytest.approx(
        100 * (1 + Z * math.sqrt(2) * STEADY_SPREAD), rel=1e-4
    )


def test_a_wide_interval_gets_its_width_once_more() -> None:
    series = [50.0, 150.0] * 4  # an interval of 8 values is all of them
    assert limit_of(series) > 150 + 100


def test_the_slowest_stretch_of_a_run_may_be_the_speed_of_the_next() -> None:
    steady = run_of(random.Random(1), 400, noise=0.02, drift=0.0)
    disturbed = [value * (1.5 if 100 <= i < 150 else 1.0) for i, value in enumerate(steady)]
    assert limit_of(disturbed) > 1.5 > limit_of(steady)
    assert limit_of(random.Random(2).sample(disturbed, 400)) < 1.2  # in no stretch of its own


def test_a_share_moves_less_the_closer_it_is_to_none_or_to_all() -> None:
    for share, room in ((0.02, 0.98), (0.5, 0.5), (0.98, 0.02)):
        limit = least_limit(share, (share, share), [share] * 80, 0.5, CONFIDENCE, share=True)
        expected = share + Z * math.sqrt(2) * STEADY_SPREAD * share * room
        assert limit == pytest.approx(expected, rel=1e-4)


def test_a_device_that_wanders_keeps_the_limit() -> None:
    rng = random.Random(3)
    broken = 0
    for _ in range(200):
        first, later = (wandering(rng, 320) for _ in range(2))
        interval = median_interval(later, CONFIDENCE)
        assert interval is not None
        broken += interval[1] > limit_of(first)
    assert broken <= 4  # of 200: 1 % and what chance adds


@pytest.mark.parametrize(
    ("noise", "count"), [(0.01, 12), (0.05, 40), (0.3, 300)], ids=["quiet", "usual", "noisy"]
)
def test_the_next_runs_of_the_same_code_keep_the_limit(noise: float, count: int) -> None:
    rng = random.Random(7)
    broken = 0
    for _ in range(200):
        first, later = (run_of(rng, count, noise=noise, drift=STEADY_SPREAD) for _ in range(2))
        interval = median_interval(later, CONFIDENCE)
        assert interval is not None
        broken += interval[1] > limit_of(first)
    assert broken <= 4  # of 200: 1 % and what chance adds


@settings(patient, max_examples=50)
@given(
    st.lists(st.floats(1.0, 1e9), min_size=8, max_size=100),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_a_limit_lies_above_the_interval(series: list[float], confidence: float) -> None:
    interval = median_interval(series, confidence)
    assert interval is not None
    assert limit_of(series, confidence) > interval[1]
