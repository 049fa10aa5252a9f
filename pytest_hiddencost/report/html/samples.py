"""The timed calls of a measurement: in the order they were taken, and their distribution."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import LIMIT
from pytest_hiddencost.core.intervals import quantile
from pytest_hiddencost.core.records import Profile, Verdict

MOST_BINS = 60
FEWEST_BINS = 8
SHOWN_BEYOND = 0.5  # of the way from the fastest call to p99; slower calls are drawn at the edge
PERCENTILES = ("p50", "p95", "p99")


def samples_chart(profile: Profile, most: int = 2000) -> dict[str, Any]:
    """Return samples, histogram, percentiles and limits, in one unit.

    ``y`` holds at most ``most`` samples: of more, every n-th, and ``step`` is n. Times above
    ``top`` are ``beyond``, as pairs of position and time. The histogram has all samples; its last
    bin holds those beyond ``top``.
    """
    latency = profile.latency
    samples = latency.samples_ns
    lines = [*_percentiles(profile), *_limits(profile.verdicts)]
    unit = units.column_unit("duration", [latency.median_ns])
    per_unit = units.unit_size("duration", unit)
    bottom, top = _range(samples, [line["ns"] for line in lines])
    step = max(1, -(-len(samples) // most))
    kept = list(enumerate(samples))[::step]
    return {
        "unit": unit,
        "step": step,
        "count": len(samples),
        "y": [_rounded(ns / per_unit) for _, ns in kept],
        "beyond": [[i, _rounded(ns / per_unit)] for i, ns in enumerate(samples) if ns > top][:most],
        "range": [_rounded(bottom / per_unit), _rounded(top / per_unit)],
        "lines": [
            {
                "name": line["name"] + ("" if bottom <= line["ns"] <= top else ", off the axis"),
                "kind": line["kind"],
                "value": _rounded(line["ns"] / per_unit),
            }
            for line in lines
        ],
        **_histogram(samples, bottom, top, per_unit),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _percentiles(profile: Profile) -> list[dict[str, Any]]:
    latency = profile.latency
    times = (latency.median_ns, latency.p95_ns, latency.p99_ns)
    return [
        {"name": f"{name} {units.format_duration(ns)}", "kind": name, "ns": ns}
        for name, ns in zip(PERCENTILES, times, strict=True)
    ]


def _limits(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the limits that the budget sets on percentiles."""
    return [
        {
            "name": f"limit on {v.check.key} {units.format_duration(v.limit)}",
            "kind": "limit",
            "ns": v.limit,
        }
        for v in verdicts
        if v.check.kind == LIMIT and v.check.key in PERCENTILES and v.unit == "duration"
    ]


def _range(samples: Sequence[int], lines_ns: Sequence[float]) -> tuple[float, float]:
    """Return the times between which samples are drawn.

    One slow call must not flatten all others, and a far limit must not either.
    """
    if not samples:
        return 0.0, max(lines_ns, default=1.0)
    ordered = sorted(samples)
    bottom, slow = float(ordered[0]), max(quantile(ordered, 0.99), *lines_ns[:3])
    top = min(float(ordered[-1]), slow + SHOWN_BEYOND * (slow - bottom))
    height = top - bottom
    near = [ns for ns in lines_ns if bottom - height <= ns <= top + height]
    bottom, top = min([bottom, *near]), max([top, *near])
    margin = 0.04 * (top - bottom) or 0.01 * top or 1.0
    return max(0.0, bottom - margin), top + margin


def _histogram(
    samples: Sequence[int], bottom: float, top: float, per_unit: float
) -> dict[str, Any]:
    """Return edges and counts of equally wide bins between ``bottom`` and ``top``."""
    bins = max(FEWEST_BINS, min(MOST_BINS, round(2 * len(samples) ** 0.5)))
    width = (top - bottom) / bins
    edges = [bottom + width * i for i in range(bins + 1)]
    counts = [0] * bins
    for ns in samples:
        if ns <= top:
            counts[max(0, min(bins - 1, bisect_right(edges, ns) - 1))] += 1
    return {
        "edges": [_rounded(edge / per_unit) for edge in edges],
        "counts": counts,
        "above": sum(ns > top for ns in samples),
    }
