"""Whether launches of now are slower than those recorded: growth, its interval, its risk.

A launch is one value: samples within it are not independent of each other. Values are compared as
logarithms, since machines are slower by a factor, with Student's t distribution and one spread for
both sides (Montgomery and Runger, Applied Statistics and Probability for Engineers, 10-2.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import mul
from typing import NamedTuple

LEAST_SPREAD = 0.002  # relative; launches that agree by luck are not that sure
POWER = 0.9  # with which the smallest visible growth is seen
STEPS = 4_000  # of the average over spreads
HOPELESS = 1.0  # a gate that would not see a doubling is no gate,
STEADY_SPREAD = 0.02  # even where launches spread no more than on a quiet board


@dataclass(frozen=True)
class Growth:
    """Growth of a time, as a share (0.05: 5 % longer), and what can be said of it.

    ``low`` and ``high`` bound it, each at the confidence asked for; ``risk`` is the probability of
    such values if the growth were no more than the tolerance.
    """

    share: float
    low: float
    high: float
    risk: float


def spread_of(recorded: Sequence[float], now: Sequence[float] = ()) -> float:
    """Standard deviation between launches, relative, from both sides; at least LEAST_SPREAD."""
    squares, freedom = 0.0, 0
    for values in (recorded, now):
        if values:
            squares += math.fsum(value * value for value in deviations(values))
            freedom += len(values) - 1
    if freedom < 1:
        raise ValueError("no spread without two launches on one side")
    return max(LEAST_SPREAD, math.sqrt(squares / freedom))


def growth(
    recorded: Sequence[float], now: Sequence[float], tolerance: float, confidence: float
) -> Growth:
    """How much longer launches of ``now`` take than those ``recorded``, all values above 0."""
    freedom = len(recorded) + len(now) - 2
    error = spread_of(recorded, now) * math.sqrt(1 / len(recorded) + 1 / len(now))
    change = mean_log(now) - mean_log(recorded)
    return growth_known_to(change, error, freedom, tolerance, confidence)


def growth_beside(
    recorded: Sequence[float],
    now: Sequence[float],
    recorded_beside: Sequence[float],
    now_beside: Sequence[float],
    tolerance: float,
    confidence: float,
) -> Growth:
    """The same at one value of what was seen beside each launch, whatever power of it times go by.

    Analysis of covariance of logarithms, with one slope for both sides (Montgomery, Design and
    Analysis of Experiments, 15-3). What is seen beside must vary within a side.
    """
    line = _line(recorded, now, recorded_beside, now_beside)
    apart = mean_log(now_beside) - mean_log(recorded_beside)
    change = mean_log(now) - mean_log(recorded) - line.slope * apart
    share = 1 / len(recorded) + 1 / len(now) + apart**2 / line.variation
    return growth_known_to(
        change, line.spread * math.sqrt(share), line.freedom, tolerance, confidence
    )


def spread_beside(
    recorded: Sequence[float],
    now: Sequence[float],
    recorded_beside: Sequence[float],
    now_beside: Sequence[float],
) -> float:
    """Standard deviation between launches at one value of what was seen beside each."""
    return _line(recorded, now, recorded_beside, now_beside).spread


class _Line(NamedTuple):
    """What times of both sides do beside something: the slope, and the spread around the line."""

    slope: float
    spread: float
    freedom: int  # degrees of freedom of the spread
    variation: float  # of what is beside: sum of squares within the sides


def _line(
    recorded: Sequence[float],
    now: Sequence[float],
    recorded_beside: Sequence[float],
    now_beside: Sequence[float],
) -> _Line:
    times = [*deviations(recorded), *deviations(now)]
    beside = [*deviations(recorded_beside), *deviations(now_beside)]
    variation = math.fsum(map(mul, beside, beside))
    slope = math.fsum(map(mul, times, beside)) / variation
    left = [time - slope * value for time, value in zip(times, beside, strict=True)]
    freedom = len(times) - 3
    spread = max(LEAST_SPREAD, math.hypot(*left) / math.sqrt(freedom))
    return _Line(slope, spread, freedom, variation)


def growth_known_to(
    change: float, error: float, freedom: int, tolerance: float, confidence: float
) -> Growth:
    """From the logarithm of a ratio, its standard error, and that error's degrees of freedom."""
    reach = _student_quantile(1.0 - confidence, freedom) * error
    return Growth(
        share=math.expm1(change),
        low=math.expm1(change - reach),
        high=math.expm1(min(change + reach, 700.0)),
        risk=_student_tail((change - math.log1p(tolerance)) / error, freedom),
    )


def smallest_growth(
    spread: float, recorded: int, now: int, tolerance: float, risk: float, *, slopes: int = 0
) -> float:
    """The least growth that so many launches would call a regression, nine times out of ten.

    ``risk`` is the probability of a false alarm that is accepted; ``slopes`` have to be found out
    as well.
    """
    error = spread * math.sqrt(1 / recorded + 1 / now)
    reach = _noncentrality(risk, recorded + now - 2 - slopes) * error
    return math.expm1(min(math.log1p(tolerance) + reach, 700.0))


def can_reject(recorded: int, now: int, risk: float) -> bool:
    """Whether so many launches could call a doubling a regression on a quiet device."""
    if recorded < 2:
        return False
    return smallest_growth(STEADY_SPREAD, recorded, now, 0.0, risk) <= HOPELESS


def rejected(
    risks: Mapping[str, float], shares: Mapping[str, float], risk: float
) -> frozenset[str]:
    """The hypotheses that fall at family-wise ``risk``, of which each has a share (Holm 1979).

    ``shares`` sum to 1 with those of hypotheses that are not in ``risks``, which count as kept:
    what falls, falls with them too.
    """
    fallen: list[str] = []
    left = 1.0
    for name in sorted(risks, key=lambda name: risks[name] / shares[name]):
        if risks[name] > risk * shares[name] / max(left, shares[name]):
            break
        fallen.append(name)
        left -= shares[name]
    return frozenset(fallen)


def deviations(values: Sequence[float]) -> list[float]:
    """Of the logarithms from their mean."""
    mean = mean_log(values)
    return [math.log(value) - mean for value in values]


def mean_log(values: Sequence[float]) -> float:
    """The mean of the logarithms of values above 0."""
    return math.fsum(math.log(value) for value in values) / len(values)


@cache
def _student_quantile(risk: float, freedom: int) -> float:
    """What Student's t exceeds with this probability."""
    from scipy.stats import t  # imported late: half a second, on a board several

    return float(t.isf(risk, freedom))


@cache
def _noncentrality(risk: float, freedom: int) -> float:
    """By how many standard errors means must differ to be told apart at this risk, mostly."""
    import numpy as np
    from scipy.optimize import brentq
    from scipy.stats import chi2, norm

    # Averaged over what the spread may come out as; SciPy's noncentral t does not converge for
    # the large quantiles of few launches.
    ranks = (np.arange(STEPS) + 0.5) / STEPS
    limits = _student_quantile(risk, freedom) * np.sqrt(chi2.ppf(ranks, freedom) / freedom)

    def lacking(shift: float) -> float:
        return float(norm.sf(limits - shift).mean()) - POWER

    return float(brentq(lacking, -10.0, float(limits[-1]) + 10.0))


def _student_tail(statistic: float, freedom: int) -> float:
    """The probability that Student's t exceeds this."""
    from scipy.stats import t

    return float(t.sf(statistic, freedom))
