"""Stores of made-up runs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.records import Device, Profile, ReferenceTime
from pytest_hiddencost.history.database import HistoryDatabase, StorePart, ask
from pytest_hiddencost.history.parquet_files import parquet_of_rows
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import StoredFile, new_run_id
from pytest_hiddencost.history.store_rows import Row, RunFacts, table_rows
from pytest_hiddencost.history.store_tables import RUNS
from pytest_hiddencost.history.store_writer import add_run
from tests.profiles import DEVICE, network

START = datetime(2026, 9, 20, 12, tzinfo=timezone.utc)
AT_ONCE = timedelta(days=-36_500)  # files are removed whenever they were replaced
PI = replace(DEVICE, key="cpu-raspberry-pi-4-4c1t-aarch64-torch2.13", torch="2.13.0")
# Scatter of about 1 % around 1, without a pattern.
SCATTER = (
    0.003, -0.011, 0.008, 0.0, -0.004, 0.012, -0.007, 0.001, 0.009, -0.013,
    0.005, -0.002, 0.011, -0.009, 0.002, 0.006, -0.006, -0.001, 0.01, -0.008,
)  # fmt: skip


def measured(p50_ns: float = 10e6, relative: float = 0.0, **changes: Any) -> Profile:
    """A profile of ``test_it`` with this p50, relative to the reference workload if it is given."""
    changes.setdefault("test", "tests/test_models.py::test_it")
    reference = ReferenceTime(p50_ns / relative, relative, 8) if relative else ReferenceTime()
    return network(latency_ns=round(p50_ns), reference=reference, **changes)


def stored(
    url: str | Path,
    profiles: Sequence[Profile],
    day: int = 0,
    device: Device = PI,
    **facts: Any,
) -> str:
    """Add one run, and return its id."""
    facts.setdefault("commit", f"{day:02d}abcdef" * 5)
    facts_of_run = RunFacts(START + timedelta(days=day), **facts)
    return add_run(StoreFolder(str(url)), facts_of_run, device, profiles)


@dataclass(frozen=True)
class Run:
    """One run to be stored."""

    day: int
    profiles: Sequence[Profile]
    device: Device = PI
    branch: str = "main"


def store_at_once(url: str | Path, runs: Iterable[Run]) -> str:
    """A store of many runs in few files, as a compaction leaves it: faster than to add each."""
    tables: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for run in runs:
        time = START + timedelta(days=run.day)
        facts = RunFacts(time, f"{run.day:02d}abcdef" * 5, run.branch)
        found = tables.setdefault((run.device.key, f"{time:%Y-%m}"), {})
        part = f"000001-{uuid.uuid5(uuid.NAMESPACE_OID, f'{run.device.key} {time:%Y-%m}')}"
        made = table_rows(new_run_id(time), facts, run.device, run.profiles, part)
        for table, rows_of_table in made.items():
            found.setdefault(table, []).extend(rows_of_table)
    folder = StoreFolder(str(url))
    for (device, month), found in tables.items():
        for table, of_table in found.items():
            file = StoredFile(table, device, month, of_table[0]["part"])
            folder.add(file, parquet_of_rows(table, of_table))
    return str(url)


def store_that_rose(url: str | Path, growth: float = 0.061, runs: int = 30, at: int = 20) -> str:
    """A store in which the p50 of ``test_it`` rose at one run."""
    return store_at_once(
        url,
        (
            Run(day, [measured(10e6 * (1 + growth * (day >= at)) * scatter_of(day))])
            for day in range(runs)
        ),
    )


def scatter_of(day: int) -> float:
    """The factor of the scatter of one run."""
    return 1 + SCATTER[day % len(SCATTER)]


def rows(url: str | Path, sql: str, part: StorePart | None = None) -> list[tuple[Any, ...]]:
    """The rows that a query finds."""

    def question(database: HistoryDatabase) -> list[tuple[Any, ...]]:
        return database.rows(sql)[1]

    return ask(StoreFolder(str(url)), part or StorePart(), question)


def everything(store: Path) -> list[Any]:
    """All rows of all tables, without the samples."""
    queries = ("FROM runs", "SELECT * EXCLUDE (samples) FROM profiles", "FROM operators")

    def question(database: HistoryDatabase) -> list[Any]:
        return [database.rows(f"{query} ORDER BY ALL")[1] for query in queries]

    return ask(StoreFolder(str(store)), StorePart(), question)


class Killed(BaseException):
    """The end of a process that is killed, which handles nothing."""


def once_before_rows_are_visible(action: Callable[[], None]) -> Callable[..., None]:
    """A store's ``add`` that acts once before it adds the first file of ``runs``."""
    add, left = StoreFolder.add, [action]

    def added(folder: StoreFolder, file: StoredFile, data: bytes) -> None:
        if file.table == RUNS and left:
            left.pop()()
        add(folder, file, data)

    return added


def killed_after(steps: int, function: Callable[..., None]) -> Callable[..., None]:
    """The function, by which a process is killed when it was called so often."""
    left = steps

    def does(*arguments: Any) -> None:
        nonlocal left
        if left <= 0 and arguments[1:]:
            raise Killed
        left -= 1
        function(*arguments)

    return does
