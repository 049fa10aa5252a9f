"""The memory that the device has left, on Linux."""

from __future__ import annotations

import math
from pathlib import Path

PROC = Path("/proc")


def available_bytes() -> float:
    """Return the bytes available without swapping; infinity if the system does not report them."""
    kilobytes = _kilobytes(PROC / "meminfo", "MemAvailable:")
    return math.inf if kilobytes is None else kilobytes * 1024.0


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
    except (OSError, ValueError, IndexError):
        return None
