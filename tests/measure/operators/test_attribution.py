"""Attribution: from windows and a latency to the operator part of a profile."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.records import GENERATED, InsideCost, MacKindCost, OperatorCost
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.macs.counting import MacCall, MacCount
from pytest_hiddencost.measure.operators.attribution import Attribution, attribute
from pytest_hiddencost.measure.operators.device_timeline import DeviceTimeline
from pytest_hiddencost.measure.operators.folding import CallSite, Window, fold
from pytest_hiddencost.measure.operators.overhead import NO_COST, EventCost
from tests.profiles import patient

CONV = MacCall("aten::mkldnn_convolution", "conv2d 3x3", 1000)
GEMM = MacCall("aten::addmm", "matmul", 10)
FIRST, SECOND = CallSite("encoder.0", "model.py:12"), CallSite("encoder.1", "model.py:12")


class Seen(NamedTuple):
    """An event with the duration that the profiler shows."""

    name: str
    duration_time_ns: int
    children: tuple[Seen, ...] = ()


class Op(NamedTuple):
    """An operator or annotation: its true self time, and the operators inside."""

    name: str
    self_ns: int
    inside: tuple[Op, ...] = ()

    @property
    def total_ns(self) -> int:
        return self.self_ns + sum(op.total_ns for op in self.inside)

    def walk(self) -> Iterator[Op]:
        yield self
        for op in self.inside:
            yield from op.walk()

    def seen(self, inside_ns: int, around_ns: int) -> Seen:
        """Return the event as profiled: each event costs time in its own interval and around it."""
        children = tuple(op.seen(inside_ns, around_ns) for op in self.inside)
        below_ns = sum(child.duration_time_ns + around_ns for child in children)
        return Seen(self.name, self.self_ns + inside_ns + below_ns, children)


@dataclass(frozen=True)
class Truth:
    """A call with the true times of its operators, as they are without the profiler."""

    roots: tuple[Op, ...]
    outside_ns: int = 0

    @property
    def plain_ns(self) -> int:
        return self.outside_ns + sum(root.total_ns for root in self.roots)

    def operators(self) -> Iterator[Op]:
        return (op for root in self.roots for op in root.walk())

    def self_ns(self) -> dict[str, int]:
        return totals((op.name, op.self_ns) for op in self.operators())

    def slower(self, factor: int) -> Truth:
        return Truth(tuple(slower(root, factor) for root in self.roots), self.outside_ns * factor)

    def window(
        self,
        cost: EventCost = NO_COST,
        *,
        macs: Sequence[MacCall] = (),
        call_sites: Sequence[tuple[str, CallSite]] = (),
    ) -> Window:
        """Return the window of the call under a profiler with this event cost, in whole ns."""
        inside_ns, around_ns = int(cost.inside_ns), int(cost.around_ns)
        seen = [root.seen(inside_ns, around_ns) for root in self.roots]
        wall_ns = self.outside_ns + sum(
            root.duration_time_ns + around_ns + int(cost.root_ns) for root in seen
        )
        return timed(fold(seen, macs, wall_ns, DEFAULT, call_sites), self.plain_ns)


def slower(op: Op, factor: int) -> Op:
    return Op(op.name, op.self_ns * factor, tuple(slower(child, factor) for child in op.inside))


def timed(window: Window, plain_ns: float) -> Window:
    return replace(window, plain_ns=float(plain_ns))


def totals(parts: Iterator[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, part in parts:
        found[name] = found.get(name, 0) + part
    return found


def count(*calls: MacCall, unformulated: tuple[str, ...] = ()) -> MacCount:
    return MacCount(calls, frozenset(call.operator for call in calls), unformulated)


def window(*roots: Op, outside: int = 0, macs: Sequence[MacCall] = ()) -> Window:
    """Return the window of a call under a profiler without overhead."""
    return Truth(roots, outside).window(macs=macs)


NETWORK = Truth(
    (
        Op("aten::conv2d", 6, (Op("aten::mkldnn_convolution", 50), Op("aten::empty", 4))),
        Op("aten::relu", 20),
    ),
    outside_ns=20,
)


def network(factor: int = 1) -> Window:
    """100 ns times ``factor``: conv2d 60 (kernel 50, empty 4), relu 20, outside 20."""
    return NETWORK.slower(factor).window(macs=[CONV])


def on_accelerator(timeline: DeviceTimeline | None, wall_ns: int = 200) -> Window:
    """Return a window of a call of 100 ns whose kernels take 60 ns, with the profiler 200 ns."""
    nodes = [Seen("aten::relu", 60)]
    return replace(timed(fold(nodes, [], wall_ns, DEFAULT), 100.0), timeline=timeline)


def waited_ns(*windows: Window, latency_ns: float = 100.0) -> float | None:
    found = attribute(windows, latency_ns, count(), DEFAULT, NO_COST, on_host=False)
    return found.waiting_for_host_ns


def attributed(
    windows: Sequence[Window],
    latency_ns: float = 100.0,
    macs: MacCount | None = None,
    cost: EventCost = NO_COST,
) -> Attribution:
    return attribute(windows, latency_ns, count(CONV) if macs is None else macs, DEFAULT, cost)


def explained_ns(found: Attribution) -> float:
    return sum(cost.self_ns for cost in found.operators) + found.outside_ns


def operator(found: Attribution, name: str) -> OperatorCost:
    return next(cost for cost in found.operators if cost.name == name)


def _self_ns(found: Attribution) -> dict[str, float]:
    return {cost.name: cost.self_ns for cost in found.operators}


# --- where the latency went --------------------------------------------------------------------


def test_operators_groups_kinds_and_time_outside_of_a_call() -> None:
    found = attributed([network()])
    assert _self_ns(found) == pytest.approx({
        "aten::mkldnn_convolution": 50, "aten::relu": 20, "aten::conv2d": 6, "aten::empty": 4,
    })  # fmt: skip
    assert {cost.name: cost.group for cost in found.operators} == {
        "aten::mkldnn_convolution": "mac", "aten::relu": "activation", "aten::conv2d": "wrapper",
        "aten::empty": "allocation",
    }  # fmt: skip
    assert found.outside_ns == pytest.approx(20)
    assert found.mac_ns == pytest.approx(50)
    assert found.mac_kinds == (MacKindCost("conv2d 3x3", 1, 1000, 50.0),)
    assert (found.uncosted, found.notes) == ((), ())


def test_the_costliest_operator_comes_first() -> None:
    found = attributed([network()])
    assert [cost.name for cost in found.operators] == [
        "aten::mkldnn_convolution", "aten::relu", "aten::conv2d", "aten::empty",
    ]  # fmt: skip
    assert [c.name for c in found.composites] == ["aten::conv2d", "aten::relu"]
    assert [c.name for c in found.composites[0].inside] == [
        "aten::mkldnn_convolution", "aten::conv2d", "aten::empty",
    ]  # fmt: skip


def test_a_composite_is_the_sum_of_its_operators() -> None:
    conv2d, relu = attributed([network()]).composites
    assert (conv2d.calls, conv2d.total_ns, conv2d.raw_total_ns) == (1, 60, 60)
    assert (relu.calls, relu.total_ns) == (1, 20)
    assert relu.inside == (InsideCost("aten::relu", 1, 20.0, 20.0),)
    assert sum(cost.self_ns for cost in conv2d.inside) == conv2d.total_ns


def test_macs_belong_to_their_kernel() -> None:
    found = attributed([network()])
    assert {cost.name: cost.macs for cost in found.operators if cost.macs} == {
        "aten::mkldnn_convolution": 1000
    }
    assert {cost.name: cost.mac_share for cost in found.operators if cost.mac_share} == {
        "aten::mkldnn_convolution": 1.0
    }


# --- windows, and the latency -------------------------------------------------------------------


@pytest.mark.parametrize("latency_ns", [100.0, 80.0, 400.0])
def test_the_latency_is_shared_out_by_the_shares_of_the_windows(latency_ns: float) -> None:
    found = attributed([network()], latency_ns)
    relu = operator(found, "aten::relu")
    assert relu.self_ns == pytest.approx(0.2 * latency_ns)
    assert relu.raw_self_ns == 20
    assert found.outside_ns == pytest.approx(0.2 * latency_ns)
    assert found.composites[0].total_ns == pytest.approx(0.6 * latency_ns)
    assert found.composites[0].raw_total_ns == 60
    assert found.mac_kinds[0].self_ns == pytest.approx(0.5 * latency_ns)
    assert explained_ns(found) == pytest.approx(latency_ns)


def test_a_call_without_operators_is_all_outside() -> None:
    found = attributed([window(outside=50)], 40.0, count(), EventCost(3.0, 7.0))
    assert (found.operators, found.composites, found.mac_kinds) == ((), (), ())
    assert found.outside_ns == pytest.approx(40)
    assert found.profiler.events == 0
    assert found.profiler.residual_share == pytest.approx(0.0)


def test_every_window_counts_with_its_own_wall_time() -> None:
    # A window three times as slow has equal shares, so its operators have equal times,
    # whether the plain calls around it were slow as well or not.
    for plain_ns in (100, 300):
        slow = timed(network(3), plain_ns)
        found = attributed([network(), slow, network()])
        assert operator(found, "aten::relu").windows_ns == pytest.approx((20, 20, 20))
        assert found.profiler.residual_share == pytest.approx(0.0)


def test_one_disturbed_window_changes_no_time() -> None:
    # In one window, relu takes 900 ns longer.
    conv2d, relu = NETWORK.roots
    pause = timed(Truth((conv2d, slower(relu, 46)), 20).window(macs=[CONV]), 100)
    found = attributed([network(), pause, network(), network()])
    calm = attributed([network()])
    assert _self_ns(found) == pytest.approx(_self_ns(calm))
    assert found.outside_ns == pytest.approx(calm.outside_ns)
    assert found.profiler == replace(calm.profiler, windows=4)


def test_the_windows_are_kept_for_the_interval() -> None:
    found = attributed([network(), network(2)], 200.0)
    relu = operator(found, "aten::relu")
    assert relu.windows_ns == pytest.approx((40, 40))
    assert relu.self_ns == pytest.approx(40)


def test_windows_that_disagree_add_up_all_the_same() -> None:
    def lopsided(cat: int, relu: int) -> Window:
        return window(Op("aten::cat", cat), Op("aten::relu", relu), outside=100 - cat - relu)

    found = attributed([lopsided(70, 10), lopsided(10, 70), lopsided(40, 10)], 100.0, count())
    assert operator(found, "aten::cat").windows_ns == pytest.approx((70, 10, 40))
    assert _self_ns(found) == pytest.approx({"aten::cat": 40, "aten::relu": 30})
    assert found.outside_ns == pytest.approx(30)
    assert found.profiler.residual_share == pytest.approx(0.0)


def test_a_child_that_outlasts_its_parent_costs_its_parent_nothing() -> None:
    # The profiler's clock is precise to a few ns: a negative self time counts as 0.
    seen = fold([Seen("aten::a", 50, (Seen("aten::b", 53),))], [], 60, DEFAULT)
    found = attributed([timed(seen, 60)], 60.0, count())
    assert _self_ns(found) == pytest.approx({"aten::b": 53, "aten::a": 0})
    assert {cost.name: cost.raw_self_ns for cost in found.operators} == {
        "aten::b": 53, "aten::a": 0,
    }  # fmt: skip
    assert found.outside_ns == pytest.approx(10)
    assert found.profiler.residual_share == pytest.approx(-3 / 60)


# --- profiler overhead --------------------------------------------------------------------------

COST = EventCost(3.0, 7.0, root_ns=5.0, sd_ns=2.0, observed_ns=12.0, calibrated_ns=9.0)


def test_the_profile_holds_the_overhead() -> None:
    seen = NETWORK.window(COST, macs=[CONV])
    cost = attributed([seen] * 3, 100.0, cost=COST).profiler
    assert (cost.events, cost.windows) == (4, 3)
    assert (cost.event_cost_ns, cost.inside_cost_ns) == (10.0, 3.0)
    assert (cost.observed_cost_ns, cost.calibrated_cost_ns) == (12.0, 9.0)
    assert cost.inflation_share == pytest.approx((4 * 10 + 2 * 5) / 100)
    assert cost.residual_share == pytest.approx(0.0)


def test_the_overhead_is_subtracted_from_the_operators_that_it_lies_in() -> None:
    found = attributed([NETWORK.window(COST, macs=[CONV])], 100.0, cost=COST)
    assert {cost.name: (cost.self_ns, cost.raw_self_ns) for cost in found.operators} == {
        "aten::mkldnn_convolution": (50, 50 + 3),
        "aten::relu": (20, 20 + 3),
        "aten::conv2d": (6, 6 + 3 + 2 * 7),
        "aten::empty": (4, 4 + 3),
    }
    assert found.outside_ns == pytest.approx(20)
    assert {cost.name: (cost.total_ns, cost.raw_total_ns) for cost in found.composites} == {
        "aten::conv2d": (60, 60 + 3 * 3 + 2 * 7), "aten::relu": (20, 20 + 3),
    }  # fmt: skip
    assert found.mac_kinds[0].self_ns == pytest.approx(50)


def test_a_profiler_that_seems_to_speed_the_call_up_has_no_negative_cost() -> None:
    found = attributed([timed(network(), 125)], 125.0)
    assert found.profiler.event_cost_ns == 0.0
    assert found.profiler.inflation_share == pytest.approx(-0.2)
    assert found.profiler.residual_share == pytest.approx(0.2)


@pytest.mark.parametrize("taken_out", [0, 1, 4, 7])
def test_a_correction_that_is_too_small_shows_in_the_residual(taken_out: int) -> None:
    # Each event costs 7 ns around it: two events inside conv2d, two in the caller.
    true, claimed = EventCost(0.0, 7.0), EventCost(0.0, float(taken_out))
    found = attributed([NETWORK.window(true, macs=[CONV])] * 3, 100.0, cost=claimed)
    missed_ns = 7 - taken_out
    assert found.profiler.residual_share == pytest.approx(-4 * missed_ns / 100)
    # The error is not spread: each part keeps its own.
    assert _self_ns(found) == pytest.approx({
        "aten::mkldnn_convolution": 50, "aten::relu": 20, "aten::empty": 4,
        "aten::conv2d": 6 + 2 * missed_ns,
    })  # fmt: skip
    assert found.outside_ns == pytest.approx(20 + 2 * missed_ns)


def test_a_correction_that_is_too_large_shows_in_the_residual() -> None:
    found = attributed([NETWORK.window(macs=[CONV])] * 3, 100.0, cost=EventCost(2.0, 1.0))
    assert found.profiler.residual_share == pytest.approx(4 * 3 / 100)
    assert _self_ns(found) == pytest.approx({
        "aten::mkldnn_convolution": 48, "aten::relu": 18, "aten::empty": 2, "aten::conv2d": 2,
    })  # fmt: skip
    assert found.outside_ns == pytest.approx(18)


def test_a_correction_beyond_all_bounds_leaves_everything_unexplained() -> None:
    found = attributed([network()], 100.0, cost=EventCost(1e6, 1e6, root_ns=1e6))
    assert set(_self_ns(found).values()) == {0.0}
    assert (found.outside_ns, found.mac_ns) == (0.0, 0.0)
    assert found.profiler.residual_share == 1.0


def test_noise_of_single_windows_is_no_residual() -> None:
    slow = timed(network(3), 100)  # a slow window between fast plain calls
    found = attributed([network(), network(), slow, network()], 100.0)
    assert found.profiler.residual_share == pytest.approx(0.0)
    everywhere = attributed([slow] * 4, 100.0)
    assert everywhere.profiler.residual_share == pytest.approx(-2.0)


def test_annotations_cost_the_operator_around_them_as_much_as_any_event() -> None:
    block = Op("my block", 1, (Op("aten::empty", 4), Op("[memory]", 0)))
    truth = Truth((Op("aten::conv2d", 60, (block, Op("[memory]", 0))),), outside_ns=35)
    found = attributed([truth.window(COST)], 100.0, count(), COST)
    assert _self_ns(found) == pytest.approx({"aten::conv2d": 61, "aten::empty": 4})
    assert found.profiler.residual_share == pytest.approx(0.0)


def test_annotations_around_root_operators_cost_the_caller_as_much_as_any_event() -> None:
    cost = EventCost(3.0, 7.0)
    truth = Truth((Op("my model", 15, (Op("my block", 5, (Op("aten::relu", 40),)),)),), 40)
    found = attributed([truth.window(cost)], 100.0, count(), cost)
    assert _self_ns(found) == pytest.approx({"aten::relu": 40})
    assert found.outside_ns == pytest.approx(60)
    assert found.profiler.residual_share == pytest.approx(0.0)


# --- how well a time is known -------------------------------------------------------------------


@pytest.mark.parametrize("calls", [1, 4])
@pytest.mark.parametrize(("mean_ns", "below"), [(0, True), (29, True), (30, False), (31, False)])
def test_below_resolution_is_less_than_three_events_a_call(
    mean_ns: int, below: bool, calls: int
) -> None:
    truth = Truth((Op("aten::relu", mean_ns),) * calls, outside_ns=1000)
    found = attributed([truth.window(COST)], float(truth.plain_ns), count(), COST)
    assert found.operators[0].self_ns == mean_ns * calls
    assert found.operators[0].below_resolution is below


def test_without_overhead_every_time_is_certain() -> None:
    found = attributed([window(Op("aten::relu", 0), Op("aten::cat", 9), outside=91)], macs=count())
    assert not any(cost.below_resolution for cost in found.operators)
    assert {cost.uncertainty_ns for cost in found.operators} == {0.0}


def test_the_uncertainty_of_a_sum_grows_with_the_number_of_calls() -> None:
    def uncertainty_ns(calls: int, inside: int = 0) -> float:
        conv2d = Op("aten::conv2d", 100, (Op("aten::empty", 10),) * inside)
        truth = Truth((conv2d,) * calls, outside_ns=50)
        found = attributed([truth.window(COST)], float(truth.plain_ns), count(), COST)
        return operator(found, "aten::conv2d").uncertainty_ns

    rising = [uncertainty_ns(calls) for calls in (1, 2, 5, 50)]
    assert rising == sorted(rising)
    assert rising[0] > 0
    assert rising == pytest.approx([calls * rising[0] for calls in (1, 2, 5, 50)])
    assert uncertainty_ns(1, inside=3) == pytest.approx(3 * rising[0])


def test_the_uncertainty_is_on_the_latencys_scale() -> None:
    seen = NETWORK.window(COST, macs=[CONV])
    short, long = (attributed([seen], latency_ns, cost=COST) for latency_ns in (100.0, 300.0))
    for a, b in zip(short.operators, long.operators, strict=True):
        assert b.uncertainty_ns == pytest.approx(3 * a.uncertainty_ns)
        assert b.self_ns == pytest.approx(3 * a.self_ns)


# --- call sites ---------------------------------------------------------------------------------


def with_call_sites(
    *roots: tuple[Op, CallSite], cost: EventCost = NO_COST, outside: int = 0
) -> Window:
    truth = Truth(tuple(root for root, _ in roots), outside)
    return truth.window(cost, call_sites=[(root.name, call_site) for root, call_site in roots])


def test_call_sites_of_an_operator_come_costliest_first() -> None:
    conv2d = Op("aten::conv2d", 10, (Op("aten::empty", 4),))
    seen = with_call_sites(
        (conv2d, FIRST), (conv2d, SECOND), (slower(conv2d, 4), SECOND), cost=COST, outside=16
    )
    found = attributed([seen], 100.0, count(), COST)
    assert [(s.module, s.line, s.calls, s.self_ns) for s in found.operators[0].call_sites] == [
        (*SECOND, 2, 50.0), (*FIRST, 1, 10.0),
    ]  # fmt: skip
    inside = operator(found, "aten::empty").call_sites
    assert [(s.line, s.calls, s.self_ns) for s in inside] == [
        (SECOND.line, 2, 20.0), (FIRST.line, 1, 4.0),
    ]  # fmt: skip
    assert [composite.calls for composite in found.composites] == [3]


def test_no_call_site_is_invented() -> None:
    truth = Truth((Op("aten::relu", 10), Op("aten::relu", 30), Op("aten::cat", 20)), 40)
    assert all(
        not cost.call_sites for cost in attributed([truth.window()], 100.0, count()).operators
    )
    partly = truth.window(call_sites=[("aten::relu", FIRST)])
    relu = operator(attributed([partly], 100.0, count()), "aten::relu")
    assert [(s.module, s.calls, s.self_ns) for s in relu.call_sites] == [(FIRST.module, 1, 10.0)]
    assert (relu.calls, relu.self_ns) == (2, 40.0)


# --- kernels on a device of their own -----------------------------------------------------------


def on_device(
    *kernels: Seen, wall_ns: int, plain_ns: int, latency_ns: float | None = None
) -> Attribution:
    seen = timed(fold(kernels, [], wall_ns, DEFAULT), plain_ns)
    latency_ns = latency_ns or float(plain_ns)
    return attribute([seen], latency_ns, count(), DEFAULT, NO_COST, on_host=False)


def test_kernel_times_do_not_depend_on_the_speed_of_the_host() -> None:
    inner = Seen("aten::cudnn_convolution", 600)
    for wall_ns in (1000, 5000):
        found = on_device(
            Seen("aten::conv2d", 600, (inner,)), Seen("aten::relu", 100), wall_ns=wall_ns,
            plain_ns=1000,
        )  # fmt: skip
        assert _self_ns(found) == pytest.approx({
            "aten::cudnn_convolution": 600, "aten::relu": 100, "aten::conv2d": 0,
        })  # fmt: skip
        assert found.outside_ns == pytest.approx(300)
        assert found.profiler.residual_share == pytest.approx(0.0)
        assert found.profiler.inflation_share == pytest.approx(wall_ns / 1000 - 1)
        assert not any(cost.below_resolution for cost in found.operators)


def test_time_outside_is_never_negative() -> None:
    # Kernels that ran in parallel: their times add up to more than the call's.
    found = on_device(Seen("aten::relu", 500), wall_ns=100, plain_ns=100)
    assert found.outside_ns == 0.0
    assert found.profiler.residual_share == pytest.approx(-4.0)


def test_kernel_times_are_scaled_to_the_latency() -> None:
    found = on_device(Seen("aten::relu", 500), wall_ns=9000, plain_ns=1000, latency_ns=2000.0)
    assert found.operators[0].self_ns == pytest.approx(1000)
    assert found.outside_ns == pytest.approx(1000)


# --- calls that vary ---------------------------------------------------------------------------


def test_operators_whose_calls_vary_have_a_range() -> None:
    def copies(n: int) -> Window:
        return window(*[Op("aten::copy_", 5)] * n, Op("aten::relu", 5), outside=95 - 5 * n)

    found = attributed([copies(3), copies(5), copies(0)], 100.0, count())
    copy, relu = operator(found, "aten::copy_"), operator(found, "aten::relu")
    assert (copy.calls, copy.calls_range) == (3, (0, 5))
    assert copy.windows_ns == pytest.approx((15, 25, 0))
    assert (relu.calls, relu.calls_range) == (1, None)


def test_an_operator_that_the_first_window_lacks_is_not_lost() -> None:
    quiet, busy = window(outside=100), window(Op("aten::copy_", 30), outside=70)
    found = attributed([quiet, busy, busy], 100.0, count())
    (cost,) = found.operators
    assert (cost.calls, cost.calls_range) == (0, (0, 1))
    assert cost.windows_ns == pytest.approx((0, 30, 30))
    assert cost.self_ns > 0
    assert found.composites[0].name == "aten::copy_"
    assert explained_ns(found) == pytest.approx(100)


def test_disturbed_windows_count_with_their_calls_and_not_with_their_times() -> None:
    usual = window(Op("aten::copy_", 30), outside=70)
    slow = window(Op("aten::copy_", 4000), Op("aten::cat", 4000), outside=2000)
    found = attribute([usual, usual], 100.0, count(), DEFAULT, NO_COST, disturbed=[slow])
    assert _self_ns(found) == {"aten::copy_": 30, "aten::cat": 0}
    copy, cat = operator(found, "aten::copy_"), operator(found, "aten::cat")
    assert (copy.calls, copy.calls_range) == (1, None)
    assert (cat.calls, cat.calls_range) == (0, (0, 1))
    assert {len(cost.windows_ns) for cost in found.operators} == {2}
    assert found.outside_ns == pytest.approx(70)
    assert found.profiler.windows == 2


# --- MACs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", [NO_COST, COST])
def test_a_wrapper_around_a_kernel_without_an_event_has_a_mac_share(cost: EventCost) -> None:
    # The first _convolution ran a kernel of 60 ns without an event; the second called a kernel.
    transposed = MacCall("aten::_convolution", "conv_transpose2d", 500)
    roots = (
        Op("aten::_convolution", 60),
        Op("aten::_convolution", 20, (Op("aten::mkldnn_convolution", 20),)),
    )
    seen = Truth(roots).window(cost, macs=[transposed, CONV])
    found = attributed([seen], 100.0, count(transposed, CONV), cost)
    wrapper = operator(found, "aten::_convolution")
    assert wrapper.self_ns == pytest.approx(80)
    assert wrapper.mac_share == pytest.approx(60 / 80)
    assert (wrapper.group, wrapper.macs) == ("wrapper", 500)
    assert found.mac_ns == pytest.approx(60 + 20)


def test_kinds_are_sorted_by_macs() -> None:
    seen = window(
        Op("aten::addmm", 90), Op("aten::mkldnn_convolution", 5), outside=5, macs=[GEMM, CONV]
    )
    found = attributed([seen], 100.0, count(GEMM, CONV))
    assert found.mac_kinds == (
        MacKindCost("conv2d 3x3", 1, 1000, 5.0),
        MacKindCost("matmul", 1, 10, 90.0),
    )


def test_macs_that_cannot_be_matched_are_counted_without_a_time() -> None:
    unseen = MacCall("aten::bmm", "attention", 70)
    macs = count(CONV, unseen, CONV)
    convolutions = Op("aten::mkldnn_convolution", 30), Op("aten::mkldnn_convolution", 20)
    found = attributed([window(*convolutions, outside=50, macs=macs.calls)], 100.0, macs)
    assert set(found.mac_kinds) == {
        MacKindCost("conv2d 3x3", 2, 2000, None), MacKindCost("attention", 1, 70, None),
    }  # fmt: skip
    (note,) = found.notes
    assert "could not be matched" in note
    assert found.mac_ns == pytest.approx(50)  # the times of kernels need no counted calls


def test_one_window_that_does_not_match_leaves_kinds_without_times() -> None:
    strange = window(Op("aten::relu", 20), outside=80, macs=[CONV])
    found = attributed([network(), strange, network()])
    assert found.mac_kinds == (MacKindCost("conv2d 3x3", 1, 1000, None),)
    assert found.notes


@pytest.mark.parametrize("name", ["aten::addmm", "mylib::fused_conv2d", "other::gemm"])
def test_a_kernel_outside_counted_calls_is_reported(name: str) -> None:
    seen = window(Op("aten::mkldnn_convolution", 30), Op(name, 20), outside=50, macs=[CONV])
    assert attributed([seen]).uncosted == (name,)


def test_a_kernel_that_was_counted_once_and_called_twice_is_reported() -> None:
    twice = window(Op("aten::addmm", 30), Op("aten::addmm", 20), outside=50, macs=[GEMM])
    assert attributed([twice], 100.0, count(GEMM)).uncosted == ("aten::addmm",)


def test_a_kernel_inside_a_counted_call_is_not_reported() -> None:
    attention = MacCall("aten::_scaled_dot_product_attention_math", "attention", 70)
    kernels = Op("aten::bmm", 19), Op("aten::bmm", 20)
    inside = window(Op(attention.operator, 11, kernels), outside=50, macs=[attention])
    assert attributed([inside], 100.0, count(attention)).uncosted == ()


def test_an_operator_around_a_counted_call_is_not_reported() -> None:
    block = Op("mylib::conv_block", 20, (Op("aten::mkldnn_convolution", 30),))
    assert attributed([window(block, outside=50, macs=[CONV])]).uncosted == ()


def test_an_operator_without_the_name_of_a_kernel_is_not_reported() -> None:
    seen = window(Op("mylib::shuffle", 50), outside=50)
    assert attributed([seen], 100.0, count()).uncosted == ()


def test_operators_whose_formula_failed_are_reported_too() -> None:
    macs = count(CONV, unformulated=("mylib::attention", "aten::addmm"))
    assert attributed([network()], 100.0, macs).uncosted == ("aten::addmm", "mylib::attention")


def test_macs_of_generated_kernels_are_a_kind_without_a_time_and_are_told() -> None:
    macs = replace(count(CONV), generated_macs=40)
    found = attributed([network()], 100.0, macs)
    assert found.mac_kinds[-1] == MacKindCost(GENERATED, 1, 40, None)
    assert found.mac_kinds[0].self_ns is not None
    [note] = found.notes
    assert note.startswith("40 MAC ran in generated kernels, whose time counts as non-MAC time")


# --- any call, under a profiler with overhead ---------------------------------------------------

NAMES = (
    "aten::addmm", "aten::mkldnn_convolution", "aten::conv2d", "aten::cat", "aten::copy_",
    "aten::relu", "mylib::x",
)  # fmt: skip


def truths(least_ns: int) -> st.SearchStrategy[Truth]:
    """Calls in which every operator, and the caller, has at least this self time."""
    self_ns = st.integers(least_ns, 100_000)
    names = st.sampled_from(NAMES)
    ops = st.recursive(
        st.builds(Op, names, self_ns, st.just(())),
        lambda inner: st.builds(
            Op, names, self_ns, st.lists(inner, min_size=1, max_size=4).map(tuple)
        ),
        max_leaves=8,
    )
    return st.builds(Truth, st.lists(ops, max_size=5).map(tuple), self_ns)


def costs(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[EventCost]:
    return st.builds(
        EventCost, inside_ns=numbers, around_ns=numbers, root_ns=numbers, sd_ns=numbers
    )


# An operator shorter than its events cannot be recovered, so every one takes 100 ns at least.
recoverable = truths(least_ns=100)
event_costs = costs(st.integers(0, 400).map(float))
claimed = costs(st.floats(0, 1e12))


def mac_calls(truth: Truth) -> list[MacCall]:
    """A counted call for every MAC kernel that is in no other."""

    def found(op: Op) -> Iterator[MacCall]:
        if DEFAULT.is_mac_kernel(op.name):
            yield MacCall(op.name, f"by {op.name}", 7)
        else:
            for child in op.inside:
                yield from found(child)

    return [call for root in truth.roots for call in found(root)]


def kind_ns(truth: Truth) -> dict[str, int]:
    """Kernel time by the outermost kernel around it."""

    def found(op: Op, kind: str) -> Iterator[tuple[str, int]]:
        if DEFAULT.is_mac_kernel(op.name):
            kind = kind or f"by {op.name}"
            yield kind, op.self_ns
        for child in op.inside:
            yield from found(child, kind)

    return totals(pair for root in truth.roots for pair in found(root, ""))


@patient
@given(truth=recoverable, cost=event_costs)
def test_the_true_times_are_recovered(truth: Truth, cost: EventCost) -> None:
    macs = mac_calls(truth)
    found = attributed(
        [truth.window(cost, macs=macs)], float(truth.plain_ns), count(*macs), cost
    )  # fmt: skip
    assert _self_ns(found) == pytest.approx(truth.self_ns())
    assert found.outside_ns == pytest.approx(truth.outside_ns)
    assert {composite.name: composite.total_ns for composite in found.composites} == pytest.approx(
        totals((root.name, root.total_ns) for root in truth.roots)
    )
    for composite in found.composites:
        roots = [root for root in truth.roots if root.name == composite.name]
        inside = totals((op.name, op.self_ns) for root in roots for op in root.walk())
        assert composite.calls == len(roots)
        assert {cost.name: cost.self_ns for cost in composite.inside} == pytest.approx(inside)
    assert {kind.kind: kind.self_ns for kind in found.mac_kinds} == pytest.approx(kind_ns(truth))
    assert found.mac_ns == pytest.approx(sum(kind_ns(truth).values()))
    assert found.profiler.residual_share == pytest.approx(0.0, abs=1e-9)


@patient
@given(truth=recoverable, cost=event_costs, data=st.data())
def test_call_sites_add_up_to_the_true_times(
    truth: Truth, cost: EventCost, data: st.DataObject
) -> None:
    many = st.lists(st.sampled_from([FIRST, SECOND, CallSite("", "model.py:3")]),
                    min_size=len(truth.roots), max_size=len(truth.roots))  # fmt: skip
    roots = list(zip(truth.roots, data.draw(many), strict=True))
    seen = with_call_sites(*roots, cost=cost, outside=truth.outside_ns)
    for found in attributed([seen], float(truth.plain_ns), count(), cost).operators:
        assert sum(s.self_ns for s in found.call_sites) == pytest.approx(found.self_ns)
        assert sum(s.calls for s in found.call_sites) == found.calls
        for s in found.call_sites:
            key = (s.root, (s.module, s.line))
            called = [root for root, call_site in roots if (root.name, call_site) == key]
            spent = totals((op.name, op.self_ns) for root in called for op in root.walk())
            assert s.self_ns == pytest.approx(spent[found.name])


@patient
@given(
    truth=recoverable,
    cost=event_costs,
    factors=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    latency_ns=st.floats(1, 1e9),
)
def test_the_speed_of_the_device_in_a_window_changes_nothing(
    truth: Truth, cost: EventCost, factors: list[int], latency_ns: float
) -> None:
    windows = [truth.slower(factor).window(cost) for factor in factors]
    found = attributed(windows, latency_ns, count(), cost)
    share = latency_ns / truth.plain_ns
    for operator in found.operators:
        expected = truth.self_ns()[operator.name] * share
        assert operator.windows_ns == pytest.approx([expected] * len(factors))
    assert found.outside_ns == pytest.approx(truth.outside_ns * share)
    assert explained_ns(found) == pytest.approx(latency_ns)
    assert found.profiler.residual_share == pytest.approx(0.0, abs=1e-9)


def _any_events() -> st.SearchStrategy[tuple[Seen, ...]]:
    """Trees of events with any duration, even shorter than the events inside."""
    names, ns = st.sampled_from([*NAMES, "my block"]), st.integers(0, 100_000)
    events = st.recursive(
        st.builds(Seen, names, ns, st.just(())),
        lambda inner: st.builds(Seen, names, ns, st.lists(inner, max_size=4).map(tuple)),
        max_leaves=6,
    )
    return st.lists(events, max_size=4).map(tuple)


any_windows = st.builds(
    lambda events, wall_ns, plain_ns: timed(
        fold(events, [GEMM], wall_ns, DEFAULT, [(event.name, FIRST) for event in events]), plain_ns
    ),
    _any_events(),
    st.integers(1, 10**6),
    st.floats(1, 1e6),
)


@patient
@given(
    windows=st.lists(any_windows, min_size=1, max_size=5),
    cost=claimed,
    on_host=st.booleans(),
    latency_ns=st.floats(1, 1e12),
)
def test_no_number_is_negative_however_large_the_claimed_overhead(
    windows: list[Window], cost: EventCost, on_host: bool, latency_ns: float
) -> None:
    found = attribute(windows, latency_ns, count(GEMM), DEFAULT, cost, on_host=on_host)
    numbers = [
        found.outside_ns,
        found.mac_ns,
        *(ns for o in found.operators for ns in (o.self_ns, o.raw_self_ns, o.uncertainty_ns)),
        *(ns for o in found.operators for ns in o.windows_ns),
        *(ns for c in found.composites for ns in (c.total_ns, c.raw_total_ns)),
        *(inside.self_ns for c in found.composites for inside in c.inside),
        *(s.self_ns for o in found.operators for s in o.call_sites),
        *(kind.self_ns or 0.0 for kind in found.mac_kinds),
    ]
    assert all(math.isfinite(number) and number >= 0 for number in numbers)
    assert all(0 <= cost.mac_share <= 1 for cost in found.operators)
    assert found.profiler.residual_share <= 1


@patient
@given(truth=truths(least_ns=1), cost=event_costs, claim=claimed)
def test_raw_times_are_kept_whatever_the_correction(
    truth: Truth, cost: EventCost, claim: EventCost
) -> None:
    found = attributed([truth.window(cost)], 1e5, count(), claim)
    inside_ns, around_ns = int(cost.inside_ns), int(cost.around_ns)
    raw = totals(
        (op.name, op.self_ns + inside_ns + around_ns * len(op.inside)) for op in truth.operators()
    )
    assert {cost.name: cost.raw_self_ns for cost in found.operators} == raw
    assert {cost.name: cost.raw_total_ns for cost in found.composites} == totals(
        (root.name, root.seen(inside_ns, around_ns).duration_time_ns) for root in truth.roots
    )


@patient
@given(truth=truths(least_ns=1), cost=event_costs, claim=claimed)
def test_only_operators_shorter_than_three_events_are_below_resolution(
    truth: Truth, cost: EventCost, claim: EventCost
) -> None:
    found = attributed([timed(truth.window(cost), 10.0)], 1e5, count(), claim)
    for operator in found.operators:
        short = operator.self_ns < 3 * claim.event_ns * operator.calls
        assert operator.below_resolution is short


def shuffled(op: Op, rng: random.Random) -> Op:
    inside = [shuffled(child, rng) for child in op.inside]
    rng.shuffle(inside)
    return Op(op.name, op.self_ns, tuple(inside))


def in_no_order(found: Attribution) -> dict[str, float]:
    """Return every number by the name of its part."""
    numbers = {"outside": found.outside_ns, "mac": found.mac_ns}
    for operator in found.operators:
        for field in ("calls", "self_ns", "raw_self_ns", "uncertainty_ns", "below_resolution"):
            numbers[f"{operator.name} {field}"] = getattr(operator, field)
    for composite in found.composites:
        for field in ("calls", "total_ns", "raw_total_ns"):
            numbers[f"in {composite.name} {field}"] = getattr(composite, field)
        for inside in composite.inside:
            numbers[f"in {composite.name} {inside.name}"] = inside.self_ns
    return numbers


@patient
@given(
    truth=recoverable, cost=event_costs, claim=event_costs, rng=st.randoms(use_true_random=False)
)
def test_the_order_of_calls_changes_nothing(
    truth: Truth, cost: EventCost, claim: EventCost, rng: random.Random
) -> None:
    roots = [shuffled(root, rng) for root in truth.roots]
    rng.shuffle(roots)
    other = Truth(tuple(roots), truth.outside_ns)
    before, after = (
        attributed([each.window(cost)], 1e5, count(), claim) for each in (truth, other)
    )
    assert in_no_order(after) == pytest.approx(in_no_order(before))
    assert after.profiler == before.profiler


# --- closure -----------------------------------------------------------------------------------


@patient
@given(
    drawn=st.lists(recoverable, min_size=1, max_size=5),
    cost=event_costs,
    latency_ns=st.floats(1, 1e9),
)
def test_parts_add_up_even_if_windows_disagree(
    drawn: list[Truth], cost: EventCost, latency_ns: float
) -> None:
    windows = [
        truth.window(cost, call_sites=[(root.name, FIRST) for root in truth.roots])
        for truth in drawn
    ]
    found = attributed(windows, latency_ns, count(), cost)
    operators_ns = sum(cost.self_ns for cost in found.operators)
    assert explained_ns(found) == pytest.approx(latency_ns)
    assert sum(composite.total_ns for composite in found.composites) == pytest.approx(operators_ns)
    for composite in found.composites:
        assert sum(cost.self_ns for cost in composite.inside) == pytest.approx(composite.total_ns)
    for operator in found.operators:
        assert sum(s.self_ns for s in operator.call_sites) == pytest.approx(operator.self_ns)


@patient
@given(
    windows=st.lists(any_windows, min_size=1, max_size=5),
    cost=claimed,
    latency_ns=st.floats(1, 1e9),
)
def test_the_unexplained_part_is_the_residual(
    windows: list[Window], cost: EventCost, latency_ns: float
) -> None:
    found = attributed(windows, latency_ns, count(), cost)
    unexplained_ns = found.profiler.residual_share * latency_ns
    assert explained_ns(found) + unexplained_ns == pytest.approx(latency_ns)


@patient
@given(
    truth=recoverable, cost=event_costs, missed_ns=st.integers(1, 400), latency_ns=st.floats(1, 1e9)
)
def test_a_misfit_of_the_correction_is_not_spread(
    truth: Truth, cost: EventCost, missed_ns: int, latency_ns: float
) -> None:
    true = EventCost(cost.inside_ns, cost.around_ns + missed_ns, cost.root_ns)
    found = attributed([truth.window(true)], latency_ns, count(), cost)
    share = latency_ns / truth.plain_ns
    below = totals((op.name, len(op.inside)) for op in truth.operators())
    for name, self_ns in truth.self_ns().items():
        assert _self_ns(found)[name] == pytest.approx((self_ns + missed_ns * below[name]) * share)
    events = sum(1 for _ in truth.operators())
    assert found.profiler.residual_share == pytest.approx(-events * missed_ns / truth.plain_ns)


@patient
@given(truth=recoverable, cost=event_costs, factor=st.integers(2, 1000))
def test_the_scale_of_the_clock_changes_nothing(truth: Truth, cost: EventCost, factor: int) -> None:
    finer = EventCost(cost.inside_ns * factor, cost.around_ns * factor, cost.root_ns * factor)
    fine = attributed([truth.slower(factor).window(finer)], 1e6, count(), finer)
    coarse = attributed([truth.window(cost)], 1e6, count(), cost)
    assert _self_ns(fine) == pytest.approx(_self_ns(coarse))
    assert fine.outside_ns == pytest.approx(coarse.outside_ns)


# --- waiting for the host -----------------------------------------------------------------------


def test_an_accelerator_waits_in_plain_calls_by_the_share_of_its_idle_time() -> None:
    # Under the profiler it is idle for 140 ns and waits 105; without it, it is idle for 40 ns.
    window = on_accelerator(DeviceTimeline(busy_ns=60, waiting_ns=105))
    assert waited_ns(*[window] * 8) == pytest.approx(30.0)
    assert waited_ns(*[window] * 8, latency_ns=200.0) == pytest.approx(60.0)


def test_a_device_that_is_always_busy_does_not_wait() -> None:
    busy = on_accelerator(DeviceTimeline(busy_ns=100, waiting_ns=0), wall_ns=100)
    assert waited_ns(*[busy] * 3) == 0.0
    longer = on_accelerator(DeviceTimeline(busy_ns=130, waiting_ns=70))
    assert waited_ns(*[longer] * 3) == 0.0


def test_waiting_is_not_known_on_the_host_nor_without_launches() -> None:
    assert attributed([network()] * 3).waiting_for_host_ns is None
    known = on_accelerator(DeviceTimeline(60, 20))
    assert waited_ns(known, on_accelerator(None), known) is None


def test_a_captured_graph_has_no_known_macs() -> None:
    graph = timed(fold([Seen("runtime::cudaGraphLaunch", 60)], [], 200, DEFAULT), 100.0)

    def uncosted(macs: MacCount) -> tuple[str, ...]:
        return attribute([graph], 100.0, macs, DEFAULT, NO_COST, on_host=False).uncosted

    assert uncosted(count()) == ("runtime::cudaGraphLaunch",)
    assert uncosted(replace(count(), generated_macs=80)) == ()
