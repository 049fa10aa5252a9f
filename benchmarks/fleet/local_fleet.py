"""A scheduler and devices on loopback, each a process; tests that only sleep, without torch."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.lib.processes import environment
from pytest_hiddencost.fleet.device_task import Order
from pytest_hiddencost.fleet.members import connected, members

START_S = 120.0
# A test that takes as long as its clock says, and leaves one report.
SLEEPS = """
import json, os, sys, time
time.sleep({sleep_s})
with open(os.environ["HIDDENCOST_FLEET_REPORTS"], "a") as file:
    file.write(json.dumps({{"test": "{test}"}}) + "\\n")
"""


def sleeping_test(test: str, kind: str, sleep_s: float) -> Order:
    """Return the order of a test that sleeps."""
    code = SLEEPS.format(sleep_s=sleep_s, test=test)
    return Order(test=test, kind=kind, command=("-I", "-S", "-c", code), limit_s=60.0)


def local_s(sleep_s: float) -> float:
    """Run such a test here, without a fleet; return its time in s."""
    order = sleeping_test("local", "here", sleep_s)
    with tempfile.TemporaryDirectory() as folder:
        kept = {**environment(), "HIDDENCOST_FLEET_REPORTS": str(Path(folder, "reports"))}
        start = time.monotonic()
        subprocess.run([sys.executable, *order.command], env=kept, check=True)
        return time.monotonic() - start


def started_scheduler(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a scheduler on loopback; return its process and its address."""
    file = folder / "scheduler.json"
    command = [sys.executable, "-m", "benchmarks.fleet.local_fleet", str(file)]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
    end = time.monotonic() + START_S
    while not file.exists():
        assert time.monotonic() < end, "the scheduler did not start"
        time.sleep(0.1)
    return process, str(json.loads(file.read_text(encoding="utf-8"))["address"])


class LocalFleet:
    """A scheduler and devices of ``kinds``, each with its number of devices."""

    def __init__(self, folder: Path, kinds: Mapping[str, int]) -> None:
        self._folder = folder
        self.kinds = dict(kinds)
        self.scheduler, self.address = started_scheduler(folder)
        self.devices: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
        self._number = 0
        for kind, count in kinds.items():
            for _ in range(count):
                self.start(kind)
        self.client = connected(self.address)
        self.wait(sum(kinds.values()))

    def start(self, kind: str) -> None:
        """Start one more device; its name is new."""
        self._number += 1
        name = f"{kind}-{self._number}"
        words = ["-m", "pytest_hiddencost", "device", "--scheduler", self.address]
        words += ["--kind", kind, "--name", name, "--cache", str(self._folder / name)]
        process = subprocess.Popen(
            [sys.executable, *words], env=environment(), stderr=subprocess.DEVNULL
        )
        self.devices[name] = kind, process

    def wait(self, count: int) -> None:
        """Wait until so many devices have joined."""
        end = time.monotonic() + START_S
        while len(members(self.client)) != count:
            assert time.monotonic() < end, "the devices did not join"
            time.sleep(0.2)

    def kill(self, name: str) -> str:
        """Kill a device as if its power failed; return its kind."""
        kind, process = self.devices.pop(name)
        process.kill()
        process.wait()
        return kind

    def close(self) -> None:
        """End every process."""
        self.client.close(timeout=1)
        for _, process in self.devices.values():
            process.terminate()
        self.scheduler.terminate()
        for process in [*(p for _, p in self.devices.values()), self.scheduler]:
            process.wait()


@contextmanager
def local_fleet(kinds: Mapping[str, int]) -> Iterator[LocalFleet]:
    """Run a fleet in the block."""
    with tempfile.TemporaryDirectory(prefix="hiddencost-fleet-") as folder:
        fleet = LocalFleet(Path(folder), kinds)
        try:
            yield fleet
        finally:
            fleet.close()


async def _schedule(file: Path) -> None:
    from distributed import Scheduler

    settings: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "dashboard": False}
    async with Scheduler(**settings) as scheduler:
        started = file.with_suffix(".new")
        started.write_text(json.dumps({"address": scheduler.address}), encoding="utf-8")
        os.replace(started, file)
        await scheduler.finished()


if __name__ == "__main__":
    asyncio.run(_schedule(Path(sys.argv[1])))
