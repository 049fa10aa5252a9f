"""Compaction: few large files in place of many small ones, and no samples older than a limit.

Each device and month is compacted by itself. The file with all its rows is added first, under a
name that lets it count; the files whose rows it has are removed later, since a reader may be at
them. A kill at any moment leaves the same runs visible: see
:mod:`pytest_hiddencost.history.visible_runs`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_hiddencost.history.parquet_files import (
    dataset_of,
    parquet_of_table,
    read_table,
)
from pytest_hiddencost.history.store_folder import (
    StoredFile,
    StoreFolder,
    generation_of,
    part_name,
    stored_file,
)
from pytest_hiddencost.history.store_rows import new_run_id
from pytest_hiddencost.history.store_tables import (
    OPERATORS_TABLE,
    PROFILES_TABLE,
    RUNS,
    STORE_TABLES,
)
from pytest_hiddencost.history.visible_runs import VisibleRuns

if TYPE_CHECKING:
    import pyarrow as pa

MOST_PROFILES = 20_000  # in one file
READERS_NEED = timedelta(hours=1)
_TEMPORARY = re.compile(r"\.parquet\.[0-9a-f]{32}\.tmp$")
ABANDONED_S = 86_400.0  # no writer takes a day from its first file to its last
ORDER = {
    PROFILES_TABLE: ("test", "label", "time"),  # one call's rows lie together
    OPERATORS_TABLE: ("name", "test", "label", "time"),
    RUNS: ("time",),
}


@dataclass
class Compacted:
    """Figures of a compaction."""

    merged: int = 0  # files of runs that became part of a larger one
    removed: int = 0  # files of all tables
    samples: int = 0  # profiles that lost their samples


def compact(
    folder: StoreFolder,
    keep: timedelta | None,
    remove_after: timedelta = READERS_NEED,
    now: datetime | None = None,
) -> Compacted:
    """Merge files, drop samples older than ``keep``, and remove files that nothing needs.

    A file that was replaced is removed ``remove_after`` its replacement. Writers, readers and other
    compactions may run meanwhile. Raises ``StoreError``.
    """
    started = now or datetime.now(timezone.utc)
    before = started - keep if keep is not None else None
    done = Compacted()
    for _, files in groupby(folder.files(RUNS), key=lambda file: (file.device, file.month)):
        _compact_month(folder, list(files), before, done)
    before_s = ((now or datetime.now(timezone.utc)) - remove_after).timestamp()
    for _, files in groupby(folder.files(RUNS), key=lambda file: (file.device, file.month)):
        _remove_replaced(folder, list(files), before_s, done)
    _sweep(folder, started, done)
    return done


def _compact_month(
    folder: StoreFolder, files: list[StoredFile], before: datetime | None, done: Compacted
) -> None:
    try:
        visible = VisibleRuns(folder, files)
        for some in _chunks(visible):
            expired = _expired(folder, some, before)
            if len(some) > 1 or expired:
                _merge(folder, some, visible, before)
                done.merged += len(some)
                done.samples += expired
    except FileNotFoundError:
        return  # another compaction was here first


def _remove_replaced(
    folder: StoreFolder, files: list[StoredFile], before_s: float, done: Compacted
) -> None:
    try:
        replaced = VisibleRuns(folder, files).replaced_before(before_s)
    except FileNotFoundError:
        return  # another compaction removes them
    for file in replaced:
        # The run's own file goes first, so that no reader looks for the others.
        for table in (RUNS, *(name for name in STORE_TABLES if name != RUNS)):
            folder.remove(folder.full_path(file.of(table)))
            done.removed += 1


def _chunks(visible: VisibleRuns) -> list[list[StoredFile]]:
    """Return the files that become one: few enough profiles for the memory of a small machine."""
    chunks: list[list[StoredFile]] = [[]]
    filled = 0
    for file in sorted(visible.live):
        count = visible.profiles_in(file)
        if count >= MOST_PROFILES // 2:
            chunks.insert(0, [file])
            continue
        if filled + count > MOST_PROFILES:
            chunks.append([])
            filled = 0
        chunks[-1].append(file)
        filled += count
    return [chunk for chunk in chunks if chunk]


def _expired(folder: StoreFolder, some: list[StoredFile], before: datetime | None) -> int:
    """Return the number of profiles with samples that are too old."""
    import pyarrow.dataset as ds

    if before is None:
        return 0
    files = [file.of(PROFILES_TABLE) for file in some]
    old = (ds.field("time") < before) & ds.field("samples").is_valid()
    return int(dataset_of(folder, PROFILES_TABLE, files).count_rows(filter=old))


def _merge(
    folder: StoreFolder, files: list[StoredFile], visible: VisibleRuns, before: datetime | None
) -> None:
    """Add a file with the rows that these own; its file in ``runs`` is the last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    generation = 1 + max(generation_of(file.part) for file in files)
    part = part_name(generation, new_run_id(datetime.now(timezone.utc)))
    for table in STORE_TABLES:
        if table != RUNS:
            found = read_table(folder, table, [file.of(table) for file in files])
            found = _owned(found, visible.owners()) if visible.overlap else found
            if table == PROFILES_TABLE and before is not None:
                found = _without_samples(found, before)
            _add(folder, files[0], table, part, found)
    names = [file.part for file in files]
    runs = visible.table.filter(pc.is_in(visible.table["part"], value_set=pa.array(names)))
    _add(folder, files[0], RUNS, part, runs)


def _add(folder: StoreFolder, like: StoredFile, table: str, part: str, found: pa.Table) -> None:
    import pyarrow as pa

    place = found.schema.get_field_index("part")
    found = found.set_column(place, "part", pa.array([part] * len(found), pa.string()))
    found = found.sort_by([(name, "ascending") for name in ORDER[table]])
    folder.add(StoredFile(table, like.device, like.month, part), parquet_of_table(found))


def _owned(found: pa.Table, owners: dict[str, str]) -> pa.Table:
    pairs = zip(found["run_id"].to_pylist(), found["part"].to_pylist(), strict=True)
    return found.filter([owners.get(run_id) == part for run_id, part in pairs])


def _without_samples(found: pa.Table, before: datetime) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    recent = pc.greater_equal(found["time"], pa.scalar(before, found["time"].type))
    place, kind = found.schema.get_field_index("samples"), found["samples"].type
    kept = pc.if_else(recent, found["samples"], pa.scalar(None, kind))
    return found.set_column(place, "samples", kept)


def _sweep(folder: StoreFolder, now: datetime, done: Compacted) -> None:
    """Remove what killed writers and compactions left a day ago or more."""
    old = folder.paths_before(now.timestamp() - ABANDONED_S)
    kept = {file.of("") for file in folder.files(RUNS)}  # listed last: what is old has its run now
    for path in old:
        file = stored_file(path)
        orphan = file is not None and file.table in STORE_TABLES and file.of("") not in kept
        if orphan or _TEMPORARY.search(path):
            folder.remove(path)
            done.removed += 1
