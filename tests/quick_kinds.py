"""Operator kinds without waiting: every repetition runs once and takes a made-up time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_hiddencost.measure.kinds import peaks, repetitions

REPETITION_NS = 1000


def quick_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every repetition take ``REPETITION_NS``, and the peaks need little memory."""

    def block(turns: Iterator[Callable[[], object]], count: int, _: Any) -> int:
        next(turns)()
        return count * REPETITION_NS

    monkeypatch.setattr(repetitions, "_block", block)
    monkeypatch.setattr(peaks, "COLD_BYTES", 2**20)
    monkeypatch.setattr(peaks, "last_level_cache_bytes", lambda: 0)
    monkeypatch.setattr(peaks, "COPIED_KIB", (64,))
    monkeypatch.setattr(peaks, "MATRICES", (32,))
    peaks.measured_peaks.cache_clear()
