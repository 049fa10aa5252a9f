"""Budgets: the limits of a marker, and the verdict on each of them.

A verdict follows from the confidence interval of the measured quantity. It is ``pass`` if the whole
interval is within the limit, ``fail`` if all of it is beyond, else ``inconclusive``. Counts, MACs
and bytes are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import Profile, Verdict
from pytest_hiddencost.core.taxonomy import DEFAULT, GROUPS, Taxonomy
from pytest_hiddencost.core.tolerances import ENERGY, Tolerances
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.quantities import (
    UNBOUNDED,
    WHOLE_CALL,
    Bounded,
    Limit,
    against,
    quantity_of,
)
from pytest_hiddencost.judge.reasons import Reason


@dataclass(frozen=True)
class Budget:
    """The limits of one marker, for all calls of a test or for the one with ``label``."""

    limits: tuple[Limit, ...]
    label: str | None = None
    regression: Tolerances = Tolerances()  # noqa: RUF009  # frozen, so shared safely

    @property
    def timed(self) -> bool:
        """Whether any limit needs a clock."""
        return any(limit.timed for limit in self.limits)

    @property
    def needs_energy(self) -> bool:
        """Whether a limit or an allowed growth is on the energy of a call."""
        return self.compares_energy or any(limit.check.key == ENERGY for limit in self.limits)

    @property
    def compares_energy(self) -> bool:
        """Whether a growth of the energy is limited."""
        return ENERGY in self.regression.own

    @property
    def needs_windows(self) -> bool:
        """Whether profiler windows decide any limit, and not the latency alone."""
        alone = {*WHOLE_CALL, "mac_rate"}
        return any(limit.timed and limit.check.key not in alone for limit in self.limits)


def check(profile: Profile, budget: Budget, taxonomy: Taxonomy = DEFAULT) -> tuple[Verdict, ...]:
    """Return the verdict on every limit of ``budget``, in its order."""
    return tuple(_verdict(profile, limit, taxonomy) for limit in budget.limits)


def more_samples_help(found: tuple[Verdict, ...]) -> bool:
    """Return whether more samples could still decide a limit."""
    return any(verdict.sampling_helps for verdict in found)


def _verdict(profile: Profile, limit: Limit, taxonomy: Taxonomy) -> Verdict:
    key = limit.check.key
    needs_a_match = limit.of_operators and limit.value > 0
    nothing_seen = not (profile.operators or profile.macs or profile.unseen_ns)
    if nothing_seen and key not in WHOLE_CALL and not needs_a_match:
        return _final(limit, None, reasons.NOTHING_SEEN)
    if limit.of_operators and not operators_of(profile, key):
        return _nothing_matched(profile, limit, taxonomy)
    found = quantity_of(profile, limit)
    if limit.timed and not profile.health.fit:
        return _final(limit, found.value, verdicts.unfit(profile.health))
    varying = verdicts.varying(profile.varies, "macs" if key == "mac_rate" else key)
    if limit.timed:
        varying = verdicts.trend(profile.varies) or varying
    if varying is not None:
        return _final(limit, found.value, varying)
    outcome = against(found.bounds, limit)
    if profile.unseen_ns and _depends_on_unseen_work(limit, outcome):
        return _final(limit, found.value, verdicts.unseen(profile.unseen_ns))
    if profile.uncosted and _depends_on_missing_macs(profile, limit, outcome):
        operators = ", ".join(profile.uncosted)
        reason = reasons.NO_FORMULA.filled(operators=operators, quantity=key)
        return _final(limit, found.value, reason)
    if outcome == INCONCLUSIVE or _calls_vary(profile, limit, found):
        return _undecided(limit, found)
    return verdicts.decided(
        limit.check,
        outcome,
        found.value,
        limit.value,
        limit.unit,
        interval=found.interval,
        at_least=limit.at_least,
    )


def _final(limit: Limit, value: float | None, reason: Reason) -> Verdict:
    """Return an inconclusive verdict that more samples would not change."""
    return _undecided(limit, Bounded(value, UNBOUNDED, reason, settled=True))


def _undecided(limit: Limit, found: Bounded) -> Verdict:
    return verdicts.undecided(
        limit.check,
        limit.value,
        limit.unit,
        found.lacking,
        measured=found.value,
        interval=found.interval,
        at_least=limit.at_least,
        sampling_helps=limit.timed and not found.settled,
    )


def _nothing_matched(profile: Profile, limit: Limit, taxonomy: Taxonomy) -> Verdict:
    key = limit.check.key
    exists = key in GROUPS or taxonomy.knows(key)
    if profile.unseen_ns and exists:
        return _final(limit, None, verdicts.unseen(profile.unseen_ns))
    if "calls" in profile.varies and exists:  # calls that no window saw may run it
        return _final(limit, None, reasons.CALLS_VARY)
    if limit.value == 0 and exists:  # "none of these" is a limit that holds
        return verdicts.decided(limit.check, PASS, 0.0, 0.0, limit.unit, interval=(0.0, 0.0))
    names = [operator.name for operator in profile.operators]
    known = f"name one of: {listed(names, 6)}" if names else "the profiler saw no operator"
    reason = f"{key!r} matches no operator of this call, so the limit checks nothing; {known}"
    return verdicts.decided(limit.check, FAIL, None, limit.value, limit.unit, reason=reason)


def _depends_on_missing_macs(profile: Profile, limit: Limit, outcome: str) -> bool:
    """Return whether operators without a formula could change the verdict by their MACs."""
    known = {o.name for o in profile.operators if o.group != "unclassified"}
    risky = {"macs": PASS, "mac_rate": FAIL}
    if not known.issuperset(profile.uncosted):
        risky["non_mac"] = FAIL
    return not limit.of_operators and risky.get(limit.check.key) == outcome


def _depends_on_unseen_work(limit: Limit, outcome: str) -> bool:
    """Return whether work out of sight could change the verdict: it adds MACs, calls and bytes."""
    risky = FAIL if limit.at_least or limit.check.key == "non_mac" else PASS
    return limit.check.key not in WHOLE_CALL and outcome == risky


def _calls_vary(profile: Profile, limit: Limit, found: Bounded) -> bool:
    """Return whether a number of calls is known to vary; any call at all breaks a limit of 0."""
    if not (limit.of_operators and limit.unit == "calls"):
        return False
    least, most = found.bounds
    return (least != most or "calls" in profile.varies) and (limit.value > 0 or least == 0)
