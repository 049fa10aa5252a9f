"""By how much a quantity may grow: the marker's own value before the run's."""

from __future__ import annotations

import pytest

from pytest_hiddencost.core.tolerances import STRUCTURE, Tolerances

RUN = 0.05


@pytest.mark.parametrize("quantity", STRUCTURE)
def test_structure_is_exact_unless_the_marker_says_otherwise(quantity: str) -> None:
    assert Tolerances(everywhere=0.3).structural(quantity) == 0.0
    assert Tolerances(own={quantity: 0.1}).structural(quantity) == 0.1


@pytest.mark.parametrize("key", ["p50", "non_mac", "normalization", "aten::cat"])
def test_time_may_grow_by_the_runs_tolerance_unless_the_marker_has_its_own(key: str) -> None:
    assert Tolerances().timed(key, RUN) == RUN
    assert Tolerances(everywhere=0.3).timed(key, RUN) == 0.3
    assert Tolerances(everywhere=0.3, own={key: 0.1}).timed(key, RUN) == 0.1


def test_operators_is_for_groups_and_operators_not_for_the_whole_call() -> None:
    tolerances = Tolerances(own={"operators": 0.2})
    assert tolerances.timed("aten::cat", RUN) == 0.2
    assert tolerances.timed("normalization", RUN) == 0.2
    assert tolerances.timed("p50", RUN) == tolerances.timed("non_mac", RUN) == RUN


def test_a_glob_is_for_operators_and_comes_before_operators() -> None:
    tolerances = Tolerances(own={"operators": 0.2, "aten::*": 0.4, "*": 0.9})
    assert tolerances.timed("aten::cat", RUN) == 0.4
    assert tolerances.timed("mylib::fused", RUN) == 0.9
    assert tolerances.timed("normalization", RUN) == 0.2, "no glob means a group"
    assert tolerances.timed("p50", RUN) == RUN
