"""One test on a device: the Dask task that runs it in a process of its own."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tarfile import TarError
from threading import Lock
from time import monotonic
from typing import Any, Final, Literal

from pytest_hiddencost.core.errors import GitError
from pytest_hiddencost.fleet.recorded_entries import (
    RecordedEntry,
    baseline_files,
    changed_entries,
    restore_files,
)
from pytest_hiddencost.fleet.unpacking import SourcesCache
from pytest_hiddencost.system.processes import descriptor_of, fresh_environment, kill_group
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.invocation import FLEET_REPORTS, absolute, plugin_arguments

PLUGIN = "pytest_hiddencost.workers.fleet_plugin"
OF_OTHERS = {"xdist": "xdist", "_cov": "pytest_cov"}
"""The modules of plugins that the run may have and the device may lack."""
_POLL_S = 0.5
LEAST_FREE_BYTES = 64 * 2**20  # of disk, for a test to start
MOST_OUTPUT = 20_000  # characters of a test's output that travel back
NO_SOURCES: Final = "no sources"
TROUBLE: Final = "trouble"
DONE: Final = "done"
ENDED = frozenset({"closing", "closed", "failed"})  # states of a worker that gives no answer
RunProcess = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Order:
    """One test for one kind of device; paths are relative to the top of the repository.

    ``command`` follows the interpreter; ``sources`` is the hash of the archive, or empty.
    ``plugins`` are those of the run that have arguments of their own.
    """

    test: str
    kind: str
    sources: str = ""
    arguments: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    directory: str = "."
    root: str = "."
    ini: str = ""
    baselines: str = ""
    limit_s: float = 900.0
    command: tuple[str, ...] = ("-m", "pytest")
    topic: str = ""


@dataclass(frozen=True)
class DeviceAnswer:
    """The answer of a device; ``reason`` explains trouble, which another device may not have.

    ``reports`` are pytest's, as plain data; ``lines`` those that end the test's own summary.
    """

    status: Literal["no sources", "trouble", "done"]
    device: str = ""
    address: str = ""
    reason: str = ""
    reports: tuple[Mapping[str, Any], ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    entries: tuple[RecordedEntry, ...] = ()
    exit_code: int = 0
    output: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class DeviceRoom:
    """The means of a device to run tests.

    ``scratch`` is a folder for the files of running tests. The reaper ends left processes, and
    removes that folder if the device is killed. The running test holds ``turn``.
    """

    cache: SourcesCache
    reaper: Reaper
    scratch: Path
    turn: Lock = field(default_factory=Lock)


def run_on_device(order: Order) -> DeviceAnswer:
    """Run one test in a worker of Dask that is a device."""
    from distributed import get_worker

    worker: Any = get_worker()
    room: DeviceRoom = worker.plugins["hiddencost"].room
    key = worker.get_current_task()
    if order.topic:
        worker.log_event(order.topic, {"key": key, "device": str(worker.name)})

    begun_s = monotonic()
    answer = carry_out(order, room, partial(_wanted, worker, key))
    return replace(
        answer, device=str(worker.name), address=worker.address, seconds=monotonic() - begun_s
    )


def _wanted(worker: Any, key: str) -> bool:
    """Return whether a worker still executes a task: Dask cannot stop a thread, so it asks.

    A worker that has lost its scheduler closes, and leaves its tasks as they were.
    """
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing" and worker.status.name not in ENDED


def keep_sources(name: str, data: bytes, dask_worker: Any = None) -> str:
    """Keep an archive on a device; return why it could not, or nothing. Dask gives the worker."""
    try:
        dask_worker.plugins["hiddencost"].room.cache.add(name, data)
    except OSError as error:
        return str(error)
    return ""


def carry_out(order: Order, room: DeviceRoom, wanted: Callable[[], bool]) -> DeviceAnswer:
    """Run the order while ``wanted``, after any other; troubles of the device become an answer."""
    with room.turn:  # a device that joins again may still be ending the test of before
        return _carry_out(order, room, wanted)


def _carry_out(order: Order, room: DeviceRoom, wanted: Callable[[], bool]) -> DeviceAnswer:
    cache = room.cache
    if order.sources and not cache.has(order.sources):
        return DeviceAnswer(NO_SOURCES)
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        if full := _full(cache.folder):
            return DeviceAnswer(TROUBLE, reason=full)
        top = cache.tree(order.sources) if order.sources else cache.folder
        answer = _run(order, top, room, wanted)
    except (OSError, GitError, TarError, EOFError, zlib.error) as error:
        if order.sources:
            cache.forget(order.sources)
        return DeviceAnswer(TROUBLE, reason=f"{type(error).__name__}: {error}")
    if answer.exit_code and (full := _full(cache.folder)):
        return DeviceAnswer(TROUBLE, reason=full)
    return answer


def _full(folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    return "" if free >= LEAST_FREE_BYTES else f"its disk is full: {free} bytes are free"


def _run(order: Order, top: Path, room: DeviceRoom, wanted: Callable[[], bool]) -> DeviceAnswer:
    baselines = top / order.baselines if order.baselines else None
    before = baseline_files(baselines) if baselines else {}
    with tempfile.TemporaryDirectory(dir=room.scratch) as name:
        folder = Path(name)
        reports, output = folder / "reports.jsonl", folder / "output"
        why = _process(order, top, folder, room, wanted)
        text = output.read_text(encoding="utf-8", errors="replace")[-MOST_OUTPUT:]
        lines = [json.loads(line) for line in _whole_lines(reports)]
        entries: tuple[RecordedEntry, ...] = ()
        if baselines is not None:
            entries = changed_entries(before, baseline_files(baselines))
            restore_files(baselines, before)
        if order.sources:
            room.cache.give_back(order.sources)
        if isinstance(why, str):
            return DeviceAnswer(TROUBLE, reason=why, output=text)
        return DeviceAnswer(
            DONE,
            reports=tuple(line for line in lines if "line" not in line),
            lines=tuple(tuple(line["line"]) for line in lines if "line" in line),
            entries=entries,
            exit_code=why,
            output=text,
        )


def _whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file that were written to their end."""
    if not path.exists():
        return []
    return path.read_bytes().split(b"\n")[:-1]


def _process(
    order: Order, top: Path, folder: Path, room: DeviceRoom, wanted: Callable[[], bool]
) -> int | str:
    """Run the test's process; return its exit status, or the trouble of the device."""
    environment = fresh_environment() | {FLEET_REPORTS: str(folder / "reports.jsonl")}
    directory = top / order.directory
    directory.mkdir(parents=True, exist_ok=True)  # git knows no empty folder
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *order.command, *_arguments(order, top, folder)],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    room.reaper.process(process.pid)
    try:
        why = _watched(process, monotonic() + order.limit_s, wanted)
    finally:
        kill_group(process)
        room.reaper.ended(process.pid)
    if why == "limit":
        return f"the test took longer than {order.limit_s:g} s (--hiddencost-fleet-limit)"
    if why == "unwanted":
        return "the run no longer wanted the answer"
    if process.returncode == -signal.SIGKILL:
        return "the system killed the test's process, perhaps for want of memory"
    return int(process.returncode)


def _watched(process: RunProcess, end_s: float, wanted: Callable[[], bool]) -> str:
    """Wait for the process without waking up often: it measures."""
    handle = descriptor_of(process.pid)
    try:
        while process.poll() is None:
            if monotonic() > end_s:
                return "limit"
            if not wanted():
                return "unwanted"
            if handle is not None:
                select.select([handle], [], [], _POLL_S)
            else:
                _wait(process)
    finally:
        if handle is not None:
            os.close(handle)
    return ""


def _wait(process: RunProcess) -> None:
    try:
        process.wait(_POLL_S)
    except subprocess.TimeoutExpired:
        return


def _arguments(order: Order, top: Path, folder: Path) -> list[str]:
    if order.command != Order.command:  # of a benchmark
        return []
    own = ["-p", PLUGIN, f"--rootdir={top / order.root}", "--maxfail=0"]
    if order.ini:
        own += ["-c", str(top / order.ini)]
    left = {name for name, module in OF_OTHERS.items() if find_spec(module) is None}
    left.add("faulthandler")  # its time limit shows where a test hangs on the device
    own += plugin_arguments(frozenset(order.plugins) - left, folder)
    return [*order.arguments, *own, absolute(top / order.root, order.test)]
