"""Merging: one file with the rows of several, and no samples older than a limit.

The new file is added first, under a name that lets it count. The files whose rows it has are
removed later, since a reader may be at them. A kill at any moment leaves the same runs visible:
see :mod:`pytest_hiddencost.history.visible_runs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pytest_hiddencost.history.parquet_files import dataset_of, parquet_of_table, read_table
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import (
    StoredFile,
    generation_of,
    new_run_id,
    part_name,
)
from pytest_hiddencost.history.store_tables import (
    OPERATORS_TABLE,
    PROFILES_TABLE,
    RUNS,
    STORE_SCHEMA,
    STORE_TABLES,
)
from pytest_hiddencost.history.visible_runs import VisibleRuns

if TYPE_CHECKING:
    import pyarrow as pa

READERS_NEED = timedelta(hours=1)
"""Time that a replaced file stays."""
ORDER = {
    PROFILES_TABLE: ("test", "label", "time"),  # one call's rows lie together
    OPERATORS_TABLE: ("name", "test", "label", "time"),
    RUNS: ("time",),
}


@dataclass(frozen=True)
class DeviceMonth:
    """The files of one device and month, with their rows of ``runs``.

    ``profiles`` has the number of profiles that each file owns, by the file's name.
    """

    folder: StoreFolder
    runs: pa.Table
    visible: VisibleRuns
    profiles: Mapping[str, int]

    @classmethod
    def of(cls, folder: StoreFolder, files: Sequence[StoredFile]) -> DeviceMonth:
        """Read the runs of files. Raises ``StoreError``, or ``FileNotFoundError``."""
        runs = read_table(folder, RUNS, files)
        ids, parts, counts = (runs[name].to_pylist() for name in ("run_id", "part", "profiles"))
        visible = VisibleRuns(files, zip(ids, parts, strict=True))
        profiles: Counter[str] = Counter()
        for run_id, part, count in zip(ids, parts, counts, strict=True):
            if visible.owners[run_id] == part:
                profiles[part] += count or 0
        return cls(folder, runs, visible, profiles)

    @property
    def mergeable(self) -> list[StoredFile]:
        """The files that own a run, without those of later versions, whose columns would go."""
        rows = zip(self.runs["part"].to_pylist(), self.runs["schema"].to_pylist(), strict=True)
        later = {part for part, schema in rows if (schema or 0) > STORE_SCHEMA}
        return [file for file in self.visible.live if file.part not in later]

    def chunks(self, files: Iterable[StoredFile], most_profiles: int) -> list[list[StoredFile]]:
        """Return the files that become one: few enough profiles for the memory of small machines.

        A file with half of the profiles stays alone.
        """
        chunks: list[list[StoredFile]] = [[]]
        filled = 0
        for file in sorted(files):
            count = self.profiles[file.part]
            if count >= most_profiles // 2:
                chunks.insert(0, [file])
                continue
            if filled + count > most_profiles:
                chunks.append([])
                filled = 0
            chunks[-1].append(file)
            filled += count
        return [chunk for chunk in chunks if chunk]

    def expired(self, files: Iterable[StoredFile], before: datetime | None) -> int:
        """Return the number of profiles with samples that are too old."""
        import pyarrow.dataset as ds

        if before is None:
            return 0
        stored = [file.of(PROFILES_TABLE) for file in files]
        old = (ds.field("time") < before) & ds.field("samples").is_valid()
        return int(dataset_of(self.folder, PROFILES_TABLE, stored).count_rows(filter=old))

    def merge(
        self, files: Sequence[StoredFile], now: datetime, before: datetime | None = None
    ) -> None:
        """Add a file with the rows that these own; its file in ``runs`` is the last."""
        import pyarrow as pa
        import pyarrow.compute as pc

        generation = 1 + max(generation_of(file.part) for file in files)
        part = part_name(generation, new_run_id(now))
        for table in STORE_TABLES:
            if table != RUNS:
                found = read_table(self.folder, table, [file.of(table) for file in files])
                found = self._owned(found) if self.visible.overlap else found
                if table == PROFILES_TABLE and before is not None:
                    found = _without_samples(found, before)
                self._add(files[0], table, part, found)
        names = pa.array([file.part for file in files])
        runs = self._owned(self.runs.filter(pc.is_in(self.runs["part"], value_set=names)))
        self._add(files[0], RUNS, part, runs)

    def _owned(self, found: pa.Table) -> pa.Table:
        import pyarrow as pa

        owners = self.visible.owners
        pairs = zip(found["run_id"].to_pylist(), found["part"].to_pylist(), strict=True)
        return found.filter(pa.array((owners.get(r) == part for r, part in pairs), pa.bool_()))

    def _add(self, like: StoredFile, table: str, part: str, found: pa.Table) -> None:
        import pyarrow as pa

        place = found.schema.get_field_index("part")
        found = found.set_column(place, "part", pa.array([part] * len(found), pa.string()))
        found = found.sort_by([(name, "ascending") for name in ORDER[table]])
        file = StoredFile(table, like.device, like.month, part)
        self.folder.add(file, parquet_of_table(found))

    def remove_replaced(self, before: datetime) -> int:
        """Remove files that were replaced before a time, and return how many."""
        files = [
            # The run's own file goes first, so that no reader looks for the others.
            file.of(table)
            for file in self.visible.replaced_before(before.timestamp())
            for table in sorted(STORE_TABLES, key=lambda table: table != RUNS)
        ]
        for file in files:
            self.folder.remove(self.folder.full_path(file))
        return len(files)


def _without_samples(found: pa.Table, before: datetime) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    recent = pc.greater_equal(found["time"], pa.scalar(before, found["time"].type))
    place, kind = found.schema.get_field_index("samples"), found["samples"].type
    kept = pc.if_else(recent, found["samples"], pa.scalar(None, kind))
    return found.set_column(place, "samples", kept)
