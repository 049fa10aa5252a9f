"""How much memory the device has left, and how much a process holds; Linux tells, others do not."""

from __future__ import annotations

import math
from pathlib import Path

PROC = Path("/proc")


def available_bytes() -> float:
    """What could be had without swapping; infinity where nobody tells."""
    kilobytes = _kilobytes(PROC / "meminfo", "MemAvailable:")
    return math.inf if kilobytes is None else kilobytes * 1024.0


def resident_bytes(pid: int) -> int:
    """What this process holds; 0 where nobody tells."""
    return (_kilobytes(PROC / str(pid) / "status", "VmRSS:") or 0) * 1024


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
    except (OSError, ValueError, IndexError):
        return None
