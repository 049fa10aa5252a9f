"""A process that keeps a core busy, and is surely gone afterwards."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SETTLED_S = 0.5

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
