"""Compaction: fewer files, the same runs, no old samples, and nothing lost by a kill."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.history import compaction
from pytest_hiddencost.history.compaction import Compacted, compact
from pytest_hiddencost.history.database import HistoryDatabase, StorePart, ask
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_tables import STORE_TABLES
from tests.history.stored_runs import (
    AT_ONCE,
    START,
    Killed,
    everything,
    killed_after,
    measured,
    once_before_rows_are_visible,
    rows,
    stored,
)

NOW = START + timedelta(days=8)  # when samples have an age
RUNS = 3  # all in one month


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for day in range(RUNS):
        stored(tmp_path, [measured(), measured(label="b")], day)
    return tmp_path


def counts(store: Path) -> list[int]:
    folder = StoreFolder(str(store))
    return [len(folder.files(table)) for table in STORE_TABLES]


def test_files_are_merged_and_the_rows_stay_the_same(store: Path) -> None:
    before = everything(store)
    assert counts(store) == [RUNS] * 3
    assert compact(StoreFolder(str(store)), None, AT_ONCE, NOW) == Compacted(RUNS, 3 * RUNS, 0)
    assert counts(store) == [1, 1, 1]
    assert everything(store) == before
    assert compact(StoreFolder(str(store)), None, AT_ONCE, NOW) == Compacted()


def test_samples_older_than_the_limit_are_dropped_and_summaries_stay(store: Path) -> None:
    before = everything(store)
    done = compact(StoreFolder(str(store)), timedelta(days=6.5), AT_ONCE, NOW)
    assert done.samples == 4
    assert rows(store, "SELECT count(*), count(samples) FROM profiles") == [(6, 2)]
    assert rows(store, "SELECT min(time) FROM profiles WHERE samples IS NOT NULL") == [
        ((START + timedelta(days=2)).replace(tzinfo=None),)
    ]
    assert everything(store) == before


def test_a_single_file_is_rewritten_only_for_its_samples(tmp_path: Path) -> None:
    stored(tmp_path, [measured()])
    folder = StoreFolder(str(tmp_path))
    assert compact(folder, timedelta(days=90), AT_ONCE, NOW) == Compacted()
    assert compact(folder, timedelta(days=1), AT_ONCE, NOW) == Compacted(1, 3, 1)


def test_replaced_files_stay_for_readers_until_a_later_compaction(store: Path) -> None:
    folder, before = StoreFolder(str(store)), everything(store)
    now = datetime.now(timezone.utc)
    assert compact(folder, None, now=now) == Compacted(RUNS, 0, 0)
    assert counts(store) == [RUNS + 1] * 3
    assert everything(store) == before
    assert compact(folder, None, now=now + timedelta(minutes=59)) == Compacted()
    done = compact(folder, None, now=now + timedelta(minutes=61))
    assert done == Compacted(0, 3 * RUNS, 0)
    assert everything(store) == before


def test_runs_that_come_later_are_merged_as_well(store: Path) -> None:
    compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
    stored(store, [measured()], 5)
    assert rows(store, "SELECT count(*) FROM profiles") == [(7,)]
    compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
    assert counts(store) == [1, 1, 1]
    assert rows(store, "SELECT count(*) FROM profiles") == [(7,)]


def test_a_full_file_is_not_merged_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MOST_PROFILES", 4)
    before = everything(store)
    compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
    assert counts(store) == [RUNS] * 3  # each holds half of what is allowed
    monkeypatch.setattr(compaction, "MOST_PROFILES", 6)
    compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
    assert counts(store) == [1, 1, 1]
    assert everything(store) == before


@pytest.mark.parametrize("steps", range(13))
def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """A compaction of three runs adds three files and removes nine."""
    before = everything(store)
    monkeypatch.setattr(StoreFolder, "add", killed_after(steps, StoreFolder.add))
    monkeypatch.setattr(StoreFolder, "remove", killed_after(steps - 3, StoreFolder.remove))
    try:
        compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
        assert steps == 12
    except Killed:
        assert steps < 12
    monkeypatch.undo()
    assert everything(store) == before
    compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
    assert everything(store) == before


def test_two_compactions_at_once_double_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one runs, in full, just before the first one makes its rows visible."""
    before = everything(store)

    def other_compaction() -> None:
        stored(store, [measured()], 5)
        before[:] = everything(store)
        compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
        assert everything(store) == before

    monkeypatch.setattr(StoreFolder, "add", once_before_rows_are_visible(other_compaction))
    compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
    monkeypatch.undo()
    assert everything(store) == before
    compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
    assert everything(store) == before
    assert counts(store) == [1, 1, 1]


def test_a_reader_that_meets_a_removed_file_reads_again(store: Path) -> None:
    tries = []

    def question(database: HistoryDatabase) -> int:
        tries.append(1)
        if len(tries) == 1:
            compact(StoreFolder(str(store)), None, AT_ONCE, NOW)
        return len(database.rows("SELECT * FROM profiles")[1])

    assert ask(StoreFolder(str(store)), StorePart(), question) == 2 * RUNS
    assert len(tries) == 2


def test_what_killed_writers_left_goes_after_a_day(store: Path) -> None:
    lost = stored(store, [measured()], 5)
    [path] = store.glob(f"runs/*/*/*{lost}*")
    path.rename(path.with_name(f"{path.name}.{'a' * 32}.tmp"))
    folder = StoreFolder(str(store))
    compact(folder, None, AT_ONCE, START + timedelta(days=5.5))
    assert list(store.glob(f"profiles/*/*/*{lost}*"))
    compact(folder, None, AT_ONCE, datetime.now(timezone.utc) + timedelta(days=2))
    assert list(store.rglob(f"*{lost}*")) == []
    assert rows(store, "SELECT count(*) FROM runs") == [(RUNS,)]


def test_files_of_a_board_whose_clock_is_wrong_are_not_taken_for_left_ones(store: Path) -> None:
    """Its run is being added: the last file is not there yet, and the others say 2025."""
    added = stored(store, [measured()], -400)
    [path] = store.glob(f"runs/*/*/*{added}*")
    hidden = path.rename(store / "hidden")
    compact(StoreFolder(str(store)), None, AT_ONCE)
    hidden.rename(path)
    assert rows(store, "SELECT count(*) FROM runs") == [(RUNS + 1,)]
    assert rows(store, "SELECT count(DISTINCT run_id) FROM profiles") == [(RUNS + 1,)]


def test_an_empty_store_compacts_to_nothing(tmp_path: Path) -> None:
    assert compact(StoreFolder(str(tmp_path)), None) == Compacted()


def test_a_broken_file_is_told(store: Path) -> None:
    path = next(store.glob("runs/*/*/*.parquet"))
    path.write_bytes(b"no Parquet")
    with pytest.raises(StoreError, match="cannot be read"):
        rows(store, "SELECT * FROM runs")


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files would count as those that a killed run left."""
    scandir = os.scandir

    def failing(path: str) -> object:
        if "/runs/device=" in path:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    later = datetime.now(timezone.utc) + timedelta(days=2)
    monkeypatch.setattr("os.scandir", failing)
    with pytest.raises(StoreError, match=r"cannot be read: .*Permission denied"):
        compact(StoreFolder(str(store)), None, AT_ONCE, later)
    monkeypatch.undo()
    assert counts(store) == [RUNS] * 3
