"""A profile against its baseline: structure first, time second.

A time fails only if it grew beyond the tolerance, significantly against the spread between
launches. The growth must exceed that of a changed device speed, and relaunches must confirm it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import truediv
from statistics import median
from typing import TypeAlias

from pytest_hiddencost.core.records import Comparison, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.core.units import format_confidence, format_growth, format_share
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.baseline.drift import Drift
from pytest_hiddencost.judge.baseline.energy_growth import energy_verdicts
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.judge.sequential import CHECK_SHARES, Look, SequentialTest, decide
from pytest_hiddencost.judge.statistics import Growth, can_reject
from pytest_hiddencost.judge.statistics import growth as growth_between
from pytest_hiddencost.judge.structure import check_structure

BATCH = 3  # relaunches before each look
# The last look has most observations, so it spends most of the risk.
RELAUNCH_LOOKS = (Look(BATCH, 0.1), Look(2 * BATCH, 0.3), Look(3 * BATCH, 0.6))
MOST_RELAUNCHES = RELAUNCH_LOOKS[-1].size
WORTH_A_LOOK = {"p50": 0.3, "non_mac": 0.1}  # p-values below which growth is worth relaunches


CallRelauncher: TypeAlias = Callable[[int], Sequence[Profile]]
"""Measures a call in a number of fresh processes."""


@dataclass(frozen=True)
class BaselinePlan:
    """The rules of a comparison; ``calls`` of the session share the risk of a false alarm.

    ``launcher`` takes a number of fresh processes, and returns the profiles of those that measured
    the call. It is None if the run cannot start any. ``energy_launcher`` does so for energies,
    which pairs of processes do not measure.
    """

    tolerance: float
    confidence: float
    calls: int
    tolerances: Tolerances = field(default_factory=Tolerances)
    launcher: CallRelauncher | None = None
    energy_launcher: CallRelauncher | None = None


def timed_keys(entry: Entry) -> list[str]:
    """Return the quantities of an entry that are compared in time, p50 first."""
    return ["p50", "non_mac"] if min(entry.non_mac_ns) > 0 else ["p50"]


def could_fail(launches: int, confidence: float) -> bool:
    """Return whether a baseline of so many launches could ever fail a session's only call."""
    test = SequentialTest(RELAUNCH_LOOKS, CHECK_SHARES, confidence, calls=1)
    return can_reject(launches, MOST_RELAUNCHES, test.last_risk("p50"))


def compare(
    profile: Profile, entry: Entry, plan: BaselinePlan
) -> tuple[tuple[Verdict, ...], Comparison]:
    """Return the verdict on every check, structure first, and figures for the summary."""
    structure = check_structure(profile, entry, plan.tolerances)
    timed, comparison = _Timed(profile, entry, plan).judged(structure_failed=structure.failed)

    def relaunch() -> Profile | Reason:
        if structure.failed:
            return reasons.CHANGED_STRUCTURE
        if plan.energy_launcher is None:
            return reasons.NO_RELAUNCH
        found = plan.energy_launcher(1)
        return found[0] if found else reasons.FEW_RELAUNCHES.filled(count=0, needed=1)

    limits = (plan.tolerances, plan.confidence, plan.calls)
    energy = energy_verdicts(profile, entry, *limits, relaunch)
    return (*structure.verdicts, *timed, *energy), replace(
        comparison,
        differences=structure.differences,
        improved=(*structure.improved, *comparison.improved),
        changed_calls=structure.changed_calls,
    )


class _Timed:
    """The timed checks of one call; an experiment for the sequential test."""

    def __init__(self, profile: Profile, entry: Entry, plan: BaselinePlan) -> None:
        self._profile = profile
        self._entry = entry
        self._plan = plan
        self._recorded = _values(entry)
        self._keys = timed_keys(entry)
        self._test = SequentialTest(RELAUNCH_LOOKS, CHECK_SHARES, plan.confidence, plan.calls)
        self._relaunches: list[Profile] = []
        self._compare([profile])

    def judged(self, *, structure_failed: bool) -> tuple[tuple[Verdict, ...], Comparison]:
        """Return verdicts and figures; without relaunches if the test fails anyway."""
        basis = Comparison(
            " ".join(filter(None, (self._entry.commit[:10], self._entry.created))),
            launches=self._entry.launches,
        )
        if (reason := self._untimed) is not None:
            found = [verdicts.growth_open(key, self._allowed(key), reason) for key in self._keys]
            return tuple(found), basis
        fallen, unconfirmed = self._confirmed(structure_failed=structure_failed)
        growths = self._growths()
        found = [self._verdict(key, growths.get(key), fallen, unconfirmed) for key in self._keys]
        return tuple(found), self._figures(basis, growths)

    @property
    def _untimed(self) -> Reason | None:
        """The reason why the times of one side do not judge the code; None if they do."""
        if found := verdicts.trend(self._profile.varies, self._entry.varies):
            return found
        if not self._profile.health.fit:
            return verdicts.unfit(self._profile.health)
        return reasons.RECORDED_UNFIT.filled(why=self._entry.unfit) if self._entry.unfit else None

    def _confirmed(self, *, structure_failed: bool) -> tuple[frozenset[str], Reason | None]:
        """Return the checks that fail, and the reason if relaunches could not confirm a growth."""
        if not self._suspects():
            return frozenset(), None
        if structure_failed:
            return frozenset(), reasons.CHANGED_STRUCTURE
        if self._plan.launcher is None:
            return frozenset(), reasons.NO_RELAUNCH
        fallen = decide(self._test, self)
        count = len(self._relaunches)
        if count >= BATCH:
            return fallen, None
        return fallen, reasons.FEW_RELAUNCHES.filled(count=count, needed=BATCH)

    def _suspects(self) -> bool:
        """Return whether a growth is worth relaunches."""
        return any(
            growth.share > self._allowed(key) and growth.risk < WORTH_A_LOOK[key]
            for key, growth in self._growths(blurred=False).items()
        )

    # The first launch does not count in the experiment: it was chosen for its slowness.

    def take(self, look: Look) -> bool:
        assert self._plan.launcher is not None
        more = [profile for profile in self._plan.launcher(BATCH) if profile.health.fit]
        self._relaunches += more
        if self._relaunches:
            self._compare(self._relaunches)
        return bool(more)

    def risks(self) -> Mapping[str, float]:
        counted = self._drift.counted
        growths = self._growths().items()
        return {k: growth.risk for k, growth in growths if counted(growth.share) > self._allowed(k)}

    def is_open(self, look: Look) -> bool:
        found = self._growths()
        return any(growth.share > self._allowed(key) for key, growth in found.items())

    def _compare(self, launches: Sequence[Profile]) -> None:
        """Compare the recorded launches with these."""
        self._now = _values(entry_of(launches))
        now_ns = [profile.reference.mean_ns for profile in launches]
        self._drift = Drift(self._entry.reference_ns, now_ns)

    def _growths(self, *, blurred: bool = True) -> dict[str, Growth]:
        """Return the growth of every quantity that all launches have and that can fail.

        ``blurred``: the p-value is for growth beyond the share that drift could imitate.
        """
        if self._incomparable is not None:
            return {}
        found = {}
        for key in self._keys:
            now, allowed = self._now.get(key, ()), self._allowed(key)
            if self._can_fail(key) and now and min(now) > 0:
                limit = self._drift.at_most(allowed) if blurred else allowed
                recorded, confidence = self._recorded[key], self._plan.confidence
                found[key] = growth_between(recorded, now, limit, confidence)
        return found

    def _allowed(self, key: str) -> float:
        shares = map(truediv, self._entry.non_mac_ns, self._entry.p50_ns)
        return self._plan.tolerances.timed(key, self._plan.tolerance, median(shares))

    def _can_fail(self, key: str) -> bool:
        return can_reject(self._entry.launches, MOST_RELAUNCHES, self._test.last_risk(key))

    @cached_property
    def _incomparable(self) -> Reason | None:
        """The reason why times of baseline and head cannot be compared; None if they can."""
        if self._entry.reference_version != self._profile.reference.version:
            return reasons.OTHER_REFERENCE
        if min(*self._entry.relative, *self._entry.reference_ns) <= 0:
            return reasons.NO_REFERENCE
        return None

    def _verdict(
        self, key: str, growth: Growth | None, fallen: frozenset[str], unconfirmed: Reason | None
    ) -> Verdict:
        allowed, drift = self._allowed(key), self._drift
        if growth is None:
            return verdicts.growth_open(key, allowed, self._silent(key))
        moved = drift.reference_growth or 0.0
        if key in fallen:
            shown_by = (
                f"confirmed by {len(self._relaunches)} relaunches; reference workload "
                f"{format_growth(moved)} against the recording"
            )
            return verdicts.growth_fails(key, growth, allowed, shown_by)
        if drift.excuse(growth.share, allowed):
            change = f"{format_share(abs(moved))} {'slower' if moved > 0 else 'faster'}"
            reason = reasons.REFERENCE_MOVED.filled(change=change)
        elif drift.at_most(growth.high) <= allowed:
            return verdicts.growth_passes(key, growth, allowed)
        elif unconfirmed is not None and growth.share > allowed:
            reason = unconfirmed
        else:
            reason = reasons.TOO_SPREAD.filled(
                growth=format_share(max(self._visible(key), allowed)),
                launches=self._entry.launches,
                key=key,
                allowed=verdicts.roomier(drift.at_most(growth.high)),
            )
        return verdicts.growth_open(key, allowed, reason, growth)

    def _visible(self, key: str) -> float:
        """Return the smallest growth that could fail, relaunches included."""
        risk, allowed = self._test.last_risk(key), self._allowed(key)
        return self._drift.smallest_growth(self._recorded[key], MOST_RELAUNCHES, allowed, risk)

    def _silent(self, key: str) -> Reason:
        """Return the reason why the growth of a quantity is not known."""
        if self._entry.launches < 2:
            return reasons.ONE_LAUNCH
        if not self._can_fail(key):
            return reasons.NEVER_FAILS.filled(
                launches=self._entry.launches,
                confidence=format_confidence(self._plan.confidence),
                calls=self._plan.calls,
            )
        return self._incomparable or reasons.NO_TIME.filled(key=key)

    def _figures(self, basis: Comparison, growths: Mapping[str, Growth]) -> Comparison:
        drift = self._drift
        other = self._incomparable is reasons.OTHER_REFERENCE
        improved = [
            key
            for key, growth in growths.items()
            if max(drift.at_most(growth.high), drift.counted(growth.share)) < -self._allowed(key)
        ]
        found = replace(
            basis,
            reference_growth=None if other else drift.reference_growth,
            fresh=len(self._relaunches),
            improved=tuple(improved),
        )
        if (p50 := growths.get("p50")) is None:
            return found
        visible = self._visible("p50")
        return replace(
            found, growth=p50.share, interval=(p50.low, p50.high), smallest_growth=visible
        )


def _values(entry: Entry) -> dict[str, tuple[float, ...]]:
    """Return every launch's times relative to the reference workload, by key."""
    launches = zip(entry.relative, entry.p50_ns, entry.non_mac_ns, strict=True)
    non_mac = tuple(relative * ns / p50_ns for relative, p50_ns, ns in launches)
    return {"p50": entry.relative, "non_mac": non_mac}
