"""Peaks, rates and bounds of operators, from numbers that anyone can check by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.operator_rates import CopyRate, DeviceKinds, OperatorRate, Peaks
from pytest_hiddencost.core.roofline import BOUNDS, bound_by, floors_ns, shares_by_bound

# 100 MACs, or 40 bytes in caches, or 10 bytes in memory, take a ns; a call takes 2 us.
PEAKS = Peaks(
    mac_rate=100e9,
    copies=(CopyRate(1_000, 5e9), CopyRate(100_000, 40e9), CopyRate(100_000_000, 10e9)),
    call_ns=2_000.0,
)


def rate(
    macs: int = 0, moved_bytes: int = 0, repetition_ns: float = 1.0, calls: int = 1
) -> OperatorRate:
    return OperatorRate("aten::mm", "matmul", "", macs, moved_bytes, repetition_ns, calls=calls)


def test_rates_are_work_over_time() -> None:
    found = rate(macs=6_000, moved_bytes=3_000, repetition_ns=2_000.0, calls=5)
    assert found.mac_rate == 3e9
    assert found.byte_rate == 1.5e9
    assert found.macs_per_byte == 2.0
    assert found.total_ns == 10_000.0
    assert found.energy_nj_per_mac is None


def test_the_energy_of_a_mac_needs_macs() -> None:
    found = OperatorRate("aten::mm", "matmul", "", 500, 0, 1.0, energy_nj=1_000.0)
    assert found.energy_nj_per_mac == 2.0
    assert OperatorRate("aten::add", "", "", 0, 8, 1.0, energy_nj=5.0).energy_nj_per_mac is None


def test_copies_give_a_roof_for_each_size() -> None:
    assert PEAKS.byte_rate(50_000) == 40e9
    assert PEAKS.byte_rate(500) == 40e9, "a small copy is slow because of the call alone"
    assert PEAKS.byte_rate(100_001) == 10e9
    assert PEAKS.byte_rate(10**12) == 10e9, "beyond the largest copy there is only memory"
    assert PEAKS.memory_byte_rate == 10e9
    assert PEAKS.cache_byte_rate == 40e9


def test_each_limit_has_its_floor() -> None:
    found = rate(macs=1_000_000, moved_bytes=200_000)
    assert floors_ns(found, PEAKS) == {"compute": 10_000, "memory": 20_000, "overhead": 2_000}


@pytest.mark.parametrize(
    ("found", "bound"),
    [
        (rate(macs=1_000_000, moved_bytes=10, repetition_ns=10_000), "compute"),
        (rate(macs=1_000_000, moved_bytes=10, repetition_ns=20_000), "compute"),
        (rate(macs=1_000_000, moved_bytes=10, repetition_ns=20_001), "kernel"),
        (rate(macs=10, moved_bytes=200_000, repetition_ns=39_000), "memory"),
        (rate(macs=10, moved_bytes=80_000, repetition_ns=3_000), "memory"),
        (rate(macs=10, moved_bytes=80_000, repetition_ns=39_000), "kernel"),
        (rate(moved_bytes=8, repetition_ns=2_500), "overhead"),
        (rate(macs=1_000_000, moved_bytes=10, repetition_ns=5_000), "compute"),
    ],
)
def test_the_limit_that_explains_half_of_the_time_bounds_it(
    found: OperatorRate, bound: str
) -> None:
    assert bound_by(found, PEAKS) == bound


def test_an_operator_on_other_tensors_in_turn_reads_from_memory() -> None:
    warm = rate(moved_bytes=80_000, repetition_ns=9_000)
    assert bound_by(warm, PEAKS) == "kernel", "2 us in caches"
    cold = replace(warm, touched_bytes=10**9)
    assert bound_by(cold, PEAKS) == "memory", "8 us in memory"


@given(
    st.lists(
        st.builds(
            rate,
            macs=st.integers(0, 10**9),
            moved_bytes=st.integers(0, 10**9),
            repetition_ns=st.floats(1.0, 1e9),
            calls=st.integers(1, 100),
        ),
        min_size=1,
    )
)
def test_the_shares_of_all_bounds_make_the_whole(found: list[OperatorRate]) -> None:
    shares = shares_by_bound(found, PEAKS)
    assert tuple(shares) == BOUNDS
    assert sum(shares.values()) == pytest.approx(1.0)


def test_shares_count_every_call() -> None:
    compute = rate(macs=1_000_000, repetition_ns=10_000, calls=3)
    slow = rate(macs=10, repetition_ns=10_000)
    shares = shares_by_bound([compute, slow], PEAKS)
    assert shares == {"compute": 0.75, "memory": 0.0, "overhead": 0.0, "kernel": 0.25}
    assert shares_by_bound([], PEAKS)["compute"] == 0.0


def test_kinds_of_a_device_survive_a_file() -> None:
    kinds = DeviceKinds(PEAKS, (rate(macs=5), rate(moved_bytes=8)), "no energy meter found")
    assert decode(DeviceKinds, encode(kinds)) == kinds
