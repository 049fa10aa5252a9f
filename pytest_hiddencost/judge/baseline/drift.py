"""The drift of the device's speed between launches, and the growth that it could imitate.

A shared machine changes between several speeds within seconds, as other processes come and go. The
reference workload measures that speed. A model's time follows it with an exponent of its own, so a
growth counts only if no plausible exponent explains it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from pytest_hiddencost.judge import statistics
from pytest_hiddencost.judge.statistics import Series

# Uncertainty of the exponent, somewhat more than models showed (benchmarks/accuracy/reference.py).
REFERENCE_ERROR = 0.4
SHARE_OF_GROWTH = 0.5  # a reference workload that grew by more of a growth is the likely cause

NEARLY_NOTHING = -1.0 + 1e-12  # the least growth


@dataclass(frozen=True)
class Drift:
    """The reference workload's time in ns at every recorded and new launch; 0 if it did not run."""

    recorded: Series
    now: Series

    @property
    def reference_growth(self) -> float | None:
        """The growth of the reference workload's time as a share; None if it did not run."""
        if not min(*self.recorded, *self.now):
            return None
        return median(self.now) / median(self.recorded) - 1.0

    @property
    def _moved(self) -> float:
        return self.reference_growth or 0.0

    def at_most(self, share: float) -> float:
        """Return the largest growth that a true growth of ``share`` could show."""
        blur = REFERENCE_ERROR * abs(math.log1p(self._moved))
        # A growth may round to -1; one beyond exp(700) overflows.
        return math.expm1(min(math.log1p(max(share, NEARLY_NOTHING)) + blur, 700.0))

    def smallest_growth(
        self, recorded: Series, launches: int, tolerance: float, risk: float
    ) -> float:
        """Return the smallest growth that ``launches`` new launches would detect."""
        spread = statistics.spread_of(recorded)
        least = (1.0 + tolerance) / (1.0 + min(0.0, self._moved)) - 1.0
        allowed = self.at_most(tolerance)
        found = statistics.smallest_growth(spread, len(recorded), launches, allowed, risk)
        return max(found, least)

    def counted(self, share: float) -> float:
        """Return the growth that counts: the lesser of the relative and the plain one.

        The relative time alone may change with the device's speed.
        """
        plain = (1.0 + share) * (1.0 + self._moved) - 1.0
        return min(share, plain) if share > 0 else max(share, plain)

    def excuse(self, share: float, tolerance: float) -> bool:
        """Return whether a changed device is the likely reason that a growth is not decided."""
        moved = self.reference_growth
        return moved is None or abs(moved) > max(tolerance, SHARE_OF_GROWTH * abs(share))
