"""The limits of one call that would hold today, and the limits that cannot be decided.

A limit is suggested only if `judge.budgets` passes it on this very profile, and would fail it if
the quantity grew. Times and shares get headroom (see `headroom`), counts and bytes are exact.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import FAIL, LIMIT, PASS, Check
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import Profile, Verdict, call_name
from pytest_hiddencost.core.units import Kind
from pytest_hiddencost.judge import budgets
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.judge.quantities import QUANTILES, Limit, window_shares
from pytest_hiddencost.suggest.headroom import MOST_HEADROOM, least_limit
from pytest_hiddencost.suggest.readable import exactly, rounded_up, value_of

SUGGESTED_QUANTILES: Final = ("p50", "p95")
MOST_SHARE: Final = 0.99  # the largest share of two digits that a growth can break
TOO_LOOSE: Final = (
    "a limit that holds would let a doubling pass; measure longer (--hiddencost-max-time), on an "
    "idle device"
)
LONGEST_NS: Final = 1e18  # 30 years
_HIGHEST, _LOWEST = sys.float_info.max, sys.float_info.min  # limits that hold, and that break


@dataclass(frozen=True)
class SuggestedLimit:
    """A limit, and the text that sets it in a marker; ``headroom`` is a share, 0 if exact."""

    limit: Limit
    text: str
    measured: float
    headroom: float


@dataclass(frozen=True)
class LeftOut:
    """A limit that is not suggested, and why; ``figures`` are of this limit alone."""

    key: str
    reason: str
    figures: str = ""


def check_measured(profile: Profile) -> None:
    """Raise ``FormatError`` if no measurement gives such a profile."""
    latency, operators = profile.latency, profile.operators
    times = [latency.p95_ns, *(latency.median_ci_ns or ()), *latency.samples_ns]
    for cost in operators:
        times += [abs(cost.self_ns), cost.uncertainty_ns, *map(abs, cost.windows_ns)]
    wrong = (
        "has no samples" * (not latency.samples_ns)
        or "has no median above 0" * (not 0.0 < latency.median_ns < LONGEST_NS)
        or "has no confidence between 0 and 100 %" * (not 0.0 < latency.confidence < 1.0)
        or "has operators with different windows"
        * (len({len(o.windows_ns) for o in operators}) > 1)
        or "has times that no call takes" * (not all(0.0 <= time < LONGEST_NS for time in times))
    )
    if wrong:
        name = call_name(profile.test, profile.label)
        raise FormatError(f"{name}: the run file's profile {wrong}; measure it again")


def whole_call(profile: Profile) -> list[SuggestedLimit | LeftOut]:
    """Return the limits on the whole call, in the marker's order; a call without MACs needs none.

    ``p99`` is left to you, because few runs take enough samples. ``mac_rate`` is ``p50`` again
    once MACs are limited.
    """
    samples = profile.latency.samples_ns
    found = [
        timed_limit(profile, Check(LIMIT, key), "duration", samples, QUANTILES[key])
        for key in SUGGESTED_QUANTILES
    ]
    mac = operators_of(profile, "mac")
    if mac or profile.generated_macs:
        series = [1.0 - share for share in window_shares(profile, mac)]
        found.append(timed_limit(profile, Check(LIMIT, "non_mac"), "share", series))
    if profile.macs or profile.uncosted or "macs" in profile.varies:
        found.append(exact_limit(profile, Check(LIMIT, "macs"), "macs"))
    return [*found, exact_limit(profile, Check(LIMIT, "activation_memory"), "bytes")]


def timed_limit(
    profile: Profile, check: Check, unit: Kind, series: Sequence[float], q: float = 0.5
) -> SuggestedLimit | LeftOut:
    """Return a limit on a time or share, with headroom; ``least_limit`` explains ``series``."""
    probe = _probe(profile, check, unit)
    if isinstance(probe, LeftOut):
        return probe
    value, interval = probe.measured or 0.0, probe.interval or (0.0, 0.0)
    share, confidence = unit == "share", profile.latency.confidence
    least = least_limit(value, interval, series, q, confidence, share=share)
    shown = units.format_quantity(unit, value)
    # A tail at twice the median is the device's more than the call's.
    typical = profile.latency.median_ns if unit == "duration" else value
    if least > typical * (1.0 + MOST_HEADROOM):
        figures = f"{units.format_quantity(unit, least)} or more for {shown}"
        return LeftOut(check.key, TOO_LOOSE, figures)
    if share and least > MOST_SHARE:
        return LeftOut(check.key, "a share of nearly 100 % leaves no room for a limit", shown)
    return _suggested(check, unit, rounded_up(unit, least), value)


def exact_limit(profile: Profile, check: Check, unit: Kind) -> SuggestedLimit | LeftOut:
    """Return the exact limit on a count or a size."""
    probe = _probe(profile, check, unit)
    if isinstance(probe, LeftOut):
        return probe
    value = probe.measured or 0.0
    return _suggested(check, unit, exactly(unit, int(value)), value)


def which_pass(profile: Profile, limits: Sequence[SuggestedLimit]) -> list[bool]:
    """Return for each limit whether this profile passes it."""
    found = budgets.check(profile, Budget(tuple(suggested.limit for suggested in limits)))
    return [verdict.verdict == PASS for verdict in found]


def _suggested(check: Check, unit: Kind, text: str, value: float) -> SuggestedLimit:
    limit = Limit(check, unit, value_of(unit, text))
    return SuggestedLimit(limit, text, value, limit.value / value - 1.0 if value else 0.0)


def _probe(profile: Profile, check: Check, unit: Kind) -> Verdict | LeftOut:
    """Return the verdict on a limit that surely holds, if a growth could break limits on this.

    Otherwise return why no such limit is decided.
    """
    holds = _verdict_on(profile, Limit(check, unit, _HIGHEST))
    if holds.verdict != PASS:
        return LeftOut(check.key, holds.explanation)
    timed = unit in ("duration", "share")
    if not (timed or holds.measured):  # a limit of 0, which one call or byte breaks
        return holds
    breaks = _verdict_on(profile, Limit(check, unit, _LOWEST if timed else 0.0))
    if breaks.verdict == FAIL:
        return holds
    compiled = check.key == "non_mac" and profile.generated_macs
    if compiled or breaks.interval is None:
        return LeftOut(check.key, breaks.explanation)
    return LeftOut(check.key, "it cannot be told from none; measure longer, or limit p50")


def _verdict_on(profile: Profile, limit: Limit) -> Verdict:
    return budgets.check(profile, Budget((limit,)))[0]
