"""Tables of what a call spends its time and its MACs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from pytest_hiddencost.core import units
from pytest_hiddencost.core.call_sites import call_site_lines
from pytest_hiddencost.core.records import OperatorCost, Profile

MOST_ROWS = 8
MOST_CALL_SITES = 6
_ROUGH = "~"  # before a time whose single calls are too short to be told from profiler events


@dataclass(frozen=True)
class Cost:
    """One row: ``calls`` is None for the time outside operators; ``rough``: below resolution."""

    name: str
    calls: int | None
    self_ns: float
    inside: str
    rough: bool = False


def costs_of(profile: Profile, parts: Sequence[tuple[OperatorCost, float]]) -> list[Cost]:
    """Return a cost for each operator, with that part of its self time."""
    return [
        Cost(o.name, o.calls, o.self_ns * part, composites_of(profile, o.name), o.below_resolution)
        for o, part in parts
    ]


def outside(profile: Profile) -> Cost:
    """Return the time outside operators."""
    return Cost("outside", None, profile.outside_ns, "no operator")


def all_costs(profile: Profile) -> list[Cost]:
    """Return every operator in full, and the time outside operators."""
    return [*costs_of(profile, [(o, 1.0) for o in profile.operators]), outside(profile)]


def cost_table(profile: Profile) -> str:
    """Return the table of every operator: calls, self time, share of the latency, composite."""
    return time_table(profile, all_costs(profile), len(profile.operators) + 1)


def time_table(profile: Profile, costs: Sequence[Cost], most_rows: int = MOST_ROWS) -> str:
    """Return the table of these costs, largest first; what has no row is summed up in one."""
    ordered = sorted(costs, key=lambda cost: -cost.self_ns)
    shown, rest = ordered[:most_rows], ordered[most_rows:]
    if rest:
        calls = sum(cost.calls or 0 for cost in rest)
        total_ns = sum(cost.self_ns for cost in rest)
        shown.append(Cost(f"{len(rest)} more", calls, total_ns, ""))
    rows = [
        (
            cost.name,
            "" if cost.calls is None else cost.calls,
            _ROUGH * cost.rough + units.format_duration(cost.self_ns),
            units.format_share(cost.self_ns / profile.latency.median_ns),
            cost.inside,
        )
        for cost in shown
    ]
    return aligned(rows, ["operator", "calls", "time", "share", "inside"])


def macs_table(profile: Profile) -> str:
    """Return the table of operators with MACs, or an empty string."""
    counted = sorted((o for o in profile.operators if o.macs), key=lambda o: -o.macs)
    rows = [
        (
            o.name,
            o.calls,
            units.format_macs(o.macs),
            units.format_share(o.macs / profile.macs),
            composites_of(profile, o.name),
        )
        for o in counted
    ]
    return aligned(rows, ["operator", "calls", "MACs", "share", "inside"]) if rows else ""


def costliest_call_sites(profile: Profile, costs: Sequence[Cost]) -> str:
    """Return the lines of the user's code that the costliest operators come from."""
    names = {cost.name for cost in sorted(costs, key=lambda cost: -cost.self_ns)[:MOST_ROWS]}
    operators = [operator for operator in profile.operators if operator.name in names]
    lines = call_site_lines(operators, 2, MOST_CALL_SITES)
    return "\n".join(["", "", *lines]) if lines else ""


def aligned(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Return a table whose first and last columns are text, and the others figures."""
    align = ("left", "right", "right", "right", "left")
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)


def composites_of(profile: Profile, name: str) -> str:
    """Return the composites an operator's time lies in, those of at least a tenth of it."""
    found = [
        (composite.name, cost.self_ns)
        for composite in profile.composites
        for cost in composite.inside
        if cost.name == name
    ]
    total_ns = sum(self_ns for _, self_ns in found)
    named = [
        ("top level" if root == name else root.removeprefix("aten::"), ns) for root, ns in found
    ]
    if len(named) == 1:
        return named[0][0]
    named.sort(key=lambda item: -item[1])
    parts = [
        f"{root} {100 * self_ns / total_ns:.0f} %"
        for root, self_ns in named
        if total_ns and self_ns >= 0.1 * total_ns
    ]
    return ", ".join(parts)
