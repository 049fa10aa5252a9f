"""The error rates of a comparison, by simulation, for many kinds of spread between pairs."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from pytest_hiddencost.core.checks import FAIL, PASS
from pytest_hiddencost.core.records import InterleavedComparison, Profile
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.interleaved.comparison import Pair, RevisionPlan, compare_pairs
from tests.judge.launches import launch

CONFIDENCE, TOLERANCE = 0.99, 0.05
RISK = 1.0 - CONFIDENCE
TRIALS = [160, pytest.param(3_000, marks=pytest.mark.nightly)]
NARROW = 0.015  # a spread at which twice the tolerance must show

Deviation = Callable[[random.Random, int], float]
SHAPES: dict[str, Deviation] = {
    "normal": lambda r, _: r.gauss(0.0, 1.0),
    "drifting": lambda r, number: r.gauss(0.0, 0.2 * (1 + number)),
    "outliers": lambda r, _: r.gauss(0.0, 20.0 if r.random() < 0.1 else 1.0),
    "two modes": lambda r, _: r.choice((-1.0, 1.0)) * (1.0 + 0.01 * r.random()),
}
"""The deviation of a pair of this number from the true growth, in units of the spread."""

shapes = pytest.mark.parametrize("shape", SHAPES)
spreads = pytest.mark.parametrize("spread", [0.002, 0.01, 0.05, 0.3])
trials_each = pytest.mark.parametrize("trials", TRIALS)


@cache
def bare() -> Profile:
    """A profile whose structure costs nothing to compare."""
    return replace(launch(), operators=(), mac_kinds=())


def compared(
    generator: random.Random, growth: float, spread: float, shape: str
) -> tuple[dict[str, str], InterleavedComparison]:
    """The verdicts by key on a call of which both times grew; pairs are taken until they decide."""
    number = 0

    def launcher() -> Pair:
        nonlocal number
        changes = {
            key: math.log1p(growth) + spread * SHAPES[shape](generator, number)
            for key in ("p50", "non_mac")
        }
        number += 1
        return Pair(changes, 40, head=bare(), base=bare())

    own = Tolerances(own={"non_mac": TOLERANCE})
    plan = RevisionPlan("main", "", TOLERANCE, CONFIDENCE, calls=1, tolerances=own)
    found, comparison = compare_pairs(plan, launcher)
    return {verdict.check.key: verdict.verdict for verdict in found}, comparison


def failing(verdicts: dict[str, str]) -> bool:
    """Whether the test fails, by whichever check."""
    return FAIL in verdicts.values()


def most(trials: int) -> float:
    """The risk in so many trials, and four standard errors of it."""
    return RISK * trials + 4.0 * math.sqrt(RISK * trials)


@trials_each
@spreads
@shapes
@pytest.mark.parametrize("growth", [0.0, TOLERANCE])
def test_neither_a_bound_of_a_printed_interval_nor_a_failure_is_wrong_more_than_once_in_a_hundred(
    growth: float, shape: str, spread: float, trials: int
) -> None:
    """A growth at the tolerance is open for longest, so the pairs are looked at most often."""
    generator = random.Random(f"wrong {shape} {spread}")
    wrong: Counter[str] = Counter()
    for _ in range(trials):
        found, comparison = compared(generator, growth, spread, shape)
        wrong["alarm"] += failing(found)
        for key in ("interval", "non_mac_interval"):
            low, high = getattr(comparison, key)
            wrong[f"{key} above"] += low > 1.0 + growth
            wrong[f"{key} below"] += high < 1.0 + growth
    assert max(wrong.values()) <= most(trials), wrong


@trials_each
@spreads
@shapes
def test_a_growth_just_above_the_tolerance_passes_at_most_once_in_a_hundred(
    shape: str, spread: float, trials: int
) -> None:
    generator = random.Random(f"passes {shape} {spread}")
    passed: Counter[str] = Counter()
    for _ in range(trials):
        verdicts, _ = compared(generator, TOLERANCE + 0.0001, spread, shape)
        passed.update(key for key in ("p50", "non_mac") if verdicts[key] == PASS)
    assert max(passed.values(), default=0) <= most(trials), passed


@trials_each
@pytest.mark.parametrize("spread", [0.002, 0.01, NARROW])
@pytest.mark.parametrize("shape", ["normal", "two modes"])
def test_twice_the_tolerance_fails_where_pairs_agree_well_enough(
    shape: str, spread: float, trials: int
) -> None:
    generator = random.Random(f"power {shape} {spread}")
    found = Counter(
        compared(generator, 2.0 * TOLERANCE, spread, shape)[0]["p50"] for _ in range(trials)
    )
    assert found[FAIL] >= 0.95 * trials, found
    assert found[PASS] == 0


@trials_each
@pytest.mark.parametrize("shape", SHAPES)
def test_unchanged_code_passes_where_pairs_agree_well_enough(shape: str, trials: int) -> None:
    generator = random.Random(f"unchanged {shape}")
    found = Counter(compared(generator, 0.0, NARROW, shape)[0]["p50"] for _ in range(trials))
    assert found[PASS] >= 0.8 * trials, found
