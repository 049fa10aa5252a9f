"""The caches of the processor, on Linux."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_hiddencost.system.kernel_files import word_in

CPUS = Path("/sys/devices/system/cpu")


def last_level_cache_bytes(cpus: Path = CPUS) -> int:
    """Return the bytes of all last-level caches together; 0 if the system does not report them."""
    found: dict[tuple[int, str], int] = {}
    for index in cpus.glob("cpu[0-9]*/cache/index[0-9]*"):
        level, size = word_in(index / "level"), re.fullmatch(r"(\d+)K", word_in(index / "size"))
        if level.isdecimal() and size is not None:
            # Cores that share a cache list it each, with the same cores.
            found[int(level), word_in(index / "shared_cpu_list") or str(index)] = (
                int(size[1]) * 1024
            )
    last = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == last)
