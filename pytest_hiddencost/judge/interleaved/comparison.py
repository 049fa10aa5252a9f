"""Head against base, from pairs of processes: structure first, time second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import InterleavedComparison, OperatorChange, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.core.units import format_growth
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.interleaved.ratios import PAIR_SPREAD, Estimate, growth_of
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.judge.sequential import Look, SequentialTest, decide
from pytest_hiddencost.judge.statistics import Growth
from pytest_hiddencost.judge.structure import Structure, check_structure

# The last look has most pairs, so it spends most of the risk. Three pairs may agree by chance.
PAIR_LOOKS = (Look(3, 0.0), Look(5, 0.4), Look(8, 0.6))
MOST_PAIRS = PAIR_LOOKS[-1].size
CONFIRMING = 2  # fresh pairs that a failure needs: earlier tests may have slowed the others
WORTH_MORE = 0.1  # p-value below which a growth of non-MAC time is worth more pairs
CHECK_SHARES = {"p50": 0.5, "non_mac": 0.5}  # of the risk
MOST_OPERATORS = 8


@dataclass(frozen=True)
class Pair:
    """The measurement of one pair of processes; ``estimates`` are by check key."""

    estimates: Mapping[str, Estimate]
    blocks: int
    head: Profile
    base: Profile
    imported: tuple[str, str] | None = None  # by head and base, in words
    fresh: bool = True  # its processes had run no other test
    oversubscribed: bool = False  # threads of head and base shared cores: one pair is not enough


class Launcher(Protocol):
    """Measures the same call in one pair of processes after the other."""

    @property
    def stays(self) -> bool:
        """Whether the next pair stays for other tests, so that this one pays less for it."""

    def __call__(self, *, fresh: bool) -> Pair:
        """Measure one more pair, fresh or the cheapest. Raises ``InterleavingError``."""


@dataclass(frozen=True)
class RevisionPlan:
    """The rules of a comparison; ``calls`` of the session share the risk of a false alarm."""

    revision: str  # the base as the user named it
    commit: str  # the base's id, or empty
    tolerance: float
    confidence: float
    calls: int
    tolerances: Tolerances = field(default_factory=Tolerances)

    def allowed(self, key: str) -> float:
        """Return the growth that is tolerated, as a share."""
        return self.tolerances.timed(key, self.tolerance)


def compare_pairs(
    plan: RevisionPlan, launcher: Launcher
) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
    """Return the verdict on every check, and figures for the summary.

    Takes more than one pair if they can decide. Raises ``InterleavingError`` if there is none.
    """
    return _Pairs(plan, launcher).judged()


class _Pairs:
    """The pairs of one call; an experiment for the sequential test."""

    def __init__(self, plan: RevisionPlan, launcher: Launcher) -> None:
        self._plan = plan
        self._launcher = launcher
        self._pairs = [launcher(fresh=False)]
        self._trouble = ""

    def judged(self) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
        plan, first = self._plan, self._pairs[0]
        structure = check_structure(first.head, entry_of([first.base]), plan.tolerances)
        fallen = frozenset[str]()
        if not structure.failed and self._worth_more():
            fallen = decide(
                SequentialTest(PAIR_LOOKS, CHECK_SHARES, plan.confidence, plan.calls), self
            )
        growths = self._growths()
        timed = [
            self._verdict(key, growth, fallen, structure_failed=structure.failed)
            for key, growth in growths.items()
        ]
        return (*structure.verdicts, *timed), self._figures(growths, structure)

    def take(self, look: Look) -> bool:
        try:
            while len(self._pairs) < look.size:
                suspicious = self._fresh < CONFIRMING and any(
                    growth.share > self._plan.allowed(key)
                    for key, growth in self._growths().items()
                )
                self._pairs.append(self._launcher(fresh=suspicious))
        except InterleavingError as error:
            self._trouble = str(error)
        return not self._trouble

    def risks(self) -> Mapping[str, float]:
        if self._fresh < CONFIRMING:
            return {}
        return {key: growth.risk for key, growth in self._growths().items()}

    def is_open(self, look: Look) -> bool:
        return self._open(stays=look == PAIR_LOOKS[0] and self._launcher.stays)

    def _worth_more(self) -> bool:
        return not self._enough or self._open(stays=self._launcher.stays)

    def _open(self, *, stays: bool) -> bool:
        """Return whether p50 is open, or another check may fail; any check if a pair ``stays``."""
        return any(
            growth.high > self._plan.allowed(key)
            and (stays or key == "p50" or growth.risk < WORTH_MORE)
            for key, growth in self._growths().items()
        )

    @property
    def _fresh(self) -> int:
        return sum(pair.fresh for pair in self._pairs)

    @property
    def _enough(self) -> bool:
        """Whether so many pairs can show a pass or a gain."""
        return len(self._pairs) >= PAIR_LOOKS[0].size or not self._pairs[0].oversubscribed

    def _growths(self) -> dict[str, Growth]:
        """Return the growth of every timed quantity that all pairs know."""
        estimates = [pair.estimates for pair in self._pairs]
        return {
            key: growth_of(
                [known[key] for known in estimates],
                PAIR_SPREAD[key],
                self._plan.allowed(key),
                self._plan.confidence,
            )
            for key in CHECK_SHARES
            if all(key in known for known in estimates)
        }

    def _verdict(
        self, key: str, growth: Growth, fallen: frozenset[str], *, structure_failed: bool
    ) -> Verdict:
        allowed, count = self._plan.allowed(key), len(self._pairs)
        if key in fallen:
            shown_by = f"shown by {count} pairs of processes, {self._fresh} of them fresh"
            return verdicts.growth_fails(key, growth, allowed, shown_by)
        if growth.high <= allowed and self._enough:
            return verdicts.growth_passes(key, growth, allowed)
        reason = self._reason(structure_failed=structure_failed).filled(
            low=format_growth(growth.low),
            high=format_growth(growth.high),
            pairs=f" by {count} pairs of processes" if count > 1 else "",
            trouble=self._trouble,
            key=key,
            allowed=verdicts.roomier(growth.high),
        )
        return verdicts.growth_open(key, allowed, reason, growth)

    def _reason(self, *, structure_failed: bool) -> Reason:
        if structure_failed:
            return reasons.PAIRS_STRUCTURE
        if self._trouble:
            return reasons.PAIRS_TROUBLE
        if self._pairs[0].oversubscribed:
            return reasons.PAIRS_OVERSUBSCRIBED
        return reasons.PAIRS_OPEN

    def _figures(
        self, growths: Mapping[str, Growth], structure: Structure
    ) -> InterleavedComparison:
        faster = [
            key
            for key, growth in growths.items()
            if growth.high < -self._plan.allowed(key) and self._enough
        ]
        ratios = {key: 1.0 + growth.share for key, growth in growths.items()}
        intervals = {key: (1.0 + g.low, 1.0 + g.high) for key, g in growths.items()}
        return InterleavedComparison(
            revision=self._plan.revision,
            commit=self._plan.commit,
            ratio=ratios.get("p50"),
            interval=intervals.get("p50"),
            non_mac_ratio=ratios.get("non_mac"),
            non_mac_interval=intervals.get("non_mac"),
            blocks=min(pair.blocks for pair in self._pairs),
            launches=len(self._pairs),
            differences=structure.differences,
            improved=(*structure.improved, *faster),
            operators=changed_operators(self._pairs[-1]),
            imported=self._pairs[0].imported,
        )


def changed_operators(pair: Pair) -> tuple[OperatorChange, ...]:
    """Return the operators that differ most between head and base, the largest growth first.

    An operator with another number of calls goes before those that only take longer: it is a cause.
    """
    head, base = _costs(pair.head), _costs(pair.base)
    changes = []
    for name in sorted({*head, *base}):
        base_calls, base_ns = base.get(name, (0, 0.0))
        head_calls, head_ns = head.get(name, (0, 0.0))
        changes.append(OperatorChange(name, base_calls, head_calls, base_ns, head_ns))

    def difference(change: OperatorChange) -> tuple[bool, float]:
        return change.base_calls != change.head_calls, abs(change.base_ns - change.head_ns)

    most = sorted(changes, key=difference, reverse=True)[:MOST_OPERATORS]
    return tuple(sorted(most, key=lambda change: change.base_ns - change.head_ns))


def _costs(profile: Profile) -> dict[str, tuple[int, float]]:
    """Return the calls and self time of every operator, and of the time outside them."""
    costs = {cost.name: (cost.calls, cost.self_ns) for cost in profile.operators}
    return {**costs, "outside": (0, profile.outside_ns)}
