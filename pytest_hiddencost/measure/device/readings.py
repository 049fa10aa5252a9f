"""Readings of the device: the state of the kernel and the firmware at one moment.

``None`` stands for a value that cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pytest_hiddencost.measure.device.load import Ticks


@dataclass(frozen=True)
class Clocks:
    """Three clocks at one moment; only ``boot_s`` counts while the machine is suspended."""

    monotonic_s: float
    wall_s: float | None = None
    boot_s: float | None = None


@dataclass(frozen=True)
class Frequency:
    """The settings of a cpufreq policy: cores that change their frequency together."""

    folder: Path
    driver: str | None
    hardware_khz: int | None
    governor: str | None = None
    lowest_khz: int | None = None
    limit_khz: int | None = None


@dataclass(frozen=True)
class Zone:
    """A thermal zone: its temperature, and the trip points (°C, kind) at which the kernel acts."""

    folder: Path
    kind: str
    trips_c: tuple[tuple[float, str], ...]
    temperature_c: float | None = None


@dataclass(frozen=True)
class Cooling:
    """A cooling device, which slows the processor down; step 0 is no slowdown."""

    folder: Path
    kind: str
    last_step: int | None
    step: int | None = None


class Switches(NamedTuple):
    """Involuntary context switches of this process, and the CPU time it used."""

    involuntary: int
    own_cpu_s: float


@dataclass(frozen=True)
class Reading:
    """All readers' values at one moment; every reading has the same policies, in one order."""

    clocks: Clocks
    frequencies: tuple[Frequency, ...]
    zones: tuple[Zone, ...]
    coolings: tuple[Cooling, ...]
    throttle_counts: Mapping[Path, int]
    ticks: Ticks | None
    waited_us: int | None  # in which some task waited for a core (pressure stall information)
    switches: Switches | None
    discharging: tuple[str, ...] | None  # batteries; empty while another supply is connected
    throttled: int | None  # the bits of the Raspberry Pi's firmware
