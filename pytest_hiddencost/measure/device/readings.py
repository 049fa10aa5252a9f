"""Readings of the device: the state of the kernel and the firmware at one moment.

``None`` stands for a value that cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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

    driver: str | None
    governor: str | None
    lowest_khz: int | None
    limit_khz: int | None
    hardware_khz: int | None


@dataclass(frozen=True)
class Zone:
    """A thermal zone: its temperature, and the trip points (kind, °C) at which the kernel acts."""

    name: str
    kind: str
    trips_c: tuple[tuple[str, float], ...]
    temperature_c: float | None = None

    def reached(self, *kinds: str) -> tuple[str, float] | None:
        """Return the highest trip point of these kinds that the temperature has reached."""
        if self.temperature_c is None:
            return None
        found = [trip for trip in self.trips_c if trip[0] in kinds]
        return max(
            (trip for trip in found if trip[1] <= self.temperature_c),
            key=lambda trip: trip[1],
            default=None,
        )


@dataclass(frozen=True)
class Cooling:
    """A cooling device, which slows the processor down; step 0 is no slowdown."""

    name: str
    kind: str
    last_step: int | None
    step: int | None = None


@dataclass(frozen=True)
class Switches:
    """Involuntary context switches of this process, and the CPU time it used."""

    involuntary: int
    own_cpu_s: float


@dataclass(frozen=True)
class Power:
    """The batteries that the device runs on, by name; empty while another supply is connected."""

    discharging: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """All readers' values at one moment."""

    clocks: Clocks
    frequencies: Mapping[Path, Frequency]
    zones: tuple[Zone, ...]
    coolings: tuple[Cooling, ...]
    throttle_counts: Mapping[Path, int]
    ticks: Ticks | None
    waited_us: int | None  # in which some task waited for a core (pressure stall information)
    switches: Switches | None
    power: Power | None
    throttled: int | None  # the bits of the Raspberry Pi's firmware
