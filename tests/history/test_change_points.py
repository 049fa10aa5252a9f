"""Change points of numbers: found where they are, and not where nothing changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_hiddencost.history import change_points
from pytest_hiddencost.history.change_points import (
    FEWEST,
    MOST_RUNS,
    ChangePoint,
    exact_changes,
    noisy_changes,
)
from tests.history.stored_runs import SCATTER
from tests.profiles import patient


def noise(count: int, seed: int = 0, scatter: float = 0.01) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scatter, count)


def levels(*parts: tuple[int, float], seed: int | None = None) -> list[float]:
    """Runs around each level in turn."""
    logs = np.concatenate([np.full(count, np.log(level)) for count, level in parts])
    scatter = np.resize(SCATTER, len(logs)) if seed is None else noise(len(logs), seed)
    return list(np.exp(logs + scatter))


def test_a_rise_is_found_where_it_is_with_its_size() -> None:
    [found] = noisy_changes(levels((30, 10.0), (12, 10.6)))
    assert found.index == 30
    assert found.growth == pytest.approx(0.06, abs=0.01)
    assert found.p is not None
    assert found.p < 1e-6
    assert (found.before, found.after) == (30, 12)


def test_several_changes_are_found_up_and_down() -> None:
    found = noisy_changes(levels((30, 10.0), (20, 11.0), (25, 9.0)))
    assert [change.index for change in found] == [30, 50]
    assert [change.growth > 0 for change in found] == [True, False]


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_found_where_nothing_changed(seed: int) -> None:
    assert noisy_changes(levels((120, 10.0), seed=seed)) == []


def test_a_change_below_the_smallest_is_none() -> None:
    values = levels((60, 10.0), (60, 10.15))
    assert noisy_changes(values) == []
    assert [change.index for change in noisy_changes(values, smallest=0.01)] == [
        pytest.approx(60, abs=3)
    ]


def test_single_slow_runs_are_no_change() -> None:
    values = levels((60, 10.0))
    for place in (7, 23, 24, 41, 58, 59):
        values[place] *= 1.5
    assert noisy_changes(values) == []


def test_a_change_shows_after_six_runs_and_not_before() -> None:
    values = levels((30, 10.0), (FEWEST, 11.0))
    assert [change.index for change in noisy_changes(values)] == [30]
    assert noisy_changes(values[:-1]) == []


@pytest.mark.parametrize("count", [0, 1, FEWEST, 2 * FEWEST - 1])
def test_a_short_series_has_none(count: int) -> None:
    assert noisy_changes([10.0 + 5 * (i > 4) for i in range(count)]) == []


def test_equal_values_have_no_change_and_a_step_between_them_has_one() -> None:
    assert noisy_changes([7.0] * 40) == []
    [found] = noisy_changes([7.0] * 20 + [8.0] * 20)
    assert found.index == 20
    assert found.p is not None
    assert found.p < 1e-100


def test_old_runs_are_not_looked_at_and_places_count_from_the_first_run() -> None:
    values = levels((50, 5.0), (MOST_RUNS - 20, 10.0), (20, 11.0))
    assert [change.index for change in noisy_changes(values)] == [MOST_RUNS + 30]


def test_correlated_runs_need_a_larger_change() -> None:
    random, logs = noise(200, 3, 0.02), np.zeros(200)
    for i in range(1, 200):
        logs[i] = 0.9 * logs[i - 1] + random[i]
    middle = change_points._inflation(logs[:100], logs[100:])
    assert middle > 5 > change_points._inflation(random[:100], random[100:])


@settings(patient, max_examples=30)
@given(st.lists(st.floats(-1, 1), min_size=FEWEST, max_size=40))
def test_trimmed_mean_and_winsorised_squares_are_those_of_scipy(values: list[float]) -> None:
    mean, squares, kept = change_points._trimmed(np.array(values))
    share = change_points.TRIMMED_SHARE
    assert mean == pytest.approx(stats.trim_mean(values, share))
    winsorised = np.asarray(stats.mstats.winsorize(np.array(values), (share, share)))
    assert squares == pytest.approx(winsorised.var() * len(values), abs=1e-9)
    assert kept == len(values) - 2 * int(share * len(values))


def cheapest(values: tuple[float, ...], penalty: float) -> float:
    """The least cost of segments: squares around their means, and a penalty for each."""

    @cache
    def cost(count: int) -> float:
        """The least cost of the first values."""
        if not count:
            return 0.0
        starts = [s for s in range(count - FEWEST + 1) if s == 0 or s >= FEWEST]
        return min((cost(s) + squares(values[s:count]) + penalty for s in starts), default=math.inf)

    return cost(len(values))


def squares(segment: Sequence[float] | np.ndarray) -> float:
    return float(np.var(segment)) * len(segment)


@settings(patient, max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=2 * FEWEST, max_size=40))
def test_no_other_segments_fit_the_ranks_better(values: list[int]) -> None:
    ranks = change_points._ranks(np.array(values))
    assert ranks * len(values) == pytest.approx(stats.rankdata(values))
    penalty = change_points.PENALTY * float(ranks.var()) * math.log(len(values))
    edges = [0, *change_points._split(ranks)]
    found = math.fsum(squares(ranks[start:end]) + penalty for start, end in pairwise(edges))
    assert found == pytest.approx(cheapest(tuple(ranks), penalty))
    assert all(end - start >= FEWEST for start, end in pairwise(edges))


def test_a_few_slow_runs_close_together_are_no_change() -> None:
    quiet, slow = levels((60, 10.0)), levels((5, 10.0))
    assert noisy_changes([*quiet, 11.5, *slow[1:5], 12.5]) == []
    assert noisy_changes([*quiet, 11.0, 10.2, 12.9, 10.4, 10.9, 10.1]) == []
    assert noisy_changes([*quiet, 12.5, 12.6, 12.4, 12.5, *slow]) == []


@settings(patient, max_examples=30)
@given(st.lists(st.floats(1e-3, 1e12), max_size=60))
def test_segments_are_long_enough_and_places_are_in_order(values: list[float]) -> None:
    found = noisy_changes(values)
    edges = [0, *(change.index for change in found), len(values)]
    assert edges == sorted(edges)
    assert all(change.before >= FEWEST and change.after >= FEWEST for change in found)
    assert all(abs(change.growth) > 0.019 for change in found)


def test_a_quantity_without_noise_changes_wherever_it_differs() -> None:
    assert exact_changes([2, 2, 3, 3, 3, 6]) == [
        ChangePoint(2, 0.5, None, 2, 3),
        ChangePoint(5, 1.0, None, 3, 1),
    ]
    assert exact_changes([]) == exact_changes([5]) == []
    assert exact_changes([0, 5])[0].growth == float("inf")
