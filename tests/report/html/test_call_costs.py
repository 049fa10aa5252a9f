"""Hidden costs with their lines, groups against MACs, MAC rates, memory."""

from __future__ import annotations

import pytest

from pytest_hiddencost.core.records import GENERATED, CallSiteCost, MacKindCost, MemoryPoint
from pytest_hiddencost.report.html.call_costs import (
    groups_chart,
    hidden_costs,
    kinds_chart,
    memory_chart,
)
from tests.profiles import MS, network, operator, profile_of
from tests.report.html.reports import LAYERS, layered


def test_hidden_costs_come_largest_first_and_leave_mac_kernels_out() -> None:
    costs = hidden_costs(layered())
    assert [cost["name"] for cost in costs] == [
        "aten::native_batch_norm", "outside", "aten::cat", "aten::copy_", "aten::view",
    ]  # fmt: skip
    assert costs[0] | {"lines": []} == {
        "name": "aten::native_batch_norm", "group": "normalization", "calls": 18, "ns": 2.0 * MS,
        "time": "2 ms", "share": pytest.approx(0.2, rel=0.01), "share_text": "20 %",
        "inside": "batch_norm", "lines": [],
    }  # fmt: skip
    assert costs[1]["calls"] is None
    assert costs[-1]["time"] == "~10 us"


def test_a_wrapper_that_runs_a_kernel_counts_with_the_rest() -> None:
    profile = profile_of(operator("aten::linear", 4 * MS, 2, mac_share=0.75))
    (cost, _) = sorted(hidden_costs(profile), key=lambda cost: cost["name"])
    assert cost["ns"] == 1 * MS


def test_each_cost_has_the_lines_that_call_it() -> None:
    by_name = {cost["name"]: cost for cost in hidden_costs(layered())}
    assert by_name["aten::cat"]["lines"] == [
        "9 calls, 600 us: net.py:77", "3 calls: call site not known",
    ]  # fmt: skip
    assert len(by_name["aten::native_batch_norm"]["lines"]) == LAYERS
    assert by_name["aten::native_batch_norm"]["lines"][0] == (
        "3 calls, 333 us: features.0.norm, net.py:10"
    )


def test_modules_that_differ_in_numbers_share_a_line_and_many_lines_are_counted() -> None:
    same = [CallSiteCost(f"b.{i}", "net.py:5", 1, 1000.0) for i in range(50)]
    other = [CallSiteCost(f"x{'y' * i}", f"net.py:{i}", 1, 1.0) for i in range(20)]
    profile = profile_of(operator("aten::cat", 1 * MS, 70, call_sites=[*same, *other]))
    lines = hidden_costs(profile)[1]["lines"]
    assert lines[0] == "50 calls, 50 us: b.*, net.py:5"
    assert lines[-1] == "13 more call sites"


def test_groups_have_their_share_of_time_and_of_macs() -> None:
    chart = groups_chart(network())
    time = dict(zip(chart["names"], chart["time"], strict=True))
    macs = dict(zip(chart["names"], chart["macs"], strict=True))
    assert (time["mac"], macs["mac"]) == (pytest.approx(0.6), 1.0)
    assert (time["normalization"], macs["normalization"]) == (pytest.approx(0.2), 0.0)
    assert sum(time.values()) == pytest.approx(1.0)
    assert chart["names"][0] == "mac"


def test_macs_of_generated_kernels_are_a_group() -> None:
    profile = network(macs=60_000_000, mac_kinds=(MacKindCost(GENERATED, 1, 30_000_000, None),))
    chart = groups_chart(profile)
    assert dict(zip(chart["names"], chart["macs"], strict=True))[GENERATED] == 0.5


def test_kinds_come_fastest_first_and_one_without_a_time_has_no_rate() -> None:
    chart = kinds_chart(layered())
    assert chart["names"] == ["conv2d 1x1", "conv2d 3x3", "linear"]
    assert chart["rates"] == [10.0, 5.0, None]
    assert chart["unit"] == "GMAC/s"
    assert chart["rate_texts"] == ["10 GMAC/s", "5 GMAC/s", "-"]
    assert kinds_chart(network())["names"] == []


def test_memory_has_its_peak_in_words() -> None:
    points = (
        MemoryPoint(0.1, 2**20, ""), MemoryPoint(0.5, 3 * 2**20, "aten::conv2d"),
        MemoryPoint(0.9, 0, "aten::relu"),
    )  # fmt: skip
    chart = memory_chart(network(memory=points))
    assert chart is not None
    assert (chart["unit"], chart["x"], chart["y"]) == ("MiB", [10.0, 50.0, 90.0], [1.0, 3.0, 0.0])
    assert chart["peak"] == "3 MiB at 50 % of the call, in aten::conv2d"
    assert memory_chart(network()) is None
    fewer = memory_chart(network(memory=points), 2)
    assert fewer is not None
    assert (fewer["x"], fewer["y"]) == ([50.0, 90.0], [3.0, 0.0])
