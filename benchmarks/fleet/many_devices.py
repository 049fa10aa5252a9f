"""The load of Dask's scheduler: many devices in one process, trivial tasks."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

from benchmarks.lib.log import Figures

KINDS = 3


def scheduler_load(devices: int, tasks: int) -> Figures:
    """Run trivial tasks on simulated devices; return the rate, and the memory of the process."""
    return asyncio.run(_load(devices, tasks))


async def _load(devices: int, tasks: int) -> Figures:
    import dask
    import distributed

    from pytest_hiddencost.fleet.joining import QUIET

    with dask.config.set({**QUIET, "distributed.comm.timeouts.connect": "300s"}):
        async with distributed.Scheduler(host="127.0.0.1", port=0, dashboard=False) as scheduler:
            base_mb = peak_mb()
            start = time.monotonic()
            workers = await _workers(scheduler.address, devices)
            joined_s, joined_mb = time.monotonic() - start, peak_mb()
            connect: Any = distributed.Client
            client = await connect(scheduler.address, asynchronous=True)
            start = time.monotonic()
            futures = [
                client.submit(_nothing, i, key=f"task-{i}", resources={f"kind-{i % KINDS}": 1})
                for i in range(tasks)
            ]
            found = await client.gather(futures)
            took_s = time.monotonic() - start
            assert found == list(range(tasks))
            await client.close()
            await asyncio.gather(*(worker.close() for worker in workers))
    return {
        "joined_s": joined_s,
        "tasks_per_s": tasks / took_s,
        "device_mb": (joined_mb - base_mb) / devices,
        "tasks_mb": peak_mb() - joined_mb,
    }


async def _workers(address: str, devices: int) -> list[Any]:
    from distributed import Worker

    found: list[Any] = []
    for i in range(devices):
        worker = Worker(
            address, nthreads=1, resources={f"kind-{i % KINDS}": 1}, dashboard=False,
            memory_limit=0, host="127.0.0.1", name=f"device-{i}", heartbeat_interval="60s",
        )  # fmt: skip
        found.append(await worker)
    return found


def _nothing(number: int) -> int:
    return number


def peak_mb() -> float:
    """Return the largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
