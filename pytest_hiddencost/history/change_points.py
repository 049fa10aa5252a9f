"""Change points: the runs at which a quantity of a call moved to another level.

Apache Otava finds change points in two steps (M. Fleming et al., "Hunter: Using Change Point
Detection to Hunt for Performance Regressions", ICPE 2023, https://doi.org/10.1145/3578244.3583719):
it splits the series wherever something may have changed, and merges the segments whose
difference is not significant. The same is done here. Otava itself (apache-otava 0.8) pins numpy
2.2 and scipy 1.16, and brings clients of BigQuery, PostgreSQL and Slack. On simulated histories
it gives 0.8 to 8 false rises a year (``tox run -e otava``). So the split is made here: the
segmentation of the ranks with the least squares, at a penalty for each segment (B. Jackson et al.,
IEEE Signal Processing Letters 12, 2005).

Otava's significance is Student's t, which takes runs for independent and normal. Here the means
are trimmed (K. Yuen, Biometrika 61, 1974), so that single slow runs do not count. The standard
error grows with the correlation of successive runs, which is taken to be ``LEAST_CORRELATION`` at
least. The p-value counts every place where the change could have been (Bonferroni).
``benchmarks/history`` simulates how often that gives a false alarm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

FEWEST = 6
"""Runs on each side of a change point."""
MOST_RUNS = 250
"""The newest runs of a series: earlier ones are left out."""
SIGNIFICANCE = 0.001
SMALLEST_CHANGE = 0.02
TRIMMED_SHARE = 0.2  # of each end of a segment
SEPARATION = 0.85
"""Share of pairs of a run before and one after that must differ in the direction of the change.

A few slow runs close together make no change, however slow they are.
"""
LEAST_CORRELATION, MOST_CORRELATION = 0.3, 0.95
PENALTY = 2.0  # of a further segment, in variances of the ranks times the logarithm of the runs


@dataclass(frozen=True)
class ChangePoint:
    """The first run after a change; ``growth`` is a share, ``p`` None if there is no noise."""

    index: int
    growth: float
    p: float | None
    before: int  # runs of the segment before it
    after: int


def exact_changes(values: Sequence[float]) -> list[ChangePoint]:
    """Return every change of a quantity without noise."""
    places = [i for i in range(1, len(values)) if values[i] != values[i - 1]]
    edges = [0, *places, len(values)]
    return [
        ChangePoint(i, _growth(values[i - 1], values[i]), None, i - edges[n], edges[n + 2] - i)
        for n, i in enumerate(places)
    ]


def _growth(before: float, after: float) -> float:
    return after / before - 1 if before else math.inf


def noisy_changes(
    values: Sequence[float],
    significance: float = SIGNIFICANCE,
    smallest: float = SMALLEST_CHANGE,
) -> list[ChangePoint]:
    """Return the change points of positive values; none if the values are few."""
    import numpy as np

    skipped = max(0, len(values) - MOST_RUNS)
    logs = np.log(np.asarray(values[skipped:], dtype=float))
    if len(logs) < 2 * FEWEST:
        return []
    segments = _Segments(logs)
    least = math.log1p(smallest)
    while found := segments.compared:
        weakest = max(range(len(found)), key=lambda i: (found[i].p, -abs(found[i].shift)))
        if found[weakest].p < significance:
            weakest = min(range(len(found)), key=lambda i: abs(found[i].shift))
            if abs(found[weakest].shift) >= least:
                edges = segments.edges
                return [_change(edges[i : i + 3], one, skipped) for i, one in enumerate(found)]
        segments.merge(weakest)
    return []


@dataclass(frozen=True)
class _Compared:
    """The growth of a segment over the one before it, and its p-value."""

    shift: float
    p: float


class _Segments:
    """The segments of a series, each compared with the next one."""

    def __init__(self, logs: NDArray[np.float64]) -> None:
        self._logs, self._ranks = logs, _ranks(logs)
        self.edges = [0, *_split(self._ranks)]
        self.compared = [self._compare(i) for i in range(len(self.edges) - 2)]

    def _compare(self, index: int) -> _Compared:
        return _compared(self._logs, self._ranks, *self.edges[index : index + 3])

    def merge(self, index: int) -> None:
        """Merge a segment with the next one."""
        del self.edges[index + 1], self.compared[index]
        for i in (index - 1, index):
            if 0 <= i < len(self.compared):
                self.compared[i] = self._compare(i)


def _change(edges: Sequence[int], found: _Compared, skipped: int) -> ChangePoint:
    start, middle, end = edges
    return ChangePoint(
        middle + skipped, math.expm1(found.shift), found.p, middle - start, end - middle
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks as shares of the number of values; equal values have the mean of theirs."""
    import numpy as np

    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return ranks[places] / len(values)


def _split(ranks: NDArray[np.float64]) -> list[int]:
    """Return the ends of segments, each of ``FEWEST`` runs at least; too many rather than few."""
    import numpy as np

    penalty = PENALTY * float(ranks.var()) * math.log(len(ranks))
    sums = np.concatenate(([0.0], np.cumsum(ranks - ranks.mean())))
    places = np.arange(len(sums))
    lengths = np.maximum(places[:, None] - places, 1)
    explained = (sums[:, None] - sums) ** 2 / lengths  # by a segment's mean, by end and start
    # The cost of the best segments that end at each place, and where the last of them starts.
    costs, starts = np.full(len(sums), np.inf), np.zeros(len(sums), dtype=int)
    costs[0] = 0.0
    for end in range(FEWEST, len(sums)):
        first = end - FEWEST + 1
        found = costs[:first] - explained[end, :first]
        starts[end] = found.argmin()
        costs[end] = found[starts[end]] + penalty
    ends = [len(ranks)]
    while starts[ends[0]]:
        ends.insert(0, int(starts[ends[0]]))
    return ends


def _compared(
    logs: NDArray[np.float64], ranks: NDArray[np.float64], start: int, middle: int, end: int
) -> _Compared:
    """Compare the runs from ``middle`` on with those before it."""
    from scipy.special import stdtr

    low, squares_low, kept_low = _trimmed(logs[start:middle])
    high, squares_high, kept_high = _trimmed(logs[middle:end])
    degrees = kept_low + kept_high - 2
    pooled = (squares_low + squares_high) / degrees
    # A few runs that scatter widely do not get the small variance of the many before them.
    variance = sum(
        max(pooled, squares / (kept - 1)) / kept
        for squares, kept in ((squares_low, kept_low), (squares_high, kept_high))
    )
    shift = high - low
    if _separation(logs[start:middle], logs[middle:end], shift) < SEPARATION:
        return _Compared(shift, 1.0)
    if not variance:
        return _Compared(shift, 0.0 if shift else 1.0)
    t = abs(shift) / math.sqrt(variance * _inflation(ranks[start:middle], ranks[middle:end]))
    places = end - start - 2 * FEWEST + 1
    return _Compared(shift, min(1.0, 2 * float(stdtr(degrees, -t)) * places))


def _separation(first: NDArray[np.float64], second: NDArray[np.float64], shift: float) -> float:
    """Return the share of pairs of runs, one of each segment, that differ as the shift does."""
    import numpy as np

    ordered = np.sort(first)
    below = np.searchsorted(ordered, second, "left") + np.searchsorted(ordered, second, "right")
    above = float(below.mean()) / (2 * len(first))
    return above if shift > 0 else 1 - above


def _trimmed(segment: NDArray[np.float64]) -> tuple[float, float, int]:
    """Return trimmed mean, winsorised sum of squares, and the number of runs kept."""
    import numpy as np

    ordered = np.sort(segment)
    cut = int(TRIMMED_SHARE * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    winsorised = np.clip(ordered, kept[0], kept[-1])
    return float(kept.mean()), float(((winsorised - winsorised.mean()) ** 2).sum()), len(kept)


def _inflation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the factor by which correlation of successive runs raises the variance of a mean.

    An autoregression of order one is assumed. Its coefficient is estimated from ranks, which slow
    runs do not dominate, and corrected for the bias of short series (M. Kendall, Biometrika 41,
    1954). It is at least ``LEAST_CORRELATION``, since a few runs show none.
    """
    products = squares = 0.0
    for segment in (first, second):
        centred = segment - segment.mean()
        products += float(centred[1:] @ centred[:-1])
        squares += float(centred @ centred)
    count = len(first) + len(second)
    estimated = products / squares if squares else 0.0
    corrected = estimated + (1 + 3 * estimated) / count
    correlation = min(max(corrected, LEAST_CORRELATION), MOST_CORRELATION)
    return (1 + correlation) / (1 - correlation)
