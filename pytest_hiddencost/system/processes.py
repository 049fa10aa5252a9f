"""Child processes: their environment, what they printed last, and how they are ended."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path


def fresh_environment() -> dict[str, str]:
    """Return the environment of a pytest that is none of this run's pytest-xdist workers."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    environment.pop("PYTEST_CURRENT_TEST", None)
    return environment


def last_words(output: Path) -> str:
    """Return the last lines that a process printed, on one line."""
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "; ".join(line.strip() for line in lines[-3:] if line.strip())


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and all that it started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (OSError, AttributeError):
            process.kill()
        process.wait()
