"""Tables of costs: every operator once, the rest summed up, and where each one was called."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import (
    GENERATED,
    CallSiteCost,
    CompositeCost,
    MacKindCost,
    Profile,
)
from pytest_hiddencost.report.cost_tables import (
    MOST_CALL_SITES,
    MOST_ROWS,
    aligned,
    cost_table,
    costliest_call_sites,
    costs_of,
    macs_table,
    time_table,
)
from tests.profiles import MS, composite, network, operator, patient, profile_of, read_table
from tests.report.printed import shown, value


def rows_of(table: str) -> list[dict[str, str]]:
    return read_table(table.splitlines())


def every_cost(profile: Profile) -> list[Any]:
    return list(costs_of(profile, [(o, 1.0) for o in profile.operators], outside=True))


# --- time --------------------------------------------------------------------------------------


def test_the_table_of_a_profile_has_every_operator_and_the_time_outside() -> None:
    rows = rows_of(cost_table(network()))
    assert [row["operator"] for row in rows] == [
        "aten::mkldnn_convolution", "aten::native_batch_norm", "aten::cat", "aten::copy_",
        "outside", "aten::_convolution",
    ]  # fmt: skip
    assert [row["time"] for row in rows] == ["6 ms", "2 ms", "1 ms", "400 us", "400 us", "200 us"]
    assert [row["share"] for row in rows] == ["60 %", "20 %", "10 %", "4 %", "4 %", "2 %"]
    assert [row["calls"] for row in rows] == ["20", "20", "12", "14", "", "20"]


@patient
@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=20))
def test_rows_beyond_the_most_are_summed_up(times_ns: list[int]) -> None:
    operators = [operator(f"mylib::op{i}", ns, i) for i, ns in enumerate(times_ns)]
    profile = profile_of(*operators, latency_ns=10**9)
    costs = costs_of(profile, [(o, 1.0) for o in operators], outside=False)
    rows = rows_of(time_table(profile, costs))
    assert len(rows) == min(len(operators), MOST_ROWS + 1)
    assert sum(int(row["calls"]) for row in rows) == sum(o.calls for o in operators)
    # Three digits of each row: a hundredth of the whole, and a nanosecond of each, at most.
    printed_ns = sum(value(row["time"], "duration") for row in rows)
    assert printed_ns == pytest.approx(sum(times_ns), rel=0.01, abs=len(rows))
    if len(operators) > MOST_ROWS:
        assert rows[-1]["operator"] == f"{len(operators) - MOST_ROWS} more"


def test_a_part_of_an_operator_takes_that_part_of_its_time() -> None:
    wrapper = operator("aten::_convolution", 4 * MS, 2)
    profile = profile_of(wrapper)
    [cost] = costs_of(profile, [(wrapper, 0.25)], outside=False)
    assert (cost.name, cost.calls, cost.self_ns) == ("aten::_convolution", 2, 1 * MS)


def test_an_operator_below_resolution_has_a_rough_time() -> None:
    profile = profile_of(operator("aten::narrow", 0.2 * MS, 800, below_resolution=True))
    assert [row["time"] for row in rows_of(cost_table(profile))] == ["9.8 ms", "~200 us"]


# --- MACs --------------------------------------------------------------------------------------


def test_operators_with_macs_are_sorted_by_them() -> None:
    profile = profile_of(
        operator("aten::addmm", 3 * MS, 1, macs=1_000_000),
        operator("aten::mkldnn_convolution", 1 * MS, 5, macs=9_000_000),
        operator("aten::cat", 2 * MS),
    )
    rows = rows_of(macs_table(profile))
    assert [(row["operator"], row["MACs"], row["share"]) for row in rows] == [
        ("aten::mkldnn_convolution", "9 MMAC", "90 %"), ("aten::addmm", "1 MMAC", "10 %"),
    ]  # fmt: skip


def test_the_table_of_macs_has_those_of_generated_kernels() -> None:
    seen = operator("aten::addmm", 1 * MS, macs=1_000_000)
    generated = MacKindCost(GENERATED, 1, 3_000_000, None)
    rows = rows_of(macs_table(profile_of(seen, macs=4_000_000, mac_kinds=(generated,))))
    assert [(row["operator"], row["calls"], row["share"]) for row in rows] == [
        (GENERATED, "", "75 %"), ("aten::addmm", "1", "25 %"),
    ]  # fmt: skip


def test_without_macs_there_is_no_table() -> None:
    assert macs_table(profile_of(operator("aten::cat", MS))) == ""


# --- composites --------------------------------------------------------------------------------


def inside(*composites: CompositeCost) -> str:
    profile = profile_of(operator("aten::copy_", 1 * MS, 4), composites=composites)
    outside, row = rows_of(cost_table(profile))
    assert (outside["operator"], outside["inside"]) == ("outside", "no operator")
    return row["inside"]


@pytest.mark.parametrize(
    ("caller", "shown_as"),
    [("aten::conv2d", "conv2d"), ("mylib::fused", "mylib::fused"), ("aten::copy_", "top level")],
)
def test_an_operator_is_shown_with_the_composite_that_called_it(caller: str, shown_as: str) -> None:
    assert inside(composite(caller, 1, {"aten::copy_": (4, 1 * MS)})) == shown_as


def test_a_generated_kernel_is_shown_with_the_operators_that_it_fuses() -> None:
    (row, _) = rows_of(cost_table(profile_of(operator("cpp_fused_add_relu_3", 9 * MS))))
    assert (row["operator"], row["inside"]) == ("cpp_fused_add_relu_3", "fuses add, relu")


def test_waiting_for_the_host_is_a_row_of_its_own() -> None:
    profile = profile_of(operator("aten::relu", 4 * MS), waiting_for_host_ns=5.0 * MS)
    rows = rows_of(cost_table(profile))
    assert [(row["operator"], row["time"], row["inside"]) for row in rows] == [
        ("waiting for the host", "5 ms", "no operator"),
        ("aten::relu", "4 ms", "top level"),
        ("outside", units.format_duration(profile.outside_ns - 5.0 * MS), "no operator"),
    ]


def test_several_composites_have_their_shares_the_largest_first() -> None:
    found = inside(
        composite("aten::copy_", 1, {"aten::copy_": (1, 0.25 * MS)}),
        composite("aten::conv2d", 2, {"aten::copy_": (3, 0.7 * MS)}),
        composite("aten::cat", 2, {"aten::copy_": (1, 0.05 * MS)}),
    )
    assert found == "conv2d 70 %, top level 25 %", "composites below a tenth are left out"


def test_an_operator_without_time_is_in_no_composite() -> None:
    profile = profile_of(
        operator("aten::view", 0, 2),
        composites=[
            composite("aten::conv2d", 1, {"aten::view": (1, 0)}),
            composite("aten::view", 1, {"aten::view": (1, 0)}),
        ],
    )
    _, row = rows_of(cost_table(profile))
    assert (row["time"], row["share"], row["inside"]) == ("0 ns", "0 %", "")


# --- call sites --------------------------------------------------------------------------------


def test_call_sites_are_those_of_the_costliest_operators() -> None:
    def at(name: str, ns: float) -> Any:
        return operator(name, ns, call_sites=[CallSiteCost("", f"{name[7:]}.py:1", 1, ns)])

    operators = [at(f"mylib::op{i}", (20 - i) * MS) for i in range(MOST_ROWS + 3)]
    profile = profile_of(*operators, latency_ns=1_000 * MS)
    found = costliest_call_sites(profile, every_cost(profile)).splitlines()
    assert len(found) == MOST_CALL_SITES
    assert found[0] == "1 x mylib::op0 from op0.py:1 (20 ms)"
    of_last = costs_of(profile, [(operators[-1], 1.0)], outside=False)
    assert costliest_call_sites(profile, of_last) == "1 x mylib::op10 from op10.py:1 (10 ms)"


def test_without_call_sites_there_is_nothing() -> None:
    assert costliest_call_sites(network(), every_cost(network())) == ""


# --- alignment ---------------------------------------------------------------------------------


def test_names_are_aligned_left_and_figures_right() -> None:
    head, _, one, other = aligned(
        [("a", 1, "x"), ("long name", 100, "longer")], ["name", "calls", "last"]
    ).splitlines()
    assert head.index("calls") + len("calls") == one.index("1") + 1 == other.index("100") + 3
    assert one.endswith("x")
    assert len(one.rstrip()) == len(other.rstrip())
    left = aligned([("a", 1, "x"), ("b", 2, "longer")], ["name", "calls", "last"], last="left")
    assert left.splitlines()[2].rstrip().endswith("x")
    assert left.splitlines()[2].index("x") == left.splitlines()[3].index("longer")


def test_text_that_looks_like_a_number_is_left_as_it_is() -> None:
    assert "1e3" in aligned([("1e3", "0010", "1.50")], ["a", "b", "c"])
    assert "0010" in aligned([("1e3", "0010", "1.50")], ["a", "b", "c"])


def test_figures_are_the_stored_ones() -> None:
    for row in rows_of(cost_table(network())):
        if row["operator"] != "outside":
            cost = network().operator(row["operator"])
            assert value(row["time"], "duration") == shown(cost.self_ns)
            assert value(row["share"], "share") == shown(cost.self_ns / (10 * MS))
