"""Distribution-free confidence intervals for quantiles, from order statistics.

The number of samples below the true q-quantile is Binomial(n, q). Ranks chosen from that
distribution bound the quantile whatever the distribution of the samples (David and Nagaraja,
Order Statistics, 3rd ed., section 7.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, takewhile

ROUNDING = 1e-9  # relative; rounding must not push a risk over a limit that it meets exactly
NEGLIGIBLE = 1e-20  # relative to the most likely count

Bounds = tuple[float, float]


def _binomial_pmf(n: int, q: float) -> tuple[int, list[float]]:
    """Return the first count that is not negligible, and the probabilities from it on."""

    def kept(relative: Iterable[float]) -> list[float]:
        return list(takewhile(lambda value: value >= NEGLIGIBLE, relative))

    odds, mode = q / (1.0 - q), min(n, math.floor((n + 1) * q))
    up, down = range(mode, n), range(mode, 0, -1)
    above = kept(accumulate(up, lambda p, k: p * (n - k) / (k + 1) * odds, initial=1.0))
    below = kept(accumulate(down, lambda p, k: p * (k / (n - k + 1) / odds), initial=1.0))[1:]
    relative = [*reversed(below), *above]
    total = math.fsum(relative)
    return mode - len(below), [value / total for value in relative]


@lru_cache(maxsize=4096)
def quantile_ranks(n: int, q: float, confidence: float) -> tuple[int | None, int | None]:
    """Return the ranks (1: the smallest sample) that bound the q-quantile, each at half the risk.

    A rank is ``None`` if n samples are too few to bound that side at this confidence.
    """
    risk = (1.0 - confidence) / 2.0 * (1.0 + ROUNDING)
    first, pmf = _binomial_pmf(n, q)
    # X_(r) lies above the quantile when fewer than r samples lie below it: P(Binomial < r) <= risk.
    low = first + sum(total <= risk for total in accumulate(pmf))
    # X_(s) lies below the quantile when at least s samples do: P(Binomial >= s) <= risk.
    high = first + len(pmf) - sum(total <= risk for total in accumulate(reversed(pmf)))
    return (low if low >= 1 else None, high if high <= n else None)


def samples_needed(q: float, confidence: float) -> int:
    """Return the fewest samples that bound the q-quantile on both sides."""
    risk = (1.0 - confidence) / 2.0 * (1.0 + ROUNDING)
    return math.ceil(math.log(risk) / min(math.log(q), math.log1p(-q), key=abs))


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the q-quantile of sorted samples, interpolated linearly (Hyndman and Fan's type 7)."""
    position = (len(ordered) - 1) * q
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def quantile_bounds(ordered: Sequence[float], q: float, confidence: float) -> Bounds:
    """Return confidence bounds of the q-quantile of sorted samples; infinite where unbounded."""
    low, high = quantile_ranks(len(ordered), q, confidence)
    return (
        -math.inf if low is None else ordered[low - 1],
        math.inf if high is None else ordered[high - 1],
    )


def median_interval(samples: Sequence[float], confidence: float) -> Bounds | None:
    """Return the confidence interval of the median; ``None`` if the samples are too few."""
    bounds = quantile_bounds(sorted(samples), 0.5, confidence)
    return bounds if all(map(math.isfinite, bounds)) else None
