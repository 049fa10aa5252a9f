"""Budgets: what a marker allows, and the verdict on each limit of it.

A verdict follows from the confidence interval of the measured quantity: ``pass`` when all of it is
within the limit, ``fail`` when all of it is beyond, ``inconclusive`` otherwise. Counts, MACs and
bytes are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, OPERATORS, PASS, Check
from pytest_hiddencost.core.intervals import (
    Bounds,
    median_interval,
    quantile_bounds,
    samples_needed,
)
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import OperatorCost, Profile, Verdict
from pytest_hiddencost.core.taxonomy import DEFAULT, GROUPS, Taxonomy
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.core.units import Kind, format_confidence, format_duration, format_quantity
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.reasons import Reason

EXACT_UNITS = frozenset({"calls", "macs", "bytes"})
SOMETHING = 1e-12  # the least share of what was called, however short: more than a limit of 0
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
UNBOUNDED: Bounds = (-math.inf, math.inf)


@dataclass(frozen=True)
class Limit:
    """One entry of a budget: ``value`` in ns, share, MACs, MAC/s, bytes or calls, by ``unit``."""

    check: Check
    unit: Kind
    value: float
    text: str
    at_least: bool = False

    @property
    def timed(self) -> bool:
        """Whether it depends on a clock, and so on more samples and a fit device."""
        return self.unit not in EXACT_UNITS

    @property
    def of_operators(self) -> bool:
        """Whether it limits operators that its key names."""
        return self.check.kind == OPERATORS


@dataclass(frozen=True)
class Budget:
    """The limits of one marker, for all calls of a test or for the one with ``label``."""

    limits: tuple[Limit, ...]
    label: str | None = None
    regression: Tolerances = Tolerances()  # noqa: RUF009  # frozen, so shared safely

    @property
    def timed(self) -> bool:
        """Whether any limit depends on a clock."""
        return any(limit.timed for limit in self.limits)


@dataclass(frozen=True)
class _Measured:
    value: float | None
    bounds: Bounds
    lacking: Reason = reasons.STRADDLES  # why the bounds are open, or wide
    settled: bool = False  # more samples would not narrow them enough


def check(profile: Profile, budget: Budget, taxonomy: Taxonomy = DEFAULT) -> tuple[Verdict, ...]:
    """Return the verdict on every limit of ``budget``, in its order."""
    return tuple(_verdict(profile, limit, taxonomy) for limit in budget.limits)


def more_samples_help(found: tuple[Verdict, ...]) -> bool:
    """Whether more samples could still decide a limit."""
    return any(verdict.sampling_helps for verdict in found)


def _verdict(profile: Profile, limit: Limit, taxonomy: Taxonomy) -> Verdict:
    needs_a_match = limit.of_operators and limit.value > 0
    unseen = not profile.operators and not profile.macs
    if unseen and limit.check.key not in QUANTILES and not needs_a_match:
        return _final(limit, None, reasons.NOTHING_SEEN)
    if limit.of_operators and not operators_of(profile, limit.check.key):
        return _nothing_matched(profile, limit, taxonomy)
    measured = _quantity(limit)(profile, limit)
    if limit.timed and not profile.health.fit:
        return _final(limit, measured.value, verdicts.unfit(profile.health))
    outcome = _against(measured.bounds, limit)
    if profile.uncosted and _depends_on_missing_macs(profile, limit, outcome):
        operators = ", ".join(profile.uncosted)
        reason = reasons.NO_FORMULA.filled(operators=operators, quantity=limit.check.key)
        return _final(limit, measured.value, reason)
    if outcome == INCONCLUSIVE:
        return _open(limit, measured)
    return verdicts.decided(
        limit.check,
        outcome,
        measured.value,
        limit.value,
        limit.unit,
        interval=_finite(measured),
        at_least=limit.at_least,
    )


def _final(limit: Limit, value: float | None, reason: Reason) -> Verdict:
    """An inconclusive verdict that more samples would not change."""
    return verdicts.undecided(
        limit.check, limit.value, limit.unit, reason, measured=value, at_least=limit.at_least
    )


def _open(limit: Limit, measured: _Measured) -> Verdict:
    return verdicts.undecided(
        limit.check,
        limit.value,
        limit.unit,
        measured.lacking,
        measured=measured.value,
        interval=_finite(measured),
        at_least=limit.at_least,
        sampling_helps=limit.timed and not measured.settled,
    )


def _finite(measured: _Measured) -> Bounds | None:
    bounded = measured.value is not None and all(map(math.isfinite, measured.bounds))
    return measured.bounds if bounded else None


def _nothing_matched(profile: Profile, limit: Limit, taxonomy: Taxonomy) -> Verdict:
    key = limit.check.key
    exists = key in GROUPS or taxonomy.knows(key)
    if limit.value == 0 and exists:  # "none of these" is a limit that holds
        return verdicts.decided(limit.check, PASS, 0.0, 0.0, limit.unit, interval=(0.0, 0.0))
    names = [operator.name for operator in profile.operators]
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    reason = (
        f"{key!r} matches no operator of this call, so the limit checks nothing; name one of: "
        f"{shown}"
    )
    return verdicts.decided(limit.check, FAIL, None, limit.value, limit.unit, reason=reason)


def _against(bounds: Bounds, limit: Limit) -> Literal["pass", "fail", "inconclusive"]:
    low, high = bounds
    if limit.at_least:
        within, beyond = low >= limit.value, high < limit.value
    else:
        within, beyond = high <= limit.value, low > limit.value
    return PASS if within else FAIL if beyond else INCONCLUSIVE


def _depends_on_missing_macs(profile: Profile, limit: Limit, outcome: str) -> bool:
    """Whether the MACs, or the MAC time, of operators without a formula could turn the verdict."""
    if limit.of_operators:
        return False
    if limit.check.key == "macs":
        return outcome == PASS
    if limit.check.key == "mac_rate":
        return outcome == FAIL
    groups = {operator.name: operator.group for operator in profile.operators}
    unknown = any(groups.get(name) == "unclassified" for name in profile.uncosted)
    return limit.check.key == "non_mac" and outcome == FAIL and unknown


def _quantity(limit: Limit) -> Callable[[Profile, Limit], _Measured]:
    if limit.of_operators:
        return _calls if limit.unit == "calls" else _operators
    return _QUANTITIES[limit.check.key]


def _latency(profile: Profile, limit: Limit) -> _Measured:
    return _quantile(profile, limit.check.key)


def _quantile(profile: Profile, key: str) -> _Measured:
    latency, q = profile.latency, QUANTILES[key]
    bounds = quantile_bounds(sorted(latency.samples_ns), q, latency.confidence)
    value = {"p50": latency.median_ns, "p95": latency.p95_ns, "p99": latency.p99_ns}[key]
    count, needed = len(latency.samples_ns), samples_needed(q, latency.confidence)
    if count >= needed:
        return _Measured(value, bounds)
    few = reasons.FEW_SAMPLES.filled(
        quantity=key,
        count=count,
        confidence=format_confidence(latency.confidence),
        needed=needed,
        seconds=math.ceil(latency.median_ns * needed * 1.2 / 1e9),
    )
    return _Measured(value, bounds, few)


def _non_mac(profile: Profile, limit: Limit) -> _Measured:
    latency_ns = profile.latency.median_ns
    found = operators_of(profile, "mac")
    windows = [1.0 - mac_ns / latency_ns for mac_ns in _window_sums(profile, found)]
    return _share_or_time(profile, limit, profile.non_mac_share, windows, found)


def _operators(profile: Profile, limit: Limit) -> _Measured:
    found = operators_of(profile, limit.check.key)
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
    """A share of the latency with its interval, or that share as a time; at least ``least``.

    The interval is that of the windows, widened by the uncertainty of the profiler's overhead.
    """
    latency = profile.latency
    between = median_interval(windows, latency.confidence)
    timed = limit.unit == "duration"
    value = share * latency.median_ns if timed else share
    if between is None or (timed and latency.median_ci_ns is None):
        return _Measured(value, UNBOUNDED, _few_windows(profile, len(windows)))

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


def _few_windows(profile: Profile, windows: int) -> Reason:
    latency = profile.latency
    needed = samples_needed(0.5, latency.confidence)
    samples = len(latency.samples_ns)
    return reasons.FEW_WINDOWS.filled(windows=windows, samples=samples, needed=needed)


def _correction_decides(
    profile: Profile, limit: Limit, doubt: float, parts: list[tuple[OperatorCost, float]]
) -> Reason:
    """Why a limit is open that the windows alone would decide."""
    shown = doubt * profile.latency.median_ns if limit.unit == "duration" else doubt
    rough = [operator.name for operator, _ in parts if operator.below_resolution]
    names = ", ".join(rough[:3]) + (f" and {len(rough) - 3} more" if rough[3:] else "")
    return reasons.WITHIN_CORRECTION.filled(
        event=format_duration(profile.profiler.event_cost_ns),
        doubt=format_quantity(limit.unit, shown),
        rough=f" (below resolution: {names})" if rough else "",
    )


def _mac_rate(profile: Profile, limit: Limit) -> _Measured:
    bounds = profile.latency.median_ci_ns
    if bounds is None:
        return _Measured(profile.mac_rate, UNBOUNDED, _quantile(profile, "p50").lacking)
    low_ns, high_ns = bounds
    return _Measured(profile.mac_rate, (profile.macs / high_ns * 1e9, profile.macs / low_ns * 1e9))


def _calls(profile: Profile, limit: Limit) -> _Measured:
    found = operators_of(profile, limit.check.key)
    ranges = [operator.calls_range or (operator.calls, operator.calls) for operator, _ in found]
    bounds = (float(sum(low for low, _ in ranges)), float(sum(high for _, high in ranges)))
    calls = float(sum(operator.calls for operator, _ in found))
    return _Measured(calls, bounds, reasons.CALLS_VARY)


def _macs(profile: Profile, limit: Limit) -> _Measured:
    return _exact(profile.macs)


def _activation_memory(profile: Profile, limit: Limit) -> _Measured:
    if profile.activation_peak_bytes is None:
        return _Measured(None, UNBOUNDED, reasons.NO_MEMORY.filled(device=profile.device))
    return _exact(profile.activation_peak_bytes)


def _exact(value: float) -> _Measured:
    return _Measured(float(value), (float(value), float(value)))


_QUANTITIES: Mapping[str, Callable[[Profile, Limit], _Measured]] = MappingProxyType(
    {
        **dict.fromkeys(QUANTILES, _latency),
        "non_mac": _non_mac,
        "mac_rate": _mac_rate,
        "macs": _macs,
        "activation_memory": _activation_memory,
    }
)
