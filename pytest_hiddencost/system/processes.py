"""Child processes: their environment, their last output, and their end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Protocol


def fresh_environment() -> dict[str, str]:
    """Return an environment for a pytest process outside this run and its pytest-xdist workers."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    environment.pop("PYTEST_CURRENT_TEST", None)
    return environment


def import_first(path: Iterable[str], environment: MutableMapping[str, str]) -> None:
    """Put these entries first on the import path of Python processes in an environment."""
    known = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    if entries := dict.fromkeys([*path, *known]):
        environment["PYTHONPATH"] = os.pathsep.join(entries)


def last_words(output: Path) -> str:
    """Return the last lines that a process printed, on one line."""
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "; ".join(line.strip() for line in lines[-3:] if line.strip())


def usage() -> tuple[int, int]:
    """Return the page faults of this process so far, and how often another took its core."""
    try:
        from resource import RUSAGE_SELF, getrusage  # POSIX
    except ImportError:
        return 0, 0
    found = getrusage(RUSAGE_SELF)
    return found.ru_minflt, found.ru_nivcsw


class Process(Protocol):
    """A started process, as ``subprocess.Popen`` has it."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended. Raises ``subprocess.TimeoutExpired``."""

    def kill(self) -> None:
        """Kill the process."""


def descriptor_of(pid: int) -> int | None:
    """Return a descriptor that can be read once this child has ended; None on an old system."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def kill_group(process: Process) -> None:
    """Kill a process that leads its own session, and the processes that it started.

    If it has ended, what it started may still run. Call this once for each process: another one may
    get its number later.
    """
    running = process.poll() is None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (OSError, AttributeError):
        if running:
            process.kill()
    if running:
        process.wait()
