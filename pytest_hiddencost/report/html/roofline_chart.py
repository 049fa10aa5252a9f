"""The roofline: operators by arithmetic intensity and MAC rate, below the device's roofs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.operator_rates import DeviceKinds, OperatorRate, Peaks
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.core.roofline import BOUNDS, bound_by, shares_by_bound
from pytest_hiddencost.report.html.call_costs import share_of
from pytest_hiddencost.report.html.escaping import short, visible

MARGIN = 3.0  # of the axis, as a factor beyond the first and the last point
FEWEST_MACS_PER_BYTE, MOST_MACS_PER_BYTE = 0.1, 100.0  # of the axis, at least


def roofline_of_call(profile: Profile, most: int) -> dict[str, Any] | None:
    """Return the roofline of a call's replays; None if it was not replayed.

    The ``most`` longest operators have a row; the others count in the shares by bound.
    """
    if profile.peaks is None or not profile.replays:
        return None
    found = _roofline(profile.replays[:most], profile.peaks, profile.latency.median_ns)
    shares = shares_by_bound(profile.replays, profile.peaks)
    found["bounds"] = [
        f"{bound}: {units.format_share(shares[bound])} of the replayed time" for bound in BOUNDS
    ]
    return found


def roofline_of_device(kinds: DeviceKinds | None) -> dict[str, Any] | None:
    """Return the roofline of the battery; None if the run has none."""
    return None if kinds is None else _roofline(kinds.operators, kinds.peaks, None)


def _roofline(
    operators: Sequence[OperatorRate], peaks: Peaks, latency_ns: float | None
) -> dict[str, Any]:
    points = [found for found in operators if found.macs]
    unit = units.column_unit("mac_rate", [peaks.mac_rate])
    per_unit = units.unit_size("mac_rate", unit)
    return {
        "unit": unit,
        "roofs": _roofs(points, peaks, per_unit),
        "points": [
            {
                "name": _named(found),
                "x": float(f"{found.macs_per_byte:.4g}"),
                "y": float(f"{found.mac_rate / per_unit:.4g}"),
                "share": share_of(found.total_ns, latency_ns) if latency_ns else None,
                "bound": bound_by(found, peaks),
            }
            for found in points
        ],
        "rows": [_row(found, peaks, latency_ns) for found in operators],
        "headers": ["operator", "kind", "time", "MAC rate", "moved", "MAC/B", "bound by"],
    }


def _roofs(points: Sequence[OperatorRate], peaks: Peaks, per_unit: float) -> list[dict[str, Any]]:
    intensities = [found.macs_per_byte for found in points]
    first = min([FEWEST_MACS_PER_BYTE, *intensities]) / MARGIN
    last = max([MOST_MACS_PER_BYTE, *intensities]) * MARGIN
    slopes = {"copy in memory": peaks.memory_byte_rate, "copy in caches": peaks.cache_byte_rate}
    roofs = []
    for name, byte_rate in slopes.items():
        ridge = peaks.mac_rate / byte_rate
        text = f"{name}: {units.format_byte_rate(byte_rate)}"
        ends = [first * byte_rate / per_unit, peaks.mac_rate / per_unit]
        roofs.append({"name": text, "x": [first, ridge], "y": ends})
    flat = f"matrix product: {units.format_rate(peaks.mac_rate)}"
    start = peaks.mac_rate / peaks.cache_byte_rate
    level = peaks.mac_rate / per_unit
    roofs.append({"name": flat, "x": [start, max(start, last)], "y": [level, level]})
    return roofs


def _row(found: OperatorRate, peaks: Peaks, latency_ns: float | None) -> list[str]:
    time = units.format_duration(found.total_ns)
    if latency_ns:
        time += f" ({units.format_share(share_of(found.total_ns, latency_ns))})"
    return [
        _named(found),
        visible(found.kind),
        time,
        units.format_rate(found.mac_rate) if found.macs else "-",
        f"{units.format_bytes(found.moved_bytes)}, {units.format_byte_rate(found.byte_rate)}",
        f"{found.macs_per_byte:.3g}" if found.macs else "-",
        bound_by(found, peaks),
    ]


def _named(found: OperatorRate) -> str:
    times = f"{found.calls} x " if found.calls > 1 else ""
    return short(f"{times}{found.operator} {found.shapes}")
