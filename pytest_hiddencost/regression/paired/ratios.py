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

from pytest_hiddencost.intervals import median_interval, samples_needed
from pytest_hiddencost.records import Profile
from pytest_hiddencost.regression.stats import Growth, growth_known_to

# Standard deviation between pairs of processes, beyond what blocks explain: between the 1 % and 3 %
# that models showed; and as how many pairs' evidence that counts.
PAIR_SPREAD = {"p50": 0.015, "non_mac": 0.03}
PRIOR_FREEDOM = 4
# Errors within a pair that are small beside that: more blocks or windows would tell no more.
SMALL_ERROR = {"p50": 0.008, "non_mac": 0.02}
WITHIN = 0.9  # confidence of the interval that the error within a pair is read from
FEWEST_WINDOWS = samples_needed(0.5, WITHIN)
FEWEST_BLOCKS = 16


@dataclass(frozen=True)
class Estimate:
    """The logarithm of a ratio, and its standard error within one pair of processes."""

    change: float
    error: float


def from_blocks(ratios: Sequence[float]) -> Estimate:
    """The median of the blocks' log ratios, FEWEST_WINDOWS at least."""
    bounds = median_interval(ratios, WITHIN)
    if bounds is None:
        raise ValueError(f"{len(ratios)} blocks are too few for an interval")
    reach = NormalDist().inv_cdf(0.5 + WITHIN / 2.0)
    return Estimate(median(ratios), (bounds[1] - bounds[0]) / 2.0 / reach)


def sure_enough(gate: str, ratios: Sequence[float], spent_ns: int, before_ns: int) -> bool:
    """Whether more blocks would tell less than the next pair for the same time.

    ``before_ns`` is what the pair took before the first of them. Between and within pairs, time is
    best divided as in any sample of two stages (Cochran 1977, Sampling Techniques, 10.6).
    """
    error = from_blocks(ratios).error
    worth = PAIR_SPREAD[gate] * math.sqrt(spent_ns / max(1, before_ns))
    return error <= max(SMALL_ERROR[gate], worth)


def of_windows(
    windows: Sequence[tuple[int, int]], here: Profile, there: Profile
) -> Estimate | None:
    """The same of time outside MAC kernels, window by window; None where there is none to speak of.

    What the profiler cost is taken out of both sides at one price for an event: a price fitted to
    each of them would differ by more than the times do.
    """
    event_ns = (here.profiler.event_cost_ns + there.profiler.event_cost_ns) / 2.0
    ratios = []
    for ours_ns, theirs_ns in windows:
        ours = ours_ns - event_ns * here.profiler.events
        theirs = theirs_ns - event_ns * there.profiler.events
        if min(ours, theirs) <= 0.0:
            return None
        ratios.append(math.log(ours / theirs))
    return from_blocks(ratios)


def growth_of(
    pairs: Sequence[Estimate], spread: float, tolerance: float, confidence: float
) -> Growth:
    """By how much here is slower than there, from one pair of processes or several.

    A pair counts the less the less surely its blocks know it (Cochran 1954, The combination of
    estimates from different experiments).

    ``spread`` is what to expect between pairs, one of ``PAIR_SPREAD``.
    """
    weights = [1.0 / (spread**2 + pair.error**2) for pair in pairs]
    whole = math.fsum(weights)
    mean = math.fsum(w * pair.change for w, pair in zip(weights, pairs, strict=True)) / whole
    freedom = PRIOR_FREEDOM + len(pairs) - 1
    squares = math.fsum(
        w * (pair.change - mean) ** 2 for w, pair in zip(weights, pairs, strict=True)
    )
    error = math.sqrt((PRIOR_FREEDOM + squares) / freedom / whole)
    return growth_known_to(mean, error, freedom, tolerance, confidence)
