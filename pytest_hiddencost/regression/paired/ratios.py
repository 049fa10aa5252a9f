"""What blocks taken in turns, and pairs of processes, say of a ratio.

Within a pair of processes the median of the blocks' ratios is known to within its rank interval.
Pairs differ by more than that: each process lays its memory out anew. That spread is estimated
from the pairs there are, moderated by what pairs of unchanged code showed here
(``benchmarks/paired.py``), as Smyth (2004, Linear models and empirical Bayes methods) does for many
small samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from pytest_hiddencost.intervals import median_interval
from pytest_hiddencost.records import Profile
from pytest_hiddencost.regression.stats import Growth, student_quantile, student_tail

PAIR_SPREAD = 0.01  # standard deviation between pairs of processes, beyond what blocks explain,
PRIOR_FREEDOM = 12  # and as how many pairs' evidence that counts
UNKNOWN_ERROR = 1.0  # of a share that one window alone has shown


@dataclass(frozen=True)
class Estimate:
    """The logarithm of a ratio, and its standard error within one pair of processes."""

    change: float
    error: float


def from_blocks(ratios: Sequence[float], confidence: float) -> Estimate:
    """The median of the blocks' log ratios, as many as an interval for it needs at least."""
    bounds = median_interval(ratios, confidence)
    if bounds is None:
        raise ValueError(f"{len(ratios)} blocks are too few for an interval")
    reach = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    return Estimate(median(ratios), (bounds[1] - bounds[0]) / 2.0 / reach)


def of_non_mac(latency: Estimate, here: Profile, there: Profile) -> Estimate | None:
    """The same of non-MAC time, from that of the latency; None where there is none to speak of."""
    ours, theirs = here.non_mac_share, there.non_mac_share
    if min(ours, theirs) <= 0.0:
        return None
    errors = [latency.error, _share_error(here) / ours, _share_error(there) / theirs]
    return Estimate(latency.change + math.log(ours / theirs), math.hypot(*errors))


def _share_error(profile: Profile) -> float:
    """Standard error of the non-MAC share, from window to window."""
    kernels = [o for o in profile.operators if o.mac_share and o.windows_ns]
    count = min((len(o.windows_ns) for o in kernels), default=0)
    if count < 2:
        return UNKNOWN_ERROR if kernels else 0.0
    sums = [math.fsum(o.mac_share * o.windows_ns[i] for o in kernels) for i in range(count)]
    mean = math.fsum(sums) / count
    variance = math.fsum((value - mean) ** 2 for value in sums) / (count - 1)
    return math.sqrt(variance / count) / profile.latency.median_ns


def growth_of(pairs: Sequence[Estimate], tolerance: float, confidence: float) -> Growth:
    """By how much here is slower than there, from one pair of processes or several."""
    count = len(pairs)
    mean = math.fsum(pair.change for pair in pairs) / count
    prior = PAIR_SPREAD**2 + math.fsum(pair.error**2 for pair in pairs) / count
    freedom = PRIOR_FREEDOM + count - 1
    squares = math.fsum((pair.change - mean) ** 2 for pair in pairs)
    error = math.sqrt((PRIOR_FREEDOM * prior + squares) / freedom / count)
    reach = student_quantile(1.0 - confidence, freedom) * error
    return Growth(
        share=math.expm1(mean),
        low=math.expm1(mean - reach),
        high=math.expm1(min(mean + reach, 700.0)),
        risk=student_tail((mean - math.log1p(tolerance)) / error, freedom),
    )
