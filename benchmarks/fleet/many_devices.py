"""The load of Dask's scheduler: many devices in one other process, trivial tasks."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.lib.log import Figures
from benchmarks.lib.processes import environment

KINDS = 3
START_S = 300.0


def scheduler_load(devices: int, tasks: int) -> Figures:
    """Run trivial tasks on simulated devices; return the rate, and the scheduler's memory."""
    return asyncio.run(_load(devices, tasks))


async def _load(devices: int, tasks: int) -> Figures:
    import distributed

    logging.getLogger("distributed").setLevel(logging.ERROR)
    async with distributed.Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
        base_mb, start = memory_mb(), time.monotonic()
        words = ["-m", "benchmarks.fleet.many_devices", scheduler.address, str(devices)]
        process = subprocess.Popen([sys.executable, *words], env=environment())
        try:
            while len(scheduler.workers) < devices:
                assert time.monotonic() < start + START_S, "the devices did not join"
                await asyncio.sleep(0.1)
            joined_s, joined_mb = time.monotonic() - start, memory_mb()
            rate, tasks_mb = await _run(scheduler.address, tasks)
        finally:
            process.kill()
            process.wait()
    return {
        "joined_s": joined_s,
        "tasks_per_s": rate,
        "device_mb": (joined_mb - base_mb) / devices,
        "tasks_mb": tasks_mb - joined_mb,
    }


async def _run(address: str, tasks: int) -> tuple[float, float]:
    """Return tasks per second, and the memory in MB while the scheduler knows all of them."""
    import distributed

    connect: Any = distributed.Client
    client = await connect(address, asynchronous=True)
    start = time.monotonic()
    futures = [
        client.submit(_nothing, i, key=f"task-{i}", resources={f"kind-{i % KINDS}": 1})
        for i in range(tasks)
    ]
    found = await client.gather(futures)
    took_s, used_mb = time.monotonic() - start, memory_mb()
    assert found == list(range(tasks))
    await client.close()
    return tasks / took_s, used_mb


async def _devices(address: str, devices: int) -> None:
    import dask
    from distributed import Worker

    from pytest_hiddencost.fleet.joining import QUIET

    logging.getLogger("distributed").setLevel(logging.ERROR)
    found: list[Any] = []
    with dask.config.set(QUIET):
        for i in range(devices):
            worker = Worker(
                address, nthreads=1, resources={f"kind-{i % KINDS}": 1}, dashboard=False,
                memory_limit=0, host="127.0.0.1", name=f"device-{i}", heartbeat_interval="60s",
            )  # fmt: skip
            found.append(await worker)
        await asyncio.gather(*(worker.finished() for worker in found))


def _nothing(number: int) -> int:
    return number


def memory_mb() -> float:
    """Return the memory of this process in MB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1e3


if __name__ == "__main__":
    asyncio.run(_devices(sys.argv[1], int(sys.argv[2])))
