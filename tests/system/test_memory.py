"""Available and resident memory, from files of any content."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest

from pytest_hiddencost.system import memory
from pytest_hiddencost.system.memory import available_bytes, resident_bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux reports them")
def test_available_and_resident_bytes_of_this_machine_are_plausible() -> None:
    mine = resident_bytes(os.getpid())
    assert 2**20 < mine < 2**40
    assert 0 < available_bytes() < 2**50


def test_kilobytes_of_the_kernel_are_returned_as_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemAvailable:    1234 kB\n")
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "status").write_text("Name:\tpython\nVmRSS:\t    56 kB\n")
    assert available_bytes() == 1234 * 1024
    assert resident_bytes(42) == 56 * 1024


@pytest.mark.parametrize(
    "text", ["", "MemFree: 12 kB\n", "MemAvailable:\n", "MemAvailable: much kB\n", "\udcff"]
)
def test_memory_that_is_not_reported_is_infinite_or_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(memory, "PROC", tmp_path)
    (tmp_path / "meminfo").write_bytes(text.encode(errors="surrogateescape"))
    assert available_bytes() == math.inf
    assert resident_bytes(42) == 0
