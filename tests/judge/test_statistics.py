"""Growth between launches: SciPy as oracle, published values, and error rates by simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pytest_hiddencost.judge.statistics import (
    LEAST_SPREAD,
    can_reject,
    growth,
    rejected,
    smallest_growth,
    spread_of,
)
from tests.profiles import patient

times = st.lists(st.floats(1e2, 1e4), min_size=2, max_size=12)


def launches(values: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in np.exp(values)]


def wide(values: Sequence[float]) -> bool:
    return float(np.std(np.log(values), ddof=1)) > LEAST_SPREAD


@patient
@given(times.filter(wide), times.filter(wide), st.floats(0.0, 1.0))
def test_the_risk_is_that_of_students_test_on_logarithms(
    recorded: list[float], now: list[float], tolerance: float
) -> None:
    found = growth(recorded, now, tolerance, 0.99)
    shifted = np.log(now) - math.log1p(tolerance)
    oracle = stats.ttest_ind(shifted, np.log(recorded), alternative="greater")
    assert found.risk == pytest.approx(float(oracle.pvalue), rel=1e-6, abs=1e-12)


@patient
@given(times.filter(wide), times.filter(wide), st.floats(0.6, 0.999))
def test_bounds_are_one_sided_confidence_limits(
    recorded: list[float], now: list[float], confidence: float
) -> None:
    found = growth(recorded, now, 0.05, confidence)
    interval = stats.ttest_ind(np.log(now), np.log(recorded)).confidence_interval(
        2 * confidence - 1
    )
    assert found.low == pytest.approx(math.expm1(interval.low), rel=1e-6, abs=1e-9)
    high = math.expm1(min(float(interval.high), 700.0))
    assert found.high == pytest.approx(high, rel=1e-6, abs=1e-9)


def test_montgomerys_catalysts() -> None:
    # Montgomery and Runger, example 10-5: yields of two catalysts, pooled sp = 2.70, t0 = -0.35.
    first = [91.50, 94.18, 92.18, 95.39, 91.79, 89.07, 94.72, 89.21]
    second = [89.19, 90.95, 90.46, 93.21, 97.19, 97.04, 91.07, 92.75]
    found = growth([math.exp(v) for v in second], [math.exp(v) for v in first], 0.0, 0.975)
    assert spread_of([math.exp(v) for v in second], [math.exp(v) for v in first]) == pytest.approx(
        2.70, abs=0.005
    )
    assert found.risk == pytest.approx(float(stats.t.sf(-0.35, 14)), abs=0.005)


def test_one_launch_of_now_takes_its_spread_from_the_recording() -> None:
    recorded = [100.0, 102.0, 98.0]
    found = growth(recorded, [110.0], 0.0, 0.99)
    logs = np.log(recorded)
    error = float(np.std(logs, ddof=1)) * math.sqrt(1 / 3 + 1)
    statistic = (math.log(110.0) - float(np.mean(logs))) / error
    assert found.risk == pytest.approx(float(stats.t.sf(statistic, 2)))


def test_launches_that_agree_by_luck_have_the_least_spread() -> None:
    assert spread_of([100.0, 100.0, 100.0]) == LEAST_SPREAD
    assert growth([100.0] * 3, [100.1], 0.0, 0.99).low < 0.0


@pytest.mark.parametrize(("recorded", "now"), [([1.0], [2.0]), ([], [1.0]), ([1.0], [])])
def test_no_spread_without_two_launches_on_a_side(recorded: list[float], now: list[float]) -> None:
    with pytest.raises(ValueError, match="no spread"):
        spread_of(recorded, now)


@patient
@given(times, times, st.floats(1e-3, 1e3))
def test_the_unit_of_time_does_not_matter(
    recorded: list[float], now: list[float], factor: float
) -> None:
    one = growth(recorded, now, 0.05, 0.99)
    other = growth([v * factor for v in recorded], [v * factor for v in now], 0.05, 0.99)
    assert other.share == pytest.approx(one.share, rel=1e-6, abs=1e-9)
    assert other.risk == pytest.approx(one.risk, rel=1e-4, abs=1e-9)


@patient
@given(times, times, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_with_more_tolerance_a_regression_is_less_significant(
    recorded: list[float], now: list[float], one: float, other: float
) -> None:
    less, more = sorted([one, other])
    assert growth(recorded, now, less, 0.99).risk <= growth(recorded, now, more, 0.99).risk


def test_false_alarms_are_as_rare_as_promised() -> None:
    random = np.random.default_rng(1)
    alarms = 0
    for _ in range(4_000):
        values = launches(random.normal(0.0, 0.05, 6))
        alarms += growth(values[:3], values[3:], 0.0, 0.99).risk <= 0.01
    assert 15 <= alarms <= 65, "40 expected"


def test_intervals_cover_the_truth_as_often_as_promised() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(2_000):
        recorded = launches(random.normal(0.0, 0.03, 3))
        now = launches(math.log(1.2) + random.normal(0.0, 0.03, 4))
        found = growth(recorded, now, 0.05, 0.95)
        covered += found.low <= 0.2 <= found.high
    assert 0.88 <= covered / 2_000 <= 0.92, "two bounds of 95 % each"


@pytest.mark.parametrize(("recorded", "now", "spread"), [(3, 9, 0.02), (5, 3, 0.01), (3, 6, 0.04)])
def test_the_smallest_visible_growth_is_detected_nine_times_out_of_ten(
    recorded: int, now: int, spread: float
) -> None:
    random = np.random.default_rng(3)
    visible = smallest_growth(spread, recorded, now, 0.05, 0.001)
    seen = 0
    for _ in range(1_000):
        before = launches(random.normal(0.0, spread, recorded))
        after = launches(math.log1p(visible) + random.normal(0.0, spread, now))
        seen += growth(before, after, 0.05, 0.99).risk <= 0.001
    assert 0.87 <= seen / 1_000 <= 0.93


@pytest.mark.parametrize(("freedom", "risk"), [(4, 0.01), (10, 1e-3), (10, 1e-5), (30, 1e-4)])
def test_the_power_is_that_of_the_noncentral_t_distribution(freedom: int, risk: float) -> None:
    recorded, now = 2, freedom
    shift = math.log1p(smallest_growth(0.02, recorded, now, 0.0, risk))
    noncentrality = shift / (0.02 * math.sqrt(1 / recorded + 1 / now))
    limit = stats.t.isf(risk, freedom)
    assert float(stats.nct.sf(limit, freedom, noncentrality)) == pytest.approx(0.9, abs=0.002)


@settings(patient, max_examples=50)
@given(st.integers(2, 20), st.integers(1, 20), st.floats(0.001, 0.3), st.floats(1e-6, 0.1))
def test_more_launches_detect_smaller_growths(
    recorded: int, now: int, spread: float, risk: float
) -> None:
    visible = smallest_growth(spread, recorded, now, 0.05, risk)
    assert visible > 0.05
    assert smallest_growth(spread, recorded + 1, now, 0.05, risk) <= visible
    assert smallest_growth(spread, recorded, now + 1, 0.05, risk) <= visible


def test_holms_own_procedure() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 at 0.05: against 0.0125, 0.0167, 0.025, 0.05.
    risks = {"H1": 0.01, "H2": 0.04, "H3": 0.03, "H4": 0.005}
    assert rejected(risks, dict.fromkeys(risks, 0.25), 0.05) == {"H1", "H4"}


def test_a_larger_share_allows_a_larger_risk() -> None:
    # Against 0.6 x 0.05 = 0.03, then 0.1 x 0.05 / 0.4 = 0.0125, then 0.05.
    shares = {"p50": 0.6, "cat": 0.1, "copy": 0.3}
    assert rejected({"p50": 0.029, "cat": 0.012, "copy": 0.2}, shares, 0.05) == {"p50", "cat"}
    assert rejected({"p50": 0.031, "cat": 0.012, "copy": 0.2}, shares, 0.05) == frozenset()


def test_checks_without_a_risk_count_as_kept() -> None:
    assert rejected({"p50": 0.004}, {"p50": 0.5, "non_mac": 0.5}, 0.01) == {"p50"}
    assert rejected({"p50": 0.004}, {"p50": 0.3}, 0.01) == frozenset()


@patient
@given(st.dictionaries(st.text(max_size=3), st.floats(0.0, 1.0), max_size=8), st.integers(0, 5))
def test_a_hypothesis_that_is_rejected_among_more_is_rejected_among_fewer(
    risks: dict[str, float], others: int
) -> None:
    share = 1.0 / max(1, len(risks))
    alone = rejected(risks, dict.fromkeys(risks, share), 0.05)
    among_more = dict.fromkeys(risks, 1.0 / max(1, len(risks) + others))
    assert rejected(risks, among_more, 0.05) <= alone
    bonferroni = {name for name, risk in risks.items() if risk <= 0.05 * share}
    assert bonferroni <= alone


@pytest.mark.parametrize("sessions", [300, pytest.param(4_000, marks=pytest.mark.nightly)])
def test_the_family_wise_error_rate_is_at_most_nominal(sessions: int) -> None:
    random = np.random.default_rng(4)
    alarms = 0
    for _ in range(sessions):
        risks = {}
        for check in range(20):
            values = launches(random.normal(0.0, 0.03, 12))
            risks[str(check)] = growth(values[:3], values[3:], 0.0, 0.99).risk
        alarms += bool(rejected(risks, dict.fromkeys(risks, 0.05), 0.05))
    assert alarms / sessions <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / sessions)


def test_one_launch_can_reject_nothing() -> None:
    assert not can_reject(1, 9, 0.01)
    assert can_reject(3, 9, 0.01)


def test_two_launches_are_too_few_for_the_highest_confidence() -> None:
    assert can_reject(2, 9, 0.003)
    assert not can_reject(2, 1, 1e-6)
