"""Other processes: one of ours that keeps a core busy, and waiting until those of others do not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from verdicts_parts.process import Watch

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


@contextmanager
def loaded(processes: int = 1) -> Iterator[None]:
    """So many processes compute as long as this lasts."""
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
    """Wait until other processes leave the machine alone, but not beyond this moment."""
    while time.monotonic() < end:
        watch = Watch()
        time.sleep(LOOK_S)
        if watch.stop()[1] <= LEFT_ALONE_CORES:
            return
