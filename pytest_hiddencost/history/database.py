"""A store as three tables in DuckDB: ``runs``, ``profiles`` and ``operators``.

DuckDB reads the store's Parquet files itself, and gets access to no other file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from glob import escape
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_hiddencost.core.errors import StoreBusyError, StoreError
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import StoredFile
from pytest_hiddencost.history.store_tables import RUNS, STORE_SCHEMA, STORE_TABLES, ColumnKind
from pytest_hiddencost.history.visible_runs import VisibleRuns

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
TRIES = 5
SETTINGS = (
    "SET threads = 2",  # a device under test may run other things
    "SET preserve_insertion_order = false",
    "SET parquet_metadata_cache = true",  # a view looks at its files when it is made, too
)
LAST_SETTINGS = ("SET enable_external_access = false", "SET lock_configuration = true")
UTC = "make_timestamp(epoch_us(time)) AS time"  # without a zone: none has to be known here
SQL_TYPES: dict[ColumnKind, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "flag": "BOOLEAN",
    "moment": "TIMESTAMPTZ",
    "integers": "BIGINT[]",
}


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

    def files(self, folder: StoreFolder) -> list[StoredFile]:
        """Return the files of ``runs``. Raises ``StoreError``, also if no device is in the part."""
        devices = folder.devices()
        chosen = [device for device in devices if self.has(device)]
        if not chosen:
            raise StoreError(_nothing(folder, self, devices))
        month = f"{self.since:%Y-%m}" if self.since else ""
        return folder.files(RUNS, chosen if self.devices else (), month)


class HistoryDatabase:
    """The tables of a part of a store, as they were when it was opened. Raises ``StoreError``."""

    def __init__(
        self, folder: StoreFolder, files: Sequence[StoredFile], since: datetime | None
    ) -> None:
        import duckdb

        self.folder = folder
        self._views: dict[str, str] = {}  # how to make the tables that no query has named yet
        self._connection = duckdb.connect(":memory:")
        if not folder.local:
            self._connection.register_filesystem(folder.filesystem)
        for setting in SETTINGS:
            self._make(setting)
        visible = self._read_runs(files)
        self._views = self._planned_views(visible, since)
        self._lock(visible.live)
        self.newer = self._newest_schema() > STORE_SCHEMA
        """Whether a later version of the plugin wrote runs: some columns are left out."""

    def _read_runs(self, files: Sequence[StoredFile]) -> VisibleRuns:
        """Make the table of runs, of which each is there once."""
        for table, columns in STORE_TABLES.items():
            types = ", ".join(f'"{column.name}" {SQL_TYPES[column.kind]}' for column in columns)
            self._make(f"CREATE TABLE no_{table} ({types})")
        self._make(f"CREATE TABLE every_run AS FROM {self._rows_of(RUNS, files)}")
        self._make(
            "CREATE TABLE stored_runs AS FROM every_run "
            "QUALIFY part = max(part) OVER (PARTITION BY run_id)"
        )
        # Many ids of runs in memory: as numbers, which read like text.
        self._make("CREATE TYPE stored_run AS ENUM (SELECT run_id FROM stored_runs)")
        return VisibleRuns(files, self.rows("SELECT run_id, part FROM every_run")[1])

    def _rows_of(self, table: str, files: Iterable[StoredFile]) -> str:
        """Return the rows of files as SQL; columns that they lack are missing values."""
        paths = _listed(escape(self.folder.url(file.of(table))) for file in files)
        if paths == "[]":
            return f"no_{table}"
        stored = f"read_parquet({paths}, union_by_name = true, hive_partitioning = false)"
        return f"(FROM no_{table} UNION ALL BY NAME FROM {stored})"

    def _planned_views(self, visible: VisibleRuns, since: datetime | None) -> dict[str, str]:
        """Return the statements that make the tables; each looks at all of the table's files."""
        when = f"WHERE time >= TIMESTAMPTZ '{since:%Y-%m-%d %H:%M:%S}+00'" if since else ""
        owned = "SEMI JOIN stored_runs USING (run_id, part)" if visible.overlap else ""
        views = {}
        for table, columns in STORE_TABLES.items():
            names = (f'"{column.name}"' for column in columns if column.name != "part")
            shown = ", ".join(UTC if name == '"time"' else name for name in names)
            source = (
                "stored_runs"
                if table == RUNS
                else f"{self._rows_of(table, visible.live)} AS stored {owned}"
            )
            views[table] = f"CREATE VIEW {table} AS SELECT {shown} FROM {source} {when}"
        return views

    def _lock(self, files: Sequence[StoredFile]) -> None:
        """Give up access to everything but the files that hold the tables' rows."""
        tables = [table for table in STORE_TABLES if table != RUNS]
        paths = [self.folder.url(file.of(table)) for file in files for table in tables]
        patterns = [pattern for path in paths if (pattern := escape(path)) != path]
        self._make(f"SET allowed_paths = {_listed([*paths, *patterns])}")
        for setting in LAST_SETTINGS:
            self._make(setting)

    def _newest_schema(self) -> int:
        return int(self.rows("SELECT coalesce(max(schema), 0) FROM runs")[1][0][0])

    def _make(self, sql: str) -> None:
        """Execute a statement of our own."""
        import duckdb

        try:
            self._connection.execute(sql)
        except duckdb.Error as error:
            why = str(error).partition("\n")[0]
            raise StoreError(f"{self.folder.name}: cannot be read: {why}") from error

    def rows(
        self, sql: str, values: Sequence[object] = ()
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the names of the columns, and the rows."""
        with self._told():
            cursor = self._asked(sql, values)
            return [column[0] for column in cursor.description or ()], cursor.fetchall()

    def each(self, sql: str, values: Sequence[object], function: Callable[[Any], None]) -> None:
        """Call a function with each row, of which few are in memory at a time."""
        with self._told():
            cursor = self._asked(sql, values)
            while found := cursor.fetchmany(256):
                for row in found:
                    function(row)

    def _asked(self, sql: str, values: Sequence[object]) -> duckdb.DuckDBPyConnection:
        """Make the tables that a query may name, and ask it."""
        for table in [table for table in self._views if table in sql.lower()]:
            self._make(self._views.pop(table))
        return self._connection.execute(sql, list(values))

    def question(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return the result of a user's query, which may only read the tables."""
        with self._told():
            statements = self._connection.extract_statements(sql)
        kinds = [statement.type.name for statement in statements]
        if kinds != ["SELECT"]:
            given = ", ".join(kinds) or "nothing"
            raise StoreError(f"--sql: got {given}; give one SELECT: the store is only read")
        return self.rows(sql)

    @contextmanager
    def _told(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            text = " ".join(str(error).split())
            raise StoreError(f"{self.folder.name}: {text}") from error

    def close(self) -> None:
        """Free the memory of the tables."""
        self._connection.close()


def ask(folder: StoreFolder, part: StorePart, question: Callable[[HistoryDatabase], T]) -> T:
    """Open a part of a store, and return the answer; again, if a merge removed a file."""
    for _ in range(TRIES):
        database, files = None, part.files(folder)
        try:
            database = HistoryDatabase(folder, files, part.since)
            return question(database)
        except StoreError:
            if not set(files) - set(part.files(folder)):
                raise
        finally:
            if database is not None:
                database.close()
    raise StoreBusyError(
        f"{folder.name}: merges removed files {TRIES} times while they were read; ask again"
    )


def _listed(paths: Iterable[str]) -> str:
    """Return paths as a list in SQL."""
    quoted = (path.replace("'", "''") for path in paths)
    return "[" + ", ".join(f"'{path}'" for path in quoted) + "]"


def _nothing(folder: StoreFolder, part: StorePart, devices: Sequence[str]) -> str:
    if not devices:
        return (
            f"{folder.name}: holds no runs; pytest --hiddencost-store={folder.name} adds the run "
            "that it makes"
        )
    known = ", ".join(devices[:5]) + (f" and {len(devices) - 5} more" if devices[5:] else "")
    return f"{folder.name}: no device matches {', '.join(part.devices)}; it has {known}"
