"""Sysfs readers: the device's state from the files of the kernel, and from the firmware.

Any file may be absent, unreadable or hold any content. Such a value is ``None``, never an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from pytest_hiddencost.measure.device.load import ticks_in
from pytest_hiddencost.measure.device.readings import (
    Clocks,
    Cooling,
    Frequency,
    Reading,
    Switches,
    Zone,
)
from pytest_hiddencost.system.affinity import usable_cores

if sys.platform != "win32":
    import resource

_CHUNK_BYTES = 1 << 16
_HOTTEST_C = 150.0  # a higher value is an absent sensor or an unset trip point
_COOLEST_TRIP_C = 40.0  # lower trip points are the firmware's placeholders, such as 20.8
_PROCESSOR = re.compile(r"cpu|processor|powerclamp", re.IGNORECASE)  # kinds of cooling devices
_NOTIFYING = re.compile(r"x86_pkg_temp|iwlwifi")  # zones whose passive trip points only notify
_ONE_MOMENT_S = 0.1


class SysfsReaders:
    """The readers that find their files below ``root``: files are found once, then read.

    ``throttled`` replaces the call of ``vcgencmd get_throttled`` on a Raspberry Pi.
    """

    def __init__(self, root: Path, throttled: Callable[[], str | None] | None) -> None:
        self._root = root
        self._cores = usable_cores()
        cpu, thermal = root / "sys/devices/system/cpu", root / "sys/class/thermal"
        self._policies = _policies(cpu, self._cores)
        self._counters = _counted(
            cpu / f"cpu{core}/thermal_throttle/{part}_throttle_count"
            for core in sorted(self._cores)
            for part in ("core", "package")
        )
        zones = map(_zone, _numbered(thermal, "thermal_zone"))
        self._zones = [zone for zone in zones if zone.trips_c]
        self._coolings = list(filter(None, map(_cooling, _numbered(thermal, "cooling_device"))))
        model = _word(root / "proc/device-tree/model") or ""
        self.is_raspberry_pi = "raspberry pi" in model.lower()
        self._throttled = throttled or _vcgencmd

    def read(self, clocks: Clocks) -> Reading:
        """Return the values of all readers; each file is read once."""
        return Reading(
            clocks=clocks,
            frequencies=tuple(map(_frequency, self._policies)),
            zones=tuple(
                replace(zone, temperature_c=_celsius(zone.folder / "temp")) for zone in self._zones
            ),
            coolings=tuple(
                replace(cooling, step=_whole(cooling.folder / "cur_state"))
                for cooling in self._coolings
            ),
            throttle_counts=_counted(self._counters),
            ticks=ticks_in(_text(self._root / "proc/stat") or "", self._cores),
            waited_us=_waited_us(_text(self._root / "proc/pressure/cpu")),
            switches=_switches(),
            discharging=_discharging(self._root / "sys/class/power_supply"),
            throttled=_bits(self._throttled() if self.is_raspberry_pi else None),
        )


def read_clocks() -> Clocks:
    """Read the clocks at one moment; return only the first if an interruption came every time."""
    for _ in range(3):
        monotonic_s, boot_s, wall_s = time.monotonic(), _boot_s(), time.time()
        if time.monotonic() - monotonic_s < _ONE_MOMENT_S:
            return Clocks(monotonic_s, wall_s, boot_s)
    return Clocks(time.monotonic())


def _boot_s() -> float | None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except OSError:
        return None


def _text(path: Path) -> str | None:
    # os.open: the buffered read of open() returns None, without an error, if a sensor is not ready.
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        chunks = list(iter(partial(os.read, file, _CHUNK_BYTES), b""))
    except OSError:
        return None
    finally:
        os.close(file)
    return b"".join(chunks).decode("utf-8", errors="replace").strip("\0 \n")


def _word(path: Path) -> str | None:
    text = _text(path)
    return text if text and re.fullmatch(r"[\w .,:()+-]{1,80}", text, re.ASCII) else None


def _whole(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,18}", text) else None


def _khz(path: Path) -> int | None:
    return max(0, _whole(path) or 0) or None


def _celsius(path: Path) -> float | None:
    celsius = (_whole(path) or 0) / 1000
    return celsius if 0 < celsius <= _HOTTEST_C else None


def _counted(paths: Iterable[Path]) -> dict[Path, int]:
    return {path: count for path in paths if (count := _whole(path)) is not None}


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _numbered(folder: Path, prefix: str) -> Iterator[Path]:
    pattern = re.compile(rf"{prefix}[0-9]{{1,6}}")
    return (folder / name for name in _names(folder) if pattern.fullmatch(name))


def _policies(cpu: Path, cores: set[int]) -> list[Frequency]:
    policies = _numbered(cpu / "cpufreq", "policy")
    shared = [folder for folder in policies if cores & _cores_of(folder)]
    folders = shared or [cpu / f"cpu{core}" / "cpufreq" for core in sorted(cores)]
    return [
        Frequency(folder, _word(folder / "scaling_driver"), _khz(folder / "cpuinfo_max_freq"))
        for folder in filter(_names, folders)
    ]


def _cores_of(folder: Path) -> set[int]:
    listed = _text(folder / "affected_cpus") or _text(folder / "related_cpus") or ""
    numbers = re.findall(r"\b[0-9]{1,6}\b", listed) or [folder.name.removeprefix("policy")]
    return set(map(int, numbers))


def _frequency(policy: Frequency) -> Frequency:
    return replace(
        policy,
        governor=_word(policy.folder / "scaling_governor"),
        lowest_khz=_khz(policy.folder / "scaling_min_freq"),
        limit_khz=_khz(policy.folder / "scaling_max_freq"),
    )


def _zone(folder: Path) -> Zone:
    kind = _word(folder / "type") or folder.name
    enforced = {"hot", "critical"}
    if not _NOTIFYING.match(kind) and _word(folder / "policy") != "user_space":
        enforced.add("passive")
    if _word(folder / "mode") == "disabled":
        enforced.clear()
    trips_c = []
    for name in _names(folder):
        if not re.fullmatch(r"trip_point_[0-9]{1,6}_type", name):
            continue
        trip, trip_c = _word(folder / name), _celsius(folder / f"{name.removesuffix('type')}temp")
        if trip in enforced and trip_c is not None and trip_c >= _COOLEST_TRIP_C:
            trips_c.append((trip_c, trip))
    return Zone(folder, kind, tuple(trips_c))


def _cooling(folder: Path) -> Cooling | None:
    kind = _word(folder / "type") or ""
    if not _PROCESSOR.search(kind) or "fan" in kind.lower():
        return None
    return Cooling(folder, kind, _whole(folder / "max_state"))


def _waited_us(pressure: str | None) -> int | None:
    found = re.search(r"^some\b.*\btotal=([0-9]{1,18})", pressure or "", re.MULTILINE)
    return int(found[1]) if found else None


def _switches() -> Switches | None:
    if sys.platform == "win32":
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Switches(usage.ru_nivcsw, usage.ru_utime + usage.ru_stime)


def _discharging(folder: Path) -> tuple[str, ...] | None:
    batteries, external = [], []
    for name in _names(folder):
        kind, scope = _word(folder / name / "type"), _word(folder / name / "scope")
        if kind is None or scope == "Device":  # such as the battery of a mouse
            continue
        if kind == "Battery":
            batteries.append(name)
        else:
            external.append(_whole(folder / name / "online"))
    if any(external):
        return ()  # reading the batteries as well can take many ms on a laptop
    statuses = {name: _word(folder / name / "status") for name in batteries}
    if None in external or not (external or any(statuses.values())):
        return None
    return tuple(name for name, status in statuses.items() if status == "Discharging")


def _vcgencmd() -> str | None:
    if (tool := shutil.which("vcgencmd")) is None:
        return None
    command = [tool, "get_throttled"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=2)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("ascii", errors="replace")


def _bits(output: str | None) -> int | None:
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})\s*", output or "")
    return int(found[1], 16) if found else None
