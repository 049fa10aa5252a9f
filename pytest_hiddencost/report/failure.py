"""The message of a test whose budget is broken: which limits, by how much, and what cost it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from pytest_hiddencost import units
from pytest_hiddencost.budgets import members
from pytest_hiddencost.places import place_lines
from pytest_hiddencost.records import (
    FAIL,
    INCONCLUSIVE,
    NEW,
    OperatorCost,
    PairedComparison,
    Profile,
    Verdict,
    stale,
)

MOST_ROWS = 8
MOST_PLACES = 6
MOST_GATES = 4
REGRESSION = "regression"
MAJOR = frozenset(
    f"{REGRESSION}[{quantity}]"
    for quantity in ("calls", "macs", "allocated_bytes", "activation_memory", "p50", "non_mac")
)
STALE = "baseline is stale"
_ROUGH = "~"  # before a time whose single calls are too short to be told from profiler events


def failure_message(profile: Profile, *, strict: bool = False) -> str:
    """Every limit of the profile's budget, broken ones first, then what the broken ones went on."""
    failing = (FAIL, INCONCLUSIVE, NEW) if strict else (FAIL,)
    broken = [v for v in profile.verdicts if v.verdict in failing]
    rest = [v for v in profile.verdicts if v.verdict not in failing]
    shown = [v for v in (*broken, *rest) if v.verdict == FAIL or not minor(v)]
    parts = [
        _head(profile, broken),
        _limits(shown, profile.latency.confidence),
        *_reasons(shown),
        *_against_baseline(profile),
        *_against_revision(profile),
        *_costs(profile, broken),
    ]
    return "\n\n".join(parts)


def _head(profile: Profile, broken: list[Verdict]) -> str:
    """One line that pytest's short summary can show: the first broken limit leads."""
    if not broken:
        return f"{STALE}: {_stale_gates(profile)}; {_count(profile, broken)}"
    first = broken[0]
    if first.verdict == NEW:
        return f"new: {first.reason}; {_count(profile, broken)}"
    if first.measured is None:  # a limit that checked nothing
        return f"{first.gate}: {first.reason.partition(';')[0]}; {_count(profile, broken)}"
    measured = _quantity(first, first.measured)
    is_inconclusive = "is inconclusive: " if first.verdict == INCONCLUSIVE else ""
    return f"{first.gate} {is_inconclusive}{measured}, {_allowed(first)}; {_count(profile, broken)}"


def _count(profile: Profile, broken: list[Verdict]) -> str:
    model = profile.model + (f" ({profile.label})" if profile.label else "")
    limits = [v for v in profile.verdicts if v.verdict != NEW or v in broken]
    return f"{len(broken)} of {len(limits)} limits broken by {model} on {profile.device}"


def _allowed(verdict: Verdict) -> str:
    return f"at {'least' if verdict.at_least else 'most'} {_quantity(verdict, verdict.limit)}"


def _quantity(verdict: Verdict, value: float) -> str:
    if verdict.gate.startswith(REGRESSION) and verdict.unit == "share":
        return units.format_growth(value)
    return units.format_quantity(verdict.unit, value)


def _limits(verdicts: list[Verdict], confidence: float) -> str:
    rows = [
        (
            v.gate,
            v.verdict.upper() if v.verdict == FAIL else v.verdict,
            "-" if v.measured is None else _quantity(v, v.measured),
            _interval(v),
            _allowed(v),
        )
        for v in verdicts
    ]
    headers = [
        "limit",
        "verdict",
        "measured",
        f"{units.format_confidence(confidence)} interval",
        "allowed",
    ]
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


def _interval(verdict: Verdict) -> str:
    if verdict.interval is None or verdict.measured is None:
        return "-"
    low, high = verdict.interval
    if low == high:
        return "exact"
    unit = units.column_unit(verdict.unit, [high])
    return (
        f"{units.format_number(verdict.unit, low, unit)} to "
        f"{units.format_quantity(verdict.unit, high, unit=unit)}"
    )


def _reasons(verdicts: list[Verdict]) -> list[str]:
    gates: dict[tuple[str, str], list[str]] = {}
    for v in verdicts:
        if v.reason:
            gates.setdefault((v.verdict, v.reason), []).append(v.gate)
    lines = [f"{listed(names)}: {verdict}: {why}" for (verdict, why), names in gates.items()]
    return ["\n".join(lines)] if lines else []


def listed(names: Sequence[str], most: int = MOST_GATES) -> str:
    """The first names, no more than a line holds."""
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def minor(verdict: Verdict) -> bool:
    """A gate on one operator or group that holds: there are too many of them to show."""
    return verdict.gate.startswith(REGRESSION) and verdict.gate not in MAJOR


def _stale_gates(profile: Profile) -> str:
    assert profile.comparison is not None
    return listed([gate.removeprefix(REGRESSION)[1:-1] for gate in profile.comparison.improved])


def _against_baseline(profile: Profile) -> list[str]:
    """What the baseline is, and what of the structure differs."""
    found = profile.comparison
    if found is None:
        return []
    parts = [
        f"against the baseline of {found.baseline}" if found.baseline else "against the baseline"
    ]
    if found.growth is not None:
        low, high = map(units.format_growth, found.interval or (found.growth, found.growth))
        parts.append(f"p50 {units.format_growth(found.growth)} ({low} to {high})")
    if found.control_growth is not None:
        parts.append(f"control workload {units.format_growth(found.control_growth)}")
    parts.append(f"{found.launches} recorded launches, {found.fresh} fresh ones")
    lines = [", ".join(parts)]
    if stale(profile):
        lines.append(
            f"{STALE}: {_stale_gates(profile)} got better: accept with --hiddencost-update"
        )
    return ["\n".join([*lines, *_not_told(profile, found.differences)])]


def _not_told(profile: Profile, differences: Sequence[str]) -> Sequence[str]:
    """Differences of the structure, unless they are the reason of a verdict above."""
    told = "; ".join(differences)
    return () if any(told in v.reason for v in profile.verdicts) else differences


def revision_name(found: PairedComparison) -> str:
    """The other side as the user named it, and its commit where it has one."""
    return f"{found.revision} ({found.commit[:10]})" if found.commit else found.revision


def growth_with_interval(ratio: float, interval: tuple[float, float]) -> str:
    """A ratio as growth: ``+5.1 % (+3.9 to +6.3 %)``."""
    low, high = (100 * (bound - 1.0) for bound in interval)
    return f"{100 * (ratio - 1.0):+.1f} % ({low:+.1f} to {high:+.1f} %)"


def _against_revision(profile: Profile) -> list[str]:
    """What the other side is, and what differs between the sides."""
    found = profile.paired
    if found is None or found.ratio is None or found.interval is None:
        return []
    parts = [
        f"against {revision_name(found)}: p50 {growth_with_interval(found.ratio, found.interval)}",
        f"{found.blocks} blocks in turns",
        f"{found.launches} pair{'s' * (found.launches > 1)} of processes",
    ]
    lines = [", ".join(parts), *_not_told(profile, found.differences)]
    rows = [
        (
            change.name,
            f"{change.calls_there} -> {change.calls_here}"
            if change.calls_here or change.calls_there
            else "",
            units.format_duration(change.there_ns),
            units.format_duration(change.here_ns),
            _signed_duration(change.here_ns - change.there_ns),
        )
        for change in found.operators
    ]
    table = _table(rows, ["operator", "calls", "there", "here", "change"])
    return ["\n".join(lines), f"What changed:\n\n{table}"]


def _signed_duration(ns: float) -> str:
    return f"{'+' if ns >= 0 else '-'}{units.format_duration(abs(ns))}"


@dataclass(frozen=True)
class _Cost:
    """One row of a cost table; no ``calls`` for the time in no operator."""

    name: str
    calls: int | None
    self_ns: float
    inside: str
    rough: bool = False  # below resolution


def _costs(profile: Profile, broken: list[Verdict]) -> list[str]:
    """One table per kind of question the broken limits ask; a table is not shown twice."""
    tables: dict[str, str] = {}
    for verdict in broken:
        gate = verdict.gate.removeprefix(REGRESSION).strip("[]")
        if gate in ("activation_memory", "allocated_bytes", "calls", ""):
            continue
        if gate == "macs":
            title, table = "Where the MACs are:", _macs_table(profile)
        else:
            title, costs = _question(profile, verdict)
            table = _time_table(profile, costs, MOST_ROWS) if costs else ""
            table += _places(profile, costs)
        if table:
            tables.setdefault(title, f"{title}\n\n{table}")
    return list(tables.values())


def _question(profile: Profile, verdict: Verdict) -> tuple[str, list[_Cost]]:
    kind, _, key = verdict.gate.removesuffix("]").partition("[")
    if kind == "operators" or (kind == REGRESSION and key not in ("p50", "non_mac")):
        return f"What {key} is spent on:", _parts(profile, members(profile, key))
    if verdict.gate in ("non_mac", "mac_rate", f"{REGRESSION}[non_mac]"):
        hidden = [(o, 1.0 - o.mac_share) for o in profile.operators if o.mac_share < 1.0]
        return "What is spent outside MAC kernels:", [*_parts(profile, hidden), _outside(profile)]
    return "Where the latency goes:", all_costs(profile)


def _parts(profile: Profile, parts: Sequence[tuple[OperatorCost, float]]) -> list[_Cost]:
    return [
        _Cost(o.name, o.calls, o.self_ns * part, where(profile, o.name), o.below_resolution)
        for o, part in parts
    ]


def _places(profile: Profile, costs: Sequence[_Cost]) -> str:
    """The lines of the user's code that the costliest operators come from."""
    names = {cost.name for cost in sorted(costs, key=lambda cost: -cost.self_ns)[:MOST_ROWS]}
    operators = [operator for operator in profile.operators if operator.name in names]
    lines = place_lines(operators, 2, MOST_PLACES)
    return "\n".join(["", "", *lines]) if lines else ""


def _outside(profile: Profile) -> _Cost:
    return _Cost("outside", None, profile.outside_ns, "no operator")


def all_costs(profile: Profile) -> list[_Cost]:
    """Every operator in full, and the time in none."""
    return [*_parts(profile, [(o, 1.0) for o in profile.operators]), _outside(profile)]


def cost_table(profile: Profile) -> str:
    """Every operator: calls, self time, share of the latency, what it is inside."""
    return _time_table(profile, all_costs(profile), len(profile.operators) + 1)


def _time_table(profile: Profile, costs: list[_Cost], most_rows: int) -> str:
    ordered = sorted(costs, key=lambda cost: -cost.self_ns)
    shown, rest = ordered[:most_rows], ordered[most_rows:]
    if rest:
        calls = sum(cost.calls or 0 for cost in rest)
        total_ns = sum(cost.self_ns for cost in rest)
        shown.append(_Cost(f"{len(rest)} more", calls, total_ns, ""))
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
    return _table(rows, ["operator", "calls", "time", "share", "inside"])


def _macs_table(profile: Profile) -> str:
    counted = sorted((o for o in profile.operators if o.macs), key=lambda o: -o.macs)
    rows = [
        (
            o.name,
            o.calls,
            units.format_macs(o.macs),
            units.format_share(o.macs / profile.macs),
            where(profile, o.name),
        )
        for o in counted
    ]
    return _table(rows, ["operator", "calls", "MACs", "share", "inside"]) if rows else ""


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    align = ("left", "right", "right", "right", "left")
    return tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)


def where(profile: Profile, name: str) -> str:
    """The composites an operator's time lies in, those of at least a tenth of it."""
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
