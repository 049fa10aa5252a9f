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

ROUNDING = 1e-9  # relative; a risk met exactly must not fail by the last bit
NEGLIGIBLE = 1e-20  # relative to the most likely count

Bounds = tuple[float, float]


def _binomial_pmf(n: int, q: float) -> tuple[int, list[float]]:
    """Probabilities of Binomial(n, q) where they are not negligible, and the first such count."""
    odds = q / (1.0 - q)
    mode = min(n, math.floor((n + 1) * q))
    above, below = [1.0], []
    for k in range(mode, n):
        above.append(above[-1] * (n - k) / (k + 1) * odds)
        if above[-1] < NEGLIGIBLE:
            break
    likely = 1.0
    for k in range(mode, 0, -1):
        likely *= k / (n - k + 1) / odds
        if likely < NEGLIGIBLE:
            break
        below.append(likely)
    relative = [*reversed(below), *above]
    total = math.fsum(relative)
    return mode - len(below), [value / total for value in relative]


@lru_cache(maxsize=4096)
def quantile_ranks(n: int, q: float, confidence: float) -> tuple[int | None, int | None]:
    """Ranks (1: the smallest sample) whose samples bound the q-quantile, each at half the risk.

    A side is ``None`` when n samples are too few to bound it at this confidence.
    """
    risk = (1.0 - confidence) / 2.0 * (1.0 + ROUNDING)
    first, pmf = _binomial_pmf(n, q)
    # X_(r) lies above the quantile when fewer than r samples lie below it: P(Binomial < r) <= risk.
    low = first + sum(1 for total in accumulate(pmf) if total <= risk)
    # X_(s) lies below the quantile when at least s samples do: P(Binomial >= s) <= risk.
    high = first + len(pmf) - sum(1 for total in accumulate(reversed(pmf)) if total <= risk)
    return (low if low >= 1 else None, high if high <= n else None)


def samples_needed(q: float, confidence: float) -> int:
    """The fewest samples with which the q-quantile can be bounded on both sides."""
    risk = (1.0 - confidence) / 2.0 * (1.0 + ROUNDING)
    rarer = min(math.log(q), math.log1p(-q), key=abs)
    return math.ceil(math.log(risk) / rarer)


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
