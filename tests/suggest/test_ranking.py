"""Hidden costs in their order, and the limit that each is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_hiddencost.core.records import CallSiteCost, DeviceHealth, Profile
from pytest_hiddencost.suggest.limits import LeftOut
from pytest_hiddencost.suggest.ranking import NO_OPERATOR, RankedCost, ranked_costs
from tests.profiles import MS, network, operator, profile_of

UNFIT = DeviceHealth(False, ("hot",), remedies=("cool it",))


def ranked(profile: Profile) -> dict[str, RankedCost]:
    return {cost.key: cost for cost in ranked_costs(profile)}


def limits(profile: Profile) -> dict[str, str]:
    """The limits by key, in their order."""
    return {cost.key: cost.limit.text for cost in ranked_costs(profile) if cost.limit}


def test_costs_that_take_a_twentieth_of_the_call_get_a_share() -> None:
    found = ranked(network())
    assert list(found) == [
        "normalization",
        "concatenation",
        "data_movement",
        "wrapper",
        NO_OPERATOR,
    ]
    assert limits(network()) == {"normalization": "23%", "concatenation": "12%"}
    assert found["concatenation"].share == pytest.approx(0.1)
    assert found[NO_OPERATOR].share == pytest.approx(0.04)


def test_a_cost_that_is_surely_measured_goes_before_one_that_may_be_larger() -> None:
    profile = profile_of(
        operator("aten::addmm", 4 * MS, macs=1000),
        operator("aten::cat", 2 * MS, spread=0.6),
        operator("aten::relu", 1.5 * MS, spread=0.02),
    )
    assert list(ranked(profile)) == ["activation", "concatenation", NO_OPERATOR]


def test_a_share_that_cannot_be_decided_is_limited_by_its_calls() -> None:
    doubtful = profile_of(
        operator("aten::addmm", 6 * MS, macs=1000),
        operator("aten::view", 1 * MS, 64, uncertainty_ns=2 * MS, below_resolution=True),
    )
    assert limits(doubtful) == {"view": "64 calls"}
    left = ranked(doubtful)["view"].untimed
    assert left is not None
    assert "would let a doubling pass" in left.reason
    assert limits(network(health=UNFIT)) == {
        "normalization": "20 calls",
        "concatenation": "12 calls",
    }
    left = ranked(network(health=UNFIT))["normalization"].untimed
    assert left == LeftOut("normalization", "hot; cool it")


def test_calls_that_vary_are_not_limited() -> None:
    varying = profile_of(operator("aten::cat", 3 * MS, 4, calls_range=(3, 6)), health=UNFIT)
    assert limits(varying) == {}
    assert limits(network(varies=("calls",), health=UNFIT)) == {}


def test_an_operator_without_a_group_stands_for_itself() -> None:
    fused = operator("mylib::fused", 3 * MS, spread=0.05)
    known = operator("aten::relu", 1 * MS)
    assert limits(profile_of(fused, known)) == {"mylib::fused": "35%", "activation": "11%"}
    for other in ("mylib::other", "no colons"):
        several = profile_of(fused, operator(other, 1 * MS))
        assert list(limits(several)) == ["unclassified"]


def test_the_costliest_line_and_operators_are_named() -> None:
    sites = [CallSiteCost("blocks.1", "model.py:12", 3, 2.0 * MS)]
    profile = profile_of(
        operator("aten::copy_", 1 * MS),
        operator("aten::contiguous", 2 * MS, 3, call_sites=sites),
    )
    (cost,) = [c for c in ranked_costs(profile) if c.key == "data_movement"]
    assert cost.operators == ("aten::contiguous", "aten::copy_")
    assert cost.where == "blocks.1, model.py:12"


def test_the_kernels_part_of_a_wrapper_is_no_hidden_cost() -> None:
    wrapper = operator("aten::_convolution", 5 * MS, mac_share=0.8, spread=0.02)
    assert ranked(profile_of(wrapper))["wrapper"].share == pytest.approx(0.1)
    assert "wrapper" not in ranked(profile_of(replace(wrapper, mac_share=1.0)))
