"""The allowed growth of a quantity: the marker's own value before the run's."""

from __future__ import annotations

import pytest

from pytest_hiddencost.core.tolerances import MOST_GROWTH, STRUCTURE, TIMED, Tolerances

RUN = 0.05


@pytest.mark.parametrize("quantity", STRUCTURE)
def test_structure_is_exact_unless_the_marker_says_otherwise(quantity: str) -> None:
    assert Tolerances(everywhere=0.3).structural(quantity) == 0.0
    assert Tolerances(own={quantity: 0.1}).structural(quantity) == 0.1


@pytest.mark.parametrize("key", TIMED)
def test_time_may_grow_by_the_runs_tolerance_unless_the_marker_has_its_own(key: str) -> None:
    assert Tolerances().timed(key, RUN) == RUN
    assert Tolerances(everywhere=0.3).timed(key, RUN) == 0.3
    assert Tolerances(everywhere=0.3, own={key: 0.1}).timed(key, RUN) == 0.1


@pytest.mark.parametrize("tolerances", [Tolerances(), Tolerances(everywhere=RUN)])
def test_non_mac_time_may_grow_by_the_tolerated_share_of_the_whole_call(
    tolerances: Tolerances,
) -> None:
    assert tolerances.timed("non_mac", RUN, non_mac_share=0.25) == pytest.approx(4 * RUN)
    assert tolerances.timed("non_mac", RUN, non_mac_share=1.0) == RUN
    assert tolerances.timed("p50", RUN, non_mac_share=0.25) == RUN


def test_non_mac_time_never_grows_by_more_than_a_check_may_allow() -> None:
    assert Tolerances().timed("non_mac", RUN, non_mac_share=0.001) == MOST_GROWTH
    assert Tolerances().timed("non_mac", RUN, non_mac_share=0.0) == MOST_GROWTH


def test_non_mac_time_with_a_tolerance_of_its_own_may_grow_by_exactly_that() -> None:
    tolerances = Tolerances(everywhere=0.3, own={"non_mac": 0.1})
    assert tolerances.timed("non_mac", RUN, non_mac_share=0.25) == 0.1
