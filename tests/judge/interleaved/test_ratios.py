"""Ratios of blocks and of pairs of processes: SciPy as oracle, and error rates by simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist, median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_hiddencost.core.intervals import median_interval
from pytest_hiddencost.core.records import Profile, ProfilerCost
from pytest_hiddencost.judge.interleaved.comparison import PAIR_LOOKS
from pytest_hiddencost.judge.interleaved.ratios import (
    FEWEST,
    PAIR_SPREAD,
    PRIOR_FREEDOM,
    WITHIN,
    Estimate,
    WindowTime,
    from_blocks,
    growth_of,
    of_windows,
    shares_changed,
    sure_enough,
)
from tests.judge.launches import launch
from tests.profiles import patient

SPREAD = PAIR_SPREAD["p50"]
MOST = PAIR_LOOKS[-1].size
SESSIONS = [1_000, pytest.param(20_000, marks=pytest.mark.nightly)]
changes = st.floats(-1.0, 1.0)
errors = st.floats(0.0, 0.3)
estimates = st.builds(Estimate, changes, errors)


# --- blocks -------------------------------------------------------------------------------------


@patient
@given(st.lists(st.floats(-2.0, 2.0), min_size=FEWEST, max_size=60))
def test_an_estimate_is_the_median_of_blocks_with_its_rank_interval(ratios: list[float]) -> None:
    found = from_blocks(ratios)
    bounds = median_interval(ratios, WITHIN)
    assert bounds is not None
    assert found.change == median(ratios)
    reach = found.error * NormalDist().inv_cdf(0.5 + WITHIN / 2.0)
    assert 2.0 * reach == pytest.approx(bounds[1] - bounds[0])


def test_too_few_blocks_for_an_interval_are_refused() -> None:
    assert from_blocks([0.1] * FEWEST) == Estimate(0.1, 0.0)
    few = FEWEST - 1
    with pytest.raises(ValueError, match=f"^{few} blocks are too few for an interval$"):
        from_blocks([0.1] * few)


@pytest.mark.parametrize("count", [FEWEST, 16])
def test_the_error_of_a_few_blocks_is_not_too_small(count: int) -> None:
    random = np.random.default_rng(3)
    found = [from_blocks(list(random.normal(0.0, 0.02, count))) for _ in range(4000)]
    true = math.sqrt(float(np.mean([estimate.change**2 for estimate in found])))
    claimed = math.sqrt(float(np.mean([estimate.error**2 for estimate in found])))
    assert 1.0 <= claimed / true <= 1.7


def test_the_error_of_many_blocks_is_that_of_a_median() -> None:
    random = np.random.default_rng(1)
    found = [from_blocks(list(random.normal(0.0, 0.02, 400))).error for _ in range(200)]
    assert float(np.mean(found)) == pytest.approx(0.02 * math.sqrt(math.pi / 2 / 400), rel=0.05)


@pytest.mark.parametrize("before_s", [1.0, 4.0])
@pytest.mark.parametrize("scatter", [0.05, 0.1])
def test_blocks_are_taken_while_they_are_worth_more_than_another_pair(
    scatter: float, before_s: float
) -> None:
    random = np.random.default_rng(5)
    block_s = 0.02

    def blocks_taken() -> int:
        blocks = list(random.normal(0.0, scatter, 1000))
        return next(
            count
            for count in range(FEWEST, len(blocks))
            if sure_enough("p50", blocks[:count], int(1e9 * count * block_s), int(1e9 * before_s))
        )

    def variance(count: float) -> float:
        """Of the mean over as many pairs as fit into a second."""
        within = scatter**2 * math.pi / 2 / count
        return (SPREAD**2 + within) * (before_s + count * block_s)

    best = min(variance(count) for count in range(FEWEST, 1000))
    chosen = float(np.median([blocks_taken() for _ in range(20)]))
    assert variance(chosen) <= 1.05 * best


def test_blocks_that_agree_as_well_as_pairs_do_are_enough_at_once() -> None:
    assert sure_enough("p50", [0.001, 0.002] * FEWEST, 1, 10**12)
    assert not sure_enough("p50", [-0.1, 0.1] * FEWEST, 1, 10**12)


# --- pairs --------------------------------------------------------------------------------------


@patient
@given(
    st.lists(estimates, min_size=1, max_size=8),
    st.floats(0.0, 1.0),
    st.floats(0.6, 0.999),
)
def test_growth_is_that_of_students_t_with_a_moderated_spread(
    pairs: list[Estimate], tolerance: float, confidence: float
) -> None:
    found = growth_of(pairs, SPREAD, tolerance, confidence)
    values = np.array([pair.change for pair in pairs])
    variances = SPREAD**2 + np.array([pair.error for pair in pairs]) ** 2
    mean = float(np.average(values, weights=1 / variances))
    freedom = PRIOR_FREEDOM + len(pairs) - 1
    inflation = (PRIOR_FREEDOM + float(np.sum((values - mean) ** 2 / variances))) / freedom
    oracle = stats.t(freedom, loc=mean, scale=math.sqrt(inflation / np.sum(1 / variances)))
    assert found.share == pytest.approx(math.expm1(mean), abs=1e-12)
    assert found.low == pytest.approx(math.expm1(oracle.ppf(1 - confidence)), rel=1e-6, abs=1e-9)
    assert found.high == pytest.approx(math.expm1(oracle.ppf(confidence)), rel=1e-6, abs=1e-9)
    risk = float(oracle.cdf(math.log1p(tolerance)))
    assert found.risk == pytest.approx(risk, rel=1e-6, abs=1e-12)


@patient
@given(st.lists(estimates, min_size=1, max_size=8), st.floats(0.0, 1.0))
def test_the_lower_bound_is_beyond_the_tolerance_where_the_risk_is_significant(
    pairs: list[Estimate], tolerance: float
) -> None:
    found = growth_of(pairs, SPREAD, tolerance, 0.99)
    assert found.low <= found.share <= found.high
    if not math.isclose(found.low, tolerance, abs_tol=1e-9):
        assert (found.low > tolerance) == (found.risk < 0.01)


@patient
@given(st.lists(changes, min_size=1, max_size=8), errors, st.floats(0.0, 0.5))
def test_less_certain_pairs_give_wider_bounds(
    found: list[float], error: float, more: float
) -> None:
    known = growth_of([Estimate(c, error) for c in found], SPREAD, 0.05, 0.99)
    vague = growth_of([Estimate(c, error + more) for c in found], SPREAD, 0.05, 0.99)
    assert vague.low <= known.low + 1e-12
    assert vague.high >= known.high - 1e-12


@patient
@given(st.lists(estimates, min_size=2, max_size=8))
def test_the_order_of_the_pairs_does_not_matter(pairs: list[Estimate]) -> None:
    one, other = growth_of(pairs, SPREAD, 0.05, 0.99), growth_of(pairs[::-1], SPREAD, 0.05, 0.99)
    assert one.share == pytest.approx(other.share, abs=1e-12)
    assert one.risk == pytest.approx(other.risk, rel=1e-6, abs=1e-12)


def test_a_less_certain_pair_weighs_less() -> None:
    sure, vague = Estimate(0.02, 0.0), Estimate(0.10, 0.15)
    found = growth_of([sure, sure, vague], SPREAD, 0.05, 0.99)
    assert found.share == pytest.approx(0.02, abs=0.002)
    assert found.high < growth_of([sure, vague], SPREAD, 0.05, 0.99).high


@pytest.mark.parametrize("sessions", SESSIONS)
@pytest.mark.parametrize("spread", [SPREAD, 2 * SPREAD])
def test_pairs_measured_while_the_machine_is_noisy_raise_no_more_alarms(
    spread: float, sessions: int
) -> None:
    random = np.random.default_rng(11)
    alarms = 0
    for _ in range(sessions):
        noisy = random.random(MOST) < 0.4
        pairs = [sampled(random, 1, 0.0, spread, 0.05 if loud else 0.003)[0] for loud in noisy]
        alarms += alarm(pairs, 0.02, 0.99)
    assert alarms / sessions <= 0.01


def test_one_pair_alone_has_the_spread_that_pairs_have_shown() -> None:
    found = growth_of([Estimate(0.0, 0.0)], SPREAD, 0.05, 0.99)
    reach = float(stats.t.isf(0.01, PRIOR_FREEDOM)) * SPREAD
    assert found.high == pytest.approx(math.expm1(reach))
    assert found.low == pytest.approx(math.expm1(-reach))


def test_pairs_that_agree_by_luck_keep_a_spread() -> None:
    assert growth_of([Estimate(0.004, 0.0)] * 8, SPREAD, 0.0, 0.99).low < 0.0


def test_a_ratio_without_bounds_is_still_a_number() -> None:
    found = growth_of([Estimate(0.0, 1e6)], SPREAD, 0.05, 0.99)
    assert math.isfinite(found.high)
    assert found.low == -1.0


def sampled(
    random: np.random.Generator, count: int, change: float, spread: float, error: float
) -> list[Estimate]:
    """So many pairs, with an error of each pair's processes and one of its blocks."""
    off = random.normal(0.0, spread, count) + random.normal(0.0, error, count)
    return [Estimate(change + float(value), error) for value in off]


@pytest.mark.parametrize("trials", [2_000, pytest.param(20_000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("count", [1, PAIR_LOOKS[0].size, MOST])
@pytest.mark.parametrize("error", [0.0, 0.02])
def test_bounds_cover_the_truth_as_often_as_promised(count: int, error: float, trials: int) -> None:
    random = np.random.default_rng(count)
    confidence, truth = 0.95, 0.03
    below = above = 0
    for _ in range(trials):
        pairs = sampled(random, count, truth, SPREAD, error)
        found = growth_of(pairs, SPREAD, 0.05, confidence)
        below += found.low <= math.expm1(truth)
        above += found.high >= math.expm1(truth)
    slack = 3.0 * math.sqrt(confidence * (1.0 - confidence) / trials)
    assert confidence - slack <= below / trials <= 0.99, "each bound, and not by being useless"
    assert confidence - slack <= above / trials <= 0.99


def alarm(pairs: Sequence[Estimate], tolerance: float, confidence: float) -> bool:
    """Whether head fails as the only check, at any look at the pairs."""
    return any(
        growth_of(pairs[: look.size], SPREAD, tolerance, confidence).risk
        <= (1.0 - confidence) * look.risk_share
        for look in PAIR_LOOKS
    )


@pytest.mark.parametrize("sessions", SESSIONS)
@pytest.mark.parametrize("tolerance", [0.05, 0.02])
@pytest.mark.parametrize("spread", [SPREAD, 2 * SPREAD])
def test_unchanged_code_raises_no_more_alarms_than_promised(
    tolerance: float, spread: float, sessions: int
) -> None:
    random = np.random.default_rng(5)
    confidence = 0.99
    alarms = sum(
        alarm(sampled(random, MOST, 0.0, spread, 0.003), tolerance, confidence)
        for _ in range(sessions)
    )
    assert alarms / sessions <= 1.0 - confidence


@pytest.mark.parametrize("sessions", SESSIONS)
@pytest.mark.parametrize("tolerance", [0.05, 0.02])
def test_a_growth_that_is_just_tolerated_raises_no_more_alarms_than_promised(
    tolerance: float, sessions: int
) -> None:
    random = np.random.default_rng(6)
    confidence, change = 0.95, math.log1p(tolerance)
    alarms = sum(
        alarm(sampled(random, MOST, change, SPREAD, 0.003), tolerance, confidence)
        for _ in range(sessions)
    )
    slack = 3.0 * math.sqrt(confidence * (1.0 - confidence) / sessions)
    assert alarms / sessions <= 1.0 - confidence + slack


def test_twice_the_tolerance_fails_by_the_last_look() -> None:
    random = np.random.default_rng(7)
    noticed = sum(
        alarm(sampled(random, MOST, math.log1p(0.1), SPREAD, 0.003), 0.05, 0.99) for _ in range(200)
    )
    assert noticed / 200 >= 0.95


# --- non-MAC time ------------------------------------------------------------------------------


def profiled(event_ns: float, events: int) -> Profile:
    return replace(launch(), profiler=ProfilerCost(event_ns, events, 0.1, 0.0))


SURE = Estimate(0.0, 0.0)  # p50 did not change, and is known
nanoseconds = st.integers(1, 10**9)
window_times = st.tuples(nanoseconds, nanoseconds).map(lambda found: WindowTime(*sorted(found)))


def windows_of(
    *pairs: tuple[tuple[int, int], tuple[int, int]],
) -> list[tuple[WindowTime, WindowTime]]:
    """Windows of head and base, each by its non-MAC time and all of it, in ns."""
    return [(WindowTime(*head), WindowTime(*base)) for head, base in pairs]


def test_non_mac_time_is_its_share_of_windows_times_p50() -> None:
    windows = windows_of(((30, 100), (20, 100)), ((66, 200), (10, 50)), ((9, 30), (40, 100))) * 4
    p50 = Estimate(0.05, 0.003)
    found = of_windows(windows, p50, profiled(0.0, 9), profiled(0.0, 9))
    share = from_blocks([math.log(1.5), math.log(1.65), math.log(0.75)] * 4)
    assert found is not None
    assert found.change == pytest.approx(0.05 + share.change)
    assert found.error == pytest.approx(math.hypot(0.003, share.error))


def test_a_window_taken_while_the_machine_is_slow_changes_nothing() -> None:
    calm = windows_of(((30, 100), (20, 100))) * 8
    uneven = windows_of(((30, 100), (20, 100)), ((90, 300), (20, 100)), ((30, 100), (14, 70))) * 3
    side = profiled(0.0, 9)
    assert of_windows(uneven, SURE, side, side) == of_windows(calm, SURE, side, side)


def test_head_and_base_have_one_cost_per_event() -> None:
    """Costs are fitted to each side alone: their difference is noise."""
    windows = windows_of(((3_000, 5_000), (2_000, 4_000))) * 8
    found = of_windows(windows, SURE, profiled(12.0, 100), profiled(8.0, 50))
    assert found is not None
    assert found.change == pytest.approx(math.log((2_000 / 4_000) / (1_500 / 3_500)))


@pytest.mark.parametrize("windows", [[(0, 10)] * 8, [(10, 0)] * 8, [(50, 50)] * 7 + [(9, 50)]])
def test_windows_without_time_beside_the_overhead_give_no_estimate(
    windows: list[tuple[int, int]],
) -> None:
    whole = windows_of(*(((head, 60), (base, 60)) for head, base in windows))
    assert of_windows(whole, SURE, profiled(1.0, 10), profiled(1.0, 10)) is None


@patient
@given(st.lists(st.tuples(window_times, window_times), min_size=8, max_size=20), estimates)
def test_swapped_sides_have_the_inverse_ratio(
    windows: list[tuple[WindowTime, WindowTime]], p50: Estimate
) -> None:
    side = profiled(0.0, 1)
    one = of_windows(windows, p50, side, side)
    other = of_windows(
        [(of_base, of_head) for of_head, of_base in windows],
        Estimate(-p50.change, p50.error),
        side,
        side,
    )
    assert one is not None
    assert other is not None
    assert one.change == pytest.approx(-other.change, abs=1e-9)
    assert one.error == pytest.approx(other.error)


@patient
@given(st.tuples(window_times, window_times), st.floats(0.0, 1e10), st.floats(0.0, 1e10))
def test_any_cost_of_the_profiler_leaves_a_finite_share(
    window: tuple[WindowTime, WindowTime], head_ns: float, base_ns: float
) -> None:
    (found,) = shares_changed([window], head_ns, base_ns)
    assert math.isfinite(found)
