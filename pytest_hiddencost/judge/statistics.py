"""Growth of a time between launches: its size, its confidence interval and its p-value.

A launch gives one value, since its samples depend on each other. Growth is a difference of
logarithms, since machines are slower by a factor. Recorded and new launches have one common spread
(Student's t test; Montgomery and Runger, Applied Statistics and Probability for Engineers, 10-2.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

LEAST_SPREAD = 0.002  # relative; launches that agree by chance are not that precise
POWER = 0.9  # probability that a test detects the smallest growth
STEPS = 4_000  # quantiles of the spread that the power is averaged over
HOPELESS = 1.0  # a test that cannot detect a doubling is useless
STEADY_SPREAD = 0.02  # relative, between launches on a quiet board

Series = Sequence[float]
"""One value above 0 per launch."""


@dataclass(frozen=True)
class Growth:
    """Growth of a time as a share (0.05: 5 % longer).

    ``low`` and ``high`` are one-sided confidence bounds. ``risk`` is the p-value of the hypothesis
    that the growth is at most the tolerance.
    """

    share: float
    low: float
    high: float
    risk: float


def spread_of(*launches: Series) -> float:
    """Return the relative standard deviation within each argument, pooled; at least LEAST_SPREAD.

    Raises ``ValueError`` if no argument has two values.
    """
    left = [value for times in launches if times for value in deviations(times)]
    freedom = len(left) - sum(map(bool, launches))
    if freedom < 1:
        raise ValueError("no spread without two launches on one side")
    return max(LEAST_SPREAD, math.hypot(*left) / math.sqrt(freedom))


def growth(recorded: Series, now: Series, tolerance: float, confidence: float) -> Growth:
    """Return the growth from the recorded launches to the new ones, by Student's t test."""
    freedom = len(recorded) + len(now) - 2
    error = spread_of(recorded, now) * math.sqrt(1 / len(recorded) + 1 / len(now))
    change = mean_log(now) - mean_log(recorded)
    return growth_known_to(change, error, freedom, tolerance, confidence)


def growth_known_to(
    change: float, error: float, freedom: int, tolerance: float, confidence: float
) -> Growth:
    """Return the growth from a ratio's logarithm, its standard error and degrees of freedom."""
    from scipy.special import stdtr, stdtrit  # imported late: not every run compares times

    reach = -float(stdtrit(freedom, 1.0 - confidence)) * error
    return Growth(
        share=math.expm1(change),
        low=math.expm1(change - reach),
        high=math.expm1(min(change + reach, 700.0)),
        risk=float(stdtr(freedom, (math.log1p(tolerance) - change) / error)),
    )


def smallest_growth(spread: float, recorded: int, now: int, tolerance: float, risk: float) -> float:
    """Return the smallest growth that a test of so many launches detects with POWER.

    ``risk`` is the accepted probability of a false alarm.
    """
    error = spread * math.sqrt(1 / recorded + 1 / now)
    reach = _noncentrality(risk, recorded + now - 2) * error
    return math.expm1(min(math.log1p(tolerance) + reach, 700.0))


def can_reject(recorded: int, now: int, risk: float) -> bool:
    """Return whether a test of so many launches can detect a doubling on a quiet device."""
    if recorded < 2:
        return False
    return smallest_growth(STEADY_SPREAD, recorded, now, 0.0, risk) <= HOPELESS


def rejected(
    risks: Mapping[str, float], shares: Mapping[str, float], risk: float
) -> frozenset[str]:
    """Return the hypotheses that Holm's weighted procedure (1979) rejects at family-wise ``risk``.

    ``shares`` are the weights. They may sum to less than 1: hypotheses that are not in ``risks``
    count as not rejected.
    """
    fallen: list[str] = []
    left = 1.0
    for name in sorted(risks, key=lambda name: risks[name] / shares[name]):
        if risks[name] > risk * shares[name] / max(left, shares[name]):
            break
        fallen.append(name)
        left -= shares[name]
    return frozenset(fallen)


def deviations(values: Series) -> list[float]:
    """Return the logarithms' deviations from their mean."""
    mean = mean_log(values)
    return [math.log(value) - mean for value in values]


def mean_log(values: Series) -> float:
    """Return the mean of the logarithms."""
    return fmean(map(math.log, values))


@cache
def _noncentrality(risk: float, freedom: int) -> float:
    """Return the difference of means, in standard errors, that a test at this risk detects."""
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import gammaincinv, ndtr, stdtrit

    # The power is averaged over quantiles of the estimated spread: SciPy's noncentral t does not
    # converge for the large quantiles of few launches.
    ranks = (np.arange(STEPS) + 0.5) / STEPS
    spreads = np.sqrt(2.0 * gammaincinv(freedom / 2.0, ranks) / freedom)  # chi2.ppf(ranks, freedom)
    limits = -stdtrit(freedom, risk) * spreads

    def lacking(shift: float) -> float:
        return float(ndtr(shift - limits).mean()) - POWER

    return float(brentq(lacking, -10.0, float(limits[-1]) + 10.0))
