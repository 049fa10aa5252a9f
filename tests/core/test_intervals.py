"""Confidence intervals: tables, SciPy as oracle, and that they cover what they say they cover."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize
from scipy.stats import binom, lognorm, norm

from pytest_hiddencost.core.intervals import (
    median_interval,
    quantile,
    quantile_bounds,
    quantile_ranks,
    samples_needed,
)
from tests.profiles import patient

QUANTILES = (0.5, 0.95, 0.99)
FEW = 2000  # samples; the properties try all sizes up to here, the sweeps go on from it
CONFIDENCES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.999999)  # 50 % to the most accepted

quantiles = st.sampled_from(QUANTILES)
confidences = st.floats(0.5, 0.999999)
sizes = st.integers(1, 300) | st.integers(1, 20_000)
samples = st.lists(st.integers(0, 10**12), min_size=1, max_size=200)


def risk_below(low: int | None, n: int, q: float) -> float:
    """The chance that the low bound lies above the quantile."""
    return 0.0 if low is None else float(binom.cdf(low - 1, n, q))


def risk_above(high: int | None, n: int, q: float) -> float:
    """The chance that the high bound lies below the quantile."""
    return 0.0 if high is None else float(binom.sf(high - 1, n, q))


# --- ranks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "low", "high"),
    # Campbell and Gardner, BMJ 296 (1988) 1454: 95 % intervals of a median.
    [
        (6, 1, 6), (7, 1, 7), (8, 1, 8), (9, 2, 8), (10, 2, 9), (11, 2, 10), (12, 3, 10),
        (13, 3, 11), (14, 3, 12), (15, 4, 12), (16, 4, 13), (17, 5, 13), (18, 5, 14), (19, 5, 15),
        (20, 6, 15), (21, 6, 16), (22, 6, 17), (23, 7, 17), (24, 7, 18), (25, 8, 18), (26, 8, 19),
        (27, 8, 20), (28, 9, 20), (29, 9, 21), (30, 10, 21),
    ],
)  # fmt: skip
def test_ranks_of_a_median_are_those_of_the_published_table(n: int, low: int, high: int) -> None:
    assert quantile_ranks(n, 0.5, 0.95) == (low, high)


@patient
@given(n=sizes, q=quantiles, confidence=confidences)
def test_ranks_are_the_narrowest_that_keep_each_side_to_half_the_risk(
    n: int, q: float, confidence: float
) -> None:
    low, high = quantile_ranks(n, q, confidence)
    half = (1.0 - confidence) / 2.0
    rounding = 1e-6
    assert risk_below(low, n, q) <= half * (1 + rounding)
    assert risk_above(high, n, q) <= half * (1 + rounding)
    assert risk_below((low or 0) + 1, n, q) > half * (1 - rounding)
    assert risk_above((high or n + 1) - 1, n, q) > half * (1 - rounding)


@pytest.mark.parametrize("q", QUANTILES)
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_no_number_of_samples_exceeds_the_risk(q: float, confidence: float) -> None:
    half = (1.0 - confidence) / 2.0
    counts = [*range(1, 300, 7), *range(300, 20_001, 1397), 1999, 2000, 2001]
    ranks = {n: quantile_ranks(n, q, confidence) for n in counts}
    assert max(risk_below(low, n, q) for n, (low, _) in ranks.items()) <= half * (1 + 1e-6)
    assert max(risk_above(high, n, q) for n, (_, high) in ranks.items()) <= half * (1 + 1e-6)
    enough = samples_needed(q, confidence)
    assert all((None not in found) == (n >= enough) for n, found in ranks.items())


@patient
@given(n=sizes, q=quantiles, one=confidences, other=confidences)
def test_more_confidence_never_narrows_an_interval(
    n: int, q: float, one: float, other: float
) -> None:
    low, high = quantile_ranks(n, q, min(one, other))
    wide_low, wide_high = quantile_ranks(n, q, max(one, other))
    assert (wide_low or 0) <= (low or 0)
    assert (wide_high or math.inf) >= (high or math.inf)


@patient
@given(n=sizes, q=quantiles, confidence=confidences)
def test_more_samples_move_each_rank_up_by_one_at_most(n: int, q: float, confidence: float) -> None:
    low, high = quantile_ranks(n, q, confidence)
    next_low, next_high = quantile_ranks(n + 1, q, confidence)
    assert (low or 0) <= (next_low or 0) <= (low or 0) + 1
    if high is not None:
        assert next_high is not None
        assert high <= next_high <= high + 1


@patient
@given(n=sizes, confidence=confidences)
def test_bounds_of_a_median_are_mirror_images(n: int, confidence: float) -> None:
    low, high = quantile_ranks(n, 0.5, confidence)
    if low is None or high is None:
        assert low is high is None
    else:
        assert low - 1 == n - high


# --- how many samples it takes -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "confidence", "n"),
    # Wilks, Annals of Mathematical Statistics 12 (1941) 91: one side at 95 % and 99 %.
    [(0.95, 0.90, 59), (0.99, 0.90, 299), (0.95, 0.98, 90), (0.99, 0.98, 459)],
)
def test_samples_needed_are_those_of_wilks(q: float, confidence: float, n: int) -> None:
    assert samples_needed(q, confidence) == n


@pytest.mark.parametrize("q", QUANTILES)
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_samples_needed_is_the_exact_border(q: float, confidence: float) -> None:
    needed = samples_needed(q, confidence)
    assert None not in quantile_ranks(needed, q, confidence)
    assert None in quantile_ranks(needed - 1, q, confidence)


@patient
@given(q=quantiles, confidence=confidences)
def test_samples_needed_is_the_border_at_any_confidence(q: float, confidence: float) -> None:
    needed = samples_needed(q, confidence)
    assert max(q, 1 - q) ** needed <= (1 - confidence) / 2 * (1 + 1e-9)
    assert max(q, 1 - q) ** (needed - 1) > (1 - confidence) / 2 * (1 - 1e-9)


@patient
@given(ordered=samples.map(sorted), confidence=confidences)
def test_a_median_has_an_interval_from_the_needed_samples_on(
    ordered: list[int], confidence: float
) -> None:
    needed = samples_needed(0.5, confidence)
    assume(abs(0.5**needed / ((1 - confidence) / 2) - 1) > 1e-6)  # the border has its own test
    assert (median_interval(ordered, confidence) is not None) == (len(ordered) >= needed)


# --- quantiles and bounds of samples -----------------------------------------------------------


@patient
@given(ordered=samples.map(sorted), q=st.floats(0, 1))
def test_quantile_is_numpys(ordered: list[int], q: float) -> None:
    assert quantile(ordered, q) == pytest.approx(float(np.quantile(ordered, q)), rel=1e-12)


@patient
@given(ordered=samples.map(sorted), q=quantiles, confidence=st.floats(0.99, 0.999999))
def test_bounds_are_samples_around_the_quantile(
    ordered: list[int], q: float, confidence: float
) -> None:
    low, high = quantile_bounds(ordered, q, confidence)
    assert low <= quantile(ordered, q) <= high
    assert math.isinf(low) or low in ordered
    assert math.isinf(high) or high in ordered


@patient
@given(ordered=samples.map(sorted), q=quantiles, confidence=confidences, factor=st.integers(1, 99))
def test_bounds_do_not_depend_on_the_scale(
    ordered: list[int], q: float, confidence: float, factor: int
) -> None:
    low, high = quantile_bounds(ordered, q, confidence)
    scaled = [value * factor for value in ordered]
    assert quantile_bounds(scaled, q, confidence) == (low * factor, high * factor)


@patient
@given(given_samples=samples, seed=st.randoms(use_true_random=False))
def test_a_median_interval_does_not_depend_on_the_order(
    given_samples: list[int], seed: random.Random
) -> None:
    shuffled = list(given_samples)
    seed.shuffle(shuffled)
    assert median_interval(shuffled, 0.95) == median_interval(given_samples, 0.95)


def test_samples_are_left_in_the_order_they_came() -> None:
    came = [3.0, 1.0, 2.0, 5.0, 4.0, 6.0]
    assert median_interval(came, 0.95) == (1.0, 6.0)
    assert came == [3.0, 1.0, 2.0, 5.0, 4.0, 6.0]


def test_too_few_samples_leave_a_side_open() -> None:
    few = [float(value) for value in range(1, 101)]
    low, high = quantile_bounds(few, 0.99, 0.99)
    assert 90 <= low <= 100
    assert high == math.inf
    assert median_interval([1.0, 2.0, 3.0], 0.99) is None
    assert median_interval([], 0.99) is None


# --- coverage ----------------------------------------------------------------------------------

REPEATS = 4000
Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """A distribution of latencies: how it is drawn, and where its quantiles are."""

    name: str
    draw: Callable[[np.random.Generator, tuple[int, int]], Draws]
    quantile: Callable[[float], float]


def _slow_one_in_ten(rng: np.random.Generator, shape: tuple[int, int]) -> Draws:
    return rng.normal(10.0, 0.1, shape) * np.where(rng.random(shape) < 0.1, 2.0, 1.0)


def _slow_one_in_ten_quantile(q: float) -> float:
    def excess(x: float) -> float:
        return float(0.9 * norm.cdf(x, 10.0, 0.1) + 0.1 * norm.cdf(x, 20.0, 0.2) - q)

    return float(optimize.brentq(excess, 5.0, 25.0))


NOISES = (
    Noise(
        "lognormal",
        lambda rng, shape: rng.lognormal(0.0, 1.0, shape),
        lambda q: float(lognorm.ppf(q, 1.0)),
    ),
    Noise("bimodal", _slow_one_in_ten, _slow_one_in_ten_quantile),
    Noise(  # a clock that tells only a handful of values apart
        "tied",
        lambda rng, shape: np.floor(rng.exponential(2.0, shape)),
        lambda q: float(math.ceil(-2.0 * math.log1p(-q)) - 1),
    ),
)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
@pytest.mark.parametrize("confidence", [0.9, 0.99])
@pytest.mark.parametrize(("q", "count"), [(0.5, 21), (0.5, 60), (0.95, 120), (0.95, 2100)])
def test_intervals_cover_the_quantile_as_often_as_they_say(
    noise: Noise, confidence: float, q: float, count: int
) -> None:
    rng = np.random.default_rng(20_240_601)
    repeats = REPEATS if count < 1000 else REPEATS // 4
    drawn = np.sort(noise.draw(rng, (repeats, count)), axis=1)
    true = noise.quantile(q)
    bounds = [quantile_bounds(row.tolist(), q, confidence) for row in drawn]
    missed_above = sum(low > true for low, _ in bounds) / repeats
    missed_below = sum(high < true for _, high in bounds) / repeats
    half = (1.0 - confidence) / 2.0
    margin = 3.5 * math.sqrt(half * (1.0 - half) / repeats)  # of the simulation
    assert missed_above <= half + margin
    assert missed_below <= half + margin
    if q == 0.5:
        intervals = [median_interval(row.tolist(), confidence) for row in drawn]
        assert intervals == bounds
