"""The factory of verdicts: decided, undecided, exact, on a growth, new."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Literal

from pytest_hiddencost.core.checks import (
    FAIL,
    INCONCLUSIVE,
    NEW,
    PASS,
    REGRESSION,
    Check,
    regression,
)
from pytest_hiddencost.core.energy_records import EnergyUnknown
from pytest_hiddencost.core.intervals import Bounds
from pytest_hiddencost.core.records import LATENCY, DeviceHealth, Verdict
from pytest_hiddencost.core.tolerances import MOST_GROWTH
from pytest_hiddencost.core.units import Kind, format_duration
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.judge.statistics import Growth


def decided(
    check: Check,
    outcome: Literal["pass", "fail"],
    measured: float | None,
    limit: float,
    unit: Kind,
    *,
    interval: Bounds | None = None,
    at_least: bool = False,
    reason: str = "",
) -> Verdict:
    """Return a pass or a failure."""
    return Verdict(check, outcome, measured, limit, reason, unit, interval, at_least)


def undecided(
    check: Check,
    limit: float,
    unit: Kind,
    reason: Reason,
    *,
    measured: float | None = None,
    interval: Bounds | None = None,
    at_least: bool = False,
    sampling_helps: bool = False,
) -> Verdict:
    """Return an inconclusive verdict, with its reason and remedy."""
    found = Verdict(check, INCONCLUSIVE, measured, limit, reason.found, unit, interval, at_least)
    return replace(found, sampling_helps=sampling_helps, remedy=reason.remedy)


def exact(key: str, unit: Kind, measured: float, limit: float, *, grown: bool) -> Verdict:
    """Return the verdict on a quantity that is compared exactly."""
    return decided(
        regression(key),
        FAIL if grown else PASS,
        float(measured),
        float(limit),
        unit,
        interval=(float(measured), float(measured)),
    )


def growth_passes(key: str, growth: Growth, allowed: float) -> Verdict:
    """Return a pass: the growth stays within the allowed share."""
    return _of_growth(key, growth, allowed, PASS)


def growth_fails(key: str, growth: Growth, allowed: float, shown_by: str) -> Verdict:
    """Return a failure: the growth exceeds the allowed share."""
    return _of_growth(key, growth, allowed, FAIL, shown_by)


def _of_growth(
    key: str, growth: Growth, allowed: float, outcome: Literal["pass", "fail"], reason: str = ""
) -> Verdict:
    interval = (growth.low, growth.high)
    return Verdict(regression(key), outcome, growth.share, allowed, reason, "share", interval)


def growth_open(key: str, allowed: float, reason: Reason, growth: Growth | None = None) -> Verdict:
    """Return an inconclusive verdict on a growth, with its figures if they are known."""
    found = undecided(regression(key), allowed, "share", reason)
    if growth is None:
        return found
    return replace(found, measured=growth.share, interval=(growth.low, growth.high))


def new(reason: Reason) -> Verdict:
    """Return the verdict on a call without a baseline or base."""
    return Verdict(regression(), NEW, None, 0.0, reason.found, unit="share", remedy=reason.remedy)


def varying(varies: Collection[str], key: str) -> Reason | None:
    """Return why an exact quantity is not decided; None if it does not vary between calls."""
    if key not in varies:
        return None
    name = {"macs": "MACs", "activation_memory": "bytes of activation memory"}.get(key)
    found = reasons.VARIES.filled(quantity=name or key.replace("_", " "))
    if LATENCY not in varies:
        return found
    return replace(found, remedy=reasons.CALL_CHANGES.remedy)  # p50 is no way out


def trend(*varies: Collection[str]) -> Reason | None:
    """Return why no time is decided, if the times of one side depend on the number of calls."""
    return reasons.CALL_CHANGES if any(LATENCY in keys for keys in varies) else None


def unseen(ns: int) -> Reason:
    """Return why an exact quantity is not decided if ``ns`` of each call ran out of sight."""
    return reasons.UNSEEN.filled(time=format_duration(ns))


def no_energy(unknown: EnergyUnknown | None) -> Reason:
    """Return why no check on the energy is decided; None: nobody asked to measure it."""
    if unknown is None:
        return reasons.NO_ENERGY
    return reasons.ENERGY_UNKNOWN.filled(why=unknown.reason, remedy=unknown.remedy)


def regressed(found: Iterable[Verdict], keys: Collection[str]) -> bool:
    """Return whether the growth of one of these quantities fails."""
    failed = [verdict.check for verdict in found if verdict.verdict == FAIL]
    return any(check.kind == REGRESSION and check.key in keys for check in failed)


def unfit(health: DeviceHealth) -> Reason:
    """Return the reason why no timed check is decided on an unfit device."""
    remedies = "; ".join(health.remedies) or "measure again when the device is idle"
    return reasons.UNFIT.filled(reasons="; ".join(health.reasons), remedies=remedies)


def roomier(growth: float) -> str:
    """Return the smallest multiple of 5 % that a marker must allow for this growth to pass."""
    steps = math.floor(20.0 * min(growth, MOST_GROWTH)) + 1
    return f"{min(5 * steps, round(100 * MOST_GROWTH))}%"
