"""Rules of device health: each compares two readings and yields its findings as texts.

An objection makes timed verdicts inconclusive, so it must be true and must affect timings. A
state that may be on purpose, or that affects no timing, is a remark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

from pytest_hiddencost.measure.device.load import SHORTEST_S
from pytest_hiddencost.measure.device.readings import Cooling, Reading, Zone

TOLERATED_STEAL_SHARE = 0.05
TOLERATED_LIMIT_SHARE = 0.05  # of a frequency: some hardware rounds the frequency it is set to
TOLERATED_JUMP_S = 0.5
_FEWEST_TICKS = 30  # of 10 ms; a share of fewer ticks is too coarse
_CHOOSING_DRIVERS = {"intel_pstate", "amd-pstate-epp"}  # their powersave follows the load
_FIRMWARE = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT = 16  # the lowest of the firmware's four bits for the time since boot; 0 is for now
_COOL = "cool the device or improve its power supply"

HealthRule = Callable[[Reading, Reading], Iterator[str]]
"""Yields texts on the time between two readings; none if it found nothing."""


def _firmware_throttled(before: Reading, now: Reading) -> Iterator[str]:
    if found := _firmware_bits(before, now):
        at_end = now.throttled is not None and now.throttled & (found | found << _SINCE_BOOT)
        text = _firmware_text(found, now.throttled if at_end else before.throttled)
        yield f"the firmware reported during the measurement: {text}"


def _firmware_bits(before: Reading, now: Reading) -> int:
    first, last = before.throttled or 0, now.throttled or 0
    found = first | last
    if before.throttled is not None:  # else a bit "since boot" may be older than the measurement
        found |= (last & ~first) >> _SINCE_BOOT
    return found & 0xF


def _firmware_text(bits: int, throttled: int | None) -> str:
    names = ", ".join(name for bit, name in enumerate(_FIRMWARE) if bits >> bit & 1)
    return f"{names} (vcgencmd get_throttled: {throttled or 0:#x})"


def _counted_throttling(before: Reading, now: Reading) -> Iterator[str]:
    # The largest, not the sum: every core of a package counts the same event of the package.
    later = now.throttle_counts
    grown = [later.get(path, count) - count for path, count in before.throttle_counts.items()]
    if (times := max(grown, default=0)) > 0:
        plural = "s" if times > 1 else ""
        yield f"heat throttled the processor {times} time{plural} (thermal_throttle)"


def _cooled(before: Reading, now: Reading) -> Iterator[str]:
    most = max((*before.coolings, *now.coolings), key=_slowdown, default=None)
    if most is not None and _slowdown(most) > 0:
        step = f"{most.step} of {most.last_step}" if most.last_step else most.step
        yield f"the kernel throttled the processor: {most.kind} at step {step} ({most.folder.name})"


def _slowdown(cooling: Cooling) -> float:
    return (cooling.step or 0) / max(1, cooling.last_step or 1)


def _too_hot(before: Reading, now: Reading) -> Iterator[str]:
    found: dict[str, str] = {}
    for reading in (before, now):  # if both are too hot, the later one is reported
        # At a passive trip point the kernel may slow the processor; cooling devices show if it did.
        trips = {"hot", "critical"} if _cooling_known(reading) else {"passive", "hot", "critical"}
        found |= _heat_texts(reading.zones, trips)
    for text in found.values():
        yield f"the device was too hot: {text}"


def _cooling_known(reading: Reading) -> bool:
    return any(cooling.step is not None for cooling in reading.coolings)


def _heat_texts(zones: Iterable[Zone], trips: set[str]) -> dict[str, str]:
    """Return a text for each zone on its highest trip point that the temperature has reached."""
    texts = {}
    for zone in zones:
        if (heat_c := zone.temperature_c) is None:
            continue
        reached = [trip for trip in zone.trips_c if trip[1] in trips and trip[0] <= heat_c]
        if reached:
            trip_c, trip = max(reached, key=itemgetter(0))
            text = f"{zone.kind} at {heat_c:.3g} °C, {trip} from {trip_c:.3g} °C"
            texts[zone.folder.name] = f"{text} ({zone.folder.name})"
    return texts


def _lowest_frequency(before: Reading, now: Reading) -> Iterator[str]:
    for policy in (*before.frequencies, *now.frequencies):
        saving = policy.governor == "powersave" and policy.driver not in _CHOOSING_DRIVERS
        # If the lowest frequency equals the limit, the user fixed the frequency on purpose.
        limit_khz = policy.limit_khz or policy.hardware_khz
        if saving and policy.driver and _clearly_below(policy.lowest_khz or 1, limit_khz):
            at = f", {_ghz(policy.lowest_khz)}" if policy.lowest_khz else ""
            yield f"cores ran at their lowest frequency{at} (governor powersave)"


def _clearly_below(khz: int, other_khz: int | None) -> bool:
    return khz < (other_khz or 0) * (1 - TOLERATED_LIMIT_SHARE)


def _ghz(khz: int) -> str:
    return f"{khz / 1e6:.3g} GHz"


def _settings_changed(before: Reading, now: Reading) -> Iterator[str]:
    for first, last in zip(before.frequencies, now.frequencies, strict=True):
        if first.governor and last.governor and first.governor != last.governor:
            yield f"the governor changed from {first.governor} to {last.governor}"
        was, is_ = first.limit_khz, last.limit_khz
        if was and is_ and (_clearly_below(was, is_) or _clearly_below(is_, was)):
            change = f"from {_ghz(was)} to {_ghz(is_)}"
            yield f"the frequency limit changed {change} (scaling_max_freq)"


def _on_battery(before: Reading, now: Reading) -> Iterator[str]:
    if batteries := now.discharging or before.discharging:
        yield f"the device ran on battery ({', '.join(batteries)} discharging)"


def _suspended(before: Reading, now: Reading) -> Iterator[str]:
    boot_s = _grown(before.clocks.boot_s, now.clocks.boot_s)
    if boot_s is not None and (slept_s := boot_s - _span_s(before, now)) > TOLERATED_JUMP_S:
        yield f"the machine was suspended for {slept_s:.1f} s"


def _grown(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else now - before


def stolen(before: Reading, now: Reading) -> Iterator[str]:
    """Object to time that the hypervisor gave to other machines."""
    share = stolen_share(before, now)
    if share is None or not before.ticks or not now.ticks:
        return
    # Counts are whole ticks: on every core one tick may have begun before the first reading.
    rounding_share = now.ticks.cores / (now.ticks.wanted - before.ticks.wanted)
    if share - rounding_share > TOLERATED_STEAL_SHARE:
        yield f"the hypervisor stole {100 * share:.0f} % of the busy time"


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
    waited_us, span_s = _grown(before.waited_us, now.waited_us), _span_s(before, now)
    return None if waited_us is None or span_s < SHORTEST_S else waited_us / 1e6 / span_s


def switch_rate(before: Reading, now: Reading) -> float | None:
    """Return involuntary context switches per second of own CPU time; None: unknown."""
    if before.switches is None or now.switches is None:
        return None
    own_cpu_s = now.switches.own_cpu_s - before.switches.own_cpu_s
    switches = now.switches.involuntary - before.switches.involuntary
    return switches / own_cpu_s if own_cpu_s > 0 else None


def _span_s(before: Reading, now: Reading) -> float:
    return now.clocks.monotonic_s - before.clocks.monotonic_s


def _limited(before: Reading, now: Reading) -> Iterator[str]:
    # Mostly on purpose: a frequency that the board can sustain makes its timings steady.
    for frequency in now.frequencies:
        limit_khz, hardware_khz = frequency.limit_khz, frequency.hardware_khz
        if limit_khz and hardware_khz and _clearly_below(limit_khz, hardware_khz):
            limits = f"{_ghz(limit_khz)} of {_ghz(hardware_khz)}"
            yield f"cores are limited to {limits} (scaling_max_freq)"


def _throttled_since_boot(before: Reading, now: Reading) -> Iterator[str]:
    throttled = now.throttled if now.throttled is not None else before.throttled
    if bits := (throttled or 0) >> _SINCE_BOOT & 0xF & ~_firmware_bits(before, now):
        yield f"the firmware reported since boot: {_firmware_text(bits, throttled)}"


def _warm(before: Reading, now: Reading) -> Iterator[str]:
    if _cooling_known(now):
        yield from _heat_texts(now.zones, {"passive"}).values()


def _clock_set(before: Reading, now: Reading) -> Iterator[str]:
    # Timings come from another clock; time stamps and certificates come from this one.
    wall_s = _grown(before.clocks.wall_s, now.clocks.wall_s)
    passed_s = _grown(before.clocks.boot_s, now.clocks.boot_s)
    if wall_s is not None:
        jump_s = wall_s - (_span_s(before, now) if passed_s is None else passed_s)
        if abs(jump_s) > TOLERATED_JUMP_S:
            yield f"the clock jumped by {jump_s:+.1f} s"


LOAD_REMEDY = "stop other processes or measure with fewer threads (--hiddencost-threads)"
LOAD_REMEDY_ONE_THREAD = "stop other processes; limits in calls, MACs and bytes hold under load too"
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
    "cpufreq": lambda reading: any(f.governor for f in reading.frequencies),
    "thermal": lambda reading: (
        _cooling_known(reading)
        or bool(reading.throttle_counts)
        or any(zone.temperature_c is not None for zone in reading.zones)
    ),
    "pressure": lambda reading: reading.waited_us is not None,
    "power": lambda reading: reading.discharging is not None,
    "suspend": lambda reading: reading.clocks.boot_s is not None,
}
"""Names of states, and whether a reading has them."""
