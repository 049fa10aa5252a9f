"""Load of the machine: watching the load of others, waiting for its end, adding load."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAT = Path("/proc/stat")
SETTLED_S = 0.5
LOOK_S = 0.5
LEFT_ALONE_CORES = 0.2
# Ends by itself when its parent does, however that ended.
BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


class Watch:
    """A stopwatch that also sees the processor time of other processes."""

    def __init__(self) -> None:
        self._start, self._busy_s, self._own_s = time.perf_counter(), _busy_s(), _own_s()

    def stop(self) -> tuple[float, float]:
        """Return the seconds, and the cores that others kept busy: 0 on a system without /proc."""
        seconds = time.perf_counter() - self._start
        others_s = (_busy_s() - self._busy_s) - (_own_s() - self._own_s)
        return seconds, max(0.0, others_s / seconds)


def _busy_s() -> float:
    if not STAT.exists():
        return 0.0
    user, nice, system, _, _, *interrupts = map(int, STAT.read_text().split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextmanager
def loaded(processes: int) -> Iterator[None]:
    """Keep so many cores busy."""
    busy = [subprocess.Popen([sys.executable, "-S", "-c", BUSY]) for _ in range(processes)]
    try:
        if busy:
            time.sleep(SETTLED_S)
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


def wait_until_alone(end: float) -> None:
    """Wait until other processes leave the machine alone, at most until ``end``."""
    while time.monotonic() < end:
        watch = Watch()
        time.sleep(LOOK_S)
        if watch.stop()[1] <= LEFT_ALONE_CORES:
            return
