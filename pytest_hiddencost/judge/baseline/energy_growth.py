"""The growth of a call's energy over its baseline: recorded launches against one of head.

Neither the reference workload nor pairs of processes measure energy, so one test decides: Student's
t test with the spread between launches, at a risk of its own within that of the session.

Launches are recorded in worker processes, which keep their memory and bind their threads. The
user's process does neither, so its energy may differ although the code is the same. It is a first
look: if it does not pass, a relaunch decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS
from pytest_hiddencost.core.records import Profile, Verdict
from pytest_hiddencost.core.tolerances import ENERGY, Tolerances
from pytest_hiddencost.core.units import format_confidence, format_share
from pytest_hiddencost.judge import reasons, statistics, verdicts
from pytest_hiddencost.judge.baseline.entries import Entry, meter_of
from pytest_hiddencost.judge.reasons import Reason


def energy_verdicts(
    profile: Profile,
    entry: Entry,
    tolerances: Tolerances,
    confidence: float,
    calls: int,
    relaunch: Callable[[], Profile | Reason],
) -> tuple[Verdict, ...]:
    """Return the verdict on the growth of energy if a marker allows it one; none otherwise.

    ``calls`` of the session share the risk of a false alarm. ``relaunch`` measures the call in a
    worker process, or returns the reason why it does not.
    """
    allowed = tolerances.own.get(ENERGY)
    if allowed is None:
        return ()
    first = _verdict(profile, entry, allowed, confidence, calls)
    if first.verdict == PASS or first.measured is None:
        return (first,)
    again = relaunch()
    if isinstance(again, Profile):
        return (_verdict(again, entry, allowed, confidence, calls),)
    if first.verdict == FAIL:
        return (replace(first, verdict=INCONCLUSIVE, reason=again.found, remedy=again.remedy),)
    return (first,)


def _verdict(
    profile: Profile, entry: Entry, allowed: float, confidence: float, calls: int
) -> Verdict:
    """Return the verdict on one launch of head."""
    risk, use = (1.0 - confidence) / calls, profile.energy
    reason = _silent(profile, entry) or _powerless(entry, confidence, calls)
    if reason is not None or use is None:
        return verdicts.growth_open(ENERGY, allowed, reason or reasons.NO_ENERGY)
    found = statistics.growth(entry.energy_nj, [use.energy_nj], allowed, confidence)
    if found.risk <= risk:
        shown_by = f"shown by a relaunch and {entry.launches} recorded launches"
        return verdicts.growth_fails(ENERGY, found, allowed, shown_by)
    if found.high <= allowed:
        return verdicts.growth_passes(ENERGY, found, allowed)
    spread = statistics.spread_of(entry.energy_nj)
    smallest = statistics.smallest_growth(spread, entry.launches, 1, allowed, risk)
    reason = reasons.TOO_SPREAD.filled(
        growth=format_share(smallest),
        launches=entry.launches,
        key=ENERGY,
        allowed=verdicts.roomier(found.high),
    )
    return verdicts.growth_open(ENERGY, allowed, reason, found)


def _silent(profile: Profile, entry: Entry) -> Reason | None:
    """Return why the energies of both sides cannot be compared; None if they can."""
    if found := verdicts.trend(profile.varies, entry.varies):
        return found
    if not profile.health.fit:
        return verdicts.unfit(profile.health)
    if entry.unfit:
        return reasons.RECORDED_UNFIT.filled(why=entry.unfit)
    if profile.energy is None:
        return verdicts.no_energy(profile.energy_unknown)
    if not entry.energy_nj:
        return reasons.NO_RECORDED_ENERGY
    own = meter_of(profile.energy)
    if own != entry.energy_meter:
        return reasons.OTHER_ENERGY_METER.filled(recorded=entry.energy_meter, own=own)
    return None


def _powerless(entry: Entry, confidence: float, calls: int) -> Reason | None:
    """Return why the recorded launches could never show a growth; None if they could."""
    if entry.launches < 2:
        return reasons.ONE_LAUNCH
    if statistics.can_reject(entry.launches, 1, (1.0 - confidence) / calls):
        return None
    return reasons.NEVER_FAILS.filled(
        launches=entry.launches, confidence=format_confidence(confidence), calls=calls
    )
