"""One sequential test for baselines and revisions: looks, the risk at each, many checks.

Observations (relaunches, or pairs of processes) are taken in batches. At each look a share of the
risk of a false alarm is spent: the shares sum to at most 1, so that the risk holds over all looks
(Bonferroni). The checks of one call share it by weighted Holm correction, the calls of a session
equally. Stopping early because nothing is to be seen costs no risk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pytest_hiddencost.judge.statistics import rejected


@dataclass(frozen=True)
class Look:
    """A look after so many observations in all, which spends a share of the risk."""

    size: int
    risk_share: float


@dataclass(frozen=True)
class SequentialTest:
    """Looks and risks of one call. ``shares`` divide its risk among its checks, by key.

    ``calls`` is the number of calls in the session, which divide ``1 - confidence`` equally.
    """

    looks: tuple[Look, ...]
    shares: Mapping[str, float]
    confidence: float
    calls: int

    def _risk(self, look: Look) -> float:
        return (1.0 - self.confidence) * look.risk_share / self.calls

    def rejected(self, look: Look, risks: Mapping[str, float]) -> frozenset[str]:
        """Return the checks that fail at a look; ``risks`` are their p-values, by key."""
        return rejected(risks, self.shares, self._risk(look))

    def last_risk(self, key: str) -> float:
        """Return the risk that a check has for itself at the last look."""
        return self._risk(self.looks[-1]) * self.shares[key]


class Experiment(Protocol):
    """What a sequential test decides about."""

    def take(self, look: Look) -> bool:
        """Take observations up to this look; return whether there were enough."""

    def risks(self) -> Mapping[str, float]:
        """Return the p-value of every check that could fail now, by key."""

    def is_open(self, look: Look) -> bool:
        """Return whether more observations are worth their time."""


def decide(test: SequentialTest, experiment: Experiment) -> frozenset[str]:
    """Take observations look by look until they decide; return the checks that failed."""
    for look in test.looks:
        if not experiment.take(look):
            break
        fallen = test.rejected(look, experiment.risks())
        if fallen or not experiment.is_open(look):
            return fallen
    return frozenset()
