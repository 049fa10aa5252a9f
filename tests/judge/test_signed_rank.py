"""The signed-rank test and its interval: published tables, SciPy, and what they promise."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.judge import signed_rank
from tests.profiles import patient

VALUES = st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20)
Draw = Callable[[random.Random], float]


# Wilcoxon and Wilcox 1964, Some Rapid Approximate Statistical Procedures, table 2: the largest rank
# sum that is significant, one-sided.
@pytest.mark.parametrize(
    ("count", "risk", "critical"),
    [
        (6, 0.025, 0), (7, 0.025, 2), (8, 0.025, 3), (8, 0.01, 1), (8, 0.005, 0), (10, 0.05, 10),
        (10, 0.025, 8), (10, 0.01, 5), (10, 0.005, 3), (12, 0.01, 9), (14, 0.01, 15),
        (16, 0.005, 19), (20, 0.05, 60), (20, 0.025, 52), (20, 0.01, 43), (20, 0.005, 37),
    ],
)  # fmt: skip
def test_critical_values_are_those_of_the_published_table(
    count: int, risk: float, critical: int
) -> None:
    tail = signed_rank._tail(count)
    assert tail[critical] <= risk < tail[critical + 1]


@patient
@given(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=20, unique=True), st.floats(-0.5, 0.5))
def test_the_p_value_is_scipys(values: list[float], limit: float) -> None:
    from scipy.stats import wilcoxon

    apart = [value - limit for value in values]
    sizes = sorted(map(abs, apart))
    gaps = [b - a for a, b in zip([0.0, *sizes], sizes, strict=False)]
    if min(gaps) < 1e-9:  # ties have no exact distribution
        return
    expected = wilcoxon(apart, alternative="greater", method="exact").pvalue
    assert signed_rank.risk_above(values, limit) == pytest.approx(expected)


@patient
@given(VALUES, st.sampled_from([0.05, 0.01, 0.004]))
def test_a_limit_below_the_lower_bound_is_rejected_and_none_within_is(
    values: list[float], risk: float
) -> None:
    low, high = signed_rank.bounds(values, risk)
    if math.isinf(low):
        assert len(values) < signed_rank.fewest(risk)
        return
    assert signed_rank.risk_above(values, low - 1e-6) <= risk
    assert signed_rank.risk_above(values, low + 1e-6) > risk
    assert low <= signed_rank.center(values) <= high


@patient
@given(VALUES, st.floats(-10.0, 10.0))
def test_bounds_move_with_the_values_and_turn_with_their_sign(
    values: list[float], shift: float
) -> None:
    low, high = signed_rank.bounds(values, 0.05)
    moved = signed_rank.bounds([value + shift for value in values], 0.05)
    assert moved == pytest.approx((low + shift, high + shift))
    assert signed_rank.bounds([-value for value in values], 0.05) == pytest.approx((-high, -low))


@pytest.mark.parametrize(("risk", "count"), [(0.5, 1), (0.05, 5), (0.01, 7), (0.004, 8)])
def test_the_fewest_values_are_those_that_can_reject(risk: float, count: int) -> None:
    assert signed_rank.fewest(risk) == count
    assert signed_rank.risk_above([1.0] * count, 0.0) <= risk
    assert signed_rank.risk_above([1.0] * (count - 1), 0.0) > risk
    assert math.isinf(signed_rank.bounds([1.0] * (count - 1), risk)[0])


DRAWS: dict[str, Draw] = {
    "normal": lambda r: r.gauss(0.0, 1.0),
    "outliers": lambda r: r.gauss(0.0, 20.0 if r.random() < 0.1 else 1.0),
    "two modes": lambda r: r.choice((-1.0, 1.0)) + r.gauss(0.0, 0.05),
    "one of two values": lambda r: r.choice((-1.0, 1.0)),
    "heavy tails": lambda r: math.tan(math.pi * (r.random() - 0.5)),
}


@pytest.mark.parametrize("trials", [2_000, pytest.param(50_000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("count", [8, 14, 20])
@pytest.mark.parametrize("name", DRAWS)
def test_bounds_hold_for_every_symmetric_distribution(name: str, count: int, trials: int) -> None:
    draw, risk = DRAWS[name], 0.01
    generator = random.Random(f"{name} {count}")
    above = below = 0
    for _ in range(trials):
        low, high = signed_rank.bounds([draw(generator) for _ in range(count)], risk)
        above += low > 0.0
        below += high < 0.0
    most = risk * trials + 4.0 * math.sqrt(risk * trials)
    assert above <= most
    assert below <= most
