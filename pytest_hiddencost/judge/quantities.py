"""The measured value of each limited quantity, with the bounds of its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, OPERATORS, PASS, Check
from pytest_hiddencost.core.intervals import (
    Bounds,
    median_interval,
    quantile_bounds,
    samples_needed,
)
from pytest_hiddencost.core.lengthy import LENGTHY_CALL_NS, format_wait
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import LatencySamples, OperatorCost, Profile
from pytest_hiddencost.core.units import Kind, format_confidence, format_duration, format_quantity
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.reasons import Reason

SOMETHING = 1e-12  # the least share of an operator that was called: more than a limit of 0
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
WHOLE_CALL = frozenset({*QUANTILES, "energy"})
"""Quantities of a call that hold whatever operators it runs, and wherever."""
OTHER_CALLS = 15  # of a lengthy call, beside the timed ones
UNBOUNDED: Bounds = (-math.inf, math.inf)

_Parts = Sequence[tuple[OperatorCost, float]]  # operators, and the part of each that counts


@dataclass(frozen=True)
class Limit:
    """One entry of a budget: ``value`` in the base unit of ``unit``, such as ns, bytes or nJ."""

    check: Check
    unit: Kind
    value: float
    at_least: bool = False

    @property
    def timed(self) -> bool:
        """Whether the limit needs a clock, and so samples and a fit device."""
        return self.unit not in ("calls", "macs", "bytes")

    @property
    def of_operators(self) -> bool:
        """Whether the check's key names operators."""
        return self.check.kind == OPERATORS


@dataclass(frozen=True)
class Bounded:
    """A measured value in the limit's unit; None if the device does not measure it."""

    value: float | None
    bounds: Bounds
    lacking: Reason = reasons.STRADDLES  # why the bounds are open, or wide
    settled: bool = False  # more samples would not narrow them enough

    @property
    def interval(self) -> Bounds | None:
        """The bounds, if both are finite."""
        bounded = self.value is not None and all(map(math.isfinite, self.bounds))
        return self.bounds if bounded else None


def quantity_of(profile: Profile, limit: Limit) -> Bounded:
    """Return the quantity that ``limit`` limits."""
    if not limit.of_operators:
        return _QUANTITIES[limit.check.key](profile, limit)
    return (_calls if limit.unit == "calls" else _operators)(profile, limit)


def _latency(profile: Profile, limit: Limit) -> Bounded:
    latency, key = profile.latency, limit.check.key
    bounds = quantile_bounds(sorted(latency.samples_ns), QUANTILES[key], latency.confidence)
    value = {"p50": latency.median_ns, "p95": latency.p95_ns, "p99": latency.p99_ns}[key]
    return Bounded(value, bounds, _few_samples(profile, key))


def _few_samples(profile: Profile, key: str) -> Reason:
    """Return why a quantile of the latency is not known well enough."""
    latency = profile.latency
    count, needed = len(latency.samples_ns), samples_needed(QUANTILES[key], latency.confidence)
    if count >= needed:
        return _straddles(latency, count)
    lengthy = latency.median_ns >= LENGTHY_CALL_NS
    return _longer(
        reasons.FEW_LENGTHY_SAMPLES if lengthy else reasons.FEW_SAMPLES,
        latency,
        needed,
        quantity=key,
        count=count,
        confidence=format_confidence(latency.confidence),
    )


def _straddles(latency: LatencySamples, count: int) -> Reason:
    """Return why an interval of so many calls is too wide; four times as many halve it."""
    if latency.median_ns < LENGTHY_CALL_NS:
        return reasons.STRADDLES
    return _longer(reasons.STRADDLES_LENGTHY, latency, 4 * count, count=count)


def _longer(reason: Reason, latency: LatencySamples, needed: int, **values: object) -> Reason:
    """Return the reason with the time that so many calls take, a fifth added."""
    seconds = math.ceil(latency.median_ns * needed * 1.2 / 1e9)
    wait = format_wait(seconds + OTHER_CALLS * latency.median_ns / 1e9)
    return reason.filled(needed=needed, seconds=seconds, wait=wait, **values)


def _non_mac(profile: Profile, limit: Limit) -> Bounded:
    found = operators_of(profile, "mac")
    windows = [1.0 - share for share in window_shares(profile, found)]
    measured = _share_or_time(profile, limit, profile.non_mac_share, windows, found)
    if not profile.generated_macs:
        return measured
    generated = format_quantity("macs", profile.generated_macs)
    reason = reasons.UNTIMED_MACS.filled(macs=generated)
    bounds = (0.0, measured.bounds[1])  # only the upper bound is known
    return Bounded(measured.value, bounds, reason, settled=True)


def _operators(profile: Profile, limit: Limit) -> Bounded:
    found = operators_of(profile, limit.check.key)
    share = sum(operator.self_ns * part for operator, part in found) / profile.latency.median_ns
    always = any(operator.calls_bounds[0] > 0 and part > 0 for operator, part in found)
    windows = window_shares(profile, found)
    return _share_or_time(profile, limit, share, windows, found, SOMETHING if always else 0.0)


def window_shares(profile: Profile, parts: _Parts) -> list[float]:
    """Return the share of these parts in every profiler window."""
    if not parts:
        return [0.0] * profile.profiler.windows
    scaled = [[ns * part for ns in operator.windows_ns] for operator, part in parts]
    return [sum(values) / profile.latency.median_ns for values in zip(*scaled, strict=True)]


def _share_or_time(
    profile: Profile,
    limit: Limit,
    share: float,
    windows: list[float],
    parts: _Parts,
    least: float = 0.0,
) -> Bounded:
    """Return a share of the latency, or that share as a time; the lower bound is ``least`` or more.

    The interval is that of the windows, widened by the uncertainty of the profiler's overhead.
    """
    latency = profile.latency
    between = median_interval(windows, latency.confidence)
    timed = limit.unit == "duration"
    value = share * latency.median_ns if timed else share
    scale = latency.median_ci_ns if timed else (1.0, 1.0)
    if between is None or scale is None:
        few = reasons.FEW_WINDOWS.filled(
            windows=len(windows),
            samples=len(latency.samples_ns),
            needed=samples_needed(0.5, latency.confidence),
        )
        return Bounded(value, UNBOUNDED, few)

    def bounds(doubt: float) -> Bounds:
        low, high = max(least, min(share, between[0]) - doubt), max(share, between[1]) + doubt
        return low * scale[0], high * scale[1]

    doubt = sum(operator.uncertainty_ns * part for operator, part in parts) / latency.median_ns
    wide = bounds(doubt)
    if against(wide, limit) == INCONCLUSIVE and against(bounds(0.0), limit) != INCONCLUSIVE:
        reason = _correction_decides(profile, limit, doubt, parts)
        return Bounded(value, wide, reason, settled=True)
    return Bounded(value, wide, _straddles(latency, len(windows)))


def _correction_decides(profile: Profile, limit: Limit, doubt: float, parts: _Parts) -> Reason:
    """Return why a limit is open that the windows alone would decide."""
    shown = doubt * profile.latency.median_ns if limit.unit == "duration" else doubt
    rough = [operator.name for operator, _ in parts if operator.below_resolution]
    return reasons.WITHIN_CORRECTION.filled(
        event=format_duration(profile.profiler.event_cost_ns),
        doubt=format_quantity(limit.unit, shown),
        rough=f" (below resolution: {listed(rough, 3)})" if rough else "",
    )


def _mac_rate(profile: Profile, limit: Limit) -> Bounded:
    if profile.latency.median_ci_ns is None:
        return Bounded(profile.mac_rate, UNBOUNDED, _few_samples(profile, "p50"))
    low_ns, high_ns = profile.latency.median_ci_ns
    bounds = (profile.macs / high_ns * 1e9, profile.macs / low_ns * 1e9)
    return Bounded(profile.mac_rate, bounds, _few_samples(profile, "p50"))


def _calls(profile: Profile, limit: Limit) -> Bounded:
    found = [operator for operator, _ in operators_of(profile, limit.check.key)]
    least, most = map(sum, zip(*(operator.calls_bounds for operator in found), strict=True))
    calls = float(sum(operator.calls for operator in found))
    return Bounded(calls, (float(least), float(most)), reasons.CALLS_VARY)


def _energy(profile: Profile, limit: Limit) -> Bounded:
    use = profile.energy
    if use is None:
        lacking = verdicts.no_energy(profile.energy_unknown)
        return Bounded(None, UNBOUNDED, lacking, settled=True)
    return Bounded(use.energy_nj, use.interval_nj or UNBOUNDED, settled=True)


def _activation_memory(profile: Profile, limit: Limit) -> Bounded:
    if profile.activation_peak_bytes is None:
        return Bounded(None, UNBOUNDED, reasons.NO_MEMORY.filled(device=profile.device))
    return _exact(profile.activation_peak_bytes)


def _exact(value: float) -> Bounded:
    return Bounded(float(value), (float(value), float(value)))


_QUANTITIES: dict[str, Callable[[Profile, Limit], Bounded]] = {
    **dict.fromkeys(QUANTILES, _latency),
    "non_mac": _non_mac,
    "mac_rate": _mac_rate,
    "macs": lambda profile, _: _exact(profile.macs),
    "activation_memory": _activation_memory,
    "energy": _energy,
}


def against(bounds: Bounds, limit: Limit) -> Literal["pass", "fail", "inconclusive"]:
    """Return the outcome of a limit for a quantity that lies between ``bounds``."""
    low, high = bounds
    if limit.at_least:
        within, beyond = low >= limit.value, high < limit.value
    else:
        within, beyond = high <= limit.value, low > limit.value
    return PASS if within else FAIL if beyond else INCONCLUSIVE
