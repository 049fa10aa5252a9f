"""Synthetic files of the kernel below a root folder: RAPL, sensor chips, a Jetson."""

from __future__ import annotations

from pathlib import Path

import pytest

RAPL = "sys/class/powercap"
CHIPS = "sys/class/hwmon"
RANGE_UJ = 262_143_328_850  # of a desktop processor


class EnergyFiles:
    """Files that a test sets."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: object) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
        return file

    def zone(self, number: str, name: str, energy_uj: int = 0, range_uj: int = RANGE_UJ) -> Path:
        folder = f"{RAPL}/intel-rapl:{number}"
        self.write(f"{folder}/name", name)
        self.write(f"{folder}/max_energy_range_uj", range_uj)
        return self.write(f"{folder}/energy_uj", energy_uj)

    def desktop(self) -> Path:
        """One package with its parts, as the kernel lists them; the file of the package."""
        self.write(f"{RAPL}/intel-rapl/enabled", 1)
        self.write(f"{RAPL}/intel-rapl-mmio:0/name", "package-0")
        self.write(f"{RAPL}/intel-rapl-mmio:0/energy_uj", 77)
        self.zone("0:0", "core", 40_000)
        self.zone("0:1", "uncore", 3_000)
        self.zone("1", "psys", 900_000)
        return self.zone("0", "package-0", 50_000)

    def server(self) -> None:
        """Two packages, each with DRAM that is counted apart."""
        for package in range(2):
            self.zone(str(package), f"package-{package}", 1_000_000)
            self.zone(f"{package}:0", "dram", 200_000)

    def chip(self, number: int, name: str, **files: object) -> None:
        for file, content in {"name": name, **files}.items():
            self.write(f"{CHIPS}/hwmon{number}/{file}", content)

    def ina3221(self, number: int, rails: dict[int, tuple[str, int, int]]) -> None:
        """The chip as the kernel's driver lists it: label, mV and mA of the enabled channels.

        It lists the other channels as well, but reading them fails, as that of an empty file does.
        """
        files: dict[str, object] = {"in7_label": "sum of shunt voltages", "in7_input": 6}
        files |= {"curr4_input": sum(rail[2] for rail in rails.values())}
        for channel in (1, 2, 3):
            label, millivolts, milliamperes = rails.get(channel, ("", "", ""))
            files |= {
                f"in{channel}_enable": int(channel in rails),
                f"in{channel}_input": millivolts,
                f"curr{channel}_input": milliamperes,
                f"in{channel + 3}_input": 2 * milliamperes if channel in rails else "",
            }
            files |= {f"in{channel}_label": label} if label else {}
        self.chip(number, "ina3221", **files)

    def orin_nano(self) -> None:
        """The INA3221 of JetPack 6: 5 V and 1.2 A at the supply, two rails, sums of shunts."""
        self.write("proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\0")
        supply = ("VDD_IN", 5000, 1200)
        self.ina3221(1, {1: supply, 2: ("VDD_CPU_GPU_CV", 5000, 400), 3: ("VDD_SOC", 5000, 300)})
        self.chip(0, "tmp451", temp1_input=45_000)

    def agx_orin(self) -> None:
        """Two INA3221 without a rail of the supply, 18 W; the second has one enabled channel."""
        self.write("proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
        gpu, cpu = ("VDD_GPU_SOC", 20_000, 400), ("VDD_CPU_CV", 20_000, 200)
        self.ina3221(1, {1: gpu, 2: cpu, 3: ("VIN_SYS_5V0", 5000, 1000)})
        self.ina3221(2, {2: ("VDDQ_VDD2_1V8AO", 5000, 200)})

    def nano(self) -> None:
        """The INA3221 of JetPack 4: mW below the driver."""
        self.write("proc/device-tree/model", "NVIDIA Jetson Nano Developer Kit\0")
        rails = {0: ("POM_5V_IN", 2500), 1: ("POM_5V_GPU", 300), 2: ("POM_5V_CPU", 700)}
        for channel, (label, milliwatts) in rails.items():
            folder = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
            self.write(f"{folder}/rail_name_{channel}", label)
            self.write(f"{folder}/in_power{channel}_input", milliwatts)


def readable_by_root_only(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Refuse to read files of this name, as the kernel does; tests may run as root."""
    read_text = Path.read_text

    def refused(path: Path, *arguments: str, **settings: str) -> str:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *arguments, **settings)

    monkeypatch.setattr(Path, "read_text", refused)
