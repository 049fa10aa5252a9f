"""Child processes: their environment, their last output, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path


def fresh_environment() -> dict[str, str]:
    """Return an environment for a pytest process outside this run and its pytest-xdist workers."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    environment.pop("PYTEST_CURRENT_TEST", None)
    return environment


def last_words(output: Path) -> str:
    """Return the last lines that a process printed, on one line."""
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "; ".join(line.strip() for line in lines[-3:] if line.strip())


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads its own session, and the processes that it started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (OSError, AttributeError):
            process.kill()
        process.wait()
