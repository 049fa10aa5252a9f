"""How fast the device was at every launch, as the reference workload says, and what that leaves open.

A shared machine has several paces and changes between them within seconds, as its neighbours come
and go. A model follows the reference workload by a power of its own. Where launches of the same side saw
paces as far apart as the sides are, they show that power, and growth is told at one pace; where
they did not, growth must be larger than what any power leaves open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pytest_hiddencost.judge.statistics import (
    Growth,
    deviations,
    growth,
    growth_beside,
    mean_log,
    smallest_growth,
    spread_beside,
    spread_of,
)

FEWEST = 6  # launches of both sides that show a power, and
LEAST_VARIATION = (
    0.2  # of the reference workload within the sides: root of the sum of squares of logarithms
)
# By what a device that changes changes a model, powers of the reference workload; somewhat more than
# reference models showed (benchmarks/control.py):
REFERENCE_ERROR = 0.4  # around 1, where launches do not show it;
SHOWN_ERROR = 0.15  # around what they show, since another cause may have another power
SHARE_OF_GROWTH = 0.5  # a control that moved by as much of a growth is the reason to name


@dataclass(frozen=True)
class Drift:
    """What the reference workload took at every launch, recorded and of now, in ns; 0 where it did not run."""

    recorded: Sequence[float]
    now: Sequence[float]

    @property
    def reference_growth(self) -> float | None:
        """How much longer the reference workload takes now, as a share."""
        if not min(*self.recorded, *self.now):
            return None
        return median(self.now) / median(self.recorded) - 1.0

    @property
    def shown(self) -> bool:
        """Whether the launches show by what power of the reference workload a time goes.

        Once the shift is out the sides never differ by more than launches do within them: either
        they share an extreme, or one lies within the other.
        """
        if len(self.recorded) + len(self.now) < FEWEST or self.reference_growth is None:
            return False
        variation = math.hypot(*deviations(self.recorded), *deviations(self.now))
        return variation >= LEAST_VARIATION

    @property
    def _edges(self) -> tuple[float, float]:
        """By how much the fastest and the slowest pace differ, in logarithms; the less first.

        Neighbours who come and go leave one of them as it was: if neither is, the device became
        another one.
        """
        fastest = math.log(min(self.now) / min(self.recorded))
        slowest = math.log(max(self.now) / max(self.recorded))
        less, more = sorted((fastest, slowest), key=abs)
        return less, more

    @property
    def _shift(self) -> float:
        """By how much all paces of now differ from all that were recorded, in logarithms."""
        less, more = self._edges
        return less if less * more > 0.0 else 0.0

    @property
    def _apart(self) -> float:
        """By how much the sides differ beyond that."""
        return mean_log(self.now) - mean_log(self.recorded) - self._shift

    def at_most(self, share: float) -> float:
        """What a growth of so much may look like."""
        if self.shown:
            blur = SHOWN_ERROR * abs(self._apart) + REFERENCE_ERROR * abs(self._edges[0])
        else:
            blur = REFERENCE_ERROR * abs(math.log1p(self.reference_growth or 0.0))
        return math.expm1(min(math.log1p(share) + blur, 700.0))  # beyond are no numbers

    def growth(
        self,
        recorded: Sequence[float],
        now: Sequence[float],
        tolerance: float,
        confidence: float,
    ) -> Growth:
        """Of times relative to the reference workload, one for each launch."""
        if self.shown:
            drift = [pace / math.exp(self._shift) for pace in self.now]
            return growth_beside(recorded, now, self.recorded, drift, tolerance, confidence)
        return growth(recorded, now, tolerance, confidence)

    def smallest_growth(
        self,
        recorded: Sequence[float],
        now: Sequence[float],
        launches: int,
        tolerance: float,
        risk: float,
    ) -> float:
        """The least growth that would be seen with so many ``launches`` of now."""
        if self.shown:
            spread = spread_beside(recorded, now, self.recorded, self.now)
            slopes = 1
        else:
            spread = spread_of(recorded)
            slopes = 0
        allowed = self.at_most(tolerance)
        seen = smallest_growth(spread, len(recorded), launches, allowed, risk, slopes=slopes)
        return max(seen, self._least(tolerance))

    def counted(self, share: float) -> float:
        """The growth that counts: not a device that became faster, or slower, and nothing else."""
        if self.shown:
            return share
        itself = (1.0 + share) * (1.0 + (self.reference_growth or 0.0)) - 1.0
        return min(share, itself) if share > 0 else max(share, itself)

    def _least(self, tolerance: float) -> float:
        """The growth from which on any counts."""
        if self.shown:
            return tolerance
        return (1.0 + tolerance) / (1.0 + min(0.0, self.reference_growth or 0.0)) - 1.0

    def excuse(self, share: float, tolerance: float) -> bool:
        """Whether a device that changed is the first reason to name for what is not decided."""
        if self.shown:
            return False
        moved = self.reference_growth
        return moved is None or abs(moved) > max(tolerance, SHARE_OF_GROWTH * abs(share))
