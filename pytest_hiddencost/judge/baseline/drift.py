"""The drift of the device's speed between launches, and the growth that it could imitate.

A shared machine changes between several speeds within seconds, as other processes come and go. The
reference workload measures that speed. A model's time follows it with an exponent of its own.

If launches vary enough in speed, they show that exponent, and the growth is compared at equal
speed. Otherwise a growth counts only if no plausible exponent explains it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from pytest_hiddencost.judge import statistics
from pytest_hiddencost.judge.statistics import Growth, Series, deviations, mean_log

FEWEST_LAUNCHES = 6  # recorded and new, that show the exponent
LEAST_VARIATION = 0.2  # root of the sum of squares of the speed's logarithms that shows it
# Uncertainty of the exponent, somewhat more than models showed (benchmarks/accuracy/reference.py).
REFERENCE_ERROR = 0.4  # around 1, if the launches do not show it
SHOWN_ERROR = 0.15  # around the one they show: another cause may have another exponent
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

    @property
    def shown(self) -> bool:
        """Whether the launches show the exponent between a time and the reference workload's.

        Beyond the shift, the mean speeds differ by less than the launches vary: the two ranges
        share an extreme, or one contains the other. So the exponent is never extrapolated.
        """
        if len(self.recorded) + len(self.now) < FEWEST_LAUNCHES or self.reference_growth is None:
            return False
        variation = math.hypot(*deviations(self.recorded), *deviations(self.now))
        return variation >= LEAST_VARIATION

    @property
    def _edges(self) -> tuple[float, float]:
        """The changes of the fastest and the slowest speed, in logarithms; the smaller one first.

        Other processes that come and go leave one of them unchanged. If both changed, the device
        itself did.
        """
        fastest = math.log(min(self.now) / min(self.recorded))
        slowest = math.log(max(self.now) / max(self.recorded))
        less, more = sorted((fastest, slowest), key=abs)
        return less, more

    @property
    def _shift(self) -> float:
        """The change of all speeds, in logarithms; 0 if the extremes changed in two directions."""
        less, more = self._edges
        return less if less * more > 0.0 else 0.0

    @property
    def _apart(self) -> float:
        """The change of the mean speed beyond the shift, in logarithms."""
        return mean_log(self.now) - mean_log(self.recorded) - self._shift

    def at_most(self, share: float) -> float:
        """Return the largest growth that a true growth of ``share`` could show."""
        if self.shown:
            blur = SHOWN_ERROR * abs(self._apart) + REFERENCE_ERROR * abs(self._edges[0])
        else:
            blur = REFERENCE_ERROR * abs(math.log1p(self._moved))
        # A growth may round to -1; one beyond exp(700) overflows.
        return math.expm1(min(math.log1p(max(share, NEARLY_NOTHING)) + blur, 700.0))

    def growth(self, recorded: Series, now: Series, tolerance: float, confidence: float) -> Growth:
        """Return the growth of times relative to the reference workload, one for each launch."""
        if not self.shown:
            return statistics.growth(recorded, now, tolerance, confidence)
        beside = [reference_ns / math.exp(self._shift) for reference_ns in self.now]
        return statistics.growth_beside(recorded, now, self.recorded, beside, tolerance, confidence)

    def smallest_growth(
        self, recorded: Series, now: Series, launches: int, tolerance: float, risk: float
    ) -> float:
        """Return the smallest growth that ``launches`` new launches would detect."""
        if self.shown:
            spread = statistics.spread_beside(recorded, now, self.recorded, self.now)
            least = tolerance
        else:
            spread = statistics.spread_of(recorded)
            least = (1.0 + tolerance) / (1.0 + min(0.0, self._moved)) - 1.0
        found = statistics.smallest_growth(
            spread, len(recorded), launches, self.at_most(tolerance), risk, slopes=int(self.shown)
        )
        return max(found, least)

    def counted(self, share: float) -> float:
        """Return the growth that counts: the lesser of the relative and the plain one.

        Without a known exponent, the relative time alone may change with the device's speed.
        """
        if self.shown:
            return share
        plain = (1.0 + share) * (1.0 + self._moved) - 1.0
        return min(share, plain) if share > 0 else max(share, plain)

    def excuse(self, share: float, tolerance: float) -> bool:
        """Return whether a changed device is the likely reason that a growth is not decided."""
        if self.shown:
            return False
        moved = self.reference_growth
        return moved is None or abs(moved) > max(tolerance, SHARE_OF_GROWTH * abs(share))
