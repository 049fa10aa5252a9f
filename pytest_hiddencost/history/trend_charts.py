"""Charts of series: the runs, the levels between change points, versions and device health."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from pytest_hiddencost.core.units import Kind, column_unit, unit_size
from pytest_hiddencost.history.found_changes import FoundChange, change_line, comparable_values
from pytest_hiddencost.history.series import CallSeries, RunPoint

BLUE, RED, GREY, GREEN = "#3465a4", "#cc0000", "#777777", "#2e7d32"
VERSIONS = ("torch", "version", "python", "os")
QUANTITY_KINDS: dict[str, Kind] = {"macs": "macs", "peak_bytes": "bytes", "energy": "energy"}


def chart_of(series: CallSeries, changes: Sequence[FoundChange], operator: str) -> dict[str, Any]:
    """Return a figure of Plotly as plain data, with text of users escaped: Plotly reads HTML."""
    points, relative = series.comparable()
    values = comparable_values(points, relative)
    unit, scaled = _in_unit(series.quantity, values, relative)
    quantity = operator or series.quantity.replace("_", " ")
    return {
        "data": [
            _runs(series, points, scaled),
            *_levels(points, scaled, changes),
            *_unfit(series, relative, unit),
        ],
        "layout": {
            "margin": {"l": 70, "r": 20, "t": 40, "b": 40},
            "height": 340,
            "showlegend": False,
            "yaxis": {"title": {"text": html.escape(f"{quantity}, {unit}")}},
            "xaxis": {"type": "date"},
            **_events(series, points, changes),
        },
    }


def _in_unit(
    quantity: str, values: Sequence[float], relative: bool
) -> tuple[str, list[float | None]]:
    if relative:
        return "x reference workload", list(values)
    kind = QUANTITY_KINDS.get(quantity, "duration")
    unit = column_unit(kind, values)
    return unit, [value / unit_size(kind, unit) for value in values]


def _when(point: RunPoint) -> str:
    return f"{point.time:%Y-%m-%dT%H:%M:%S}"


def _runs(
    series: CallSeries, points: Sequence[RunPoint], values: Sequence[float | None]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_when(point) for point in points],
        "y": list(values),
        "text": [_facts(series, point) for point in points],
        "hovertemplate": "%{y:.4g}<br>%{text}<extra></extra>",
        "marker": {"color": BLUE, "size": 6},
    }


def _facts(series: CallSeries, point: RunPoint) -> str:
    facts = series.runs.get(point.run_id, {})
    names = {"commit": str(facts.get("commit") or "")[:10], "branch": facts.get("branch")}
    names |= {"torch": facts.get("torch")}
    lines = [f"{name} {value}" for name, value in names.items() if value]
    return "<br>".join(html.escape(line) for line in [f"{point.time:%Y-%m-%d %H:%M}", *lines])


def _levels(
    points: Sequence[RunPoint], values: Sequence[float | None], changes: Sequence[FoundChange]
) -> Iterator[dict[str, Any]]:
    """Yield a line at the median of each segment."""
    edges = [0, *(len(points) - change.from_end for change in changes), len(points)]
    for start, end in pairwise(edges):
        segment = [value for value in values[start:end] if value is not None]
        if segment:
            level = median(segment)
            yield {
                "type": "scatter",
                "mode": "lines",
                "x": [_when(points[start]), _when(points[end - 1])],
                "y": [level, level],
                "line": {"color": GREEN, "width": 2},
                "hoverinfo": "skip",
            }


def _unfit(series: CallSeries, relative: bool, unit: str) -> Iterator[dict[str, Any]]:
    """Yield the runs in which the device was not fit, which decide nothing."""
    fit = set(series.fit_points)
    left = [point for point in series.points if point not in fit]
    if not left:
        return
    kind = QUANTITY_KINDS.get(series.quantity, "duration")
    yield {
        "type": "scatter",
        "mode": "markers",
        "x": [_when(point) for point in left],
        "y": [p.scaled if relative else p.value / unit_size(kind, unit) for p in left],
        "text": [_health(series, point) for point in left],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": RED, "symbol": "x", "size": 8},
    }


def _health(series: CallSeries, point: RunPoint) -> str:
    reason = series.runs.get(point.run_id, {}).get("health") or "the device was not fit"
    return html.escape(str(reason))


def _events(
    series: CallSeries, points: Sequence[RunPoint], changes: Sequence[FoundChange]
) -> dict[str, Any]:
    """Return vertical lines and their words: change points, and new versions."""
    events = [
        (f"{change.time:%Y-%m-%dT%H:%M:%S}", f"{100 * change.growth:+.1f} %", RED, "solid")
        for change in changes
    ]
    events += [(when, text, GREY, "dot") for when, text in version_changes(series, points)]
    return {
        "shapes": [
            {
                "type": "line", "x0": when, "x1": when, "y0": 0, "y1": 1, "yref": "paper",
                "line": {"color": color, "width": 1, "dash": dash},
            }
            for when, _, color, dash in events
        ],
        "annotations": [
            {
                "x": when, "y": 1.0, "yref": "paper", "yanchor": "bottom", "showarrow": False,
                "text": html.escape(text), "font": {"size": 10, "color": color},
            }
            for when, text, color, _ in events
        ],
    }  # fmt: skip


def version_changes(series: CallSeries, points: Sequence[RunPoint]) -> list[tuple[str, str]]:
    """Return the times at which a version changed between two runs, each with the version."""
    found = []
    facts = [(point, series.runs.get(point.run_id, {})) for point in points]
    for (_, old), (point, new) in pairwise(facts):
        changed = [name for name in VERSIONS if old.get(name) != new.get(name)]
        if changed:
            named = {"version": "plugin"}
            words = (f"{named.get(name, name)} {new.get(name)}" for name in changed)
            found.append((_when(point), ", ".join(words)))
    return found


def lines_below(series: CallSeries, changes: Sequence[FoundChange], operator: str) -> list[str]:
    """Return the contents of the chart in words."""
    unfit = len(series.points) - len(series.fit_points)
    lines = [change_line(change, operator) for change in changes]
    if unfit:
        lines.append(f"in {unfit} runs the device was not fit; they decide nothing")
    return lines
