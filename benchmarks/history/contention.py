"""Many writers, compactions and readers of one store at once, killed at any moment."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from importlib import import_module
from multiprocessing.context import ForkProcess
from pathlib import Path

from benchmarks.lib.log import Figures
from pytest_hiddencost.core.errors import StoreBusyError
from pytest_hiddencost.core.records import (
    Device,
    DeviceHealth,
    LatencySamples,
    OperatorCost,
    Profile,
    ProfilerCost,
)
from pytest_hiddencost.history.compaction import compact
from pytest_hiddencost.history.database import HistoryDatabase, StorePart, ask
from pytest_hiddencost.history.small_files import merge_small_files
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_rows import RunFacts
from pytest_hiddencost.history.store_writer import add_run

CALLS, OPERATORS, DEVICES = 20, 3, 4
REMOVE_AFTER = timedelta(seconds=10)  # of an hour, so that a minute shows what it does
FORK = multiprocessing.get_context("fork")
BROKEN = (
    "SELECT count(*) FROM runs LEFT JOIN (SELECT run_id, count(*) AS found FROM profiles "
    "GROUP BY run_id) USING (run_id) LEFT JOIN (SELECT run_id, count(*) AS costs FROM operators "
    "GROUP BY run_id) USING (run_id) WHERE coalesce(found, 0) <> profiles "
    f"OR coalesce(costs, 0) <> profiles * {OPERATORS}"
)
TWICE = "SELECT count(*) - count(DISTINCT run_id) FROM runs"
HALF = "SELECT count(DISTINCT run_id) FROM profiles WHERE run_id NOT IN (SELECT run_id FROM runs)"


def write_until_killed(store: str, told: Path, number: int) -> None:
    """Add runs, note each that was added in a file of this process, and merge small files."""
    device = Device(
        f"cpu-board-{number % DEVICES}", "cpu", "Board", 4, 1, "aarch64", "Linux", "3.11", "2.13"
    )
    profiles, folder = made_up_profiles(), StoreFolder(store)
    with told.open("a", buffering=1) as file:
        while True:
            # Two months, so that compactions and writers meet in each.
            now, days = datetime.now(timezone.utc), timedelta(days=31 * random.randrange(2))
            file.write(add_run(folder, RunFacts(now - days), device, profiles) + "\n")
            merge_small_files(folder, device.key, now, REMOVE_AFTER)


def compact_until_killed(store: str, told: Path, number: int) -> None:
    """Compact again and again."""
    while True:
        compact(StoreFolder(store), timedelta(days=30), REMOVE_AFTER)


def made_up_profiles() -> list[Profile]:
    """Return small profiles."""
    latency = LatencySamples(1e6, 1.1e6, 1.2e6, 9e5, tuple(range(10**6, 10**6 + 50)), None)
    operators = tuple(
        OperatorCost(f"aten::op{i}", "elementwise", 1, 1e5, 1e5) for i in range(OPERATORS)
    )
    profile = Profile(
        "tests/test_a.py::test_0", "", latency, 0, None, 0.0, None, 0.0, 1.0, 0.0, None,
        operators, (), (), ProfilerCost(0.0, 0, 0.0, 0.0), DeviceHealth(True),
    )  # fmt: skip
    return [replace(profile, test=f"tests/test_a.py::test_{i}") for i in range(CALLS)]


@dataclass
class _Actors:
    """The processes, started again when one is killed; each has a file of its own."""

    store: str
    folder: Path
    running: list[tuple[ForkProcess, Callable[[str, Path, int], None]]] = field(
        default_factory=list
    )
    started: int = 0

    def start(self, does: Callable[[str, Path, int], None]) -> None:
        told = self.folder / f"{self.started}.txt"
        process = FORK.Process(target=_in_own_group, args=(does, self.store, told, self.started))
        process.start()
        place = len(self.running) if does is read_until_killed else 0
        self.running.insert(place, (process, does))  # the reader stays the last one
        self.started += 1

    def kill(self, index: int) -> Callable[[str, Path, int], None]:
        process, does = self.running.pop(index)
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise SystemExit(f"a process ended by itself: {process.exitcode}")
        return does

    def told(self, pattern: str) -> list[str]:
        """Return the lines that processes noted, without half a line of a killed one."""
        texts = (path.read_text() for path in self.folder.glob(pattern))
        return [line for text in texts for line in text.split("\n")[:-1]]


def _in_own_group(
    does: Callable[[str, Path, int], None], store: str, told: Path, number: int
) -> None:
    random.seed(number)
    does(store, told, number)
    os._exit(1)  # none of them returns


def read_until_killed(store: str, told: Path, number: int) -> None:
    """Read again and again, and note what every read found wrong."""
    with told.with_suffix(".reads").open("a", buffering=1) as file:
        while True:
            if Path(store, "runs").exists():
                file.write(json.dumps(_read_once(store)) + "\n")


def _import_for_all() -> None:
    """Import what forks need, so that they start to write at once."""
    for module in ("duckdb", "fsspec.core", "pyarrow.dataset", "pyarrow.parquet"):
        import_module(module)


def _read_once(store: str) -> dict[str, int]:
    try:
        return _checked(store)
    except StoreBusyError:  # no answer, not a wrong one
        return {"unanswered": 1}


def together(folder: Path, writers: int, seconds: float, kills: int) -> Figures:
    """Let writers, two compactions and a reader run, and kill one of them again and again."""
    store, notes = folder / "store", folder / "notes"
    notes.mkdir(parents=True)
    actors = _Actors(str(store), notes)
    _import_for_all()
    for does in [*[write_until_killed] * writers, *[compact_until_killed] * 2, read_until_killed]:
        actors.start(does)
    start, chosen = time.monotonic(), random.Random(1)
    moments = sorted(chosen.uniform(0, seconds) for _ in range(kills))
    try:
        for moment in [*moments, seconds]:
            time.sleep(max(0.0, start + moment - time.monotonic()))
            actors.start(actors.kill(chosen.randrange(writers + 2)))
    finally:
        took_s = time.monotonic() - start
        while actors.running:
            actors.kill(0)
    reads = [json.loads(line) for line in actors.told("*.reads")]
    return {
        **_judged(str(store), actors.told("*.txt")),
        "killed": kills,
        "took_s": took_s,
        "reads": len(reads),
        "unanswered": sum(read.pop("unanswered", 0) for read in reads),
        "broken_reads": sum(any(read.values()) for read in reads),
    }


def _checked(store: str) -> dict[str, int]:
    def question(database: HistoryDatabase) -> dict[str, int]:
        asked = {"broken": BROKEN, "twice": TWICE, "half": HALF}
        return {name: int(database.rows(sql)[1][0][0]) for name, sql in asked.items()}

    return ask(StoreFolder(store), StorePart(), question)


def _judged(store: str, told: list[str]) -> dict[str, int]:
    """Return the runs that are lost, double or incomplete; also after two more compactions."""
    found = _checked(store)
    lost = _lost(store, told)
    for _ in range(2):
        compact(StoreFolder(store), timedelta(days=30), timedelta())
        found = {name: count + found[name] for name, count in _checked(store).items()}
        lost += _lost(store, told)
    return {"added": len(told), "lost": lost, **found}


def _lost(store: str, told: list[str]) -> int:
    rows = ask(StoreFolder(store), StorePart(), lambda db: db.rows("SELECT run_id FROM runs"))[1]
    visible = Counter(row[0] for row in rows)
    return sum(1 for run_id in told if not visible[run_id])
