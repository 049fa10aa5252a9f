"""Ratios of head to base: from the blocks and windows of a pair, and from pairs to a growth.

Within a pair of processes, the rank interval of the blocks' median gives the error of their ratio.
Pairs differ by more, since each process has another memory layout. The spread of unchanged code
(``python -m benchmarks interleaved``) moderates the estimated spread between pairs (Smyth 2004,
Linear models and empirical Bayes methods).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from statistics import NormalDist, median
from typing import NamedTuple

from pytest_hiddencost.core.intervals import median_interval, samples_needed
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.statistics import Growth, growth_known_to

# Standard deviation between pairs of processes, beyond the error of their blocks; and the number
# of pairs that this knowledge counts as.
PAIR_SPREAD = {"p50": 0.010, "non_mac": 0.015}
PRIOR_FREEDOM = 4
# Errors within a pair that are small beside that: further blocks or windows would add nothing.
SMALL_ERROR = {"p50": 0.005, "non_mac": 0.01}
WITHIN = 0.9  # confidence of the interval that gives the error within a pair
FEWEST = samples_needed(0.5, WITHIN)  # blocks or windows


class WindowTime(NamedTuple):
    """One profiler window: its time outside MAC kernels, and its whole time, in ns."""

    non_mac_ns: int
    whole_ns: int


@dataclass(frozen=True)
class Estimate:
    """The logarithm of a ratio, and its standard error within one pair of processes."""

    change: float
    error: float


def from_blocks(ratios: Sequence[float]) -> Estimate:
    """Estimate a ratio from the logarithms of blocks. Raises ``ValueError`` below FEWEST blocks."""
    bounds = median_interval(ratios, WITHIN)
    if bounds is None:
        raise ValueError(f"{len(ratios)} blocks are too few for an interval")
    reach = NormalDist().inv_cdf(0.5 + WITHIN / 2.0)
    return Estimate(median(ratios), (bounds[1] - bounds[0]) / 2.0 / reach)


def sure_enough(key: str, ratios: Sequence[float], spent_ns: float, before_ns: float) -> bool:
    """Return whether another pair would now reduce the error more than further blocks.

    The blocks took ``spent_ns``, the start of the pair ``before_ns``. The rule is the best division
    of time in two-stage sampling (Cochran 1977, Sampling Techniques, 10.6).
    """
    error = from_blocks(ratios).error
    worth = PAIR_SPREAD[key] * math.sqrt(spent_ns / max(1, before_ns))
    return error <= max(SMALL_ERROR[key], worth)


def of_windows(
    windows: Sequence[tuple[WindowTime, WindowTime]], p50: Estimate, head: Profile, base: Profile
) -> Estimate | None:
    """Estimate the ratio of non-MAC time; None if the profiler's overhead leaves none.

    Non-MAC time is a share of p50. The share comes from profiler windows: a slow machine changes
    a window's time, not its shares. Head and base have one cost per event, since the difference of
    two fitted costs exceeds that of the times.
    """
    event_ns = (head.profiler.event_cost_ns + base.profiler.event_cost_ns) / 2.0
    head_ns, base_ns = event_ns * head.profiler.events, event_ns * base.profiler.events
    if any(of_head[0] <= head_ns or of_base[0] <= base_ns for of_head, of_base in windows):
        return None
    share = from_blocks(shares_changed(windows, head_ns, base_ns))
    return Estimate(p50.change + share.change, math.hypot(p50.error, share.error))


def shares_changed(
    windows: Sequence[tuple[WindowTime, WindowTime]], head_ns: float = 0.0, base_ns: float = 0.0
) -> list[float]:
    """Return the logarithms of head's non-MAC share over base's, window by window.

    ``head_ns``, ``base_ns``: the profiler's overhead in each window of head and base.
    """
    return [math.log(_share(head, head_ns) / _share(base, base_ns)) for head, base in windows]


def _share(window: WindowTime, cost_ns: float) -> float:
    outside_ns, whole_ns = window
    return max(1.0, outside_ns - cost_ns) / max(1.0, whole_ns - cost_ns)


def growth_of(
    pairs: Sequence[Estimate], spread: float, tolerance: float, confidence: float
) -> Growth:
    """Return the growth of head over base from one pair of processes or several.

    Each pair has the inverse of its variance as weight (Cochran 1954, The combination of estimates
    from different experiments). ``spread`` is the expected one between pairs, of ``PAIR_SPREAD``.
    """
    weights = [1.0 / (spread**2 + pair.error**2) for pair in pairs]
    whole = math.fsum(weights)
    mean = math.fsum(map(mul, weights, [pair.change for pair in pairs])) / whole
    freedom = PRIOR_FREEDOM + len(pairs) - 1
    squares = math.fsum(map(mul, weights, [(pair.change - mean) ** 2 for pair in pairs]))
    error = math.sqrt((PRIOR_FREEDOM + squares) / freedom / whole)
    return growth_known_to(mean, error, freedom, tolerance, confidence)
