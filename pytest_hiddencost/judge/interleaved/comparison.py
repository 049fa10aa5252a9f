"""Head against base, from pairs of processes: structure first, time second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import (
    InterleavedComparison,
    OperatorChange,
    Profile,
    Verdict,
)
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.core.units import format_growth
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.interleaved.ratios import PAIR_SPREAD, Estimate, growth_of
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.judge.sequential import Look, SequentialTest, decide
from pytest_hiddencost.judge.statistics import Growth
from pytest_hiddencost.judge.structure import Structure, check_structure

# Most of the risk is spent where most is known, and none where three pairs may agree by luck.
LOOKS = (Look(3, 0.0), Look(5, 0.4), Look(8, 0.6))
MOST_PAIRS = LOOKS[-1].size
CONFIRMING = 2  # fresh pairs that a regression takes: another test may have slowed a standing one
WORTH_MORE = 0.1  # risk at which a growth of a part is worth fresh pairs
CHECK_SHARES = {"p50": 0.5, "non_mac": 0.5}  # of the risk
MOST_OPERATORS = 8


@dataclass(frozen=True)
class Pair:
    """What one pair of processes measured.

    ``estimates`` are by check key. ``imported`` says in words what head and base imported.
    ``fresh``: its processes had run no other test. ``oversubscribed``: threads of both sides shared
    cores, so that a single pair says little.
    """

    estimates: Mapping[str, Estimate]
    blocks: int
    head: Profile
    base: Profile
    imported: tuple[str, str] | None = None
    fresh: bool = True
    oversubscribed: bool = False


class Launcher(Protocol):
    """Measures the same call in one pair of processes after the other."""

    @property
    def stays(self) -> bool:
        """Whether the next pair is one that other tests use too, and so costs this one less."""

    def __call__(self, *, fresh: bool) -> Pair:
        """Measure one more pair: a fresh one, or whichever costs less.

        Raises ``InterleavingError``.
        """


@dataclass(frozen=True)
class Plan:
    """What pairs are compared by; ``calls`` are those of the session, which share the risk.

    ``revision`` is the base as the user named it; ``commit`` is its id, or empty.
    """

    revision: str
    commit: str
    tolerance: float
    confidence: float
    calls: int
    tolerances: Tolerances = field(default_factory=Tolerances)

    def allowed(self, key: str) -> float:
        """Return the growth that is tolerated."""
        return self.tolerances.timed(key, self.tolerance)


def compare_pairs(
    plan: Plan, launcher: Launcher
) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
    """Return the verdict on every check, and figures for the summary.

    More pairs are measured if they can decide. Raises ``InterleavingError`` if not even one was
    measured.
    """
    return _Pairs(plan, launcher).judged()


class _Pairs:
    """The pairs of one call; an experiment for the sequential test."""

    def __init__(self, plan: Plan, launcher: Launcher) -> None:
        self._plan = plan
        self._launcher = launcher
        self._pairs = [launcher(fresh=False)]
        self._trouble = ""

    def judged(self) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
        first = self._pairs[0]
        structure = check_structure(first.head, entry_of([first.base]), self._plan.tolerances)
        fallen = frozenset[str]()
        if not structure.failed and self._worth_more():
            plan = self._plan
            fallen = decide(SequentialTest(LOOKS, CHECK_SHARES, plan.confidence, plan.calls), self)
        growths = self._growths()
        timed = [
            self._verdict(key, growth, fallen, structure_failed=structure.failed)
            for key, growth in growths.items()
        ]
        return (*structure.verdicts, *timed), self._comparison(growths, structure)

    # --- the experiment -----------------------------------------------------------------------

    def take(self, look: Look) -> bool:
        """Measure pairs up to a look; return whether that worked."""
        try:
            while len(self._pairs) < look.size:
                lacking = self._fresh < CONFIRMING
                self._pairs.append(self._launcher(fresh=lacking and self._suspicious()))
        except InterleavingError as error:
            self._trouble = str(error)
        return not self._trouble

    def risks(self) -> Mapping[str, float]:
        """Return the p-value of every check, once enough pairs are fresh."""
        if self._fresh < CONFIRMING:
            return {}
        return {key: growth.risk for key, growth in self._growths().items()}

    def is_open(self, look: Look) -> bool:
        """Return whether more pairs are worth their time.

        They are if p50 is open, or another check may fail. A pair that stays for other tests is
        worth it for any open check.
        """
        stays = look == LOOKS[0] and self._launcher.stays
        return self._open(stays=stays)

    def _worth_more(self) -> bool:
        return not self._enough or self._open(stays=self._launcher.stays)

    def _open(self, *, stays: bool) -> bool:
        return any(
            growth.high > self._plan.allowed(key)
            and (stays or key == "p50" or growth.risk < WORTH_MORE)
            for key, growth in self._growths().items()
        )

    def _suspicious(self) -> bool:
        return any(
            growth.share > self._plan.allowed(key) for key, growth in self._growths().items()
        )

    @property
    def _fresh(self) -> int:
        return sum(pair.fresh for pair in self._pairs)

    @property
    def _enough(self) -> bool:
        """Whether so many pairs can show that nothing got slower, or that something got faster."""
        return len(self._pairs) >= LOOKS[0].size or not self._pairs[0].oversubscribed

    # --- growths and verdicts -----------------------------------------------------------------

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
        allowed = self._plan.allowed(key)
        if key in fallen:
            shown_by = (
                f"shown by {len(self._pairs)} pairs of processes, {self._fresh} of them fresh"
            )
            return verdicts.growth_fails(key, growth, allowed, shown_by)
        if growth.high <= allowed and self._enough:
            return verdicts.growth_passes(key, growth, allowed)
        reason = self._reason(structure_failed=structure_failed).filled(
            low=format_growth(growth.low),
            high=format_growth(growth.high),
            pairs=f" by {len(self._pairs)} pairs of processes" if len(self._pairs) > 1 else "",
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

    def _comparison(
        self, growths: Mapping[str, Growth], structure: Structure
    ) -> InterleavedComparison:
        faster = [
            key
            for key, growth in growths.items()
            if growth.high < -self._plan.allowed(key) and self._enough
        ]
        found = InterleavedComparison(
            revision=self._plan.revision,
            commit=self._plan.commit,
            blocks=min(pair.blocks for pair in self._pairs),
            launches=len(self._pairs),
            differences=structure.differences,
            imported=self._pairs[0].imported,
            improved=(*structure.improved, *faster),
            operators=changed_operators(self._pairs[-1]),
        )
        if (p50 := growths.get("p50")) is not None:
            found = replace(found, ratio=1.0 + p50.share, interval=(1.0 + p50.low, 1.0 + p50.high))
        if (rest := growths.get("non_mac")) is not None:
            found = replace(
                found,
                non_mac_ratio=1.0 + rest.share,
                non_mac_interval=(1.0 + rest.low, 1.0 + rest.high),
            )
        return found


def changed_operators(pair: Pair) -> tuple[OperatorChange, ...]:
    """Return the operators that differ most between the sides, those that got slower first.

    One with another number of calls comes before any that only takes longer: it says why.
    """
    head, base = _costs(pair.head), _costs(pair.base)
    changes = []
    for name in sorted({*head, *base}):
        base_calls, base_ns = base.get(name, (0, 0.0))
        head_calls, head_ns = head.get(name, (0, 0.0))
        changes.append(OperatorChange(name, base_calls, head_calls, base_ns, head_ns))
    most = sorted(changes, key=_difference, reverse=True)[:MOST_OPERATORS]
    return tuple(sorted(most, key=lambda change: change.base_ns - change.head_ns))


def _difference(change: OperatorChange) -> tuple[bool, float]:
    return change.base_calls != change.head_calls, abs(change.base_ns - change.head_ns)


def _costs(profile: Profile) -> dict[str, tuple[int, float]]:
    """Calls and self time of every operator, and of the time outside them."""
    costs = {cost.name: (cost.calls, cost.self_ns) for cost in profile.operators}
    return {**costs, "outside": (0, profile.outside_ns)}
