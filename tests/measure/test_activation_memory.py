"""Activation memory: the peak of a stream of allocations and frees."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.measure.activation_memory import Allocation, peak_bytes
from tests.profiles import patient


@pytest.mark.parametrize(
    ("allocations", "peak"),
    [
        ([], 0),
        ([(0, 0xA, 100)], 100),
        ([(0, 0xA, 100), (1, 0xB, 50)], 150),
        ([(0, 0xA, 100), (1, 0xA, -100), (2, 0xB, 50)], 100),
        ([(0, 0xA, 100), (1, 0xA, -100), (2, 0xA, 120), (3, 0xA, -120)], 120),
        ([(0, 0xA, 100), (1, 0xB, 50), (2, 0xA, -100), (3, 0xC, 60)], 150),
        ([(0, 0xA, 100), (1, 0xB, 50), (2, 0xA, -100), (3, 0xC, 160)], 210),
    ],
)
def test_the_peak_is_the_most_that_was_live_at_once(
    allocations: list[Allocation], peak: int
) -> None:
    assert peak_bytes(allocations) == peak


def test_frees_of_older_memory_do_not_count() -> None:
    assert peak_bytes([(0, 0x1, -10_000), (1, 0xA, 100), (2, 0x2, -500), (3, 0xB, 50)]) == 150
    assert peak_bytes([(0, 0x1, -10_000)]) == 0


def test_an_address_is_freed_once() -> None:
    assert peak_bytes([(0, 0xA, 100), (1, 0xA, -100), (2, 0xA, -100), (3, 0xB, 180)]) == 180


def test_an_allocation_of_0_bytes_takes_no_memory() -> None:
    assert peak_bytes([(0, 0xA, 100), (1, 0, 0), (2, 0xB, 50), (3, 0, 0)]) == 150


steps = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 1000)), max_size=60)


def stream(taken: list[tuple[int, int]]) -> tuple[list[Allocation], int]:
    """Return events, each an allocation at a free address or a free, and their peak by hand."""
    live: dict[int, int] = {}
    allocations, peak = [], 0
    for time, (address, size) in enumerate(taken):
        if address in live:
            allocations.append((time, address, -live.pop(address)))
        else:
            live[address] = size
            allocations.append((time, address, size))
        peak = max(peak, sum(live.values()))
    return allocations, peak


@patient
@given(taken=steps, rng=st.randoms(use_true_random=False))
def test_the_peak_does_not_depend_on_the_order_of_reading(
    taken: list[tuple[int, int]], rng: random.Random
) -> None:
    allocations, peak = stream(taken)
    rng.shuffle(allocations)
    assert peak_bytes(iter(allocations)) == peak


@patient
@given(taken=steps, before=st.lists(st.integers(1, 10**9), max_size=9))
def test_frees_of_older_memory_never_change_the_peak(
    taken: list[tuple[int, int]], before: list[int]
) -> None:
    allocations, peak = stream(taken)
    older = [(7 * i, 0xF00 + i, -size) for i, size in enumerate(before)]
    assert peak_bytes(allocations + older) == peak


def test_an_address_that_is_allocated_again_was_freed_without_an_event() -> None:
    assert peak_bytes([(1, 0xA, 100), (2, 0xA, 100), (3, 0xB, 50)]) == 150
