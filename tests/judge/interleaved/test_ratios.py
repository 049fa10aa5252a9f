"""The share of non-MAC time in windows, and the growth that pairs of processes show."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.records import Profile, ProfilerCost
from pytest_hiddencost.judge import signed_rank
from pytest_hiddencost.judge.interleaved.ratios import WindowTime, growth_of, non_mac_change
from tests.judge.launches import launch
from tests.profiles import patient

RISK = 0.004
FEWEST = signed_rank.fewest(RISK)
Windows = list[tuple[WindowTime, WindowTime]]
some_changes = st.lists(st.floats(-2.0, 2.0), min_size=FEWEST, max_size=20)


# --- from pairs to a growth --------------------------------------------------------------------


@patient
@given(some_changes, st.floats(0.0, 1.0))
def test_growth_is_the_signed_rank_estimate_of_the_ratios(
    changes: list[float], tolerance: float
) -> None:
    found = growth_of(changes, tolerance, RISK)
    assert found is not None
    low, high = signed_rank.bounds(changes, RISK)
    assert found.share == pytest.approx(math.expm1(signed_rank.center(changes)))
    assert (found.low, found.high) == pytest.approx((math.expm1(low), math.expm1(high)))
    assert found.low <= found.share <= found.high
    assert found.risk == signed_rank.risk_above(changes, math.log1p(tolerance))


@pytest.mark.parametrize("count", range(1, FEWEST))
def test_so_few_pairs_that_a_bound_would_be_infinite_show_no_growth(count: int) -> None:
    assert growth_of([0.5] * count, 0.05, RISK) is None
    assert growth_of([0.5] * FEWEST, 0.05, RISK) is not None


@patient
@given(some_changes)
def test_the_order_of_the_pairs_does_not_matter(changes: list[float]) -> None:
    assert growth_of(changes, 0.05, RISK) == growth_of(sorted(changes), 0.05, RISK)


def test_one_disturbed_pair_moves_no_bound_far() -> None:
    calm = [0.001 * number for number in range(-6, 7)]
    before, after = (growth_of(found, 0.05, RISK) for found in (calm, [*calm[:-1], 3.0]))
    assert before is not None
    assert after is not None
    assert after.share == pytest.approx(before.share, abs=0.001)
    assert after.low == pytest.approx(before.low, abs=0.001)


def test_a_ratio_beyond_every_number_is_still_a_number() -> None:
    found = growth_of([5_000.0] * FEWEST, 0.05, RISK)
    assert found is not None
    assert math.isfinite(found.share)
    assert math.isfinite(found.high)
    none = growth_of([-5_000.0] * FEWEST, 0.05, RISK)
    assert none is not None
    assert none.share == none.low == none.high == -1.0


# --- non-MAC time ------------------------------------------------------------------------------


def profiled(event_ns: float, events: int) -> Profile:
    return replace(launch(), profiler=ProfilerCost(event_ns, events, 0.1, 0.0))


FREE = profiled(0.0, 9)
nanoseconds = st.integers(1, 10**9)
window_times = st.tuples(nanoseconds, nanoseconds).map(lambda found: WindowTime(*sorted(found)))
some_windows = st.lists(st.tuples(window_times, window_times), min_size=1, max_size=20)


def windows_of(*pairs: tuple[tuple[int, int], tuple[int, int]]) -> Windows:
    """Windows of head and base, each by its non-MAC time and all of it, in ns."""
    return [(WindowTime(*head), WindowTime(*base)) for head, base in pairs]


def test_non_mac_time_is_its_share_of_windows_times_p50() -> None:
    windows = windows_of(((30, 100), (20, 100)), ((33, 100), (22, 100)), ((27, 100), (16, 100)))
    found = non_mac_change(windows, 0.05, FREE, FREE)
    assert found == pytest.approx(0.05 + math.log(median([0.30, 0.33]) / median([0.20, 0.22])))


def test_a_window_taken_while_the_machine_is_slow_changes_nothing() -> None:
    """A slow machine leaves the share; its own window has no share of its own to add."""
    calm = windows_of(((30, 100), (20, 100))) * 8
    slow = windows_of(((90, 300), (20, 100)), ((30, 100), (14, 70))) * 3
    assert non_mac_change([*calm[:2], *slow], 0.0, FREE, FREE) == pytest.approx(
        non_mac_change(calm, 0.0, FREE, FREE)
    )


@pytest.mark.parametrize("disturbed", range(1, 5))
def test_disturbed_windows_change_nothing_while_they_are_the_slower_half(disturbed: int) -> None:
    """Another process interrupts one operator: it takes longer, and so does the window."""
    calm, cut = WindowTime(30, 100), WindowTime(9_030, 9_100)
    one = [calm] * (8 - disturbed) + [cut] * disturbed
    base = [WindowTime(20, 100)] * 8
    found = non_mac_change(list(zip(one, base, strict=True)), 0.0, FREE, FREE)
    assert found == pytest.approx(math.log(1.5))
    found = non_mac_change(list(zip(base, one, strict=True)), 0.0, FREE, FREE)
    assert found == pytest.approx(-math.log(1.5))
    found = non_mac_change(list(zip(one, one[::-1], strict=True)), 0.0, FREE, FREE)
    assert found == pytest.approx(0.0)


def test_head_and_base_have_one_cost_per_event() -> None:
    """Costs are fitted to each side alone: their difference is noise."""
    windows = windows_of(((3_000, 5_000), (2_000, 4_000))) * 8
    found = non_mac_change(windows, 0.0, profiled(12.0, 100), profiled(8.0, 50))
    assert found == pytest.approx(math.log((2_000 / 4_000) / (1_500 / 3_500)))


@pytest.mark.parametrize("windows", [[(0, 10)] * 8, [(10, 0)] * 8, [(50, 50)] * 7 + [(9, 50)]])
def test_windows_without_time_beside_the_overhead_give_no_ratio(
    windows: list[tuple[int, int]],
) -> None:
    whole = windows_of(*(((head, 60), (base, 60)) for head, base in windows))
    assert non_mac_change(whole, 0.0, profiled(1.0, 10), profiled(1.0, 10)) is None


@patient
@given(some_windows, st.floats(-1.0, 1.0))
def test_swapped_sides_have_the_inverse_ratio(windows: Windows, p50: float) -> None:
    one = non_mac_change(windows, p50, FREE, FREE)
    swapped = [(of_base, of_head) for of_head, of_base in windows]
    other = non_mac_change(swapped, -p50, FREE, FREE)
    assert one is not None
    assert other is not None
    assert one == pytest.approx(-other, abs=1e-9)


@patient
@given(some_windows, st.floats(0.0, 1e10), st.floats(0.0, 1e10))
def test_any_cost_of_the_profiler_leaves_a_finite_ratio_or_none(
    windows: Windows, head_ns: float, base_ns: float
) -> None:
    found = non_mac_change(windows, 0.0, profiled(head_ns, 1), profiled(base_ns, 1))
    assert found is None or math.isfinite(found)
