"""The hidden costs of a call, and which of them are worth a limit of their own.

A hidden cost is a group of operators outside MAC kernels, or one operator that has no group. Costs
are ranked by the lower bound of their share, which is the time that they surely take. A cost is
worth a limit if it takes ``WORTH_SHARE`` of the call. The limit is a share if the measurement
can decide it, else the exact number of calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pytest_hiddencost.core.call_sites import grouped_call_sites
from pytest_hiddencost.core.checks import OPERATORS, Check
from pytest_hiddencost.core.intervals import Bounds
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import OperatorCost, Profile
from pytest_hiddencost.core.taxonomy import GROUPS
from pytest_hiddencost.judge.quantities import Limit, quantity_of, window_shares
from pytest_hiddencost.suggest.limits import LeftOut, SuggestedLimit, exact_limit, timed_limit

WORTH_SHARE: Final = 0.05  # of the call: the growth that gates tolerate without an option
NO_OPERATOR: Final = "outside"


@dataclass(frozen=True)
class RankedCost:
    """One hidden cost; ``key`` stands in ``operators={...}``, and is NO_OPERATOR for no operator.

    ``by_time`` and ``by_calls`` are its possible limits; ``untimed`` says why the first is missing.
    """

    key: str
    share: float
    interval: Bounds | None
    operators: tuple[str, ...]  # costliest first
    where: str  # module path and line of the costliest call site; empty if not known
    by_time: SuggestedLimit | None = None
    by_calls: SuggestedLimit | None = None
    untimed: LeftOut | None = None

    @property
    def worth_a_limit(self) -> bool:
        """Whether it takes so much time that a limit of its own is worth it."""
        return self.share >= WORTH_SHARE

    @property
    def limit(self) -> SuggestedLimit | None:
        """The limit to suggest, if any."""
        return (self.by_time or self.by_calls) if self.worth_a_limit else None

    @property
    def surely(self) -> float:
        """The share that it takes at least."""
        return 0.0 if self.interval is None else self.interval[0]


def ranked_costs(profile: Profile) -> list[RankedCost]:
    """Return the hidden costs of a call, surest time first, and NO_OPERATOR last."""
    costs = [_cost(profile, key) for key in _keys(profile)]
    share = profile.outside_ns / profile.latency.median_ns
    outside = RankedCost(NO_OPERATOR, share, None, (), "")
    return [*sorted(costs, key=lambda cost: (-cost.surely, -cost.share, cost.key)), outside]


def _keys(profile: Profile) -> list[str]:
    """Return the groups of the call; an operator without a group stands for itself."""
    hidden = [o for o in profile.operators if o.mac_share < 1.0 and o.group != "mac"]
    groups = {operator.group for operator in hidden}
    keys = [group for group in GROUPS if group in groups]
    unknown = [operator.name for operator in hidden if operator.group == "unclassified"]
    if len(unknown) == 1 and "::" in unknown[0]:  # others a marker does not take as a key
        keys[keys.index("unclassified")] = unknown[0]
    return keys


def _cost(profile: Profile, key: str) -> RankedCost:
    parts = sorted(operators_of(profile, key), key=lambda part: -part[0].self_ns * part[1])
    check = Check(OPERATORS, key)
    by_time = timed_limit(profile, check, "share", window_shares(profile, parts))
    by_calls = exact_limit(profile, check, "calls")
    measured = quantity_of(profile, Limit(check, "share", 1.0))
    return RankedCost(
        key,
        measured.value or 0.0,
        measured.interval,
        tuple(operator.name for operator, _ in parts),
        _busiest_call_site(parts[0][0]),
        by_time if isinstance(by_time, SuggestedLimit) else None,
        by_calls if isinstance(by_calls, SuggestedLimit) else None,
        by_time if isinstance(by_time, LeftOut) else None,
    )


def _busiest_call_site(operator: OperatorCost) -> str:
    return next((group.where for group in grouped_call_sites(operator)), "")
