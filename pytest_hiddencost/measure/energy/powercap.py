"""RAPL's counters of processor packages and their DRAM, by the kernel's powercap files.

Source: https://docs.kernel.org/power/powercap/powercap.html. The counters begin anew after
``max_energy_range_uj``, on AMD as on Intel.
"""

from __future__ import annotations

import re
from pathlib import Path

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.energy.meter import Unwrapped
from pytest_hiddencost.measure.energy.sensor_files import entries_of, number_in
from pytest_hiddencost.system.kernel_files import word_in

POWERCAP = Path("sys/class/powercap")
PERMIT = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
"""The command that lets everybody read the counters, until the next start of the system."""

_ZONE = r"intel-rapl:\d+(:\d+)?"  # those of intel-rapl-mmio count the same packages again
_COUNTED = re.compile(r"package-\d+.*|dram")  # cores and graphics are parts of their package


class Powercap:
    """The energy of all packages together, and of their DRAM where that is counted apart.

    Raises ``EnergyError`` if there is none below ``root``, or none that may be read.
    """

    def __init__(self, root: Path) -> None:
        names = {zone: word_in(zone / "name") for zone in entries_of(root / POWERCAP, _ZONE)}
        counted = {zone: name for zone, name in names.items() if _COUNTED.fullmatch(name)}
        packages = [name for name in counted.values() if name != "dram"]
        if not packages:
            raise EnergyError(f"no RAPL package in /{POWERCAP}", "")
        self._counters = [
            (zone / "energy_uj", Unwrapped(number_in(zone / "max_energy_range_uj")))
            for zone in counted
        ]
        self.name = "RAPL" if len(packages) == 1 else f"RAPL of {len(packages)} packages"
        self.domain = "package" if len(packages) == len(counted) else "package and DRAM"
        self.read_nj()

    def read_nj(self) -> int:
        """Return the energy in nJ since the first reading. Raises ``EnergyError``."""
        return 1000 * sum(
            counter.counted_uj(number_in(path, PERMIT)) for path, counter in self._counters
        )
