"""Wilcoxon's signed-rank test and interval for the centre of a symmetric distribution.

They hold exactly for any spread, with outliers or two modes, for as few values as there are. Ratios
of head to base are symmetric in unchanged code: the two processes of a pair are exchangeable. The
interval comes from the means of all pairs of values (Hollander, Wolfe and Chicken 2014,
Nonparametric Statistical Methods, 3.1 to 3.3). SciPy has the test and not the interval.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, combinations_with_replacement
from statistics import median


def fewest(risk: float) -> int:
    """Return how many values the test needs to reject at this risk."""
    return math.ceil(math.log2(1.0 / risk))


def center(values: Sequence[float]) -> float:
    """Return the Hodges-Lehmann estimate: the median of the means of all pairs of values."""
    return median(_means(values))


def bounds(values: Sequence[float], risk: float) -> tuple[float, float]:
    """Return the lower and the upper bound, each wrong with at most this ``risk``.

    With fewer than ``fewest(risk)`` values they are infinite.
    """
    means = _means(values)
    beyond = bisect_right(_tail(len(values)), risk)  # so many means may lie outside of a bound
    if not beyond:
        return -math.inf, math.inf
    return means[beyond - 1], means[-beyond]


def risk_above(values: Sequence[float], limit: float) -> float:
    """Return the p-value of the hypothesis that the centre is at most ``limit``."""
    return _tail(len(values))[bisect_right(_means(values), limit)]


def _means(values: Sequence[float]) -> list[float]:
    """Return the means of all pairs of values, each value with itself included, in order."""
    return sorted((a + b) / 2.0 for a, b in combinations_with_replacement(values, 2))


@cache
def _tail(count: int) -> tuple[float, ...]:
    """Return the probability that the rank sum of ``count`` values is at most 0, 1, 2, ..."""
    ways = [1]
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for i, number in enumerate(ways):
            longer[i + rank] += number
        ways = longer
    return tuple(total / 2**count for total in accumulate(ways))
