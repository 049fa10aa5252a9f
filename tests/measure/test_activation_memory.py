"""Activation memory: the peak of a stream of allocations and frees."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pytest_hiddencost import Sampling, profile
from pytest_hiddencost.measure.activation_memory import (
    MOST_POINTS,
    Allocation,
    live_bytes,
    memory_points,
    peak_bytes,
)
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


def notes_of(model: Callable[..., object]) -> tuple[str, ...]:
    return profile(model, torch.ones(256), sampling=Sampling(1_000_000)).notes


def test_a_call_that_stores_its_outputs_is_told_with_how_much() -> None:
    model, kept = nn.ReLU().eval(), []
    model.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    found = "every call keeps 1 KiB more memory"
    advice = "look for hooks, lists or caches that store its tensors"
    assert notes_of(model) == (f"{found}; {advice}",)


def test_a_cache_that_every_call_makes_longer_is_told() -> None:
    cache = torch.zeros(0)

    def model(x: torch.Tensor) -> torch.Tensor:
        nonlocal cache
        cache = torch.cat([cache, x])
        return x + 1

    assert "every call keeps 1 KiB more memory" in notes_of(model)[0]


def test_memory_in_reference_cycles_is_told() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        cycle: list[object] = [x + 1]
        cycle.append(cycle)
        return x + 2

    assert "every call leaves 1 KiB in reference cycles" in notes_of(model)[0]


def test_a_call_that_replaces_what_it_kept_keeps_nothing_more() -> None:
    last = torch.zeros(256)

    def model(x: torch.Tensor) -> torch.Tensor:
        nonlocal last
        last = x + 1
        return last

    assert notes_of(model) == ()


def test_memory_over_a_call_has_its_peak_and_the_operator_that_reached_it() -> None:
    class Grows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, x, x]).relu_().sum()

    result = profile(Grows(), torch.zeros(1000), sampling=Sampling(max_time_ns=1))
    assert result.activation_peak_bytes is not None
    top = max(result.memory, key=lambda point: point.live_bytes)
    assert top.live_bytes == result.activation_peak_bytes
    assert result.memory[0].root == "aten::cat"
    assert result.memory[0].live_bytes == 3 * 1000 * 4
    shares = [point.share for point in result.memory]
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] <= shares[-1] <= 1.0


def test_memory_over_a_call_is_thinned_without_losing_the_peak() -> None:
    allocations = [(time, time, 1) for time in range(10_000)]
    allocations += [(4321, -1, 100_000), (4322, -1, -100_000)]  # in the middle of a part
    points = memory_points(live_bytes(allocations), [(0, 5000, "aten::cat"), (6000, 9999, "mark")])
    assert len(points) <= MOST_POINTS
    assert max(point.live_bytes for point in points) == peak_bytes(allocations) > 100_000
    assert {point.root for point in points} == {"aten::cat", ""}


def test_a_call_that_allocates_nothing_has_no_memory_over_it() -> None:
    assert memory_points([], [(0, 5, "aten::relu_")]) == ()
