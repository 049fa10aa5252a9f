"""Ratios of head to base: from the windows of a pair, and from pairs to a growth.

The test assumes no model of the spread between pairs of processes: the pairs show it. Pairs of
unchanged code are as likely to favour head as base, so the signed-rank test holds exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge import signed_rank
from pytest_hiddencost.judge.statistics import Growth

LARGEST_LOG = 700.0  # exp of more overflows


class WindowTime(NamedTuple):
    """One profiler window: its time outside MAC kernels, and its whole time, in ns."""

    non_mac_ns: int
    whole_ns: int


def non_mac_change(
    windows: Sequence[tuple[WindowTime, WindowTime]], p50: float, head: Profile, base: Profile
) -> float | None:
    """Return the logarithm of the ratio of non-MAC time; None if the overhead leaves no time.

    Non-MAC time is a share of p50, whose logarithm is ``p50``. The share comes from profiler
    windows: a slow machine changes a window's time, not its shares. Head and base have one cost per
    event, since the difference of two fitted costs exceeds that of the times.
    """
    event_ns = (head.profiler.event_cost_ns + base.profiler.event_cost_ns) / 2.0
    head_ns, base_ns = event_ns * head.profiler.events, event_ns * base.profiler.events
    if any(of_head[0] <= head_ns or of_base[0] <= base_ns for of_head, of_base in windows):
        return None
    of_head, of_base = zip(*windows, strict=True)
    return p50 + math.log(_usual_share(of_head, head_ns) / _usual_share(of_base, base_ns))


def _usual_share(windows: Sequence[WindowTime], cost_ns: float) -> float:
    """Return the median share of the faster half of one side's windows: others were disturbed."""
    faster = sorted(windows, key=lambda window: window.whole_ns)[: (len(windows) + 1) // 2]
    return median(_share(window, cost_ns) for window in faster)


def _share(window: WindowTime, cost_ns: float) -> float:
    outside_ns, whole_ns = window
    return max(1.0, outside_ns - cost_ns) / max(1.0, whole_ns - cost_ns)


def growth_of(changes: Sequence[float], tolerance: float, risk: float) -> Growth | None:
    """Return the growth of head over base from one logarithm of a ratio for each pair.

    Each bound is wrong with at most this ``risk``. None if there are too few pairs for bounds.
    """
    low, high = signed_rank.bounds(changes, risk)
    if math.isinf(high):
        return None
    return Growth(
        share=_share_of(signed_rank.center(changes)),
        low=_share_of(low),
        high=_share_of(high),
        risk=signed_rank.risk_above(changes, math.log1p(tolerance)),
    )


def _share_of(change: float) -> float:
    return math.expm1(min(change, LARGEST_LOG))
