"""Tables of replays, and of the battery: what they print is what was measured."""

from __future__ import annotations

from dataclasses import replace

from pytest_hiddencost.core.operator_rates import CopyRate, DeviceKinds, OperatorRate, Peaks
from pytest_hiddencost.core.records import MacKindCost, Profile
from pytest_hiddencost.report.battery_tables import battery_blocks
from pytest_hiddencost.report.details import detail_lines
from pytest_hiddencost.report.replay_tables import MOST_REPLAYS, check_line, replay_blocks
from tests.profiles import MS, US, network, read_table

PEAKS = Peaks(100e9, (CopyRate(10**6, 40e9), CopyRate(10**8, 10e9)), call_ns=1_000.0)
CONV = OperatorRate(
    "aten::mkldnn_convolution", "conv2d 3x3", "1x64x56x56 64x64x3x3 64", 100_000_000, 4_000_000,
    1.25 * MS, calls=4, energy_nj=50_000_000.0,
)  # fmt: skip
LINEAR = OperatorRate("aten::addmm", "linear", "10 1x20 20x10", 1_000_000, 4_000_000, 0.5 * MS)
RELU = OperatorRate("aten::relu_", "activation", "1x64x56x56", 0, 1_000_000, 100 * US, calls=4)


def replayed(*replays: OperatorRate) -> Profile:
    """A call of 10 ms."""
    kinds = (
        MacKindCost("conv2d 3x3", 4, 400_000_000, 4 * MS, 5.0 * MS, 0.5),
        MacKindCost("linear", 1, 1_000_000, None),
    )
    return network(replays=replays or (CONV, LINEAR, RELU), peaks=PEAKS, mac_kinds=kinds)


def test_each_replay_has_its_share_its_rates_and_its_bound() -> None:
    rows = read_table(replay_blocks(replayed())[1].splitlines())
    assert rows[0] == {
        "replay": "mkldnn_convolution", "shapes": "1x64x56x56 64x64x3x3", "calls": "4",
        "time": "5 ms", "share": "50 %", "GMAC/s": "80", "GB/s": "3.2", "bound by": "compute",
    }  # fmt: skip
    assert [row["bound by"] for row in rows] == ["compute", "memory", "kernel"]
    assert rows[2]["GMAC/s"] == "-"


def test_the_sum_of_the_replays_stands_against_the_call() -> None:
    assert check_line(replayed()).startswith(
        "check: the replays take 5.9 ms together, the call takes 10 ms (59 %)"
    )


def test_bounds_have_shares_of_the_replayed_time() -> None:
    text = replay_blocks(replayed())[2]
    assert "bound by: compute 84.7 %, memory 8.47 %, overhead 0 %, kernel 6.78 %" in text


def test_kinds_have_the_time_in_the_call_beside_the_replays() -> None:
    rows = read_table(replay_blocks(replayed())[3].splitlines())
    assert rows == [
        {"MAC kind": "conv2d 3x3", "calls": "4", "MACs": "400 MMAC", "in the call": "4 ms",
         "replayed": "5 ms", "GMAC/s": "80", "nJ/MAC": "0.5"},
        {"MAC kind": "linear", "calls": "1", "MACs": "1 MMAC", "in the call": "-",
         "replayed": "-", "GMAC/s": "-", "nJ/MAC": "-"},
    ]  # fmt: skip


def test_many_replays_end_in_a_row_with_the_rest() -> None:
    found = replayed(*[RELU] * (MOST_REPLAYS + 3))
    rows = read_table(replay_blocks(found)[1].splitlines())
    assert len(rows) == MOST_REPLAYS + 1
    assert (rows[-1]["replay"], rows[-1]["calls"], rows[-1]["time"]) == ("3 more", "12", "1.2 ms")


def test_details_of_a_call_show_its_replays() -> None:
    assert any("check: the replays" in line for line in detail_lines(replayed(), 1))
    assert replay_blocks(network()) == []
    assert not any("replay" in line for line in detail_lines(network(), 1))


BATTERY = DeviceKinds(
    PEAKS, (replace(CONV, calls=1), replace(LINEAR, calls=1), replace(RELU, calls=1)), "no meter"
)


def test_the_battery_has_a_row_for_each_operator() -> None:
    _, macs, _, moved = battery_blocks(BATTERY)
    rows = read_table(macs.splitlines())
    assert rows[0] == {
        "kind": "conv2d 3x3", "shapes": "1x64x56x56 64x64x3x3", "MMAC": "100", "time": "1.25 ms",
        "GMAC/s": "80", "of peak": "80 %", "MAC/B": "25", "nJ/MAC": "0.5", "bound by": "compute",
    }  # fmt: skip
    (relu,) = read_table(moved.splitlines())
    assert relu == {
        "operator": "relu_", "shapes": "1x64x56x56", "moved": "977 KiB", "time": "100 us",
        "GB/s": "10", "of a copy": "25 %", "bound by": "kernel",
    }  # fmt: skip


def test_the_battery_tells_its_peaks_and_the_spread_over_kinds() -> None:
    peaks, _, spread, _ = battery_blocks(BATTERY)
    assert peaks == (
        "peaks: 100 GMAC/s in a matrix product; copies 40 GB/s in caches, 10 GB/s in memory; "
        "1 us for a call of one element"
    )
    assert spread.splitlines() == [
        "spread over kinds, each at its fastest size: 40 x, from linear (2 GMAC/s) to conv2d 3x3 "
        "(80 GMAC/s)",
        "energy of a MAC: 1 x, from conv2d 3x3 (0.5 nJ) to conv2d 3x3 (0.5 nJ); "
        "unknown for the rest: no meter",
    ]
    unknown = DeviceKinds(PEAKS, (LINEAR, RELU), "no energy meter found: no counters")
    assert "energy of a MAC: no energy meter found: no counters" in list(battery_blocks(unknown))[2]
