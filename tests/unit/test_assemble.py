"""From windows and a latency to the operator part of a profile."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import patient

from pytest_hiddencost.profiling.assemble import Attribution, attribute
from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.folding import Event, Window, fold
from pytest_hiddencost.profiling.macs import MacCall, MacCount
from pytest_hiddencost.profiling.operators import OperatorWindows
from pytest_hiddencost.records import InsideCost, MacKindCost
from pytest_hiddencost.taxonomy import DEFAULT

CONV = MacCall("aten::mkldnn_convolution", "conv2d 3x3", 1000)
GEMM = MacCall("aten::addmm", "matmul", 10)


def count(*calls: MacCall, unformulated: tuple[str, ...] = ()) -> MacCount:
    return MacCount(calls, frozenset(call.operator for call in calls), unformulated)


def window(*events: tuple[str, int, int], wall: int, macs: Sequence[MacCall] = ()) -> Window:
    """A call that took ``wall`` ns with these events: name, start and end."""
    timed: list[Event] = [(name, start, end, end - start) for name, start, end in events]
    return fold(timed, macs, wall, DEFAULT)


def network(slower: int = 1) -> Window:
    """100 ns: conv2d of 60 (kernel 50, empty 4), relu of 20, 20 outside; all of it times slower."""
    events = [
        ("aten::conv2d", 5, 65), ("aten::mkldnn_convolution", 6, 56), ("aten::empty", 60, 64),
        ("aten::relu", 70, 90),
    ]  # fmt: skip
    scaled = [(name, start * slower, end * slower) for name, start, end in events]
    return window(*scaled, wall=100 * slower, macs=[CONV])


def attributed(
    windows: Sequence[Window], latency_ns: float = 100.0, macs: MacCount | None = None
) -> Attribution:
    return attribute(windows, latency_ns, count(CONV) if macs is None else macs, DEFAULT)


def explained_ns(found: Attribution) -> float:
    return sum(cost.self_ns for cost in found.operators) + found.outside_ns


def _self_ns(found: Attribution) -> dict[str, float]:
    return {cost.name: cost.self_ns for cost in found.operators}


# --- where the latency went --------------------------------------------------------------------


def test_the_parts_of_a_call() -> None:
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


def test_the_costliest_comes_first() -> None:
    found = attributed([network()])
    assert [cost.name for cost in found.operators] == [
        "aten::mkldnn_convolution", "aten::relu", "aten::conv2d", "aten::empty",
    ]  # fmt: skip
    assert [c.name for c in found.composites] == ["aten::conv2d", "aten::relu"]
    assert [c.name for c in found.composites[0].inside] == [
        "aten::mkldnn_convolution", "aten::conv2d", "aten::empty",
    ]  # fmt: skip


def test_a_composite_is_the_sum_of_what_is_inside() -> None:
    conv2d, relu = attributed([network()]).composites
    assert (conv2d.calls, conv2d.total_ns, conv2d.raw_total_ns) == (1, 60, 60)
    assert (relu.calls, relu.total_ns) == (1, 20)
    assert relu.inside == (InsideCost("aten::relu", 1, 20.0),)
    assert sum(cost.self_ns for cost in conv2d.inside) == conv2d.total_ns


def test_macs_are_those_of_the_kernel_that_did_them() -> None:
    found = attributed([network()])
    assert {cost.name: cost.macs for cost in found.operators if cost.macs} == {
        "aten::mkldnn_convolution": 1000
    }
    assert {cost.name: cost.mac_share for cost in found.operators if cost.mac_share} == {
        "aten::mkldnn_convolution": 1.0
    }


# --- time with the profiler on, and the latency without -----------------------------------------


@pytest.mark.parametrize("latency_ns", [100.0, 80.0, 400.0])
def test_windows_say_how_the_latency_is_shared_out(latency_ns: float) -> None:
    found = attributed([network()], latency_ns)
    relu = next(cost for cost in found.operators if cost.name == "aten::relu")
    assert relu.self_ns == pytest.approx(0.2 * latency_ns)
    assert relu.raw_self_ns == 20
    assert found.outside_ns == pytest.approx(0.2 * latency_ns)
    assert found.composites[0].total_ns == pytest.approx(0.6 * latency_ns)
    assert found.composites[0].raw_total_ns == 60
    assert found.mac_kinds[0].self_ns == pytest.approx(0.5 * latency_ns)
    assert explained_ns(found) == pytest.approx(latency_ns)


def test_what_the_profiler_cost_is_told() -> None:
    cost = attributed([network()] * 3, 80.0).profiler
    assert cost.events == 4
    assert cost.windows == 3
    assert cost.event_cost_ns == pytest.approx((100 - 80) / 4)
    assert cost.inflation_share == pytest.approx(0.25)
    assert cost.residual_share == pytest.approx(0.0)


def test_a_profiler_that_seems_to_cost_nothing_is_not_said_to_gain() -> None:
    cost = attributed([network()], 125.0).profiler
    assert cost.event_cost_ns == 0.0
    assert cost.inflation_share == pytest.approx(-0.2)


def test_a_call_without_operators_is_all_outside() -> None:
    found = attributed([window(wall=50)], 40.0, count())
    assert (found.operators, found.composites, found.mac_kinds) == ((), (), ())
    assert found.outside_ns == pytest.approx(40)
    assert found.profiler.event_cost_ns == 0.0
    assert found.profiler.residual_share == pytest.approx(0.0)


def test_every_window_counts_with_its_own_wall_time() -> None:
    # One call was interrupted throughout: the shares are the same, so the times are.
    found = attributed([network(), network(slower=3), network()])
    assert next(c.windows_ns for c in found.operators if c.name == "aten::relu") == pytest.approx(
        (20, 20, 20)
    )
    assert found.profiler.residual_share == pytest.approx(0.0)


def test_one_disturbed_window_moves_nothing() -> None:
    # A pause of 900 ns hit the relu of one call.
    pause = window(
        ("aten::conv2d", 5, 65), ("aten::mkldnn_convolution", 6, 56), ("aten::empty", 60, 64),
        ("aten::relu", 70, 990), wall=1000, macs=[CONV],
    )  # fmt: skip
    found = attributed([network(), network(), pause])
    calm = attributed([network()])
    assert _self_ns(found) == pytest.approx(_self_ns(calm))
    assert found.outside_ns == pytest.approx(calm.outside_ns)


def test_the_windows_are_kept_for_the_interval() -> None:
    found = attributed([network(), network(2)], 200.0)
    relu = next(cost for cost in found.operators if cost.name == "aten::relu")
    assert relu.windows_ns == pytest.approx((40, 40))
    assert relu.self_ns == pytest.approx(median(relu.windows_ns))


def test_windows_that_disagree_leave_a_residual() -> None:
    def lopsided(a: int, b: int) -> Window:
        return window(("aten::cat", 0, a), ("aten::relu", a, a + b), wall=100)

    found = attributed([lopsided(70, 10), lopsided(10, 70), lopsided(40, 10)], 100.0, count())
    # Medians: cat 40, relu 10, outside 20; that is 70 of 100.
    assert explained_ns(found) == pytest.approx(70)
    assert found.profiler.residual_share == pytest.approx(0.3)


def test_a_child_that_outlasts_its_parent_costs_its_parent_nothing() -> None:
    # Clocks of a profiler are good to a few ns; a self time below 0 is none.
    found = attributed([window(("aten::a", 0, 50), ("aten::b", 1, 54), wall=60)], 60.0, count())
    assert _self_ns(found) == pytest.approx({"aten::b": 53, "aten::a": 0})
    assert found.outside_ns == pytest.approx(7)


def test_time_outside_is_never_negative() -> None:
    on_device = fold([("aten::relu", 0, 10, 500)], [], 100, DEFAULT, inclusive=False)
    found = attributed([on_device], 100.0, count())
    assert found.outside_ns == 0.0
    assert found.profiler.residual_share == pytest.approx(-4.0)


# --- calls that vary ---------------------------------------------------------------------------


def test_calls_that_vary_have_a_range() -> None:
    def copies(n: int) -> Window:
        relu = [("aten::relu", 90, 95)]
        return window(*[("aten::copy_", 10 * i, 10 * i + 5) for i in range(n)], *relu, wall=100)

    found = attributed([copies(3), copies(5), copies(0)], 100.0, count())
    by_name = {cost.name: cost for cost in found.operators}
    assert (by_name["aten::copy_"].calls, by_name["aten::copy_"].calls_range) == (3, (0, 5))
    assert by_name["aten::copy_"].windows_ns == pytest.approx((15, 25, 0))
    assert (by_name["aten::relu"].calls, by_name["aten::relu"].calls_range) == (1, None)


def test_an_operator_of_a_later_window_is_not_lost() -> None:
    quiet, busy = window(wall=100), window(("aten::copy_", 0, 30), wall=100)
    found = attributed([quiet, busy, busy], 100.0, count())
    (cost,) = found.operators
    assert (cost.calls, cost.calls_range, cost.self_ns) == (0, (0, 1), 30)
    assert found.composites[0].name == "aten::copy_"


def test_calls_of_disturbed_windows_count_and_their_times_do_not() -> None:
    usual = window(("aten::copy_", 0, 30), wall=100)
    slow = window(("aten::copy_", 0, 4000), ("aten::cat", 5000, 9000), wall=10_000)
    found = attribute([usual, usual], 100.0, count(), DEFAULT, disturbed=[slow])
    assert _self_ns(found) == {"aten::copy_": 30, "aten::cat": 0}
    by_name = {cost.name: cost for cost in found.operators}
    assert (by_name["aten::copy_"].calls, by_name["aten::copy_"].calls_range) == (1, None)
    assert (by_name["aten::cat"].calls, by_name["aten::cat"].calls_range) == (0, (0, 1))
    assert {len(cost.windows_ns) for cost in found.operators} == {2}
    assert found.outside_ns == pytest.approx(70)
    assert found.profiler.windows == 2


# --- MACs --------------------------------------------------------------------------------------


def test_a_wrapper_that_hid_a_kernel_has_the_share_it_hid() -> None:
    # The first _convolution hid a transposed convolution of 60; the second called a kernel.
    transposed = MacCall("aten::_convolution", "conv_transpose2d", 500)
    found = attributed(
        [window(
            ("aten::_convolution", 0, 60),
            ("aten::_convolution", 60, 100), ("aten::mkldnn_convolution", 60, 80),
            wall=100, macs=[transposed, CONV],
        )], 100.0, count(transposed, CONV),
    )  # fmt: skip
    by_name = {cost.name: cost for cost in found.operators}
    assert by_name["aten::_convolution"].self_ns == pytest.approx(80)
    assert by_name["aten::_convolution"].mac_share == pytest.approx(60 / 80)
    assert by_name["aten::_convolution"].group == "wrapper"
    assert by_name["aten::_convolution"].macs == 500
    assert found.mac_ns == pytest.approx(60 + 20)


def test_kinds_come_by_macs() -> None:
    found = attributed(
        [window(("aten::addmm", 0, 90), ("aten::mkldnn_convolution", 90, 95), wall=100,
                macs=[GEMM, CONV])], 100.0, count(GEMM, CONV),
    )  # fmt: skip
    assert found.mac_kinds == (
        MacKindCost("conv2d 3x3", 1, 1000, 5.0),
        MacKindCost("matmul", 1, 10, 90.0),
    )


def test_macs_that_cannot_be_matched_are_counted_without_a_time() -> None:
    unseen = MacCall("aten::bmm", "attention", 70)
    macs = count(CONV, unseen, CONV)
    unmatched = window(
        ("aten::mkldnn_convolution", 0, 30), ("aten::mkldnn_convolution", 40, 60), wall=100,
        macs=macs.calls,
    )  # fmt: skip
    found = attributed([unmatched], 100.0, macs)
    assert set(found.mac_kinds) == {
        MacKindCost("conv2d 3x3", 2, 2000, None), MacKindCost("attention", 1, 70, None),
    }  # fmt: skip
    (note,) = found.notes
    assert "could not be matched" in note
    assert found.mac_ns == pytest.approx(50)  # the kernels are known all the same


def test_one_window_that_does_not_match_is_enough_to_say_so() -> None:
    strange = window(("aten::relu", 0, 20), wall=100, macs=[CONV])
    found = attributed([network(), strange, network()])
    assert found.mac_kinds == (MacKindCost("conv2d 3x3", 1, 1000, None),)
    assert found.notes


@pytest.mark.parametrize("operator", ["aten::addmm", "mylib::fused_conv2d", "other::gemm"])
def test_a_kernel_in_no_counted_call_is_reported(operator: str) -> None:
    seen = window(("aten::mkldnn_convolution", 0, 30), (operator, 40, 60), wall=100, macs=[CONV])
    assert attributed([seen]).uncosted == (operator,)


def test_a_kernel_that_was_counted_once_and_called_twice_is_reported() -> None:
    twice = window(("aten::addmm", 0, 30), ("aten::addmm", 40, 60), wall=100, macs=[GEMM])
    assert attributed([twice], 100.0, count(GEMM)).uncosted == ("aten::addmm",)


def test_a_kernel_inside_a_counted_call_is_in_its_count() -> None:
    attention = MacCall("aten::_scaled_dot_product_attention_math", "attention", 70)
    inside = window(
        (attention.operator, 0, 50), ("aten::bmm", 1, 20), ("aten::bmm", 20, 40), wall=100,
        macs=[attention],
    )  # fmt: skip
    assert attributed([inside], 100.0, count(attention)).uncosted == ()


def test_what_contains_a_counted_call_is_no_suspect() -> None:
    custom = window(
        ("mylib::conv_block", 0, 50), ("aten::mkldnn_convolution", 1, 30), wall=100, macs=[CONV]
    )
    assert attributed([custom]).uncosted == ()


def test_what_is_not_named_like_a_kernel_is_no_suspect() -> None:
    assert attributed([window(("mylib::shuffle", 0, 50), wall=100)], 100.0, count()).uncosted == ()


def test_operators_whose_formula_failed_are_reported_too() -> None:
    macs = count(CONV, unformulated=("mylib::attention", "aten::addmm"))
    assert attributed([network()], 100.0, macs).uncosted == ("aten::addmm", "mylib::attention")


# --- closure -----------------------------------------------------------------------------------

spans = st.lists(
    st.tuples(
        st.sampled_from(["aten::addmm", "aten::linear", "aten::cat", "aten::copy_", "mylib::x"]),
        st.integers(0, 50),
        st.integers(0, 50),
        st.integers(0, 50),
    ),
    max_size=8,
)


def nested(drawn: list[tuple[str, int, int, int]], slower: int = 1) -> Window:
    """Each span: a gap outside, a time alone, then an aten::empty of its own inside."""
    events, now = [], 0
    for name, gap, alone, inner in drawn:
        now += gap
        events.append((name, slower * now, slower * (now + alone + inner)))
        if inner:
            events.append(("aten::empty", slower * (now + alone), slower * (now + alone + inner)))
        now += alone + inner
    return window(*events, wall=slower * (now + 1))


@patient
@given(drawn=spans, latency_ns=st.floats(1, 1e9), walls=st.lists(st.integers(1, 5), min_size=1))
def test_windows_that_agree_explain_the_whole_latency(
    drawn: list[tuple[str, int, int, int]], latency_ns: float, walls: list[int]
) -> None:
    found = attributed([nested(drawn, slower) for slower in walls], latency_ns, count())
    assert explained_ns(found) == pytest.approx(latency_ns)
    assert found.profiler.residual_share == pytest.approx(0.0, abs=1e-9)
    assert sum(c.total_ns for c in found.composites) == pytest.approx(
        sum(c.self_ns for c in found.operators)
    )
    assert 0 <= found.mac_ns <= latency_ns * (1 + 1e-9)


@patient
@given(drawn=st.lists(spans, min_size=1, max_size=5), latency_ns=st.floats(1, 1e9))
def test_what_is_not_explained_is_the_residual(
    drawn: list[list[tuple[str, int, int, int]]], latency_ns: float
) -> None:
    found = attributed([nested(each) for each in drawn], latency_ns, count())
    unexplained_ns = found.profiler.residual_share * latency_ns
    assert explained_ns(found) + unexplained_ns == pytest.approx(latency_ns)
    assert found.outside_ns >= 0
    assert all(cost.self_ns >= 0 for cost in found.operators)


@patient
@given(drawn=spans, factor=st.integers(2, 1000))
def test_the_scale_of_the_clock_changes_nothing(
    drawn: list[tuple[str, int, int, int]], factor: int
) -> None:
    fine = attributed([nested(drawn, factor)], 1e6, count())
    coarse = attributed([nested(drawn)], 1e6, count())
    assert _self_ns(fine) == pytest.approx(_self_ns(coarse))
    assert fine.outside_ns == pytest.approx(coarse.outside_ns)


# --- which windows are kept --------------------------------------------------------------------


def kept_of(*windows: Window) -> OperatorWindows:
    found = OperatorWindows(cast("Call", None), (), DEFAULT)
    found.windows = list(windows)
    return found


def test_disturbed_windows_are_left_out() -> None:
    windows = [Window(wall) for wall in (600, 1000, 1000, 1500, 1501, 40_000, 900)]
    assert [w.wall_ns for w in kept_of(*windows).kept] == [600, 1000, 1000, 1500, 900]
    assert [w.wall_ns for w in kept_of(*windows).disturbed] == [1501, 40_000]


def test_a_fast_window_is_kept_wherever_it_comes() -> None:
    windows = [Window(wall) for wall in (9000, 1000, 8000)]
    assert [w.wall_ns for w in kept_of(*windows).kept] == [9000, 1000, 8000]
    assert [w.wall_ns for w in kept_of(Window(9000)).kept] == [9000]
    assert kept_of().kept == []
    assert kept_of().disturbed == []


def test_a_structure_that_varies_is_noticed_even_in_a_window_that_is_left_out() -> None:
    assert not kept_of(network(), network(2), network()).structure_varies
    other = window(("aten::relu", 0, 90_000), wall=100_000)
    assert kept_of(network(), network(), other).structure_varies
    assert not kept_of(network()).structure_varies
