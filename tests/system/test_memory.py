"""Available memory, from files of any content."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from pytest_hiddencost.system import memory
from pytest_hiddencost.system.memory import available_bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux reports it")
def test_available_bytes_of_this_machine_are_plausible() -> None:
    assert 0 < available_bytes() < 2**50


def test_kilobytes_of_the_kernel_are_returned_as_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemAvailable:    1234 kB\n")
    assert available_bytes() == 1234 * 1024


@pytest.mark.parametrize(
    "text", ["", "MemFree: 12 kB\n", "MemAvailable:\n", "MemAvailable: much kB\n", "\udcff"]
)
def test_memory_that_is_not_reported_is_infinite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path)
    (tmp_path / "meminfo").write_bytes(text.encode(errors="surrogateescape"))
    assert available_bytes() == math.inf
