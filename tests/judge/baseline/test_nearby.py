"""Baselines that a run from another rootdir has recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_hiddencost.judge.baseline.nearby import Nearby, folder_above, recorded_nearby
from tests.judge.baseline.stored_entries import DEVICE, entry, store


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "sub" / "tests").mkdir(parents=True)
    return tmp_path


def near(root: Path, test: str, own: Path | None = None, label: str = "") -> Nearby | None:
    return recorded_nearby(own or root / ".hiddencost", root, DEVICE, test, label)


def record(folder: Path, module: str, label: str = "") -> Path:
    store(folder).update({(module, "test_a", label): entry()})
    return folder


def test_a_run_below_finds_what_was_recorded_above(top: Path) -> None:
    above = record(top / ".hiddencost", "sub/test_it.py")
    assert near(top / "sub", "test_it.py::test_a") == Nearby(above, f"--rootdir={top}")
    assert near(top / "sub", "test_it.py::test_b") is None
    assert near(top / "sub", "test_it.py::test_a", label="b1") is None


def test_a_run_above_finds_what_was_recorded_below(top: Path) -> None:
    below = record(top / "sub" / ".hiddencost", "tests/test_it.py")
    expected = Nearby(below, f"--rootdir={top / 'sub'}")
    assert near(top, "sub/tests/test_it.py::test_a") == expected


def test_a_folder_with_the_same_names_is_read_by_its_own_option(top: Path) -> None:
    above = record(top / ".hiddencost", "test_it.py")
    expected = Nearby(above, f"--hiddencost-baseline-dir={above}")
    assert near(top / "sub", "test_it.py::test_a") == expected


def test_a_folder_that_was_given_is_read_under_the_rootdir_that_recorded_it(top: Path) -> None:
    above = record(top / ".hiddencost", "sub/test_it.py")
    found = near(top / "sub", "test_it.py::test_a", own=above)
    assert found == Nearby(above, f"--rootdir={top}")


def test_the_search_ends_at_the_top_of_the_repository(top: Path) -> None:
    record(top / ".hiddencost", "sub/test_it.py")
    (top / "sub" / ".git").write_text("gitdir: elsewhere")
    assert near(top / "sub", "test_it.py::test_a") is None
    assert folder_above(top / "sub" / ".hiddencost", top / "sub") is None


def test_a_file_that_cannot_be_read_is_skipped(top: Path) -> None:
    above = record(top / ".hiddencost", "sub/test_it.py")
    (above / DEVICE.key / "sub" / "test_it.py.json").write_text("{")
    assert near(top / "sub", "test_it.py::test_a") is None


def test_a_folder_above_counts_only_while_the_run_has_none(top: Path) -> None:
    own, root = top / "sub" / ".hiddencost", top / "sub"
    assert folder_above(own, root) is None
    (top / ".hiddencost").mkdir()
    assert folder_above(own, root) == top / ".hiddencost"
    assert folder_above(root / "kept", root) is None, "an option names it"
    deep = root / "tests"
    assert folder_above(deep / ".hiddencost", deep) == top / ".hiddencost"
    own.mkdir()
    assert folder_above(own, root) is None
