"""Runs merge their own small files: few files, the same rows, and nothing lost by a kill."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pytest_hiddencost.core.errors import StoreBusyError
from pytest_hiddencost.history import small_files
from pytest_hiddencost.history.compaction import compact
from pytest_hiddencost.history.database import HistoryDatabase, StorePart, ask
from pytest_hiddencost.history.small_files import merge_small_files
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import generation_of
from pytest_hiddencost.history.store_tables import RUNS, STORE_TABLES
from tests.history.stored_runs import (
    AT_ONCE,
    PI,
    START,
    Killed,
    everything,
    killed_after,
    measured,
    once_before_rows_are_visible,
    rows,
    stored,
)

OCTOBER = 11  # days after START


def merged(store: Path, day: int, remove_after: timedelta = AT_ONCE) -> None:
    folder, now = StoreFolder(str(store)), START + timedelta(days=day)
    merge_small_files(folder, PI.key, now, remove_after)


def generations(store: Path, month: str = "2026-09") -> list[int]:
    """The generations of the files of each table, which are alike."""
    folder = StoreFolder(str(store))
    found = [
        [generation_of(file.part) for file in folder.files(table) if file.month == month]
        for table in STORE_TABLES
    ]
    assert found[0] == found[1] == found[2]
    return found[0]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Four runs of September that nobody has merged."""
    for day in range(4):
        stored(tmp_path, [measured(), measured(label="b")], day)
    return tmp_path


def test_files_stay_few_and_rows_are_rewritten_as_often_as_there_are_generations(
    tmp_path: Path,
) -> None:
    runs = []
    for _ in range(21):
        runs.append(stored(tmp_path, [measured()]))
        merged(tmp_path, 0)
    merged(tmp_path, 0)  # removes what the last run replaced
    assert generations(tmp_path) == [0, 1, 2]  # 21 is 111 to the base of 4
    assert sorted(rows(tmp_path, "SELECT run_id FROM runs")) == sorted((run,) for run in runs)
    assert rows(tmp_path, "SELECT count(*), count(samples) FROM profiles") == [(21, 21)]


def test_a_merge_keeps_every_row_and_value(store: Path) -> None:
    before = everything(store)
    merged(store, 4)
    assert generations(store) == [0, 0, 0, 0, 1]
    assert everything(store) == before
    merged(store, 4)
    assert generations(store) == [1]
    assert everything(store) == before


def test_three_files_are_few_enough(tmp_path: Path) -> None:
    for day in range(3):
        stored(tmp_path, [measured()], day)
    merged(tmp_path, 4)
    assert generations(tmp_path) == [0, 0, 0]


def test_replaced_files_stay_an_hour_for_readers(store: Path) -> None:
    folder, now = StoreFolder(str(store)), START + timedelta(days=4)
    merge_small_files(folder, PI.key, now)
    merge_small_files(folder, PI.key, now + timedelta(minutes=59))
    assert generations(store) == [0, 0, 0, 0, 1]
    merge_small_files(folder, PI.key, now + timedelta(minutes=61))
    assert generations(store) == [1]


def test_the_first_run_of_a_month_merges_what_is_left_of_the_last_one(tmp_path: Path) -> None:
    for day in (0, 1, OCTOBER):
        stored(tmp_path, [measured()], day)
    merged(tmp_path, OCTOBER)
    merged(tmp_path, OCTOBER)
    assert generations(tmp_path) == [1]
    assert generations(tmp_path, "2026-10") == [0]
    assert rows(tmp_path, "SELECT count(*) FROM profiles") == [(3,)]


def test_older_months_and_other_devices_are_left_alone(store: Path) -> None:
    merged(store, OCTOBER + 31)
    merge_small_files(StoreFolder(str(store)), "another", START, AT_ONCE)
    assert generations(store) == [0, 0, 0, 0]


def test_a_board_whose_clock_is_wrong_reads_no_other_month(store: Path) -> None:
    merged(store, -20_000)
    assert generations(store) == [0, 0, 0, 0]


def test_large_files_are_left_to_a_compaction(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_files, "MOST_FOR_A_RUN", 4)  # each of the files has half of it
    merged(store, 4)
    assert generations(store) == [0, 0, 0, 0]
    compact(StoreFolder(str(store)), None, AT_ONCE)
    assert generations(store) == [1]


def test_runs_of_a_later_version_keep_their_new_columns(store: Path) -> None:
    """An earlier version would drop the columns that it does not know."""
    newest = max(store.glob("runs/*/*/*.parquet"))
    for path in store.glob(f"*/*/*/{newest.name}"):
        table = pq.ParquetFile(path).read()
        later = table.append_column("energy_j", [[1.5] * len(table)])
        if path == newest:
            place = later.schema.get_field_index("schema")
            later = later.set_column(place, "schema", [[99]])
        pq.write_table(later, path)
    stored(store, [measured()], 5)
    for _ in range(2):
        merged(store, 6)
    compact(StoreFolder(str(store)), None, AT_ONCE)
    assert generations(store) == [0, 1]
    assert rows(store, "SELECT count(*) FROM runs") == [(5,)]
    for path in store.glob(f"*/*/*/{newest.name}"):
        assert "energy_j" in pq.read_schema(path).names


# --- kills, readers, and other runs at any moment -----------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_killed_merge_loses_nothing_and_doubles_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """It adds three files."""
    before = everything(store)
    monkeypatch.setattr(StoreFolder, "add", killed_after(steps, StoreFolder.add))
    try:
        merged(store, 4)
        assert steps == 3
    except Killed:
        assert steps < 3
    monkeypatch.undo()
    assert everything(store) == before
    for _ in range(2):
        merged(store, 4)
    assert everything(store) == before
    assert len(StoreFolder(str(store)).files(RUNS)) == 1


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 11])
def test_a_kill_while_files_are_removed_loses_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    before = everything(store)
    merged(store, 4)
    monkeypatch.setattr(StoreFolder, "remove", killed_after(steps, StoreFolder.remove))
    with pytest.raises(Killed):
        merged(store, 4)
    monkeypatch.undo()
    assert everything(store) == before
    merged(store, 4)
    assert everything(store) == before


def test_two_runs_that_merge_at_once_double_nothing(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run is added, and merges, just before the first one's rows become visible."""
    before = everything(store)

    def other_run() -> None:
        stored(store, [measured()], 5)
        before[:] = everything(store)
        merged(store, 5)
        merged(store, 5)

    monkeypatch.setattr(StoreFolder, "add", once_before_rows_are_visible(other_run))
    merged(store, 4)
    monkeypatch.undo()
    assert everything(store) == before
    compact(StoreFolder(str(store)), None, AT_ONCE)
    assert everything(store) == before
    assert generations(store) == [1]


def test_a_reader_during_merges_gets_the_whole_answer(store: Path) -> None:
    opened: list[datetime] = []

    def question(database: HistoryDatabase) -> list[tuple[Any, ...]]:
        if not opened:  # the files that this reader knows are removed under it
            merged(store, 4)
            merged(store, 4)
        opened.append(START)
        return database.rows("SELECT count(*), count(DISTINCT run_id) FROM profiles")[1]

    assert ask(StoreFolder(str(store)), StorePart(), question) == [(8, 4)]
    assert len(opened) == 2


def test_a_reader_whose_files_are_removed_again_and_again_is_told_to_ask_again(
    store: Path,
) -> None:
    def question(database: HistoryDatabase) -> list[tuple[Any, ...]]:
        stored(store, [measured()])
        compact(StoreFolder(str(store)), None, AT_ONCE)
        return database.rows("FROM profiles")[1]

    with pytest.raises(StoreBusyError, match=r"merges removed files 5 times .*; ask again"):
        ask(StoreFolder(str(store)), StorePart(), question)
