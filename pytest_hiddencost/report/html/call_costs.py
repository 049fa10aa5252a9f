"""Hidden costs of a call, groups against MACs, MAC rates, and memory over the call."""

from __future__ import annotations

from typing import Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.call_sites import grouped_call_sites
from pytest_hiddencost.core.records import GENERATED, OperatorCost, Profile
from pytest_hiddencost.report.cost_tables import costs_of
from pytest_hiddencost.report.html.escaping import short, visible


def share_of(part: float, whole: float) -> float:
    """Return a part as a share of the whole; 0 of nothing."""
    return part / whole if whole > 0.0 else 0.0


def hidden_costs(profile: Profile, most_call_sites: int = 8) -> list[dict[str, Any]]:
    """Return operators outside MAC kernels and the time outside operators, largest first.

    Each has the lines that call it, at most ``most_call_sites``.
    """
    latency_ns = profile.latency.median_ns
    by_name = {operator.name: operator for operator in profile.operators}
    parts = [(o, 1.0 - o.mac_share) for o in profile.operators if o.mac_share < 1.0]
    costs = costs_of(profile, parts, outside=True)
    return [
        {
            "name": visible(cost.name),
            "group": visible(by_name[cost.name].group) if cost.calls is not None else "",
            "calls": cost.calls,
            "ns": cost.self_ns,
            "time": ("~" if cost.rough else "") + units.format_duration(cost.self_ns),
            "share": share_of(cost.self_ns, latency_ns),
            "share_text": units.format_share(share_of(cost.self_ns, latency_ns)),
            "inside": visible(cost.inside),
            "lines": _lines(by_name[cost.name], most_call_sites) if cost.calls is not None else [],
        }
        for cost in sorted(costs, key=lambda cost: -cost.self_ns)
    ]


def _lines(operator: OperatorCost, most: int) -> list[str]:
    """Return the call sites of an operator in words, costliest first."""
    groups = grouped_call_sites(operator)
    lines = [
        f"{units.format_quantity('calls', group.calls)}, {units.format_duration(group.self_ns)}: "
        f"{visible(group.where, 300)}"
        for group in groups[:most]
    ]
    if len(groups) > most:
        lines.append(f"{len(groups) - most} more call sites")
    known = sum(group.calls for group in groups)
    if (left := operator.calls - known) > 0:
        lines.append(f"{units.format_quantity('calls', left)}: call site not known")
    return lines


def groups_chart(profile: Profile) -> dict[str, Any]:
    """Return the share of the latency and the share of the MACs of every group, largest first."""
    times_ns = {**profile.group_ns(), **profile.outside_parts_ns()}
    macs: dict[str, int] = {}
    for operator in profile.operators:
        if operator.macs:
            group = "mac" if operator.mac_share > 0 else operator.group
            macs[group] = macs.get(group, 0) + operator.macs
    if profile.generated_macs:
        macs[GENERATED] = profile.generated_macs
    names = sorted({*times_ns, *macs}, key=lambda name: (-times_ns.get(name, 0.0), name))
    names = [name for name in names if times_ns.get(name, 0.0) > 0.0 or macs.get(name)]
    latency_ns = profile.latency.median_ns
    return {
        "names": [short(name) for name in names],
        "time": [share_of(times_ns.get(name, 0.0), latency_ns) for name in names],
        "macs": [share_of(macs.get(name, 0), profile.macs) for name in names],
        "time_texts": [units.format_duration(times_ns.get(name, 0.0)) for name in names],
        "mac_texts": [units.format_macs(macs.get(name, 0)) for name in names],
    }


def kinds_chart(profile: Profile) -> dict[str, Any]:
    """Return the MAC rate of every MAC kind, fastest first; kinds without a time go last."""
    kinds = sorted(profile.mac_kinds, key=lambda kind: -(kind.mac_rate or 0.0))
    unit = units.column_unit("mac_rate", [kind.mac_rate or 0.0 for kind in kinds])
    per_unit = units.unit_size("mac_rate", unit)
    return {
        "unit": unit,
        "names": [short(kind.kind) for kind in kinds],
        "rates": [None if k.mac_rate is None else k.mac_rate / per_unit for k in kinds],
        "rate_texts": ["-" if k.mac_rate is None else units.format_rate(k.mac_rate) for k in kinds],
        "calls": [kind.calls for kind in kinds],
        "mac_texts": [units.format_macs(kind.macs) for kind in kinds],
        "time_texts": [
            "-" if k.self_ns is None else units.format_duration(k.self_ns) for k in kinds
        ],
    }


def memory_chart(profile: Profile, most: int = 200) -> dict[str, Any] | None:
    """Return the live bytes over the call; None if the device records no events.

    If there are more than ``most`` points, each stands for several: it is the highest of them.
    """
    if not profile.memory:
        return None
    each = -(-len(profile.memory) // most)
    parts = [profile.memory[i : i + each] for i in range(0, len(profile.memory), each)]
    points = [max(part, key=lambda point: point.live_bytes) for part in parts]
    sizes = [float(point.live_bytes) for point in points]
    unit = units.column_unit("bytes", [max(sizes)])
    per_unit = units.unit_size("bytes", unit)
    peak = max(profile.memory, key=lambda point: point.live_bytes)
    return {
        "unit": unit,
        "x": [round(100.0 * point.share, 2) for point in points],
        "y": [float(f"{size / per_unit:.4g}") for size in sizes],
        "roots": [short(point.root) for point in points],
        "peak": f"{units.format_bytes(peak.live_bytes)} at {units.format_share(peak.share)} of the "
        f"call, in {short(peak.root) if peak.root else 'no operator'}",
    }
