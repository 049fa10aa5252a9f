"""Distribution-free confidence intervals for quantiles, from order statistics.

The number of samples below the true q-quantile is Binomial(n, q), so ranks chosen from that
distribution bound the quantile whatever the distribution of the samples (David and Nagaraja,
Order Statistics, 3rd ed., section 7.1). Nothing here assumes normal noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from statistics import NormalDist

EXACT_UP_TO = 2000  # beyond it the normal approximation is off by less than one rank

Bounds = tuple[float, float]


def _binomial_pmf(n: int, q: float) -> list[float]:
    log_q, log_p = math.log(q), math.log1p(-q)
    log_factorial = [math.lgamma(k + 1) for k in range(n + 1)]
    return [
        math.exp(
            log_factorial[n] - log_factorial[k] - log_factorial[n - k] + k * log_q + (n - k) * log_p
        )
        for k in range(n + 1)
    ]


@lru_cache(maxsize=4096)
def quantile_ranks(n: int, q: float, confidence: float) -> tuple[int | None, int | None]:
    """Ranks (1: the smallest sample) whose samples bound the q-quantile, each at half the risk.

    A side is ``None`` when n samples are too few to bound it at this confidence.
    """
    risk = (1.0 - confidence) / 2.0
    if n > EXACT_UP_TO:
        z = NormalDist().inv_cdf(1.0 - risk)
        half = z * math.sqrt(n * q * (1.0 - q))
        low, high = math.floor(n * q - half), math.ceil(n * q + half) + 1
        return (low if low >= 1 else None, high if high <= n else None)
    at_most = list(accumulate(_binomial_pmf(n, q)))  # at_most[k] = P(Binomial <= k)
    # X_(r) lies above the quantile when fewer than r samples lie below it: P(Binomial <= r - 1).
    lower = [r for r in range(1, n + 1) if at_most[r - 1] <= risk]
    # X_(s) lies below the quantile when at least s samples do: 1 - P(Binomial <= s - 1).
    upper = next((s for s in range(1, n + 1) if 1.0 - at_most[s - 1] <= risk), None)
    return (lower[-1] if lower else None, upper)


def samples_needed(q: float, confidence: float) -> int:
    """The fewest samples with which the q-quantile can be bounded on both sides."""
    risk = (1.0 - confidence) / 2.0
    return max(math.ceil(math.log(risk) / math.log(q)), math.ceil(math.log(risk) / math.log1p(-q)))


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile of sorted samples, by linear interpolation (Hyndman and Fan's type 7)."""
    position = (len(ordered) - 1) * q
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def quantile_bounds(ordered: Sequence[float], q: float, confidence: float) -> Bounds:
    """Confidence bounds of the q-quantile of sorted samples; an unbounded side is infinite."""
    low, high = quantile_ranks(len(ordered), q, confidence)
    return (
        -math.inf if low is None else ordered[low - 1],
        math.inf if high is None else ordered[high - 1],
    )


def median_interval(samples: Sequence[float], confidence: float) -> Bounds | None:
    """The confidence interval of the median, or ``None`` where the samples are too few for one."""
    low, high = quantile_bounds(sorted(samples), 0.5, confidence)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
