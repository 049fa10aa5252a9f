"""Sensor chips in ``/sys/class/hwmon``: counters of energy, and sensors of power.

Source: https://docs.kernel.org/hwmon/sysfs-interface.html. Energies are in uJ, powers in uW,
voltages in mV, currents in mA.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.measure.energy.sampled_power import SampledPower
from pytest_hiddencost.measure.energy.sensor_files import entries_of, number_in, scaled
from pytest_hiddencost.system.kernel_files import word_in

HWMON = Path("sys/class/hwmon")
GPUS = frozenset({"amdgpu", "radeon", "nouveau", "i915", "xe"})
INA3221 = "ina3221"
_WHOLE = re.compile(r"(.*[_ ])?(in|total|system|board)", re.IGNORECASE)  # VDD_IN, POM_5V_IN
_SOCKET = re.compile(r"Esocket\d+")  # of amd_energy, beside a counter for each core


@dataclass(frozen=True)
class HwmonSensor:
    """A sensor of a chip: its reading in J or W, and the time between new values in s, if known."""

    chip: str
    label: str
    read: Callable[[], float]
    interval_s: float | None = None

    @property
    def of_board(self) -> bool:
        """Whether the label is that of the supply of the whole board."""
        return _WHOLE.fullmatch(self.label) is not None

    @property
    def name(self) -> str:
        """The chip and the label."""
        return f"{self.chip} {self.label}"

    @property
    def domain(self) -> str:
        """The part of the device that the sensor covers, as far as its label tells."""
        return "board" if self.of_board else self.label


class HwmonCounters:
    """The energy that the counters of chips have counted together."""

    def __init__(self, name: str, domain: str, counters: Sequence[HwmonSensor]) -> None:
        self.name = name
        self.domain = domain
        self._counters = counters
        self.read_nj()

    def read_nj(self) -> float:
        """Return the energy in nJ since the start of the chips. Raises ``EnergyError``."""
        return 1e9 * sum(counter.read() for counter in self._counters)


def hwmon_counters(root: Path) -> HwmonCounters:
    """Return the energy counters of the processor or of the board. Raises ``EnergyError``."""
    counters = [found for folder in _chips(root) for found in _in_millionths(folder, "energy")]
    sockets = [counter for counter in counters if _SOCKET.fullmatch(counter.label)]
    if sockets:
        return HwmonCounters(sockets[0].chip, "package", sockets)
    chosen = _of_board(counters, "energy counter")
    return HwmonCounters(chosen.name, chosen.domain, [chosen])


def hwmon_power(root: Path) -> SampledPower:
    """Return a meter that samples the power of the board. Raises ``EnergyError``."""
    sensors = [
        sensor
        for folder in _chips(root)
        for sensor in list(_in_millionths(folder, "power")) or rails_in(folder)
    ]
    chosen = _of_board(sensors, "power sensor")
    return SampledPower(chosen.name, chosen.domain, chosen.read, chosen.interval_s)


def _of_board(found: Sequence[HwmonSensor], noun: str) -> HwmonSensor:
    """Return the only sensor, or the only one whose label names the board's supply."""
    board = found if len(found) == 1 else [sensor for sensor in found if sensor.of_board]
    if len(board) == 1:
        return board[0]
    if not found:
        raise EnergyError(f"no {noun} in /{HWMON}", "")
    names = listed([sensor.name for sensor in found])
    raise EnergyError(f"no single {noun} in /{HWMON} is that of the board: {names}", "")


def _chips(root: Path) -> Iterator[Path]:
    """Yield the folder of each chip, but those of GPUs, batteries and chargers."""
    for folder in entries_of(root / HWMON, r"hwmon\d+"):
        if word_in(folder / "name") not in GPUS and not word_in(folder / "device/type"):
            yield folder


def _in_millionths(folder: Path, quantity: str) -> Iterator[HwmonSensor]:
    """Yield the sensors of a quantity: ``energy1_input``, ``power2_average``."""
    for path in entries_of(folder, rf"{quantity}\d+_(input|average)"):
        yield _sensor(folder, path, partial(scaled, path, 1e-6))


def rails_in(folder: Path) -> Iterator[HwmonSensor]:
    """Yield the enabled channels of a chip that have a voltage and a current."""
    # An INA3221 has more: in4 to in7 are voltages of shunts in uV, and curr4 is a sum of currents.
    channels = "[1-3]" if word_in(folder / "name") == INA3221 else r"\d+"
    for volts in entries_of(folder, rf"in{channels}_input"):
        stem = volts.name.partition("_")[0]
        amperes = folder / volts.name.replace("in", "curr", 1)
        if amperes.is_file() and word_in(folder / f"{stem}_enable") != "0":
            yield _sensor(folder, volts, partial(_power_w, volts, amperes))


def _sensor(folder: Path, path: Path, read: Callable[[], float]) -> HwmonSensor:
    stem = path.name.partition("_")[0]
    label = word_in(folder / f"{stem}_label") or stem
    interval = word_in(folder / f"{path.name}_interval") or word_in(folder / "update_interval")
    interval_s = int(interval) / 1000 if interval.isdecimal() else None
    return HwmonSensor(word_in(folder / "name"), label, read, interval_s)


def _power_w(volts: Path, amperes: Path) -> float:
    return number_in(volts) * number_in(amperes) / 1e6
