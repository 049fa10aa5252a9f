"""The load by other processes while a call was measured.

On two cores, one busy process makes a model of 4 ms with two threads take 800 ms: its threads
wait for each other through whole time slices. Such a time belongs to the load, not to the model.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time

from pytest_hiddencost.system.affinity import usable_cores

STAT = Path("/proc/stat")
TOLERATED_CORES = 0.3  # that others may take, beyond the cores that the call leaves free
SHORTEST_S = 0.3  # the kernel counts in ticks of up to 10 ms; a shorter span is too coarse
_IDLE, _IOWAIT, _STEAL = 3, 4, 7
_COUNTED = 8  # user nice system idle iowait irq softirq steal; guest time is within user


@dataclass(frozen=True)
class Ticks:
    """Clock ticks of the usable cores: ``wanted`` are not idle, ``stolen`` are part of them."""

    wanted: int
    stolen: int
    cores: int


@dataclass(frozen=True)
class _LoadReading:
    busy_s: float  # all processes on the usable cores, steal included
    own_s: float
    at_s: float


class OtherLoad:
    """The load by other processes since this object was created."""

    def __init__(self) -> None:
        self._start = _read()

    def cores(self) -> float | None:
        """Return the average number of cores that others used; None if it is not known."""
        now = _read()
        if self._start is None or now is None or now.at_s - self._start.at_s < SHORTEST_S:
            return None
        own_s = now.own_s - self._start.own_s
        others_s = now.busy_s - self._start.busy_s - own_s
        return max(0.0, others_s / (now.at_s - self._start.at_s))

    def objection(self, threads: int) -> str | None:
        """Return why the times of a call with ``threads`` are unusable; None if they are usable."""
        taken = self.cores()
        cores = len(usable_cores())
        if taken is None or taken <= max(0, cores - threads) + TOLERATED_CORES:
            return None
        return (
            f"other processes took {taken:.1f} of {cores} cores while a call with {threads} "
            f"thread{'s' if threads > 1 else ''} was measured"
        )


def ticks_in(stat: str, cores: set[int]) -> Ticks | None:
    """Return the ticks of ``cores`` in the text of ``/proc/stat``; skip malformed lines.

    None if no tick of these cores was counted.
    """
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


def _read() -> _LoadReading | None:
    try:
        text = STAT.read_text(encoding="ascii")
        ticks_per_s = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    ticks = ticks_in(text, usable_cores())
    if ticks is None:
        return None
    return _LoadReading(ticks.wanted / ticks_per_s, process_time(), monotonic())
