"""Whether the device was in a state to be measured, and if not, why.

An objection makes timed verdicts inconclusive, so it must be true and concern the processor: what
may be on purpose, or changes no timing, is a remark. What cannot be known is neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from pytest_hiddencost.profiling.load import SHORTEST_S, OtherLoad
from pytest_hiddencost.profiling.sources import (
    Clocks,
    Cooling,
    Frequency,
    Reading,
    Sources,
    Zone,
    read_clocks,
)
from pytest_hiddencost.records import DeviceFigures

ROOT = Path("/")  # where /proc and /sys are
TOLERATED_STEAL_SHARE = 0.05
TOLERATED_LIMIT_SHARE = 0.05  # of a frequency; some hardware rounds what was asked for
TOLERATED_JUMP_S = 0.5
_FEWEST_TICKS = 30  # of 10 ms; a share of fewer says nothing
_CHOOSING_DRIVERS = {"intel_pstate", "amd-pstate-epp"}  # their powersave follows the load
_FIRMWARE = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_NOW, _SINCE_BOOT = 0, 16  # the lowest of the firmware's four bits for each

_Judge = Callable[[Reading, Reading], tuple[str, ...]]


class DeviceWatch:
    """Watches the device from its creation on, for a call with so many ``threads``.

    ``root`` is where ``/proc`` and ``/sys`` are; ``throttled`` says what ``vcgencmd get_throttled``
    does, and is asked on a Raspberry Pi only.
    """

    def __init__(
        self,
        threads: int,
        *,
        device_type: str = "cpu",
        root: Path | None = None,
        throttled: Callable[[], str | None] | None = None,
        clocks: Callable[[], Clocks] = read_clocks,
    ) -> None:
        self._threads = threads
        self._device_type = device_type
        self._clocks = clocks
        self._load = OtherLoad()
        self._sources = Sources(root or ROOT, throttled)
        self._first = self._last = self._sources.read(clocks())
        self._seen: dict[_Judge, tuple[str, ...]] = {}

    def objections(self) -> tuple[str, ...]:
        """Take a reading; why times taken meanwhile are not the model's, most telling first.

        What was seen once stays: heat may have gone by the next reading, the times have not.
        """
        self._last = self._sources.read(self._clocks())
        for judge in _JUDGES:
            if found := judge(self._first, self._last):
                self._seen[judge] = found
        load = self._load.objection(self._threads)
        stolen = _stolen(self._first, self._last)
        lasting = chain.from_iterable(self._seen.get(judge, ()) for judge in _JUDGES)
        return (*(reason for reason in (load, stolen) if reason), *lasting)

    def remarks(self) -> tuple[str, ...]:
        """What a reader should know and no verdict depends on, as of the last reading."""
        found = (remark(self._first, self._last) for remark in _REMARKS)
        return tuple(chain.from_iterable(found))

    def unknown(self) -> tuple[str, ...]:
        """Names of what could not be judged, as of the last reading."""
        names = [] if self._load.cores() is not None else ["load"]
        if _stolen_share(self._first, self._last) is None:
            names.append("steal")
        for name, known in _KNOWN.items():
            if not (known(self._first) and known(self._last)):
                names.append(name)
        if self._sources.is_raspberry_pi and None in (self._first.throttled, self._last.throttled):
            names.append("vcgencmd")
        if self._device_type != "cpu":
            names.append(f"{self._device_type} clocks")
        return tuple(names)

    def figures(self) -> DeviceFigures:
        """Numbers between the first and the last reading."""
        return DeviceFigures(
            _stolen_share(self._first, self._last),
            _waiting_share(self._first, self._last),
            _switch_rate(self._first, self._last),
        )


def _firmware_throttled(before: Reading, now: Reading) -> tuple[str, ...]:
    found = _firmware_bits(before, now)
    if not found:
        return ()
    at_end = now.throttled is not None and now.throttled & (found | found << _SINCE_BOOT)
    said = now.throttled if at_end else before.throttled
    return (f"throttled while measured: {_firmware_text(found, said)}",)


def _firmware_bits(before: Reading, now: Reading) -> int:
    first, last = before.throttled or 0, now.throttled or 0
    found = (first | last) >> _NOW
    if before.throttled is not None:  # else a bit since boot may be of any time
        found |= (last & ~first) >> _SINCE_BOOT
    return found & 0xF


def _firmware_text(bits: int, said: int | None) -> str:
    names = ", ".join(name for bit, name in enumerate(_FIRMWARE) if bits >> bit & 1)
    return f"{names} (vcgencmd get_throttled: {said or 0:#x})"


def _counted_throttling(before: Reading, now: Reading) -> tuple[str, ...]:
    # Not their sum: every core of a package counts the same event of the package.
    later = now.throttle_counts
    grown = [later.get(path, count) - count for path, count in before.throttle_counts.items()]
    times = max(grown, default=0)
    if times <= 0:
        return ()
    plural = "s" if times > 1 else ""
    return (f"throttled while measured: by heat, {times} time{plural} (thermal_throttle)",)


def _cooled(before: Reading, now: Reading) -> tuple[str, ...]:
    at_work = [cooling for cooling in (*before.coolings, *now.coolings) if _slowdown(cooling) > 0]
    if not at_work:
        return ()
    most = max(at_work, key=_slowdown)
    of = f" of {most.last_step}" if most.last_step else ""
    return (f"throttled while measured: {most.kind} at step {most.step}{of} ({most.name})",)


def _slowdown(cooling: Cooling) -> float:
    return (cooling.step or 0) / max(1, cooling.last_step or 1)


def _too_hot(before: Reading, now: Reading) -> tuple[str, ...]:
    # The later reading is the telling one where both are too hot.
    found = {
        zone.name: _heat_text(zone, trip)
        for reading in (before, now)
        for zone in reading.zones
        if (trip := zone.reached(*_throttling_trips(reading)))
    }
    return tuple(f"too hot while measured: {text}" for text in found.values())


def _throttling_trips(reading: Reading) -> tuple[str, ...]:
    # At a passive trip point the kernel considers slowing down; cooling devices say if it does.
    return ("hot", "critical") if _cooling_known(reading) else ("passive", "hot", "critical")


def _cooling_known(reading: Reading) -> bool:
    return any(cooling.step is not None for cooling in reading.coolings)


def _heat_text(zone: Zone, trip: tuple[str, float]) -> str:
    kind, trip_c = trip
    return f"{zone.kind} at {zone.temperature_c:.3g} °C, {kind} from {trip_c:.3g} °C ({zone.name})"


def _lowest_frequency(before: Reading, now: Reading) -> tuple[str, ...]:
    found = chain(before.frequencies.values(), now.frequencies.values())
    return _unique(
        f"cores run at their lowest frequency{_at(frequency.lowest_khz)} (governor powersave)"
        for frequency in found
        if _held_low(frequency)
    )


def _held_low(frequency: Frequency) -> bool:
    if frequency.governor != "powersave" or frequency.driver in {None, *_CHOOSING_DRIVERS}:
        return False
    # Lowest and highest set to the same: somebody wants just this frequency.
    return _clearly_below(frequency.lowest_khz or 1, frequency.limit_khz or frequency.hardware_khz)


def _clearly_below(khz: int | None, other_khz: int | None) -> bool:
    return bool(khz and other_khz and khz < other_khz * (1 - TOLERATED_LIMIT_SHARE))


def _at(khz: int | None) -> str:
    return f", {_ghz(khz)}" if khz else ""


def _ghz(khz: int) -> str:
    return f"{khz / 1e6:.3g} GHz"


def _set_anew(before: Reading, now: Reading) -> tuple[str, ...]:
    return _unique(
        text
        for policy, frequency in before.frequencies.items()
        for text in _changes(frequency, now.frequencies.get(policy, frequency))
    )


def _changes(before: Frequency, now: Frequency) -> Iterator[str]:
    if before.governor and now.governor and before.governor != now.governor:
        yield f"the governor changed from {before.governor} to {now.governor}"
    was, is_ = before.limit_khz, now.limit_khz
    if was and is_ and (_clearly_below(was, is_) or _clearly_below(is_, was)):
        yield f"the frequency limit changed from {_ghz(was)} to {_ghz(is_)} (scaling_max_freq)"


def _on_battery(before: Reading, now: Reading) -> tuple[str, ...]:
    for power in (now.power, before.power):
        if power and power.discharging:
            return (f"running on battery ({', '.join(power.discharging)} discharging)",)
    return ()


def _suspended(before: Reading, now: Reading) -> tuple[str, ...]:
    slept_s = _grown_s(
        before.clocks.boot_s, now.clocks.boot_s, now.clocks.monotonic_s - before.clocks.monotonic_s
    )
    if slept_s is None or slept_s <= TOLERATED_JUMP_S:
        return ()
    return (f"the machine was suspended for {slept_s:.1f} s",)


def _grown_s(before_s: float | None, now_s: float | None, expected_s: float) -> float | None:
    return None if before_s is None or now_s is None else now_s - before_s - expected_s


def _stolen(before: Reading, now: Reading) -> str | None:
    share = _stolen_share(before, now)
    if share is None or not before.ticks or not now.ticks:
        return None
    # A core's count is of whole ticks: one of each may have begun before.
    rounding_share = now.ticks.cores / (now.ticks.wanted - before.ticks.wanted)
    if share - rounding_share <= TOLERATED_STEAL_SHARE:
        return None
    return f"{100 * share:.0f} % of the busy time was stolen by the hypervisor"


def _stolen_share(before: Reading, now: Reading) -> float | None:
    if not before.ticks or not now.ticks or before.ticks.cores != now.ticks.cores:
        return None
    # Not of all time: one thread on eight cores can lose all of its core, an eighth of them.
    wanted = now.ticks.wanted - before.ticks.wanted
    stolen = now.ticks.stolen - before.ticks.stolen
    if _span_s(before, now) < SHORTEST_S or wanted < _FEWEST_TICKS or not 0 <= stolen <= wanted:
        return None
    return stolen / wanted


def _waiting_share(before: Reading, now: Reading) -> float | None:
    span_s = _span_s(before, now)
    if before.waited_us is None or now.waited_us is None or span_s < SHORTEST_S:
        return None
    return (now.waited_us - before.waited_us) / 1e6 / span_s


def _switch_rate(before: Reading, now: Reading) -> float | None:
    if before.switches is None or now.switches is None:
        return None
    own_cpu_s = now.switches.own_cpu_s - before.switches.own_cpu_s
    switches = now.switches.involuntary - before.switches.involuntary
    return switches / own_cpu_s if own_cpu_s > 0 else None


def _span_s(before: Reading, now: Reading) -> float:
    return now.clocks.monotonic_s - before.clocks.monotonic_s


def _limited(before: Reading, now: Reading) -> tuple[str, ...]:
    # On purpose, mostly: a limit that a board can hold makes its timings steady.
    return _unique(
        f"cores are limited to {_ghz(limit_khz)} of {_ghz(hardware_khz)} (scaling_max_freq)"
        for frequency in now.frequencies.values()
        if (limit_khz := frequency.limit_khz)
        and (hardware_khz := frequency.hardware_khz)
        and _clearly_below(limit_khz, hardware_khz)
    )


def _throttled_since_boot(before: Reading, now: Reading) -> tuple[str, ...]:
    said = now.throttled if now.throttled is not None else before.throttled
    bits = (said or 0) >> _SINCE_BOOT & 0xF & ~_firmware_bits(before, now)
    return (f"happened since boot: {_firmware_text(bits, said)}",) if bits else ()


def _warm(before: Reading, now: Reading) -> tuple[str, ...]:
    if not _cooling_known(now):
        return ()
    return tuple(_heat_text(zone, trip) for zone in now.zones if (trip := zone.reached("passive")))


def _clock_set(before: Reading, now: Reading) -> tuple[str, ...]:
    # Timings are taken with another clock; time stamps and certificates are not.
    true = [reading.clocks.boot_s for reading in (before, now)]
    passed_s = _span_s(before, now) if None in true else _grown_s(true[0], true[1], 0.0)
    jump_s = _grown_s(before.clocks.wall_s, now.clocks.wall_s, passed_s or 0.0)
    if jump_s is None or abs(jump_s) <= TOLERATED_JUMP_S:
        return ()
    return (f"the clock jumped by {jump_s:+.1f} s",)


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


_JUDGES: tuple[_Judge, ...] = (
    _firmware_throttled,
    _cooled,
    _counted_throttling,
    _too_hot,
    _lowest_frequency,
    _set_anew,
    _on_battery,
    _suspended,
)
_REMARKS: tuple[_Judge, ...] = (_limited, _throttled_since_boot, _warm, _clock_set)
_KNOWN: dict[str, Callable[[Reading], bool]] = {
    "cpufreq": lambda reading: any(f.governor for f in reading.frequencies.values()),
    "thermal": lambda reading: (
        _cooling_known(reading)
        or bool(reading.throttle_counts)
        or any(zone.temperature_c is not None for zone in reading.zones)
    ),
    "pressure": lambda reading: reading.waited_us is not None,
    "power": lambda reading: reading.power is not None,
    "suspend": lambda reading: reading.clocks.boot_s is not None,
}
