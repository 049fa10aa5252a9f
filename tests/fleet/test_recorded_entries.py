from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.fleet.recorded_entries import RecordedEntry, write_entries
from pytest_hiddencost.judge.baseline.store import Baselines
from tests.judge.baseline.stored_entries import entry
from tests.profiles import DEVICE

OTHER = replace(DEVICE, key="cpu-other-board-torch-2.13")


def recorded(device: Device, test: str, label: str = "") -> RecordedEntry:
    return RecordedEntry(encode(device), "tests/test_a.py", test, label, encode(entry()))


def test_entries_lie_in_the_folder_of_the_device_that_recorded_them(tmp_path: Path) -> None:
    found = [recorded(DEVICE, "test_a"), recorded(OTHER, "test_a"), recorded(OTHER, "test_b", "x")]
    count, files = write_entries(tmp_path, found)
    assert (count, len(files)) == (3, 2)
    assert Baselines(tmp_path, DEVICE).entry("tests/test_a.py", "test_a", "") == entry()
    assert Baselines(tmp_path, OTHER).entry("tests/test_a.py", "test_b", "x") == entry()
    assert Baselines(tmp_path, DEVICE).entry("tests/test_a.py", "test_b", "x") is None


def test_entries_of_other_tests_stay(tmp_path: Path) -> None:
    write_entries(tmp_path, [recorded(DEVICE, "test_a")])
    write_entries(tmp_path, [recorded(DEVICE, "test_b")])
    assert len(Baselines(tmp_path, DEVICE).entries("tests/test_a.py")) == 2


def test_nothing_recorded_makes_no_folder(tmp_path: Path) -> None:
    assert write_entries(tmp_path / "none", []) == (0, [])
    assert not (tmp_path / "none").exists()
