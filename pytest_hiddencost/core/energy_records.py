"""Frozen plain data on the energy of a call: energies in nJ, powers in W (nJ per ns)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EnergyUse:
    """The energy of one call, from windows of calls back to back; idle power is part of it."""

    energy_nj: float  # of one call: the windows' median
    interval_nj: tuple[float, float] | None  # of the median; None if windows are too few
    windows_nj: tuple[float, ...]  # of one call, in each window
    calls: int  # in all windows
    power_w: float  # the windows' median
    idle_w: float  # the median of idle windows between them
    resolution_share: float  # the most that one update of the meter is of a window
    meter: str
    domain: str  # the part of the device that the meter covers: package, board, gpu
    confidence: float = 0.99

    @property
    def above_idle_nj(self) -> float:
        """The energy of one call above that of an idle device in the same time."""
        if not self.power_w:
            return 0.0
        return self.energy_nj * (1.0 - self.idle_w / self.power_w)


@dataclass(frozen=True)
class EnergyUnknown:
    """The reason why the energy of a call is unknown, and the remedy."""

    reason: str
    remedy: str
