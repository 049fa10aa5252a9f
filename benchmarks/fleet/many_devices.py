"""The load of a large fleet on Dask's scheduler and on our dispatcher.

All devices are in one process. Each is a real one, but answers an order at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fleet.local_fleet import started_scheduler
from benchmarks.lib.log import Figures
from benchmarks.lib.processes import environment
from pytest_hiddencost.fleet import device_task
from pytest_hiddencost.fleet.device_info import named_device
from pytest_hiddencost.fleet.device_task import DONE, DeviceAnswer, DeviceRoom, Order
from pytest_hiddencost.fleet.dispatcher import Dispatcher
from pytest_hiddencost.fleet.joining import QUIET, Membership, joined_worker
from pytest_hiddencost.fleet.members import Member, connected, members

KINDS = 3
START_S = 400.0
Metrics = Callable[[Any], Awaitable[dict[str, Any]]]
# A real device does this work on its own processor, and all of these are one process.
CHEAP = {
    "distributed.worker.use-file-locking": False,
    "distributed.admin.system-monitor.interval": "1h",
}


@dataclass(frozen=True)
class Usage:
    """Time on processors, the most memory, and the number of open files of a process."""

    cpu_s: float
    peak_mb: float
    files: int


def used_by(pid: int) -> Usage:
    """Return the time, memory and files that a process has used so far."""
    folder = Path("/proc", str(pid))
    words = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ticks = int(words[11]) + int(words[12])
    status = (folder / "status").read_text(encoding="utf-8")
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) / 1e3
    files = len(list((folder / "fd").iterdir()))
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), peak_mb, files)


def fleet_load(devices: int, tasks: int) -> Figures:
    """Give trivial orders to simulated devices; return the rate, and what each side used."""
    with tempfile.TemporaryDirectory(prefix="hiddencost-fleet-") as folder:
        scheduler, address = started_scheduler(Path(folder))
        words = ["-m", "benchmarks.fleet.many_devices", address, str(devices), folder]
        cheap = {**environment(), "DASK_DISTRIBUTED__COMM__OFFLOAD": "False"}
        simulated = subprocess.Popen([sys.executable, *words], env=cheap)
        try:
            return _load(address, scheduler.pid, devices, tasks)
        finally:
            for process in (simulated, scheduler):
                process.kill()
                process.wait()


def _load(address: str, scheduler: int, devices: int, tasks: int) -> Figures:
    client, start = connected(address), time.monotonic()
    while len(found := members(client)) < devices:
        assert time.monotonic() < start + START_S, f"{len(found)} of {devices} devices joined"
        time.sleep(1)
    joined_s = time.monotonic() - start
    before = used_by(scheduler), used_by(os.getpid())
    ran_s = _ran(client, found, tasks)
    after = used_by(scheduler), used_by(os.getpid())
    figures: dict[str, float] = {"joined_s": joined_s, "tasks_per_s": tasks / ran_s}
    for name, first, last in zip(("scheduler", "dispatcher"), before, after, strict=True):
        figures[f"{name}_ms"] = (last.cpu_s - first.cpu_s) / tasks * 1e3
        figures[f"{name}_mb"] = last.peak_mb
    return {**figures, "scheduler_files": after[0].files}


def _ran(client: Any, devices: list[Member], tasks: int) -> float:
    """Return the time in s until every order is answered."""
    dispatcher = Dispatcher(client, devices, None)
    orders = [Order(f"t{i}", f"kind-{i % KINDS}") for i in range(tasks)]
    start = time.monotonic()
    dispatcher.submit(orders)
    for order in orders:
        answer = dispatcher.answer((order.test, order.kind))
        assert answer.status == DONE, answer.reason
    ran_s = time.monotonic() - start
    dispatcher.close()
    return ran_s


async def _devices(address: str, devices: int, folder: Path) -> None:
    import dask
    import distributed

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    device_task.carry_out = _at_once  # in place of a process for each test
    worker: Any = distributed.Worker
    worker.get_metrics = _once(worker.get_metrics)
    room: Any = None
    with dask.config.set({**QUIET, **CHEAP}):
        found = []
        for i in range(devices):
            info, name = named_device(f"kind-{i % KINDS}"), f"device-{i}"
            member = Membership(address, info, name, folder / name)
            found.append(await joined_worker(distributed, member, room))
        await asyncio.gather(*(worker.finished() for worker in found))


def _once(measured: Metrics) -> Metrics:
    """Let the process measure itself once: many devices at every heartbeat would take all of it."""
    found: dict[str, Any] = {}

    async def metrics(worker: Any) -> dict[str, Any]:
        if not found:
            found.update(await measured(worker))
        return found

    return metrics


def _at_once(order: Order, room: DeviceRoom, wanted: Callable[[], bool]) -> DeviceAnswer:
    return DeviceAnswer(DONE)


if __name__ == "__main__":
    asyncio.run(_devices(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
