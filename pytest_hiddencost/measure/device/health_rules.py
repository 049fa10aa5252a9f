"""Rules of device health: each compares two readings and returns texts on what it found.

An objection makes timed verdicts inconclusive, so it must be true and must affect timings. A
state that may be on purpose, or that affects no timing, is a remark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from pytest_hiddencost.measure.device.load import SHORTEST_S
from pytest_hiddencost.measure.device.readings import Cooling, Frequency, Reading, Zone

TOLERATED_STEAL_SHARE = 0.05
TOLERATED_LIMIT_SHARE = 0.05  # of a frequency: some hardware rounds the frequency it is set to
TOLERATED_JUMP_S = 0.5
_FEWEST_TICKS = 30  # of 10 ms; a share of fewer ticks is too coarse
_CHOOSING_DRIVERS = {"intel_pstate", "amd-pstate-epp"}  # their powersave follows the load
_FIRMWARE = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_NOW, _SINCE_BOOT = 0, 16  # the lowest of the firmware's four bits for each
_COOL = "cool the device or improve its power supply"

HealthRule = Callable[[Reading, Reading], tuple[str, ...]]
"""Returns texts on the time between two readings; none if it found nothing."""


def _firmware_throttled(before: Reading, now: Reading) -> tuple[str, ...]:
    found = _firmware_bits(before, now)
    if not found:
        return ()
    at_end = now.throttled is not None and now.throttled & (found | found << _SINCE_BOOT)
    shown = now.throttled if at_end else before.throttled
    return (f"throttled while measured: {_firmware_text(found, shown)}",)


def _firmware_bits(before: Reading, now: Reading) -> int:
    first, last = before.throttled or 0, now.throttled or 0
    found = (first | last) >> _NOW
    if before.throttled is not None:  # else a bit "since boot" may be older than the measurement
        found |= (last & ~first) >> _SINCE_BOOT
    return found & 0xF


def _firmware_text(bits: int, throttled: int | None) -> str:
    names = ", ".join(name for bit, name in enumerate(_FIRMWARE) if bits >> bit & 1)
    return f"{names} (vcgencmd get_throttled: {throttled or 0:#x})"


def _counted_throttling(before: Reading, now: Reading) -> tuple[str, ...]:
    # The largest, not the sum: every core of a package counts the same event of the package.
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
    # If both readings are too hot, the later one is reported.
    found = {
        zone.name: _heat_text(zone, trip)
        for reading in (before, now)
        for zone in reading.zones
        if (trip := zone.reached(*_throttling_trips(reading)))
    }
    return tuple(f"too hot while measured: {text}" for text in found.values())


def _throttling_trips(reading: Reading) -> tuple[str, ...]:
    # At a passive trip point the kernel may slow the processor; cooling devices show if it did.
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
    # If the lowest frequency equals the limit, the user fixed the frequency on purpose.
    return _clearly_below(frequency.lowest_khz or 1, frequency.limit_khz or frequency.hardware_khz)


def _clearly_below(khz: int | None, other_khz: int | None) -> bool:
    return bool(khz and other_khz and khz < other_khz * (1 - TOLERATED_LIMIT_SHARE))


def _at(khz: int | None) -> str:
    return f", {_ghz(khz)}" if khz else ""


def _ghz(khz: int) -> str:
    return f"{khz / 1e6:.3g} GHz"


def _settings_changed(before: Reading, now: Reading) -> tuple[str, ...]:
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


def stolen(before: Reading, now: Reading) -> tuple[str, ...]:
    """Object to time that the hypervisor gave to other machines."""
    share = stolen_share(before, now)
    if share is None or not before.ticks or not now.ticks:
        return ()
    # Counts are whole ticks: on every core one tick may have begun before the first reading.
    rounding_share = now.ticks.cores / (now.ticks.wanted - before.ticks.wanted)
    if share - rounding_share <= TOLERATED_STEAL_SHARE:
        return ()
    return (f"{100 * share:.0f} % of the busy time was stolen by the hypervisor",)


def stolen_share(before: Reading, now: Reading) -> float | None:
    """Return the stolen share of the time in which the usable cores were busy; None: unknown."""
    if not before.ticks or not now.ticks or before.ticks.cores != now.ticks.cores:
        return None
    # A share of the busy time: one thread that loses its core loses 1/8 of all time on 8 cores.
    wanted = now.ticks.wanted - before.ticks.wanted
    stolen = now.ticks.stolen - before.ticks.stolen
    if _span_s(before, now) < SHORTEST_S or wanted < _FEWEST_TICKS or not 0 <= stolen <= wanted:
        return None
    return stolen / wanted


def waiting_share(before: Reading, now: Reading) -> float | None:
    """Return the share of the time in which some task waited for a core; None: unknown."""
    span_s = _span_s(before, now)
    if before.waited_us is None or now.waited_us is None or span_s < SHORTEST_S:
        return None
    return (now.waited_us - before.waited_us) / 1e6 / span_s


def switch_rate(before: Reading, now: Reading) -> float | None:
    """Return involuntary context switches per second of own CPU time; None: unknown."""
    if before.switches is None or now.switches is None:
        return None
    own_cpu_s = now.switches.own_cpu_s - before.switches.own_cpu_s
    switches = now.switches.involuntary - before.switches.involuntary
    return switches / own_cpu_s if own_cpu_s > 0 else None


def _span_s(before: Reading, now: Reading) -> float:
    return now.clocks.monotonic_s - before.clocks.monotonic_s


def _limited(before: Reading, now: Reading) -> tuple[str, ...]:
    # Mostly on purpose: a frequency that the board can sustain makes its timings steady.
    return _unique(
        f"cores are limited to {_ghz(limit_khz)} of {_ghz(hardware_khz)} (scaling_max_freq)"
        for frequency in now.frequencies.values()
        if (limit_khz := frequency.limit_khz)
        and (hardware_khz := frequency.hardware_khz)
        and _clearly_below(limit_khz, hardware_khz)
    )


def _throttled_since_boot(before: Reading, now: Reading) -> tuple[str, ...]:
    throttled = now.throttled if now.throttled is not None else before.throttled
    bits = (throttled or 0) >> _SINCE_BOOT & 0xF & ~_firmware_bits(before, now)
    return (f"happened since boot: {_firmware_text(bits, throttled)}",) if bits else ()


def _warm(before: Reading, now: Reading) -> tuple[str, ...]:
    if not _cooling_known(now):
        return ()
    return tuple(_heat_text(zone, trip) for zone in now.zones if (trip := zone.reached("passive")))


def _clock_set(before: Reading, now: Reading) -> tuple[str, ...]:
    # Timings come from another clock; time stamps and certificates come from this one.
    boot_s = [reading.clocks.boot_s for reading in (before, now)]
    passed_s = _span_s(before, now) if None in boot_s else _grown_s(boot_s[0], boot_s[1], 0.0)
    jump_s = _grown_s(before.clocks.wall_s, now.clocks.wall_s, passed_s or 0.0)
    if jump_s is None or abs(jump_s) <= TOLERATED_JUMP_S:
        return ()
    return (f"the clock jumped by {jump_s:+.1f} s",)


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


LOAD_REMEDY = "stop other processes or measure with fewer threads (--hiddencost-threads)"
REMEDIES: dict[HealthRule, str] = {
    stolen: "measure on a machine whose hypervisor leaves it the cores",
    _firmware_throttled: _COOL,
    _cooled: _COOL,
    _counted_throttling: _COOL,
    _too_hot: _COOL,
    _lowest_frequency: "set the governor to performance",
    _settings_changed: "keep governor and frequency limit as they are during the run",
    _on_battery: "connect the power supply",
    _suspended: "keep the machine awake",
}
"""Every rule that raises objections, in their order, and the remedy for them."""

REMARKS: tuple[HealthRule, ...] = (_limited, _throttled_since_boot, _warm, _clock_set)
"""Every rule whose findings affect no verdict."""

KNOWN: dict[str, Callable[[Reading], bool]] = {
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
"""Names of states, and whether a reading has them."""
