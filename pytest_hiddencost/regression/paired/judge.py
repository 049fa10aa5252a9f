"""Verdicts on a call that was measured beside another revision's: structure first, time second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pytest_hiddencost.errors import PairingError
from pytest_hiddencost.records import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    OperatorChange,
    PairedComparison,
    Profile,
    Verdict,
)
from pytest_hiddencost.regression.entries import entry_of
from pytest_hiddencost.regression.paired.ratios import PAIR_SPREAD, Estimate, growth_of
from pytest_hiddencost.regression.paired.revisions import Reference
from pytest_hiddencost.regression.stats import Growth
from pytest_hiddencost.regression.structure import check_structure
from pytest_hiddencost.tolerances import Tolerances

LOOKS = (2, 4, 7)  # pairs of processes after the first, with each of which it may be decided
# Of the risk, for each look: most of it where most is known, none where three may be alike by luck.
RISK_SHARES = (0.0, 0.4, 0.6)
CONFIRMING = 2  # fresh pairs that a regression takes: another test may have slowed a standing one
WORTH_MORE = 0.1  # risk at which a growth of a part is worth fresh pairs
TIMED = tuple(PAIR_SPREAD)
GATE_SHARES = {"p50": 0.5, "non_mac": 0.5}  # of the risk
MOST_OPERATORS = 8
CROWDED = "threads of both sides share cores, fewer (--hiddencost-threads) would tell more"


@dataclass(frozen=True)
class Pair:
    """One pair of processes: what it says of each timed gate, and both profiles, here first."""

    estimates: Mapping[str, Estimate]
    blocks: int
    here: Profile
    there: Profile
    imported: tuple[str, str] | None = None  # what the sides imported, in words
    fresh: bool = True  # whether its processes had run no other test
    crowded: bool = False  # whether threads of both sides shared cores: it says little by itself


class Launcher(Protocol):
    """Measures the same call in one pair of processes after the other."""

    @property
    def stays(self) -> bool:
        """Whether the next pair is one that other tests use as well, and so costs this one less."""

    def __call__(self, *, fresh: bool) -> Pair:
        """One more pair, ``fresh`` or whichever costs less. Raises ``PairingError``."""


@dataclass(frozen=True)
class Plan:
    """What pairs are held to; ``calls`` are those of the whole session, which share the risk."""

    reference: Reference
    tolerance: float
    confidence: float
    calls: int
    tolerances: Tolerances = field(default_factory=Tolerances)

    def allowed(self, gate: str) -> float:
        """Growth of a timed gate that is tolerated."""
        return self.tolerances.timed(gate, self.tolerance)


def judge(plan: Plan, launcher: Launcher) -> tuple[tuple[Verdict, ...], PairedComparison]:
    """Verdicts on every gate, and what the summary says of it; more pairs where they decide.

    Raises ``PairingError`` where there is not even one.
    """
    first = launcher(fresh=False)
    structure, differences, improved = check_structure(
        first.here, entry_of([first.there]), plan.tolerances
    )
    pairs, fallen, trouble = [first], frozenset[str](), ""
    if any(verdict.verdict == FAIL for verdict in structure):
        trouble = "the structure changed already"
    elif not _enough(pairs) or _open(_growths(pairs, plan), plan, stays=launcher.stays):
        pairs, fallen, trouble = _decided(first, plan, launcher)
    growths = _growths(pairs, plan)
    timed = [
        _verdict(gate, growths[gate], fallen, plan, pairs, trouble)
        for gate in TIMED
        if gate in growths
    ]
    return (*structure, *timed), _comparison(
        pairs, growths, plan, differences, () if first.here.structure_varies else improved
    )


def _growths(pairs: Sequence[Pair], plan: Plan) -> dict[str, Growth]:
    """Of every timed gate that all pairs know."""
    estimates = [pair.estimates for pair in pairs]
    return {
        gate: growth_of(
            [known[gate] for known in estimates],
            PAIR_SPREAD[gate],
            plan.allowed(gate),
            plan.confidence,
        )
        for gate in TIMED
        if all(gate in known for known in estimates)
    }


def _decided(first: Pair, plan: Plan, launcher: Launcher) -> tuple[list[Pair], frozenset[str], str]:
    """Pairs until they decide, the gates that fell by them, and what went wrong.

    Each look takes its share of the risk: stopping early where nothing is to be seen adds nothing
    to it.
    """
    pairs = [first]
    for look, risk_share in zip(LOOKS, RISK_SHARES, strict=True):
        try:
            while len(pairs) <= look:
                lacking = sum(pair.fresh for pair in pairs) < CONFIRMING
                pairs.append(launcher(fresh=lacking and _suspicious(_growths(pairs, plan), plan)))
        except PairingError as error:
            return pairs, frozenset(), str(error)
        growths = _growths(pairs, plan)
        fallen = frozenset[str]()
        if sum(pair.fresh for pair in pairs) >= CONFIRMING:
            risk = (1.0 - plan.confidence) * risk_share / plan.calls
            fallen = frozenset(
                gate for gate, growth in growths.items() if growth.risk <= risk * GATE_SHARES[gate]
            )
        if fallen or not _open(growths, plan, stays=look == LOOKS[0] and launcher.stays):
            return pairs, fallen, ""
    return pairs, frozenset(), ""


def _enough(pairs: Sequence[Pair]) -> bool:
    """Whether so many can say that nothing got slower, or that something got faster."""
    return len(pairs) > LOOKS[0] or not pairs[0].crowded


def _suspicious(growths: Mapping[str, Growth], plan: Plan) -> bool:
    """Whether a gate may be broken, and fresh pairs will have to show it."""
    return any(growth.share > plan.allowed(gate) for gate, growth in growths.items())


def _open(growths: Mapping[str, Growth], plan: Plan, *, stays: bool) -> bool:
    """Whether more pairs are worth their time: a gate may be broken, or p50 is not decided.

    Where the next one ``stays``, any gate that is not decided is worth it.
    """
    return any(
        growth.high > plan.allowed(gate) and (stays or gate == "p50" or growth.risk < WORTH_MORE)
        for gate, growth in growths.items()
    )


def _verdict(
    gate: str,
    growth: Growth,
    fallen: frozenset[str],
    plan: Plan,
    pairs: Sequence[Pair],
    trouble: str,
) -> Verdict:
    allowed = plan.allowed(gate)
    verdict, reason = INCONCLUSIVE, ""
    if gate in fallen:
        fresh = sum(pair.fresh for pair in pairs)
        verdict, reason = FAIL, f"shown by {len(pairs)} pairs of processes, {fresh} of them fresh"
    elif growth.high <= allowed and _enough(pairs):
        verdict = PASS
    else:
        reason = f"between {100 * growth.low:+.1f} and {100 * growth.high:+.1f} %"
        if len(pairs) > 1:
            reason += f" by {len(pairs)} pairs of processes"
        if trouble:
            reason += f"; {trouble}"
        elif pairs[0].crowded:
            reason += f"; {CROWDED}"
    return Verdict(
        gate=f"regression[{gate}]",
        verdict=verdict,
        measured=growth.share,
        limit=allowed,
        reason=reason,
        unit="share",
        interval=(growth.low, growth.high),
    )


def _comparison(
    pairs: Sequence[Pair],
    growths: dict[str, Growth],
    plan: Plan,
    differences: tuple[str, ...],
    improved: Sequence[str],
) -> PairedComparison:
    better = [
        f"regression[{gate}]"
        for gate, growth in growths.items()
        if growth.high < -plan.allowed(gate) and _enough(pairs)
    ]
    found = PairedComparison(
        revision=plan.reference.name,
        commit=plan.reference.commit,
        blocks=min(pair.blocks for pair in pairs),
        launches=len(pairs),
        differences=differences,
        imported=pairs[0].imported,
        improved=(*improved, *better),
        operators=_changed(pairs[-1]),
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


def _changed(pair: Pair) -> tuple[OperatorChange, ...]:
    """The operators that differ most between the sides, those that got slower first.

    One with another number of calls differs more than any that only takes longer: it says why.
    """
    here, there = _costs(pair.here), _costs(pair.there)
    changes = []
    for name in sorted({*here, *there}):
        calls_there, there_ns = there.get(name, (0, 0.0))
        calls_here, here_ns = here.get(name, (0, 0.0))
        changes.append(OperatorChange(name, calls_there, calls_here, there_ns, here_ns))
    changes.sort(
        key=lambda change: (
            change.calls_there != change.calls_here,
            abs(change.there_ns - change.here_ns),
        ),
        reverse=True,
    )
    return tuple(
        sorted(changes[:MOST_OPERATORS], key=lambda change: change.there_ns - change.here_ns)
    )


def _costs(profile: Profile) -> dict[str, tuple[int, float]]:
    """Calls and self time of every operator, and of what is outside them."""
    costs = {cost.name: (cost.calls, cost.self_ns) for cost in profile.operators}
    return {**costs, "outside": (0, profile.outside_ns)}
