"""What kernel and firmware say of the device's state, file by file; ``None`` is "not known".

Any file may be absent, closed to us or hold anything at all. That is no error, and never "fine".
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pytest_hiddencost.profiling.load import Ticks, ticks_in, usable_cores

if sys.platform != "win32":
    import resource

_CHUNK_BYTES = 1 << 16
_HOTTEST_C = 150.0  # beyond is a sensor that is not there, or a trip point that is not set
_COOLEST_TRIP_C = 40.0  # firmware has placeholders such as 20.8: no processor throttles there
_PROCESSOR = re.compile(r"cpu|processor|powerclamp", re.IGNORECASE)  # kinds of cooling devices
_TOLD_ONLY = re.compile(r"x86_pkg_temp|iwlwifi")  # their passive trip points only notify
_AT_ONCE_S = 0.1


@dataclass(frozen=True)
class Clocks:
    """Three clocks at one moment; ``boot_s`` runs on while the machine is suspended."""

    monotonic_s: float
    wall_s: float | None = None
    boot_s: float | None = None


@dataclass(frozen=True)
class Frequency:
    """What is set for cores that change their frequency together (a cpufreq policy)."""

    driver: str | None
    governor: str | None
    lowest_khz: int | None
    limit_khz: int | None
    hardware_khz: int | None


@dataclass(frozen=True)
class Zone:
    """A temperature and its trip points (kind, degrees) at which the kernel acts."""

    name: str
    kind: str
    trips_c: tuple[tuple[str, float], ...]
    temperature_c: float | None = None

    def reached(self, *kinds: str) -> tuple[str, float] | None:
        """The highest trip point of these kinds that the temperature is at or above."""
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
    """A way of the kernel to slow the processor down; step 0 is not at all."""

    name: str
    kind: str
    last_step: int | None
    step: int | None = None


@dataclass(frozen=True)
class Switches:
    """How often this process lost its core unasked, and how long it had one."""

    involuntary: int
    own_cpu_s: float


@dataclass(frozen=True)
class Power:
    """The batteries the device runs on, by name; none while anything else supplies it."""

    discharging: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """Everything at one moment."""

    clocks: Clocks
    frequencies: Mapping[Path, Frequency]
    zones: tuple[Zone, ...]
    coolings: tuple[Cooling, ...]
    throttle_counts: Mapping[Path, int]
    ticks: Ticks | None
    waited_us: int | None  # some task waited for a core (pressure stall information)
    switches: Switches | None
    power: Power | None
    throttled: int | None  # bits of the Raspberry Pi's firmware


class Sources:
    """The sources there are below ``root``: found once, read as often as asked."""

    def __init__(self, root: Path, throttled: Callable[[], str | None] | None) -> None:
        self._root = root
        self._cores = usable_cores()
        cpu, thermal = root / "sys/devices/system/cpu", root / "sys/class/thermal"
        self._policies = _policies(cpu, self._cores)
        self._counters = [path for path in _counters(cpu, self._cores) if _whole(path) is not None]
        zones = ((folder, _zone(folder)) for folder in _numbered(thermal, "thermal_zone"))
        self._zones = [(folder, zone) for folder, zone in zones if zone.trips_c]
        coolings = ((folder, _cooling(folder)) for folder in _numbered(thermal, "cooling_device"))
        self._coolings = [(folder, cooling) for folder, cooling in coolings if cooling]
        model = _word(root / "proc/device-tree/model") or ""
        self.is_raspberry_pi = "raspberry pi" in model.lower()
        self._throttled = (throttled or _vcgencmd()) if self.is_raspberry_pi else None

    def read(self, clocks: Clocks) -> Reading:
        """Every source once."""
        return Reading(
            clocks=clocks,
            frequencies={folder: _frequency(folder, fixed) for folder, fixed in self._policies},
            zones=tuple(
                replace(zone, temperature_c=_celsius(folder / "temp"))
                for folder, zone in self._zones
            ),
            coolings=tuple(
                replace(cooling, step=_whole(folder / "cur_state"))
                for folder, cooling in self._coolings
            ),
            throttle_counts={
                path: count for path in self._counters if (count := _whole(path)) is not None
            },
            ticks=ticks_in(_text(self._root / "proc/stat") or "", self._cores),
            waited_us=_waited_us(_text(self._root / "proc/pressure/cpu")),
            switches=_switches(),
            power=_power(self._root / "sys/class/power_supply"),
            throttled=_bits(self._throttled() if self._throttled else None),
        )


def read_clocks() -> Clocks:
    """The clocks, again where something came in between; without the others if always."""
    for _ in range(3):
        monotonic_s, boot_s, wall_s = time.monotonic(), _boot_s(), time.time()
        if time.monotonic() - monotonic_s < _AT_ONCE_S:
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
    # Not open(): its buffered read gives None, not an error, for a sensor that is not ready.
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
    khz = _whole(path)
    return khz if khz is not None and khz > 0 else None


def _celsius(path: Path) -> float | None:
    thousandths = _whole(path)
    if thousandths is None or not 0 < thousandths / 1000 <= _HOTTEST_C:
        return None
    return thousandths / 1000


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _numbered(folder: Path, prefix: str) -> Iterator[Path]:
    pattern = re.compile(rf"{prefix}[0-9]{{1,6}}")
    return (folder / name for name in _names(folder) if pattern.fullmatch(name))


def _policies(cpu: Path, cores: set[int]) -> list[tuple[Path, Frequency]]:
    shared = [
        folder
        for folder in _numbered(cpu / "cpufreq", "policy")
        if cores & (_cores_of(folder) or {int(folder.name.removeprefix("policy"))})
    ]
    folders = shared or [cpu / f"cpu{core}" / "cpufreq" for core in sorted(cores)]
    return [(folder, _fixed(folder)) for folder in folders if _names(folder)]


def _cores_of(folder: Path) -> set[int]:
    listed = _text(folder / "affected_cpus") or _text(folder / "related_cpus") or ""
    return {int(number) for number in re.findall(r"\b[0-9]{1,6}\b", listed)}


def _fixed(folder: Path) -> Frequency:
    hardware_khz = _khz(folder / "cpuinfo_max_freq")
    return Frequency(_word(folder / "scaling_driver"), None, None, None, hardware_khz)


def _frequency(folder: Path, fixed: Frequency) -> Frequency:
    return replace(
        fixed,
        governor=_word(folder / "scaling_governor"),
        lowest_khz=_khz(folder / "scaling_min_freq"),
        limit_khz=_khz(folder / "scaling_max_freq"),
    )


def _counters(cpu: Path, cores: set[int]) -> Iterator[Path]:
    for core in sorted(cores):
        for of in ("core", "package"):
            yield cpu / f"cpu{core}" / "thermal_throttle" / f"{of}_throttle_count"


def _zone(folder: Path) -> Zone:
    kind = _word(folder / "type") or folder.name
    acted_on = {"hot", "critical"}
    if not _TOLD_ONLY.match(kind) and _word(folder / "policy") != "user_space":
        acted_on.add("passive")
    if _word(folder / "mode") == "disabled":
        acted_on.clear()
    trips_c = []
    for name in _names(folder):
        if not re.fullmatch(r"trip_point_[0-9]{1,6}_type", name):
            continue
        trip, trip_c = _word(folder / name), _celsius(folder / f"{name.removesuffix('type')}temp")
        if trip in acted_on and trip_c is not None and trip_c >= _COOLEST_TRIP_C:
            trips_c.append((trip, trip_c))
    return Zone(folder.name, kind, tuple(trips_c))


def _cooling(folder: Path) -> Cooling | None:
    kind = _word(folder / "type") or ""
    if not _PROCESSOR.search(kind) or "fan" in kind.lower():
        return None
    return Cooling(folder.name, kind, _whole(folder / "max_state"))


def _waited_us(pressure: str | None) -> int | None:
    found = re.search(r"^some\b.*\btotal=([0-9]{1,18})", pressure or "", re.MULTILINE)
    return int(found[1]) if found else None


def _switches() -> Switches | None:
    if sys.platform == "win32":
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Switches(usage.ru_nivcsw, usage.ru_utime + usage.ru_stime)


def _power(folder: Path) -> Power | None:
    batteries, external = [], []
    for name in _names(folder):
        kind, scope = _word(folder / name / "type"), _word(folder / name / "scope")
        if kind is None or scope == "Device":  # the battery of a mouse
            continue
        if kind == "Battery":
            batteries.append(name)
        else:
            external.append(_whole(folder / name / "online"))
    if any(external):
        return Power()  # without asking the batteries, which can take a laptop many ms
    statuses = {name: _word(folder / name / "status") for name in batteries}
    if None in external or not (external or any(statuses.values())):
        return None
    return Power(tuple(name for name, status in statuses.items() if status == "Discharging"))


def _vcgencmd() -> Callable[[], str | None] | None:
    tool = shutil.which("vcgencmd")
    return partial(_said, tool) if tool else None


def _said(tool: str) -> str | None:
    try:
        done = subprocess.run(
            [tool, "get_throttled"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("ascii", errors="replace")


def _bits(said: str | None) -> int | None:
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})\s*", said or "")
    return int(found[1], 16) if found else None
