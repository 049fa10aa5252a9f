"""The copies behind the memory roof: larger than the caches, and not a rate of launches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pytest_hiddencost.measure.kinds import peaks
from pytest_hiddencost.measure.kinds.peaks import cold_bytes, measured_peaks
from pytest_hiddencost.measure.kinds.repetitions import RepetitionTime, Runs

CPU, ACCELERATOR = torch.device("cpu"), torch.device("meta")
MIB = 2**20


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[int]]]:
    """The bytes that each repetition of each measured copy moves."""
    found: list[list[int]] = []

    def noted(runs: Runs, _: torch.device) -> RepetitionTime:
        arguments: list[tuple[Any, ...]] = [getattr(run, "args", ()) for run in runs]
        if all(len(given) == 1 for given in arguments):
            found.append([2 * given[0].nbytes for given in arguments])
        return RepetitionTime(1e3, None, 1e3)

    monkeypatch.setattr(peaks, "repetition_time", noted)
    monkeypatch.setattr(peaks, "available_bytes", lambda: 64 * 1024.0 * MIB)
    peaks.measured_peaks.cache_clear()
    yield found
    peaks.measured_peaks.cache_clear()


def test_an_accelerator_copies_each_buffer_at_once(copied: list[list[int]]) -> None:
    """It copies 4 MiB in less time than Python takes to issue a copy."""
    found = measured_peaks(ACCELERATOR, 1)
    assert [len(parts) for parts in copied] == [1] * len(found.copies)
    assert copied[-1] == [512 * MIB]
    assert found.memory_byte_rate == pytest.approx(512 * MIB / 1e-6)


def test_a_cpu_copies_in_parts_more_than_its_caches_hold(
    copied: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peaks, "last_level_cache_bytes", lambda: 96 * MIB)
    measured_peaks(CPU, 1)
    assert sum(copied[-1]) == 192 * MIB
    assert max(copied[-1]) <= peaks.PART_BYTES


@pytest.mark.parametrize(
    ("cache_bytes", "available", "expected"),
    [
        (0, math.inf, 128 * MIB),
        (32 * MIB, math.inf, 128 * MIB),
        (1152 * MIB, math.inf, 2304 * MIB),
        (1152 * MIB, 400.0 * MIB, 100 * MIB),
    ],
)
def test_cold_bytes_exceed_the_caches_unless_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, cache_bytes: int, available: float, expected: int
) -> None:
    monkeypatch.setattr(peaks, "last_level_cache_bytes", lambda: cache_bytes)
    monkeypatch.setattr(peaks, "available_bytes", lambda: available)
    assert cold_bytes(CPU) == expected
