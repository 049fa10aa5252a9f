"""One sequential test for baselines and revisions: looks, the risk at each, many checks.

Observations are relaunches or pairs of processes, taken in batches. Each look spends a share of
the risk of a false alarm. The shares sum to at most 1, so the risk holds over all looks
(Bonferroni). The calls of a session divide the risk, the checks of a call by Holm's weighted
procedure. A test that stops early without a rejection spends no risk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pytest_hiddencost.judge.statistics import rejected

CHECK_SHARES = {"p50": 0.5, "non_mac": 0.5}  # of a call's risk


@dataclass(frozen=True)
class Look:
    """A look after ``size`` observations in all, which spends a share of the risk."""

    size: int
    risk_share: float


@dataclass(frozen=True)
class SequentialTest:
    """The test of one call among ``calls`` of a session; ``shares`` divide its risk, by key.

    ``1 - confidence`` is the risk of the session.
    """

    looks: tuple[Look, ...]
    shares: Mapping[str, float]
    confidence: float
    calls: float

    def _risk(self, look: Look) -> float:
        return (1.0 - self.confidence) * look.risk_share / self.calls

    def rejected(self, look: Look, risks: Mapping[str, float]) -> frozenset[str]:
        """Return the checks that fail at a look; ``risks`` are their p-values, by key."""
        risk = self._risk(look)
        return rejected(risks, self.shares, risk) if risk else frozenset()

    def last_risk(self, key: str) -> float:
        """Return the risk that a check has for itself at the last look."""
        return self._risk(self.looks[-1]) * self.shares[key]


class Experiment(Protocol):
    """The observations of one call, taken as the sequential test asks for them."""

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
