"""Calls of several devices: what is in which row, and what fits the terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import pearsonr

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report.device_table import (
    DeviceCalls,
    bookkeeping_share,
    mac_time_correlation,
    write_device_table,
)
from tests.profiles import MS, composite, network, operator, profile_of
from tests.report.printed import FakeReporter

CONV2D = composite(
    "aten::conv2d", 20, {"aten::mkldnn_convolution": (20, 6.0 * MS), "aten::empty": (40, 2.0 * MS)}
)


def call(test: str = "test_net", p50_ms: int = 10, **changes: Any) -> Profile:
    """The network, of which batch_norm and other operators take the same time on every device."""
    return profile_of(*network().operators, latency_ns=p50_ms * MS, test=test, **changes)


def calls(*profiles: Profile) -> dict[tuple[str, str], Profile]:
    return {profile.key: profile for profile in profiles}


def printed(devices: DeviceCalls, verbosity: int = 0, width: int = 80) -> list[str]:
    reporter = FakeReporter(width)
    write_device_table(reporter, devices, verbosity)
    return reporter.lines


def rows(lines: list[str]) -> dict[str, list[str]]:
    """The cells of each row by its label; two spaces end a label."""
    found = (line.strip().partition("  ") for line in lines)
    return {label: cells.replace(" %", "%").split() for label, _, cells in found if cells}


def test_one_device_has_no_such_table() -> None:
    assert printed({"pi": calls(call()), "nano": {}}) == []


def test_a_call_stands_device_against_device() -> None:
    pi, nano = call(p50_ms=40, composites=[CONV2D]), call(p50_ms=10)
    lines = printed({"pi": calls(pi), "nano": calls(nano)})
    assert [line.split() for line in lines[:3]] == [[], ["pi", "nano"], ["test_net"]]
    found = rows(lines[3:])
    assert found["p50 ms"] == ["40", "10"]
    assert found["times the fastest"] == ["4.00", "1.00"]
    assert found["non-MAC"] == ["85%", "40%"]
    assert found["bookkeeping in Conv2D"] == ["25%", "-"]


def test_a_call_that_a_device_lacks_has_no_figures_there() -> None:
    lines = printed({"pi": calls(call("test_a"), call("test_b")), "nano": calls(call("test_a"))})
    assert rows(lines[lines.index("test_b") :])["p50 ms"] == ["10", "-"]


def test_a_row_that_no_device_has_is_left_out() -> None:
    assert "bookkeeping" not in "\n".join(printed({"pi": calls(call()), "nano": calls(call())}))


def test_more_verbosity_adds_the_operator_groups() -> None:
    plain = profile_of(operator("aten::cat", 9 * MS), latency_ns=10 * MS, test="test_net")
    devices = {"pi": calls(call()), "nano": calls(plain)}
    assert "concatenation" not in rows(printed(devices))
    found = rows(printed(devices, verbosity=1))
    assert found["concatenation"] == ["10%", "90%"]
    assert found["normalization"] == ["20%", "-"]
    assert found["outside operators"] == ["4%", "10%"]
    assert "pooling" not in found


def test_columns_have_numbers_if_the_names_are_too_wide() -> None:
    names = [f"cpu-some-board-of-a-long-name-{i}" for i in range(3)]
    devices = {name: calls(call()) for name in names}
    lines = printed(devices)
    assert lines[1:4] == [f"#{i}: {name}" for i, name in enumerate(names, start=1)]
    assert lines[4].split() == ["#1", "#2", "#3"]
    assert max(map(len, lines)) <= 80
    assert names[0] in printed(devices, width=200)[1]


def test_all_calls_end_with_the_correlation_of_macs_and_time() -> None:
    many = [replace(call(f"test_{i}", p50), macs=macs)
            for i, (p50, macs) in enumerate([(10, 1), (30, 5), (20, 9)])]  # fmt: skip
    lines = printed({"pi": calls(*many), "nano": calls(*many[:2])})
    expected = pearsonr([1, 5, 9], [10, 30, 20]).statistic
    assert lines[-2] == "all calls"
    assert rows(lines[-1:]) == {"correlation of MACs and p50": [f"{expected:.2f}", "-"]}


@pytest.mark.parametrize("macs", [(7, 7, 7), (1, 2)])
def test_equal_or_few_calls_have_no_correlation(macs: tuple[int, ...]) -> None:
    found = [replace(call(f"test_{i}", 10 + i), macs=each) for i, each in enumerate(macs)]
    assert mac_time_correlation(found) is None


def test_bookkeeping_is_the_part_of_conv2d_outside_its_kernel() -> None:
    assert bookkeeping_share(call(composites=[CONV2D])) == pytest.approx(0.25)
    assert bookkeeping_share(call()) is None
