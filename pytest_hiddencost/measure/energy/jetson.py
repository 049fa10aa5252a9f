"""The power rails of NVIDIA's Jetson boards, which INA3221 chips measure.

JetPack 5 and 6 have them in hwmon, in mV and mA. JetPack 4 has them below the driver of the chip,
in mW. Source: the Jetson Linux developer guides, "Platform Power and Performance".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.energy.hwmon import HWMON, INA3221, HwmonSensor, rails_in
from pytest_hiddencost.measure.energy.sampled_power import SampledPower
from pytest_hiddencost.measure.energy.sensor_files import entries_of, scaled
from pytest_hiddencost.system.kernel_files import word_in

DRIVER = Path("sys/bus/i2c/drivers/ina3221x")
UNUSED = "NC"
"""The label of a channel that is not connected."""


def is_jetson(root: Path) -> bool:
    """Return whether the board is a Jetson."""
    return "jetson" in word_in(root / "proc/device-tree/model").lower()


def jetson_power(root: Path) -> SampledPower:
    """Return a meter of the board: its supply, or the sum of its rails if none is the supply.

    Raises ``EnergyError``.
    """
    rails = [rail for rail in _rails(root) if rail.label != UNUSED]
    if not rails:
        raise EnergyError(f"no rail of an INA3221 in /{HWMON} or /{DRIVER}", "")
    supply = [rail for rail in rails if rail.of_board]
    chosen = supply if len(supply) == 1 else rails
    intervals_s = [rail.interval_s for rail in chosen if rail.interval_s is not None]
    return SampledPower(
        f"INA3221 {' + '.join(rail.label for rail in chosen)}",
        "board",
        lambda: sum(rail.read() for rail in chosen),
        max(intervals_s) if len(intervals_s) == len(chosen) else None,
    )


def _rails(root: Path) -> list[HwmonSensor]:
    chips = [
        folder
        for folder in entries_of(root / HWMON, r"hwmon\d+")
        if word_in(folder / "name") == INA3221
    ]
    found = [rail for folder in chips for rail in rails_in(folder)]
    return found or list(_rails_of_driver(root))


def _rails_of_driver(root: Path) -> Iterator[HwmonSensor]:
    """Yield the rails that JetPack 4 offers."""
    for bus in entries_of(root / DRIVER, r"\d+-[0-9a-f]+"):
        for device in entries_of(bus, r"iio[:_]device\d+"):
            for label in entries_of(device, r"rail_name_\d+"):
                power = device / f"in_power{label.name.rpartition('_')[2]}_input"
                if power.is_file():
                    yield HwmonSensor(INA3221, word_in(label), partial(scaled, power, 1e-3))
