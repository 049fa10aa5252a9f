"""A profile against its baseline: structure first, time second, and why nothing can be said.

A time has regressed only if it grew beyond the tolerance, significantly against the spread between
launches; if that is more than a control workload that moved along may explain; and if fresh
launches confirm it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from pytest_hiddencost.records import (
    FAIL,
    INCONCLUSIVE,
    NEW,
    PASS,
    Comparison,
    Profile,
    Verdict,
)
from pytest_hiddencost.regression.entries import Entry, entry_of
from pytest_hiddencost.regression.paces import Paces
from pytest_hiddencost.regression.stats import Growth, can_reject, rejected
from pytest_hiddencost.regression.structure import check_structure
from pytest_hiddencost.tolerances import Tolerances
from pytest_hiddencost.units import format_confidence, format_growth, format_share

FLOOR = 0.01  # of the latency: operators and groups below it are held as part of the rest
BATCH = 3  # fresh launches before each look at them,
RISK_SHARES = (0.1, 0.3, 0.6)  # which takes its share of the risk: most where most is known
MOST_FRESH = BATCH * len(RISK_SHARES)
P50_SHARE = 0.5  # of a call's risk; all its other gates share the rest
# Risk at which a growth is worth fresh launches; other gates share theirs.
WORTH_A_LOOK = {"p50": 0.3, "non_mac": 0.1}
OTHERS_WORTH_A_LOOK = 0.1
WHOLE = frozenset(WORTH_A_LOOK)  # the rest are parts of these

Launcher = Callable[[int], Sequence[Profile]]
"""Measures the same call in so many fresh processes; those that failed or were unfit are not in."""


@dataclass(frozen=True)
class Plan:
    """What a comparison is held to.

    ``calls``: those of the whole session, among which the risk of a false alarm is shared.
    ``launcher``: None where no fresh process can be started.
    """

    tolerance: float
    confidence: float
    calls: int
    tolerances: Tolerances = field(default_factory=Tolerances)
    launcher: Launcher | None = None


@dataclass(frozen=True)
class _Gate:
    name: str  # p50, non_mac, a group, an operator
    tolerance: float
    recorded: tuple[float, ...]
    risk_share: float  # of the session's risk of a false alarm


def timed_gates(entry: Entry) -> list[str]:
    """The quantities of an entry that are held in time: p50, non-MAC, groups, operators."""
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
    """Whether a baseline of so many launches could fail a session's only call, at the best."""
    return can_reject(launches, MOST_FRESH, (1.0 - confidence) * RISK_SHARES[-1] * P50_SHARE)


def compare(profile: Profile, entry: Entry, plan: Plan) -> tuple[tuple[Verdict, ...], Comparison]:
    """Verdicts on every gate, structure first, and what the summary says of it."""
    structure, differences, improved = check_structure(profile, entry, plan.tolerances)
    timed, comparison = _Timed(profile, entry, plan).judged(
        settled=any(verdict.verdict == FAIL for verdict in structure)
    )
    better = [*(() if profile.structure_varies else improved), *comparison.improved]
    return (*structure, *timed), replace(
        comparison, differences=differences, improved=tuple(better)
    )


class _Now:
    """Launches of now beside those of an entry: their times, and the paces of the device."""

    def __init__(self, launches: Sequence[Profile], entry: Entry) -> None:
        self.launches = len(launches)
        self.values = _values(entry_of(launches))
        controls_ns = [profile.control.mean_ns for profile in launches]
        self.paces = Paces(entry.control_ns, controls_ns)


class _Timed:
    def __init__(self, profile: Profile, entry: Entry, plan: Plan) -> None:
        self._profile = profile
        self._entry = entry
        self._plan = plan
        recorded = _values(entry)
        names = timed_gates(entry)
        parts = max(1, len(names) - 1)
        self._gates = [
            _Gate(
                name,
                plan.tolerances.timed(name, plan.tolerance),
                recorded[name],
                (P50_SHARE if name == "p50" else (1.0 - P50_SHARE) / parts) / plan.calls,
            )
            for name in names
        ]

    def judged(self, *, settled: bool) -> tuple[tuple[Verdict, ...], Comparison]:
        """``settled``: the test fails anyway, so that no fresh launches are started."""
        if not self._profile.fitness.fit:
            reason = "; ".join(self._profile.fitness.reasons)
            return tuple(self._unjudged(gate, reason) for gate in self._gates), Comparison(
                baseline=_baseline(self._entry), launches=self._entry.launches
            )
        now = _Now([self._profile], self._entry)
        growths = self._growths(now)
        fallen: frozenset[str] = frozenset()
        fresh: list[Profile] = []
        suspects = self._suspects(self._growths(now, blurred=False))
        unconfirmed = ""
        if suspects and (settled or self._plan.launcher is None):
            unconfirmed = (
                "not confirmed by fresh launches: the structure changed already"
                if settled
                else "not confirmed: no fresh launches could be started here"
            )
        elif suspects:
            fresh, fallen = self._confirmed()
            if fresh:
                now = _Now(fresh, self._entry)
                growths = self._growths(now)
            if len(fresh) < BATCH:
                unconfirmed = f"not confirmed: only {len(fresh)} fresh launches could be measured"
        verdicts = [
            self._verdict(gate, growths.get(gate.name), fallen, now, unconfirmed)
            for gate in self._gates
        ]
        whole = growths.get("p50")
        return tuple(verdicts), Comparison(
            baseline=_baseline(self._entry),
            growth=None if whole is None else whole.share,
            interval=None if whole is None else (whole.low, whole.high),
            smallest_growth=self._visible(self._gates[0], now) if whole is not None else None,
            control_growth=None if self._other_control else now.paces.control_growth,
            launches=self._entry.launches,
            fresh=len(fresh),
            improved=tuple(
                f"regression[{gate.name}]"
                for gate in self._gates
                if (found := growths.get(gate.name)) is not None
                and now.paces.at_most(found.high) < -gate.tolerance
                and now.paces.counted(found.share) < -gate.tolerance
            ),
        )

    def _growths(self, now: _Now, *, blurred: bool = True) -> dict[str, Growth]:
        """Of every gate whose quantity is there in all launches, and which can fail.

        The risk is that of growth beyond what a control that moved leaves open, if ``blurred``.
        """
        if self._control_differs:
            return {}
        found = {}
        for gate in self._gates:
            current = now.values.get(gate.name, ())
            if self._can_fail(gate) and current and min(current) > 0:
                allowed = now.paces.at_most(gate.tolerance) if blurred else gate.tolerance
                found[gate.name] = now.paces.growth(
                    gate.recorded, current, allowed, self._plan.confidence
                )
        return found

    @property
    def _other_control(self) -> bool:
        return self._entry.control_version != self._profile.control.version

    @property
    def _control_differs(self) -> str:
        """Why times of now and of the recording have nothing in common; empty where they have."""
        if self._other_control:
            return "the baseline was recorded with another control workload: record it again"
        if min(*self._entry.relative, *self._entry.control_ns) <= 0:
            return "the baseline was recorded without the control workload: record it again"
        return ""

    def _can_fail(self, gate: _Gate) -> bool:
        return can_reject(self._entry.launches, MOST_FRESH, self._risk(gate))

    def _suspects(self, growths: Mapping[str, Growth]) -> list[str]:
        others = OTHERS_WORTH_A_LOOK / max(1, len(self._gates) - len(WORTH_A_LOOK))
        return [
            gate.name
            for gate in self._gates
            if (found := growths.get(gate.name)) is not None
            and found.share > gate.tolerance
            and found.risk < WORTH_A_LOOK.get(gate.name, others)
        ]

    def _confirmed(self) -> tuple[list[Profile], frozenset[str]]:
        """Fresh launches, batch by batch until they decide, and the gates that fell by them.

        Only they count: the launch that raised the suspicion was chosen because it was slow.
        """
        assert self._plan.launcher is not None
        fresh: list[Profile] = []
        fallen: frozenset[str] = frozenset()
        shares = {gate.name: gate.risk_share for gate in self._gates}
        for risk_share in RISK_SHARES:
            more = [profile for profile in self._plan.launcher(BATCH) if profile.fitness.fit]
            fresh += more
            if not fresh:
                break
            now = _Now(fresh, self._entry)
            growths = self._growths(now)
            risks = {
                gate.name: growths[gate.name].risk
                for gate in self._gates
                if gate.name in growths
                and now.paces.counted(growths[gate.name].share) > gate.tolerance
            }
            fallen = rejected(risks, shares, (1.0 - self._plan.confidence) * risk_share)
            if fallen or not more or not self._still_open(growths):
                break
        return fresh, fallen

    def _still_open(self, growths: Mapping[str, Growth]) -> bool:
        return any(
            gate.name in growths and growths[gate.name].share > gate.tolerance
            for gate in self._gates
            if gate.name in WHOLE
        )

    def _visible(self, gate: _Gate, now: _Now) -> float:
        """The smallest growth this gate could have called a regression, fresh launches included."""
        return now.paces.smallest_growth(
            gate.recorded, now.values[gate.name], MOST_FRESH, gate.tolerance, self._risk(gate)
        )

    def _verdict(
        self,
        gate: _Gate,
        found: Growth | None,
        fallen: frozenset[str],
        now: _Now,
        unconfirmed: str,
    ) -> Verdict:
        if found is None:
            return self._unjudged(gate, self._silent(gate))
        verdict, reason = INCONCLUSIVE, ""
        control = now.paces.control_growth or 0.0
        if gate.name in fallen:
            verdict = FAIL
            reason = (
                f"confirmed by {now.launches} fresh launches; control workload "
                f"{format_growth(control)} against the recording"
            )
        elif now.paces.excuse(found.share, gate.tolerance):
            reason = f"control workload {_slower(control)} than at recording"
        elif now.paces.at_most(found.high) <= gate.tolerance:
            verdict = PASS
        else:
            least = max(self._visible(gate, now), gate.tolerance)
            reason = (
                f"cannot tell less than {format_share(least)} with {self._entry.launches} "
                "launches: record more (--hiddencost-launches)"
            )
            if unconfirmed and found.share > gate.tolerance:
                reason = unconfirmed
        return Verdict(
            gate=f"regression[{gate.name}]",
            verdict=verdict,
            measured=found.share,
            limit=gate.tolerance,
            reason=reason,
            unit="share",
            interval=(found.low, found.high),
        )

    def _risk(self, gate: _Gate) -> float:
        """Of a false alarm by this gate at the last look."""
        return (1.0 - self._plan.confidence) * RISK_SHARES[-1] * gate.risk_share

    def _silent(self, gate: _Gate) -> str:
        if self._entry.launches < 2:
            return (
                "the baseline holds one launch, so that the spread between launches is not known: "
                "record again with --hiddencost-update --hiddencost-launches=3"
            )
        if not self._can_fail(gate):
            return (
                f"{self._entry.launches} recorded launches can never show a regression at "
                f"{format_confidence(self._plan.confidence)} confidence among {self._plan.calls} "
                "calls: record more (--hiddencost-launches)"
            )
        return self._control_differs or f"no time was seen for {gate.name}"

    def _unjudged(self, gate: _Gate, reason: str) -> Verdict:
        return Verdict(
            gate=f"regression[{gate.name}]",
            verdict=INCONCLUSIVE,
            measured=None,
            limit=gate.tolerance,
            reason=reason,
            unit="share",
        )


def new_verdict(reason: str) -> Verdict:
    """The verdict of a call that has no baseline."""
    return Verdict("regression", NEW, None, 0.0, reason, unit="share")


def recorded_elsewhere(profile: Profile, entry: Entry) -> str:
    """How a profile compares with a recording of a like device, in words; nothing is judged."""
    change = profile.latency.median_ns / median(entry.p50_ns) - 1.0
    return f"p50 {format_growth(change)}"


def _values(entry: Entry) -> dict[str, tuple[float, ...]]:
    """Times of every launch relative to the control, by gate."""
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
