"""Limits as people write them: two digits on the safe side, or exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.units import Kind
from pytest_hiddencost.suggest.readable import exactly, rounded_up, value_of
from tests.profiles import patient


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("duration", 1_234_567.0, "1.3 ms"),
        ("duration", 1_200_000.0, "1.2 ms"),
        ("duration", 996_000.0, "1 ms"),
        ("duration", 169_000.0, "170 us"),
        ("duration", 0.31, "0.31 ns"),
        ("duration", 75.1e9, "76 s"),
        ("share", 0.2134, "22%"),
        ("share", 0.07, "7%"),
        ("share", 0.0021, "0.21%"),
        ("share", 0.9912, "100%"),
        ("mac_rate", 2.51e9, "2.6 GMAC/s"),
    ],
)
def test_a_limit_with_headroom_has_two_digits(kind: Kind, value: float, text: str) -> None:
    assert rounded_up(kind, value) == text


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("macs", 46_400_000, "46.4 MMAC"),
        ("macs", 3_317_761, "3317761 MAC"),
        ("macs", 128, "128 MAC"),
        ("bytes", 961 * 1024, "961 KiB"),
        ("bytes", 25 * 2**19, "12.5 MiB"),
        ("bytes", 1_234_567, "1234567 B"),
        ("bytes", 0, "0 B"),
        ("calls", 1, "1 call"),
        ("calls", 12, "12 calls"),
    ],
)
def test_an_exact_limit_is_exact(kind: Kind, value: int, text: str) -> None:
    assert exactly(kind, value) == text


@patient
@given(st.sampled_from(["duration", "share", "mac_rate"]), st.floats(1e-9, 1e12))
def test_a_rounded_limit_is_on_the_safe_side_by_less_than_a_tenth(kind: Kind, value: float) -> None:
    value = min(value, 0.99) if kind == "share" else value
    found = value_of(kind, rounded_up(kind, value))
    assert value * (1 - 1e-12) <= found <= value * 1.1 * (1 + 1e-9)


@patient
@given(st.sampled_from(["macs", "bytes", "calls"]), st.integers(0, 2**53))
def test_an_exact_limit_reads_back_as_the_number(kind: Kind, value: int) -> None:
    assert value_of(kind, exactly(kind, value)) == value
