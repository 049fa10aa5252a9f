"""Head against base, from pairs of processes: structure first, time second."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.operator_changes import changes_between, operator_figures
from pytest_hiddencost.core.records import (
    DeviceHealth,
    InterleavedComparison,
    OperatorChange,
    Profile,
    Verdict,
)
from pytest_hiddencost.core.tolerances import ENERGY, Tolerances
from pytest_hiddencost.core.units import format_growth
from pytest_hiddencost.judge import reasons, signed_rank, verdicts
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.interleaved.disagreement import Conditions, likely_reason
from pytest_hiddencost.judge.interleaved.ratios import growth_of
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.judge.sequential import CHECK_SHARES, Look, SequentialTest, decide
from pytest_hiddencost.judge.statistics import Growth
from pytest_hiddencost.judge.structure import check_structure

FEWEST_PAIRS = 3  # before any timed verdict, however low the confidence
# Pairs at each look relative to the first, and the look's share of the risk.
LOOKS = ((1.0, 0.4), (1.35, 0.2), (2.0, 0.4))
SPARE_PAIRS = 2  # at the last look, so that one pair may favour the wrong side
WORTH_MORE = 0.1  # p-value below which a growth of non-MAC time is worth more pairs
MOST_OPERATORS = 8


def pair_looks(confidence: float, calls: float) -> tuple[Look, ...]:
    """Return the looks at which pairs may decide, for one of ``calls`` calls of a session.

    The first look has the fewest pairs that give a bound at its share of the risk. The last look
    has the fewest that can fail: more pairs if more calls share the risk.
    """
    risk = 1.0 - confidence
    first = max(FEWEST_PAIRS, signed_rank.fewest(risk * LOOKS[0][1]))
    sizes = [math.ceil(factor * first) for factor, _ in LOOKS]
    own = risk * LOOKS[-1][1] / calls * min(CHECK_SHARES.values())
    sizes[-1] = max(sizes[-1], signed_rank.fewest(own) + SPARE_PAIRS)
    return tuple(Look(size, share) for size, (_, share) in zip(sizes, LOOKS, strict=True))


@dataclass(frozen=True)
class Pair:
    """The measurement of one pair of processes.

    ``changes`` are logarithms of head over base, by check key. The first pair of a call has the
    profiles, and the imports of head and base, in words.
    """

    changes: Mapping[str, float]
    blocks: int
    conditions: Conditions = Conditions()  # noqa: RUF009  # frozen, so shared safely
    head: Profile | None = None
    base: Profile | None = None
    imported: tuple[str, str] | None = None


Launcher: TypeAlias = Callable[[], Pair]
"""Measures a call by one more pair of processes. Raises ``InterleavingError``."""


@dataclass(frozen=True)
class RevisionPlan:
    """The rules of a comparison; the call has 1/``calls`` of the session's risk of a false alarm.

    ``health`` is the device's while the run measured the call alone: to a worker of a pair, the
    other side is a process that disturbs it. ``structure``: the structure of head and base is
    judged as well. It is not if base is an accepted commit: the stored structure is judged.
    """

    revision: str  # the base as the user named it
    commit: str  # the base's id, or empty
    tolerance: float
    confidence: float
    calls: float
    tolerances: Tolerances = field(default_factory=Tolerances)
    health: DeviceHealth | None = None
    structure: bool = True

    def allowed(self, key: str, base: Profile) -> float:
        """Return the growth over base that is tolerated, as a share."""
        return self.tolerances.timed(key, self.tolerance, base.non_mac_share)


def compare_pairs(
    plan: RevisionPlan, launcher: Launcher
) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
    """Return the verdict on every check, and figures for the summary.

    Raises ``InterleavingError`` if the first pair cannot be measured.
    """
    return _Pairs(plan, launcher).judged()


def no_time(key: str, lacking: int, pairs: int) -> Reason:
    """Return the reason why a quantity that ``lacking`` of these pairs do not know is open."""
    return reasons.PAIRS_NO_TIME.filled(key=key, lacking=lacking, pairs=pairs)


class _Pairs:
    """The pairs of one call; an experiment for the sequential test."""

    def __init__(self, plan: RevisionPlan, launcher: Launcher) -> None:
        self._plan = plan
        self._launcher = launcher
        first = launcher()
        assert first.head is not None
        assert first.base is not None
        self._head, self._base = first.head, first.base
        self._pairs = [first]
        self._trouble = ""
        self._structure = check_structure(first.head, entry_of([first.base]), plan.tolerances)
        self._trend = verdicts.trend(first.head.varies, first.base.varies)
        looks = pair_looks(plan.confidence, plan.calls)
        self._test = SequentialTest(looks, CHECK_SHARES, plan.confidence, plan.calls)
        self._look = looks[0]

    def judged(self) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
        fallen = decide(self._test, self)
        growths = self._growths()
        timed = [self._verdict(key, growth, fallen) for key, growth in growths.items()]
        return (*self._structure.verdicts, *timed, *self._energy()), self._figures(growths)

    def _energy(self) -> tuple[Verdict, ...]:
        """Return the open verdict on the energy if a marker allows it a growth."""
        allowed = self._plan.tolerances.own.get(ENERGY)
        if allowed is None:
            return ()
        return (verdicts.growth_open(ENERGY, allowed, reasons.PAIRS_WITHOUT_ENERGY),)

    def take(self, look: Look) -> bool:
        self._look = look
        if self._trend:
            return False
        try:
            while len(self._pairs) < look.size:
                self._pairs.append(self._launcher())
        except InterleavingError as error:
            self._trouble = str(error)
        return not self._trouble

    def risks(self) -> Mapping[str, float]:
        return {key: growth.risk for key, growth in self._growths().items() if growth}

    def is_open(self, look: Look) -> bool:
        """Return whether p50 is open, or another check may fail.

        If the structure fails the test anyway, only a growth whose lower bound is above the limit
        is worth more pairs.
        """
        growths = [(key, growth) for key, growth in self._growths().items() if growth]
        if self._fails_anyway:
            return any(growth.low > self._allowed(key) for key, growth in growths)
        return any(
            growth.high > self._allowed(key) and (key == "p50" or growth.risk < WORTH_MORE)
            for key, growth in growths
        )

    @property
    def _fails_anyway(self) -> bool:
        """Whether the structure fails the test, whatever the times are."""
        return self._plan.structure and self._structure.failed

    def _allowed(self, key: str) -> float:
        return self._plan.allowed(key, self._base)

    def _growths(self) -> dict[str, Growth | None]:
        """Return the growth of every timed quantity that a pair knows or the marker names.

        None: there are too few pairs, or one of them lacks it.
        """
        risk = (1.0 - self._plan.confidence) * self._look.risk_share
        found: dict[str, Growth | None] = {}
        for key in CHECK_SHARES:
            changes = [pair.changes[key] for pair in self._pairs if key in pair.changes]
            if not self._lacking(key):
                found[key] = growth_of(changes, self._allowed(key), risk)
            elif changes or key in self._plan.tolerances.own:
                found[key] = None
        return found

    def _lacking(self, key: str) -> int:
        """Return the number of pairs that do not know the growth of a quantity."""
        return sum(key not in pair.changes for pair in self._pairs)

    def _verdict(self, key: str, growth: Growth | None, fallen: frozenset[str]) -> Verdict:
        allowed = self._allowed(key)
        if self._trend:
            return verdicts.growth_open(key, allowed, self._trend)
        if lacking := self._lacking(key):
            return verdicts.growth_open(key, allowed, no_time(key, lacking, len(self._pairs)))
        if growth is None:
            return verdicts.growth_open(key, allowed, self._troubled())
        if key in fallen:
            shown_by = f"shown by {len(self._pairs)} pairs of processes"
            return verdicts.growth_fails(key, growth, allowed, shown_by)
        if growth.high <= allowed:
            return verdicts.growth_passes(key, growth, allowed)
        reason = self._troubled() if self._trouble else self._why_open(key, growth)
        return verdicts.growth_open(key, allowed, reason, growth)

    def _troubled(self) -> Reason:
        return reasons.PAIRS_TROUBLE.filled(
            pairs=len(self._pairs), needed=self._look.size, trouble=self._trouble
        )

    def _why_open(self, key: str, growth: Growth) -> Reason:
        """Return why a growth is open: the pairs disagree, or it is close to the limit.

        If the structure fails, no more pairs are taken, whatever they might show.
        """
        allowed = self._allowed(key)
        reason, values = reasons.PAIRS_OPEN, dict[str, str]()
        if self._fails_anyway:
            reason = reasons.PAIRS_DIFFER
        elif growth.high - growth.low > allowed:
            conditions = [pair.conditions for pair in self._pairs]
            reason, values = likely_reason(conditions, self._plan.health or self._head.health)
        return reason.filled(
            low=format_growth(growth.low),
            high=format_growth(growth.high),
            pairs=len(self._pairs),
            key=key,
            allowed=verdicts.roomier(growth.high),
            **values,
        )

    def _figures(self, growths: Mapping[str, Growth | None]) -> InterleavedComparison:
        known = {key: growth for key, growth in growths.items() if growth is not None}
        faster = [key for key, growth in known.items() if growth.high < -self._allowed(key)]
        ratios = {key: 1.0 + growth.share for key, growth in known.items()}
        intervals = {key: (1.0 + g.low, 1.0 + g.high) for key, g in known.items()}
        return InterleavedComparison(
            revision=self._plan.revision,
            commit=self._plan.commit,
            ratio=ratios.get("p50"),
            interval=intervals.get("p50"),
            non_mac_ratio=ratios.get("non_mac"),
            non_mac_interval=intervals.get("non_mac"),
            blocks=min(pair.blocks for pair in self._pairs),
            launches=len(self._pairs),
            differences=self._structure.differences,
            improved=(*self._structure.improved, *faster),
            changed_calls=self._structure.changed_calls,
            operators=changed_operators(self._head, self._base),
            imported=self._pairs[0].imported,
        )


def changed_operators(of_head: Profile, of_base: Profile) -> tuple[OperatorChange, ...]:
    """Return the operators that differ most between head and base.

    Those with another number of calls go first, as they are the cause; then the largest growth.
    """
    changes = changes_between(_costs(of_base), _costs(of_head))
    changes.sort(key=lambda change: change.name)

    def difference(change: OperatorChange) -> tuple[bool, float]:
        return change.base_calls != change.head_calls, abs(change.base_ns - change.head_ns)

    most = sorted(changes, key=difference, reverse=True)[:MOST_OPERATORS]
    return tuple(sorted(most, key=lambda c: (c.base_calls == c.head_calls, c.base_ns - c.head_ns)))


def _costs(profile: Profile) -> dict[str, tuple[int, float]]:
    """Return the calls and self time of every operator, and of the time outside them."""
    return {**operator_figures(profile), "outside": (0, profile.outside_ns)}
