"""Budgets: what a marker allows, and the verdict on each limit of it.

A verdict follows from the confidence interval of the measured quantity: ``pass`` when all of it is
within the limit, ``fail`` when all of it is beyond, ``inconclusive`` otherwise. Counts, MACs and
bytes are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pytest_hiddencost.intervals import (
    Bounds,
    median_interval,
    quantile_bounds,
    samples_needed,
)
from pytest_hiddencost.records import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    OperatorCost,
    Profile,
    Verdict,
)
from pytest_hiddencost.taxonomy import DEFAULT, GROUPS, Taxonomy
from pytest_hiddencost.tolerances import Tolerances
from pytest_hiddencost.units import Kind, format_confidence, format_duration, format_quantity

EXACT_UNITS = frozenset({"calls", "macs", "bytes"})
SOMETHING = 1e-12  # the least share of what was called, however short: more than a limit of 0
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Limit:
    """One entry of a budget: ``value`` in ns, share, MACs, MAC/s, bytes or calls, by ``unit``."""

    gate: str
    unit: Kind
    value: float
    text: str
    key: str | None = None
    at_least: bool = False

    @property
    def timed(self) -> bool:
        """Whether it hinges on a clock, and so on more samples and a fit device."""
        return self.unit not in EXACT_UNITS


@dataclass(frozen=True)
class Budget:
    """The limits of one marker, for all calls of a test or for the one with ``label``."""

    limits: tuple[Limit, ...]
    label: str | None = None
    regression: Tolerances = Tolerances()  # noqa: RUF009  # frozen, so shared safely

    @property
    def timed(self) -> bool:
        """Whether any limit hinges on a clock."""
        return any(limit.timed for limit in self.limits)


@dataclass(frozen=True)
class _Measured:
    value: float | None
    bounds: Bounds
    lacking: str = ""  # why the bounds are open, or wide
    settled: bool = False  # more samples would not narrow them enough


def check(profile: Profile, budget: Budget, taxonomy: Taxonomy = DEFAULT) -> tuple[Verdict, ...]:
    """The verdict on every limit of ``budget``, in its order."""
    return tuple(_verdict(profile, limit, taxonomy) for limit in budget.limits)


def undecided(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether more samples could still decide a limit."""
    return any(v.sampling_helps for v in verdicts)


def members(profile: Profile, key: str) -> list[tuple[OperatorCost, float]]:
    """The operators a key of ``operators`` speaks of, and which part of their self time.

    A wrapper that runs a MAC kernel of its own belongs to ``mac`` with that part.
    """
    if key == "mac":
        return [(o, o.mac_share) for o in profile.operators if o.mac_share > 0]
    if key in GROUPS:
        return [(o, 1.0 - o.mac_share) for o in profile.operators if o.group == key]
    return [(o, 1.0) for o in profile.operators if o.name == key or fnmatchcase(o.name, key)]


def _verdict(profile: Profile, limit: Limit, taxonomy: Taxonomy) -> Verdict:
    needs_a_match = limit.key is not None and limit.value > 0
    unseen = not profile.operators and not profile.macs
    if unseen and limit.gate not in QUANTILES and not needs_a_match:
        reason = "no operator was seen: the call ran none, or ran them in a thread of its own"
        nothing = _Measured(None, (-math.inf, math.inf))
        return _record(limit, INCONCLUSIVE, nothing, reason, final=True)
    if limit.key is not None and not members(profile, limit.key):
        return _nothing_matched(profile, limit, taxonomy)
    measured = _quantity(limit)(profile, limit)
    verdict, reason = _decide(measured, limit)
    if limit.timed and not profile.fitness.fit:
        verdict, reason = INCONCLUSIVE, "; ".join(profile.fitness.reasons)
        return _record(limit, verdict, measured, reason, final=True)
    if profile.uncosted and _hinges_on_missing_macs(profile, limit, verdict):
        verdict = INCONCLUSIVE
        reason = f"MACs are incomplete, no formula for {', '.join(profile.uncosted)}"
        return _record(limit, verdict, measured, reason, final=True)
    return _record(limit, verdict, measured, reason)


def _record(
    limit: Limit, verdict: str, measured: _Measured, reason: str, *, final: bool = False
) -> Verdict:
    """``final``: more samples would not decide it."""
    bounded = measured.value is not None and all(math.isfinite(b) for b in measured.bounds)
    return Verdict(
        gate=limit.gate,
        verdict=verdict,
        measured=measured.value,
        limit=limit.value,
        reason=reason,
        unit=limit.unit,
        interval=measured.bounds if bounded and not final else None,
        at_least=limit.at_least,
        sampling_helps=verdict == INCONCLUSIVE
        and limit.timed
        and not final
        and not measured.settled,
    )


def _nothing_matched(profile: Profile, limit: Limit, taxonomy: Taxonomy) -> Verdict:
    assert limit.key is not None
    exists = limit.key in GROUPS or taxonomy.knows(limit.key)
    if limit.value == 0 and exists:  # "none of these" is a limit that holds
        return _record(limit, PASS, _Measured(0.0, (0.0, 0.0)), "")
    names = [operator.name for operator in profile.operators]
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    reason = f"{limit.key!r} matches no operator of this call, so the limit checks nothing; "
    return _record(limit, FAIL, _Measured(None, (0.0, 0.0)), reason + f"operators: {shown}")


def _decide(measured: _Measured, limit: Limit) -> tuple[str, str]:
    verdict = _against(measured.bounds, limit)
    if verdict != INCONCLUSIVE:
        return verdict, ""
    return INCONCLUSIVE, measured.lacking or "the confidence interval straddles the limit"


def _against(bounds: Bounds, limit: Limit) -> str:
    low, high = bounds
    if limit.at_least:
        within, beyond = low >= limit.value, high < limit.value
    else:
        within, beyond = high <= limit.value, low > limit.value
    return PASS if within else FAIL if beyond else INCONCLUSIVE


def _hinges_on_missing_macs(profile: Profile, limit: Limit, verdict: str) -> bool:
    """Whether the MACs, or the MAC time, of operators without a formula could turn the verdict."""
    if limit.gate == "macs":
        return verdict == PASS
    if limit.gate == "mac_rate":
        return verdict == FAIL
    groups = {operator.name: operator.group for operator in profile.operators}
    unknown = any(groups.get(name) == "unclassified" for name in profile.uncosted)
    return limit.gate == "non_mac" and verdict == FAIL and unknown


def _quantity(limit: Limit) -> Callable[[Profile, Limit], _Measured]:
    if limit.gate in QUANTILES:
        return _latency
    if limit.key is not None:
        return _calls if limit.unit == "calls" else _operators
    return {
        "non_mac": _non_mac,
        "mac_rate": _mac_rate,
        "macs": _macs,
        "activation_memory": _activation_memory,
    }[limit.gate]


def _latency(profile: Profile, limit: Limit) -> _Measured:
    latency, q = profile.latency, QUANTILES[limit.gate]
    bounds = quantile_bounds(sorted(latency.samples_ns), q, latency.confidence)
    value = {"p50": latency.median_ns, "p95": latency.p95_ns, "p99": latency.p99_ns}[limit.gate]
    count, needed = len(latency.samples_ns), samples_needed(q, latency.confidence)
    lacking = ""
    if count < needed:
        confidence = format_confidence(latency.confidence)
        seconds = math.ceil(latency.median_ns * needed * 1.2 / 1e9)
        lacking = (
            f"{limit.gate} needs {needed} samples at {confidence} confidence, got {count}: "
            f"give --hiddencost-max-time={seconds}s"
        )
    return _Measured(value, bounds, lacking)


def _non_mac(profile: Profile, limit: Limit) -> _Measured:
    latency_ns = profile.latency.median_ns
    found = members(profile, "mac")
    windows = [1.0 - mac_ns / latency_ns for mac_ns in _window_sums(profile, found)]
    return _share_or_time(profile, limit, profile.non_mac_share, windows, found)


def _operators(profile: Profile, limit: Limit) -> _Measured:
    assert limit.key is not None
    found = members(profile, limit.key)
    latency_ns = profile.latency.median_ns
    windows = [self_ns / latency_ns for self_ns in _window_sums(profile, found)]
    share = sum(operator.self_ns * part for operator, part in found) / latency_ns
    always = any((o.calls_range or (o.calls,))[0] > 0 and part > 0 for o, part in found)
    return _share_or_time(profile, limit, share, windows, found, SOMETHING if always else 0.0)


def _window_sums(profile: Profile, parts: list[tuple[OperatorCost, float]]) -> list[float]:
    """Self time of these parts in every profiler window."""
    if not parts:
        return [0.0] * profile.profiler.windows
    scaled = [[ns * part for ns in operator.windows_ns] for operator, part in parts]
    return [sum(values) for values in zip(*scaled, strict=True)]


def _share_or_time(
    profile: Profile,
    limit: Limit,
    share: float,
    windows: list[float],
    parts: list[tuple[OperatorCost, float]],
    least: float = 0.0,
) -> _Measured:
    """A share of the latency with its interval, or the time that share is; ``least`` it must be.

    The interval is that of the windows, widened by what the correction of ``parts`` leaves open.
    """
    latency = profile.latency
    between = median_interval(windows, latency.confidence)
    timed = limit.unit == "duration"
    value = share * latency.median_ns if timed else share
    if between is None or (timed and latency.median_ci_ns is None):
        needed = samples_needed(0.5, latency.confidence)
        lacking = (
            f"{len(windows)} profiler windows and {len(latency.samples_ns)} samples are too few: "
            f"{needed} of each are needed, give a longer --hiddencost-max-time"
        )
        return _Measured(value, (-math.inf, math.inf), lacking)

    def bounds(doubt: float) -> Bounds:
        low = max(least, min(share, between[0]) - doubt)
        high = max(share, between[1]) + doubt
        if timed and latency.median_ci_ns is not None:
            return low * latency.median_ci_ns[0], high * latency.median_ci_ns[1]
        return low, high

    doubt = sum(operator.uncertainty_ns * part for operator, part in parts) / latency.median_ns
    wide = bounds(doubt)
    if _against(wide, limit) == INCONCLUSIVE and _against(bounds(0.0), limit) != INCONCLUSIVE:
        reason = _correction_decides(profile, limit, doubt, parts)
        return _Measured(value, wide, reason, settled=True)
    return _Measured(value, wide)


def _correction_decides(
    profile: Profile, limit: Limit, doubt: float, parts: list[tuple[OperatorCost, float]]
) -> str:
    """Why a limit is open that the windows alone would decide."""
    shown = doubt * profile.latency.median_ns if limit.unit == "duration" else doubt
    reason = (
        f"what the profiler costs, {format_duration(profile.profiler.event_cost_ns)} per event, is "
        f"taken out to within {format_quantity(limit.unit, shown)}, and the limit lies within that"
    )
    rough = [operator.name for operator, _ in parts if operator.below_resolution]
    if rough:
        shown_names = ", ".join(rough[:3]) + (f" and {len(rough) - 3} more" if rough[3:] else "")
        reason += f" (below resolution: {shown_names})"
    return reason


def _mac_rate(profile: Profile, limit: Limit) -> _Measured:
    bounds = profile.latency.median_ci_ns
    if bounds is None:
        measured = _latency(profile, Limit("p50", "duration", 0.0, ""))
        return _Measured(profile.mac_rate, (-math.inf, math.inf), measured.lacking)
    return _Measured(
        profile.mac_rate, (profile.macs / bounds[1] * 1e9, profile.macs / bounds[0] * 1e9)
    )


def _calls(profile: Profile, limit: Limit) -> _Measured:
    assert limit.key is not None
    found = members(profile, limit.key)
    ranges = [operator.calls_range or (operator.calls, operator.calls) for operator, _ in found]
    bounds = (float(sum(low for low, _ in ranges)), float(sum(high for _, high in ranges)))
    lacking = "the number of calls varies from call to call" if bounds[0] != bounds[1] else ""
    return _Measured(float(sum(operator.calls for operator, _ in found)), bounds, lacking)


def _macs(profile: Profile, limit: Limit) -> _Measured:
    return _exact(profile.macs)


def _activation_memory(profile: Profile, limit: Limit) -> _Measured:
    if profile.activation_peak_bytes is None:
        lacking = f"activation memory cannot be measured on {profile.device}"
        return _Measured(None, (-math.inf, math.inf), lacking)
    return _exact(profile.activation_peak_bytes)


def _exact(value: float) -> _Measured:
    return _Measured(float(value), (float(value), float(value)))
