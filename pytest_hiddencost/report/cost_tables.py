"""Tables of the operators on which a call spends its time and its MACs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_hiddencost.core import units
from pytest_hiddencost.core.call_sites import call_site_lines
from pytest_hiddencost.core.fused_kernels import fused_operators
from pytest_hiddencost.core.records import GENERATED, MacKindCost, OperatorCost, Profile

MOST_ROWS = 8
MOST_CALL_SITES = 6
_ROUGH = "~"  # before the time of an operator that is below resolution


@dataclass(frozen=True)
class Cost:
    """One row: ``calls`` is None for the time outside operators; ``rough``: below resolution."""

    name: str
    calls: int | None
    self_ns: float
    inside: str
    rough: bool = False


def mac_kind_cells(kind: MacKindCost) -> tuple[str, int, str, str]:
    """Return name, calls, MACs and kernel time of a MAC kind."""
    time = "-" if kind.self_ns is None else units.format_duration(kind.self_ns)
    return kind.kind, kind.calls, units.format_macs(kind.macs), time


def costs_of(
    profile: Profile, parts: Iterable[tuple[OperatorCost, float]], *, outside: bool
) -> list[Cost]:
    """Return the cost of each operator, given with the part of its self time that counts.

    ``outside``: return the time outside operators as well.
    """
    costs = [
        Cost(o.name, o.calls, o.self_ns * part, _composites_of(profile, o.name), o.below_resolution)
        for o, part in parts
    ]
    if outside:
        parts_ns = profile.outside_parts_ns()
        costs += [Cost(name, None, part_ns, "no operator") for name, part_ns in parts_ns.items()]
    return costs


def cost_table(profile: Profile) -> str:
    """Return the table of every operator: calls, self time, share of the latency, composite."""
    costs = costs_of(profile, [(o, 1.0) for o in profile.operators], outside=True)
    return time_table(profile, costs, len(costs))


def time_table(profile: Profile, costs: Sequence[Cost], most_rows: int = MOST_ROWS) -> str:
    """Return the table of these costs, largest first; the last row sums up those beyond."""
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
    return aligned(rows, ["operator", "calls", "time", "share", "inside"], last="left")


def macs_table(profile: Profile) -> str:
    """Return the table of operators with MACs; empty if none has any."""
    found: list[tuple[str, int | str, int]] = [(GENERATED, "", profile.generated_macs)]
    found += [(o.name, o.calls, o.macs) for o in profile.operators]
    rows = [
        (
            name,
            calls,
            units.format_macs(macs),
            units.format_share(macs / profile.macs),
            _composites_of(profile, name),
        )
        for name, calls, macs in sorted(found, key=lambda row: -row[2])
        if macs
    ]
    headers = ["operator", "calls", "MACs", "share", "inside"]
    return aligned(rows, headers, last="left") if rows else ""


def costliest_call_sites(profile: Profile, costs: Sequence[Cost]) -> str:
    """Return the lines of the user's code that call the costliest operators."""
    names = {cost.name for cost in sorted(costs, key=lambda cost: -cost.self_ns)[:MOST_ROWS]}
    operators = [operator for operator in profile.operators if operator.name in names]
    return "\n".join(call_site_lines(operators, 2, MOST_CALL_SITES))


def aligned(rows: Sequence[Sequence[object]], headers: Sequence[str], last: str = "right") -> str:
    """Return a table: the first column is text, others are figures; ``last`` aligns the last."""
    from tabulate import tabulate

    align = ("left", *["right"] * (len(headers) - 2), last)
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)


def _composites_of(profile: Profile, name: str) -> str:
    """Return the composites in which at least a tenth of an operator's time lies.

    For a generated kernel that Python called, return the operators that it fuses.
    """
    fused = fused_operators(name)
    alone = f"fuses {', '.join(fused)}" if fused else "top level"
    found = [
        (alone if composite.name == name else composite.name.removeprefix("aten::"), c.self_ns)
        for composite in profile.composites
        for c in composite.inside
        if c.name == name
    ]
    if len(found) == 1:
        return found[0][0]
    total_ns = sum(self_ns for _, self_ns in found)
    return ", ".join(
        f"{composite} {100 * self_ns / total_ns:.0f} %"
        for composite, self_ns in sorted(found, key=lambda item: -item[1])
        if total_ns and self_ns >= 0.1 * total_ns
    )
