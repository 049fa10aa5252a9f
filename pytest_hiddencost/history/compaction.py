"""Compaction of a whole store: few large files, no old samples, and nothing that killed runs left.

Each device and month is compacted by itself.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby

from pytest_hiddencost.history.merging import READERS_NEED, DeviceMonth
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import StoredFile, stored_file
from pytest_hiddencost.history.store_tables import RUNS, STORE_TABLES

MOST_PROFILES = 20_000  # in one file
_TEMPORARY = re.compile(r"\.parquet\.[0-9a-f]{32}\.tmp$")
ABANDONED_S = 86_400.0  # no writer takes a day from its first file to its last


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
    for files in _months(folder):
        with suppress(FileNotFoundError):  # another compaction was here first
            _compact_month(DeviceMonth.of(folder, files), before, done)
    replaced_before = (now or datetime.now(timezone.utc)) - remove_after
    for files in _months(folder):
        with suppress(FileNotFoundError):  # another compaction removes them
            done.removed += DeviceMonth.of(folder, files).remove_replaced(replaced_before)
    _sweep(folder, started, done)
    return done


def _months(folder: StoreFolder) -> list[list[StoredFile]]:
    """Return the files of ``runs`` by device and month."""
    by_month = groupby(folder.files(RUNS), key=lambda file: (file.device, file.month))
    return [list(files) for _, files in by_month]


def _compact_month(month: DeviceMonth, before: datetime | None, done: Compacted) -> None:
    for some in month.chunks(month.mergeable, MOST_PROFILES):
        expired = month.expired(some, before)
        if len(some) > 1 or expired:
            month.merge(some, datetime.now(timezone.utc), before)
            done.merged += len(some)
            done.samples += expired


def _sweep(folder: StoreFolder, now: datetime, done: Compacted) -> None:
    """Remove what killed writers and merges left a day ago or more."""
    old = folder.paths_before(now.timestamp() - ABANDONED_S)
    kept = {file.of("") for file in folder.files(RUNS)}  # listed last: what is old has its run now
    for path in old:
        file = stored_file(path)
        orphan = file is not None and file.table in STORE_TABLES and file.of("") not in kept
        if orphan or _TEMPORARY.search(path):
            folder.remove(path)
            done.removed += 1
