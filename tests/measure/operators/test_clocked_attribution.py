"""Attribution by a clock: root operators get its times, and the rest of the latency is outside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.operators.attribution import Attribution, attribute
from pytest_hiddencost.measure.operators.folding import Root, Window
from pytest_hiddencost.measure.operators.overhead import NO_COST, EventCost
from tests.measure.operators.test_attribution import (
    NETWORK,
    Op,
    Truth,
    attributed,
    claimed,
    count,
    event_costs,
    network,
    operator,
    recoverable,
    timed,
    window,
)
from tests.profiles import patient

CONV2D, RELU = Root("aten::conv2d", None), Root("aten::relu", None)


def clocked(
    windows: Sequence[Window],
    shares: Mapping[Root, float],
    latency_ns: float = 100.0,
    cost: EventCost = NO_COST,
) -> Attribution:
    return attribute(windows, latency_ns, count(), DEFAULT, cost, clocked=shares)


def composite_ns(found: Attribution) -> dict[str, float]:
    return {composite.name: composite.total_ns for composite in found.composites}


def test_a_composite_has_its_time_by_the_clock_and_the_rest_is_outside() -> None:
    found = clocked([network()], {CONV2D: 0.75, RELU: 0.15})
    assert composite_ns(found) == pytest.approx({"aten::conv2d": 75, "aten::relu": 15})
    assert found.outside_ns == pytest.approx(10)
    assert found.profiler.residual_share == pytest.approx(0.0)


def test_the_parts_inside_a_composite_keep_their_proportions() -> None:
    found = clocked([network()], {CONV2D: 0.75})
    assert {cost.name: cost.self_ns for cost in found.composites[0].inside} == pytest.approx({
        "aten::mkldnn_convolution": 62.5, "aten::conv2d": 7.5, "aten::empty": 5,
    })  # fmt: skip
    assert operator(found, "aten::empty").windows_ns == pytest.approx((5,))


def test_an_operator_that_the_clock_does_not_see_is_timed_by_the_windows() -> None:
    found = clocked([network()], {CONV2D: 0.75})
    assert composite_ns(found)["aten::relu"] == pytest.approx(20)
    assert found.outside_ns == pytest.approx(5)
    assert {composite.name: composite.clocked for composite in found.composites} == {
        "aten::conv2d": True,
        "aten::relu": False,
    }


def test_an_event_costs_in_a_composite_what_the_clock_shows() -> None:
    # 60 ns as profiled, by three events; 45 ns by the clock.
    found = clocked([network()], {CONV2D: 0.45})
    conv2d, relu = found.composites
    assert conv2d.event_cost_ns == pytest.approx(5)
    assert relu.event_cost_ns is None


def test_a_composite_of_a_slow_window_costs_no_more_by_event() -> None:
    found = clocked([timed(network(3), 300)], {CONV2D: 0.45})
    assert found.composites[0].event_cost_ns == pytest.approx(5)


def test_a_composite_that_is_all_overhead_is_shared_out_as_profiled() -> None:
    # One event costs as much as the largest operator takes.
    found = clocked([network()], {CONV2D: 0.75}, cost=EventCost(50.0, 0.0))
    inside = {cost.name: cost.self_ns for cost in found.composites[0].inside}
    assert inside == pytest.approx({
        "aten::mkldnn_convolution": 62.5, "aten::conv2d": 7.5, "aten::empty": 5,
    })  # fmt: skip


def test_operators_that_take_more_than_the_latency_leave_a_negative_residual() -> None:
    found = clocked([network()], {CONV2D: 0.9, RELU: 0.3})
    assert found.outside_ns == 0
    assert found.profiler.residual_share == pytest.approx(-0.2)


def test_a_structure_that_varies_is_attributed_without_the_clock() -> None:
    windows = [network(), window(Op("aten::relu", 50), outside=50)]
    found = clocked(windows, {CONV2D: 0.75, RELU: 0.1})
    assert not any(composite.clocked for composite in found.composites)
    assert composite_ns(found) == composite_ns(attributed(windows, macs=count()))


def test_every_window_has_the_clocks_time_on_average() -> None:
    windows = [network(), network(2), network()]
    found = clocked(windows, {RELU: 0.1})
    relu = operator(found, "aten::relu")
    assert relu.windows_ns == pytest.approx((10, 10, 10))
    assert relu.self_ns == pytest.approx(10)


@patient
@given(truth=recoverable, cost=event_costs, claim=event_costs)
def test_true_shares_outweigh_a_wrong_event_cost(
    truth: Truth, cost: EventCost, claim: EventCost
) -> None:
    shares: dict[Root, float] = {}
    for root in truth.roots:
        name = Root(root.name, None)
        shares[name] = shares.get(name, 0.0) + root.total_ns / truth.plain_ns
    found = clocked([truth.window(cost)], shares, 1e6, claim)
    expected = {root.name: 1e6 * share for root, share in shares.items()}
    assert composite_ns(found) == pytest.approx(expected)
    assert found.outside_ns == pytest.approx(1e6 * truth.outside_ns / truth.plain_ns)


@patient
@given(truth=recoverable, share=st.floats(0, 1), cost=claimed)
def test_no_time_is_negative_whatever_the_clock_says(
    truth: Truth, share: float, cost: EventCost
) -> None:
    shares = {Root(root.name, None): share for root in truth.roots[:2]}
    found = clocked([truth.window()], shares, 1e6, cost)
    numbers = [found.outside_ns, *composite_ns(found).values()]
    numbers += [ns for one in found.operators for ns in (one.self_ns, *one.windows_ns)]
    assert all(math.isfinite(number) and number >= 0 for number in numbers)


def test_the_networks_own_shares_change_nothing() -> None:
    found = clocked([NETWORK.window()], {CONV2D: 0.6, RELU: 0.2})
    assert composite_ns(found) == pytest.approx(composite_ns(attributed([NETWORK.window()])))
