"""Whether other processes took the processor away while a call was measured.

On two cores, one busy neighbour makes a model of 4 ms with two threads take 800 ms: its threads
wait for each other through whole time slices. Such a figure is the neighbour's, not the model's.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time

STAT = Path("/proc/stat")
TOLERATED_CORES = 0.3  # of what others may take beyond the cores that are left to them
SHORTEST_S = 0.3  # the kernel counts in ticks of 10 ms or less; a shorter span tells nothing
_IDLE, _IOWAIT, _STEAL = 3, 4, 7
_COUNTED = 8  # user nice system idle iowait irq softirq steal; guest time is within user


@dataclass(frozen=True)
class Ticks:
    """What the usable cores counted: ticks they were wanted, and of these the stolen ones."""

    wanted: int
    stolen: int
    cores: int


@dataclass(frozen=True)
class _Reading:
    busy_s: float  # all processes, on the cores this one may use; steal included
    own_s: float
    at_s: float


class OtherLoad:
    """Watches from its creation on."""

    def __init__(self) -> None:
        self._start = _read()

    def cores(self) -> float | None:
        """Cores' worth of time that others took so far, on average; None where it is not known."""
        now = _read()
        if self._start is None or now is None or now.at_s - self._start.at_s < SHORTEST_S:
            return None
        own_s = now.own_s - self._start.own_s
        others_s = now.busy_s - self._start.busy_s - own_s
        return max(0.0, others_s / (now.at_s - self._start.at_s))

    def objection(self, threads: int) -> str | None:
        """Why times taken meanwhile with so many threads are not the model's, if they are not."""
        taken = self.cores()
        cores = len(usable_cores())
        if taken is None or taken <= max(0, cores - threads) + TOLERATED_CORES:
            return None
        return (
            f"other processes took {taken:.1f} of {cores} cores while a call with {threads} "
            f"thread{'s' if threads > 1 else ''} was measured"
        )


def usable_cores() -> set[int]:
    """The numbers of the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def ticks_in(stat: str, cores: set[int]) -> Ticks | None:
    """What ``/proc/stat`` says of these cores; lines that it cannot have are passed over."""
    names = {f"cpu{core}" for core in cores}
    wanted = stolen = found = 0
    for line in stat.splitlines():
        name, *fields = line.split() or [""]
        counts = [int(field) for field in fields if re.fullmatch(r"[0-9]{1,18}", field)]
        if name in names and len(counts) >= _COUNTED:
            wanted += sum(counts[:_COUNTED]) - counts[_IDLE] - counts[_IOWAIT]
            stolen += counts[_STEAL]
            found += 1
    return Ticks(wanted, stolen, found) if wanted else None


def _read() -> _Reading | None:
    try:
        text = STAT.read_text(encoding="ascii")
        ticks_per_s = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    ticks = ticks_in(text, usable_cores())
    return _Reading(ticks.wanted / ticks_per_s, process_time(), monotonic()) if ticks else None
