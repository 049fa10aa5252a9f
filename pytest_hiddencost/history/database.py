"""A store as three tables in DuckDB: ``runs``, ``profiles`` and ``operators``.

DuckDB gets the tables as Arrow data, and no access to any file: a query can neither read nor write
one, whatever it says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.history.parquet_files import arrow_schema, dataset_of
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_tables import RUNS, STORE_SCHEMA, STORE_TABLES
from pytest_hiddencost.history.visible_runs import VisibleRuns

T = TypeVar("T")
TRIES = 5
SETTINGS = (
    "SET threads = 2",  # a device under test may run other things
    "SET preserve_insertion_order = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
UTC = "make_timestamp(epoch_us(time)) AS time"  # without a zone: none has to be known here
ALLOWED = {"SELECT", "EXPLAIN"}


@dataclass(frozen=True)
class StorePart:
    """A part of a store: devices by pattern or by a piece of the key, and runs from a time on."""

    devices: tuple[str, ...] = ()
    since: datetime | None = None

    def has(self, device: str) -> bool:
        """Return whether the part has a device."""
        return not self.devices or any(
            pattern in device or fnmatchcase(device, pattern) for pattern in self.devices
        )


class HistoryDatabase:
    """The tables of a part of a store, as they were when it was opened. Raises ``StoreError``."""

    def __init__(self, folder: StoreFolder, part: StorePart) -> None:
        import duckdb

        self.folder = folder
        devices = folder.devices()
        chosen = [device for device in devices if part.has(device)]
        if not chosen:
            raise StoreError(_nothing(folder, part, devices))
        month = f"{part.since:%Y-%m}" if part.since else ""
        some = chosen if part.devices else ()
        self._visible = VisibleRuns(folder, folder.files(RUNS, some, month))
        self._connection = duckdb.connect(":memory:")
        self._register()
        self._views(part.since)
        for setting in SETTINGS:
            self._connection.execute(setting)
        self.newer = self._newest_schema() > STORE_SCHEMA
        """Whether a later version of the plugin wrote runs: some columns are left out."""

    def _register(self) -> None:
        connection = self._connection
        connection.register("run_rows", self._visible.table)
        connection.execute("CREATE TABLE stored_runs AS SELECT * FROM run_rows")
        connection.unregister("run_rows")
        for table in STORE_TABLES:
            if table == RUNS:
                continue
            files = [file.of(table) for file in self._visible.live]
            found = dataset_of(self.folder, table, files)
            empty = arrow_schema(table).empty_table()
            connection.register(f"{table}_rows", found if files else empty)

    def _views(self, since: datetime | None) -> None:
        when = f"WHERE time >= TIMESTAMPTZ '{since:%Y-%m-%d %H:%M:%S}+00'" if since else ""
        owned = "SEMI JOIN stored_runs USING (run_id, part)" if self._visible.overlap else ""
        for table in STORE_TABLES:
            source = "stored_runs" if table == RUNS else f"{table}_rows {owned}"
            columns = f"* EXCLUDE (part) REPLACE ({UTC})"
            self._connection.execute(
                f"CREATE VIEW {table} AS SELECT {columns} FROM {source} {when}"
            )

    def _newest_schema(self) -> int:
        return int(self.rows("SELECT coalesce(max(schema), 0) FROM runs")[1][0][0])

    def rows(
        self, sql: str, values: Sequence[object] = ()
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns, and the rows."""
        import duckdb

        try:
            cursor = self._connection.execute(sql, list(values))
            names = [column[0] for column in cursor.description or ()]
            return names, cursor.fetchall()
        except duckdb.Error as error:
            raise self._told(error) from error

    def each(self, sql: str, values: Sequence[object], function: Callable[[Any], None]) -> None:
        """Call a function with each row, of which few are in memory at a time."""
        import duckdb

        try:
            cursor = self._connection.execute(sql, list(values))
            while found := cursor.fetchmany(256):
                for row in found:
                    function(row)
        except duckdb.Error as error:
            raise self._told(error) from error

    def question(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the result of a user's query, which may only read the tables."""
        import duckdb

        try:
            statements = self._connection.extract_statements(sql)
        except duckdb.Error as error:
            raise StoreError(f"--sql: {error}") from error
        kinds = [statement.type.name for statement in statements]
        if len(kinds) != 1 or kinds[0] not in ALLOWED:
            given = ", ".join(kinds) or "nothing"
            raise StoreError(f"--sql: got {given}; give one SELECT: the store is only read")
        return self.rows(sql)

    def _told(self, error: Exception) -> StoreError:
        text = " ".join(str(error).split())
        return StoreError(f"{self.folder.name}: {text}")

    def close(self) -> None:
        """Free the memory of the tables."""
        self._connection.close()


def ask(folder: StoreFolder, part: StorePart, question: Callable[[HistoryDatabase], T]) -> T:
    """Open a part of a store, and return the answer; again, if a compaction removed a file."""
    for attempt in range(TRIES):
        database = None
        try:
            database = HistoryDatabase(folder, part)
            return question(database)
        except (StoreError, FileNotFoundError) as error:
            if attempt + 1 == TRIES or not _is_gone(error):
                raise
        finally:
            if database is not None:
                database.close()
    raise AssertionError("unreachable")


def _is_gone(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or "No such file" in str(error)


def _nothing(folder: StoreFolder, part: StorePart, devices: Sequence[str]) -> str:
    if not devices:
        return (
            f"{folder.name}: holds no runs; pytest --hiddencost-store={folder.name} adds the run "
            "that it makes"
        )
    known = ", ".join(devices[:5]) + (f" and {len(devices) - 5} more" if devices[5:] else "")
    return f"{folder.name}: no device matches {', '.join(part.devices)}; it has {known}"
