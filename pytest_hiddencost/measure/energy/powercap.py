"""RAPL's counters of processor packages and their DRAM, by the kernel's powercap files.

Source: https://docs.kernel.org/power/powercap/powercap.html. The counters of Intel and AMD begin
anew after ``max_energy_range_uj``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.energy.meter import Unwrapped

POWERCAP = Path("sys/class/powercap")
READABLE = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
"""The command that lets everybody read the counters, until the next start of the system."""

# The zones of intel-rapl-mmio count the same packages again.
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")
_PARTS = re.compile(r"package-\d+.*|dram")  # cores and graphics are parts of their package


class Powercap:
    """The energy of all packages together, and of their DRAM where it is counted."""

    def __init__(self, root: Path) -> None:
        """Find the counters below ``root``. Raises ``EnergyError``."""
        zones = {zone: _text(zone / "name") for zone in _zones(root / POWERCAP)}
        parts = {zone: name for zone, name in zones.items() if _PARTS.fullmatch(name)}
        if not parts:
            raise EnergyError(f"RAPL has no packages in /{POWERCAP}", "")
        self._counters = [(zone / "energy_uj", Unwrapped(_range_uj(zone))) for zone in parts]
        packages = [name for name in parts.values() if name != "dram"]
        self.domain = "package" if len(packages) == len(parts) else "package and DRAM"
        count = f" of {len(packages)} packages" if len(packages) > 1 else ""
        self.name = f"RAPL{count}"
        self.read_nj()

    def read_nj(self) -> int:
        """Return the energy in nJ since the first reading. Raises ``EnergyError``."""
        return 1000 * sum(counter.counted_uj(_whole(path)) for path, counter in self._counters)


def _zones(folder: Path) -> Sequence[Path]:
    try:
        return sorted(path for path in folder.iterdir() if _ZONE.fullmatch(path.name))
    except OSError:
        return ()


def _range_uj(zone: Path) -> int:
    return _whole(zone / "max_energy_range_uj")


def _whole(path: Path) -> int:
    text = _text(path)
    try:
        return int(text)
    except ValueError as error:
        raise EnergyError(f"RAPL: {path} holds {text!r:.40}, which is no energy", "") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except PermissionError as error:
        raise EnergyError(
            f"RAPL is there, but only root may read {path}",
            f"permit it: {READABLE}",
        ) from error
    except OSError as error:
        raise EnergyError(f"RAPL: {path} cannot be read: {error.strerror}", "") from error
