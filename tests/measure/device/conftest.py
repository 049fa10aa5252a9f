"""A board in an empty folder; this machine's own load is out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_hiddencost.measure.device import load, sysfs
from tests.measure.device.board import Board


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setattr(load, "STAT", tmp_path / "absent")
    monkeypatch.setattr(sysfs, "usable_cores", lambda: {0, 1, 2, 3})
    return Board(tmp_path)
