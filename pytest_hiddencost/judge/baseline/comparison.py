"""A profile against its baseline: structure first, time second, and why nothing can be decided.

A time has regressed only if it grew beyond the tolerance, significantly against the spread between
launches; if that is more than a reference workload that moved along may explain; and if relaunches
confirm it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median

from pytest_hiddencost.core.records import Comparison, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.core.units import format_confidence, format_growth, format_share
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.baseline.drift import Drift
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.judge.sequential import Look, SequentialTest, decide
from pytest_hiddencost.judge.statistics import Growth, can_reject
from pytest_hiddencost.judge.structure import check_structure

FLOOR = 0.01  # of the latency: operators and groups below it count as part of the rest
BATCH = 3  # relaunches before each look
# Most of the risk is spent where most is known.
LOOKS = (Look(BATCH, 0.1), Look(2 * BATCH, 0.3), Look(3 * BATCH, 0.6))
MOST_RELAUNCHES = LOOKS[-1].size
P50_SHARE = 0.5  # of a call's risk; all its other checks share the rest
# Risk at which a growth is worth relaunches; other checks share theirs.
WORTH_A_LOOK = {"p50": 0.3, "non_mac": 0.1}
OTHERS_WORTH_A_LOOK = 0.1

Launcher = Callable[[int], Sequence[Profile]]
"""Measures the same call in so many fresh processes; leaves out those that failed."""


@dataclass(frozen=True)
class Plan:
    """What a comparison is compared by.

    ``calls``: those of the whole session, among which the risk of a false alarm is shared.
    ``launcher``: None where no fresh process can be started.
    """

    tolerance: float
    confidence: float
    calls: int
    tolerances: Tolerances = field(default_factory=Tolerances)
    launcher: Launcher | None = None


def timed_keys(entry: Entry) -> list[str]:
    """Return the quantities of an entry that are compared in time, p50 first."""
    found = ["p50"]
    if min(entry.non_mac_ns) > 0:
        found.append("non_mac")
    found += [name for name, ns in entry.groups_ns.items() if _above_floor(ns, entry)]
    found += [
        name
        for name, operator in entry.operators.items()
        if not operator.below_resolution and _above_floor(operator.self_ns, entry)
    ]
    return found


def _above_floor(ns: Sequence[int], entry: Entry) -> bool:
    shares = [value / p50 for value, p50 in zip(ns, entry.p50_ns, strict=True)]
    return min(shares) > 0 and median(shares) >= FLOOR


def could_fail(launches: int, confidence: float) -> bool:
    """Return whether a baseline of so many launches could ever fail a session's only call."""
    test = SequentialTest(LOOKS, {"p50": P50_SHARE}, confidence, calls=1)
    return can_reject(launches, MOST_RELAUNCHES, test.last_risk("p50"))


def compare(profile: Profile, entry: Entry, plan: Plan) -> tuple[tuple[Verdict, ...], Comparison]:
    """Return the verdict on every check, structure first, and figures for the summary."""
    structure = check_structure(profile, entry, plan.tolerances)
    timed, comparison = _Timed(profile, entry, plan).judged(structure_failed=structure.failed)
    return (*structure.verdicts, *timed), replace(
        comparison,
        differences=structure.differences,
        improved=(*structure.improved, *comparison.improved),
    )


class _Now:
    """Launches of now beside those of an entry: their times, and the drift of the device."""

    def __init__(self, launches: Sequence[Profile], entry: Entry) -> None:
        self.launches = len(launches)
        self.values = _values(entry_of(launches))
        self.drift = Drift(entry.reference_ns, [p.reference.mean_ns for p in launches])


class _Timed:
    """The timed checks of one call; an experiment for the sequential test."""

    def __init__(self, profile: Profile, entry: Entry, plan: Plan) -> None:
        self._profile = profile
        self._entry = entry
        self._plan = plan
        self._recorded = _values(entry)
        self._keys = timed_keys(entry)
        parts = max(1, len(self._keys) - 1)
        shares = {key: (1.0 - P50_SHARE) / parts for key in self._keys}
        self._test = SequentialTest(
            LOOKS, {**shares, "p50": P50_SHARE}, plan.confidence, plan.calls
        )
        self._relaunches: list[Profile] = []
        self._now = _Now([profile], entry)

    def judged(self, *, structure_failed: bool) -> tuple[tuple[Verdict, ...], Comparison]:
        """Return verdicts and figures; no relaunches if the test fails anyway."""
        if not self._profile.health.fit:
            reason = verdicts.unfit(self._profile.health)
            return tuple(
                verdicts.growth_open(key, self._allowed(key), reason) for key in self._keys
            ), Comparison(baseline=_baseline(self._entry), launches=self._entry.launches)
        fallen, unconfirmed = self._confirmed(structure_failed=structure_failed)
        growths = self._growths()
        found = [self._verdict(key, growths.get(key), fallen, unconfirmed) for key in self._keys]
        return tuple(found), self._comparison(growths)

    def _confirmed(self, *, structure_failed: bool) -> tuple[frozenset[str], Reason | None]:
        """Return the checks that fail, and why a suspicion could not be confirmed."""
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

    # --- the experiment: only relaunches count, since the first launch was chosen for its slowness

    def take(self, look: Look) -> bool:
        """Start relaunches up to a look; unfit ones are left out."""
        assert self._plan.launcher is not None
        del look  # a batch each, also where earlier ones lacked some
        more = [profile for profile in self._plan.launcher(BATCH) if profile.health.fit]
        self._relaunches += more
        if self._relaunches:
            self._now = _Now(self._relaunches, self._entry)
        return bool(more)

    def risks(self) -> Mapping[str, float]:
        """Return the p-value of every check whose growth counts."""
        drift = self._now.drift
        return {
            key: growth.risk
            for key, growth in self._growths().items()
            if drift.counted(growth.share) > self._allowed(key)
        }

    def is_open(self, look: Look) -> bool:
        """Return whether p50 or non-MAC time still looks slower."""
        del look
        growths = self._growths()
        return any(
            key in growths and growths[key].share > self._allowed(key) for key in WORTH_A_LOOK
        )

    # --- growths ------------------------------------------------------------------------------

    def _growths(self, *, blurred: bool = True) -> dict[str, Growth]:
        """Return the growth of every quantity that all launches have and that can fail.

        ``blurred``: the risk is that of growth beyond what the reference workload leaves open.
        """
        if self._incomparable is not None:
            return {}
        found = {}
        for key in self._keys:
            current = self._now.values.get(key, ())
            if self._can_fail(key) and current and min(current) > 0:
                allowed = self._allowed(key)
                found[key] = self._now.drift.growth(
                    self._recorded[key],
                    current,
                    self._now.drift.at_most(allowed) if blurred else allowed,
                    self._plan.confidence,
                )
        return found

    def _suspects(self) -> bool:
        """Return whether a growth is worth relaunches."""
        others = OTHERS_WORTH_A_LOOK / max(1, len(self._keys) - len(WORTH_A_LOOK))
        return any(
            growth.share > self._allowed(key) and growth.risk < WORTH_A_LOOK.get(key, others)
            for key, growth in self._growths(blurred=False).items()
        )

    def _allowed(self, key: str) -> float:
        return self._plan.tolerances.timed(key, self._plan.tolerance)

    def _can_fail(self, key: str) -> bool:
        return can_reject(self._entry.launches, MOST_RELAUNCHES, self._test.last_risk(key))

    @cached_property
    def _incomparable(self) -> Reason | None:
        """Why times of now and of the recording have nothing in common."""
        if self._other_reference:
            return reasons.OTHER_REFERENCE
        if min(*self._entry.relative, *self._entry.reference_ns) <= 0:
            return reasons.NO_REFERENCE
        return None

    @property
    def _other_reference(self) -> bool:
        return self._entry.reference_version != self._profile.reference.version

    # --- verdicts -----------------------------------------------------------------------------

    def _verdict(
        self, key: str, growth: Growth | None, fallen: frozenset[str], unconfirmed: Reason | None
    ) -> Verdict:
        allowed, drift = self._allowed(key), self._now.drift
        if growth is None:
            return verdicts.growth_open(key, allowed, self._silent(key))
        moved = drift.reference_growth or 0.0
        if key in fallen:
            shown_by = (
                f"confirmed by {self._now.launches} relaunches; reference workload "
                f"{format_growth(moved)} against the recording"
            )
            return verdicts.growth_fails(key, growth, allowed, shown_by)
        if drift.excuse(growth.share, allowed):
            reason = reasons.REFERENCE_MOVED.filled(change=_slower(moved))
        elif drift.at_most(growth.high) <= allowed:
            return verdicts.growth_passes(key, growth, allowed)
        elif unconfirmed is not None and growth.share > allowed:
            reason = unconfirmed
        else:
            reason = self._too_spread(key, growth)
        return verdicts.growth_open(key, allowed, reason, growth)

    def _too_spread(self, key: str, growth: Growth) -> Reason:
        return reasons.TOO_SPREAD.filled(
            growth=format_share(max(self._visible(key), self._allowed(key))),
            launches=self._entry.launches,
            key=key,
            allowed=verdicts.roomier(self._now.drift.at_most(growth.high)),
        )

    def _visible(self, key: str) -> float:
        """Return the smallest growth that could fail, relaunches included."""
        return self._now.drift.smallest_growth(
            self._recorded[key],
            self._now.values[key],
            MOST_RELAUNCHES,
            self._allowed(key),
            self._test.last_risk(key),
        )

    def _silent(self, key: str) -> Reason:
        """Why there is no growth of a quantity."""
        if self._entry.launches < 2:
            return reasons.ONE_LAUNCH
        if not self._can_fail(key):
            return reasons.NEVER_FAILS.filled(
                launches=self._entry.launches,
                confidence=format_confidence(self._plan.confidence),
                calls=self._plan.calls,
            )
        return self._incomparable or reasons.NO_TIME.filled(key=key)

    def _comparison(self, growths: Mapping[str, Growth]) -> Comparison:
        whole, drift = growths.get("p50"), self._now.drift
        return Comparison(
            baseline=_baseline(self._entry),
            growth=None if whole is None else whole.share,
            interval=None if whole is None else (whole.low, whole.high),
            smallest_growth=None if whole is None else self._visible("p50"),
            reference_growth=None if self._other_reference else drift.reference_growth,
            launches=self._entry.launches,
            fresh=len(self._relaunches),
            improved=tuple(
                key
                for key, growth in growths.items()
                if drift.at_most(growth.high) < -self._allowed(key)
                and drift.counted(growth.share) < -self._allowed(key)
            ),
        )


def growth_elsewhere(profile: Profile, entry: Entry) -> str:
    """Return how p50 compares with a recording of a like device, in words."""
    return format_growth(profile.latency.median_ns / median(entry.p50_ns) - 1.0)


def _values(entry: Entry) -> dict[str, tuple[float, ...]]:
    """Times of every launch relative to the reference workload, by key."""
    whole = entry.relative
    columns: dict[str, tuple[int, ...]] = {"non_mac": entry.non_mac_ns, **entry.groups_ns}
    columns |= {name: operator.self_ns for name, operator in entry.operators.items()}
    found: dict[str, tuple[float, ...]] = {"p50": whole}
    for name, column in columns.items():
        found[name] = tuple(
            relative * ns / p50
            for relative, ns, p50 in zip(whole, column, entry.p50_ns, strict=True)
        )
    return found


def _baseline(entry: Entry) -> str:
    return " ".join(part for part in (entry.commit[:10], entry.created) if part)


def _slower(share: float) -> str:
    return f"{format_share(abs(share))} {'slower' if share > 0 else 'faster'}"
