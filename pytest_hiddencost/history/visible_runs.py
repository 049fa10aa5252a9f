"""The files that a reader takes each run from.

A compaction adds a file that holds the rows of several files. A later one removes those, when no
reader needs them any more. Meanwhile two files hold the same run: the one of the later name
counts. Later names belong to later generations. A file is removed only while a file of a later
name holds every run of it. So the last file that holds a run is never removed, however many
compactions run at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_hiddencost.history.parquet_files import read_table
from pytest_hiddencost.history.store_folder import StoredFile, StoreFolder, id_of
from pytest_hiddencost.history.store_rows import time_of_id
from pytest_hiddencost.history.store_tables import RUNS

if TYPE_CHECKING:
    import pyarrow as pa


class VisibleRuns:
    """The rows of ``runs`` in some files, each run once, and the files that own them."""

    def __init__(self, folder: StoreFolder, files: Sequence[StoredFile]) -> None:
        self._files = {(file.device, file.month, file.part): file for file in files}
        import pyarrow as pa

        stored = read_table(folder, RUNS, files)
        owner: dict[str, str] = {}
        ids, parts = (stored.column(name).to_pylist() for name in ("run_id", "part"))
        for run_id, part in zip(ids, parts, strict=True):
            owner[run_id] = max(part, owner.get(run_id, ""))
        owned = [owner[run_id] == part for run_id, part in zip(ids, parts, strict=True)]
        self.table: pa.Table = stored.filter(pa.array(owned, pa.bool_()))
        live: set[str] = set()
        mixed: set[str] = set()
        for part, yes in zip(parts, owned, strict=True):
            (live if yes else mixed).add(part)
        self._live = live
        self._replaced: dict[str, str] = {}
        for run_id, part in zip(ids, parts, strict=True):
            if part not in live:
                self._replaced[part] = max(id_of(owner[run_id]), self._replaced.get(part, ""))
        self.overlap = bool(live & mixed)
        """Whether a file holds both rows that count and rows that another file has."""

    @property
    def live(self) -> list[StoredFile]:
        """The files that own a run."""
        return [file for file in self._files.values() if file.part in self._live]

    def replaced_before(self, seconds: float) -> list[StoredFile]:
        """Return the files whose every run was in a file of a later name at that time."""
        old = {part for part, by in self._replaced.items() if time_of_id(by) <= seconds}
        return [file for file in self._files.values() if file.part in old]

    def owners(self) -> dict[str, str]:
        """Return the name of the file that owns each run."""
        return dict(zip(self._column("run_id"), self._column("part"), strict=True))

    def profiles_in(self, file: StoredFile) -> int:
        """Return the number of profiles that a file owns."""
        pairs = zip(self._column("part"), self._column("profiles"), strict=True)
        return sum(count or 0 for part, count in pairs if part == file.part)

    def _column(self, name: str) -> list[Any]:
        found: list[Any] = self.table.column(name).to_pylist()
        return found
