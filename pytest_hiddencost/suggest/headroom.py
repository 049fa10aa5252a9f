"""Headroom: the distance of a limit above the measured value, so that the next runs keep it.

A later run of the same code differs from this one for two reasons, and each is measured:

- *Sampling.* Its interval is as wide as the present one and, at the confidence stated, overlaps
  it. So its upper end lies at most one width above the present upper end. The width of an operator
  interval includes the uncertainty of the profiler's overhead.
- *The device.* Its speed changes within seconds and from launch to launch. A run is cut into
  stretches of consecutive values, as many as bound a median at this confidence: 8 at 99 %. The next
  run is not slower than the slowest of them, unless most of its own stretches are slower than all
  of these. For stretches of one kind, whatever their distribution, the chance of that is 1 % with
  8 of them. One run cannot show less than the spread between launches on a quiet board,
  ``STEADY_SPREAD``: two launches differ by sqrt(2) of it, times the normal quantile of the
  confidence. A share s moves by s (1 - s) of that, since a part of the call grows against the rest.

Both are independent and add as squares. No constant is fitted to a model or a machine: confidence
and samples come from the run, ``STEADY_SPREAD`` and ``HOPELESS`` from the comparison of launches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

from pytest_hiddencost.core.intervals import Bounds, quantile, samples_needed
from pytest_hiddencost.judge.statistics import HOPELESS, STEADY_SPREAD

MOST_HEADROOM: Final = HOPELESS  # a limit further off lets a doubling pass


def least_limit(
    value: float,
    interval: Bounds,
    series: Sequence[float],
    q: float,
    confidence: float,
    *,
    share: bool = False,
) -> float:
    """Return the least limit above ``value`` that the next runs keep.

    ``interval`` bounds ``value`` at ``confidence``. ``series`` holds the values in the order in
    which they were measured; ``value`` is their q-quantile, and with ``share`` a share of the call.
    """
    low, high = interval
    stretches = _stretches(series, q, samples_needed(0.5, confidence))
    slowest = max(stretches, default=value) - value
    reach = math.sqrt(2.0) * NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    launches = reach * STEADY_SPREAD * value * (1.0 - value if share else 1.0)
    return high + math.hypot(high - low, max(slowest, launches))


def _stretches(series: Sequence[float], q: float, parts: int) -> list[float]:
    """Return the q-quantile of each of so many equal parts; none if there are fewer values."""
    size = len(series) // parts
    cut = [sorted(series[i * size : (i + 1) * size]) for i in range(parts)]
    return [quantile(part, q) for part in cut] if size else []
