"""The message of a test whose budget is broken: which limits, by how much, and what cost it."""

from __future__ import annotations

from collections.abc import Callable

from tabulate import tabulate

from pytest_hiddencost import units
from pytest_hiddencost.budgets import members
from pytest_hiddencost.records import FAIL, INCONCLUSIVE, OperatorCost, Profile, Verdict

MOST_ROWS = 8


def failure_message(profile: Profile, *, strict: bool = False) -> str:
    """Every limit of the profile's budget, broken ones first, then what the broken ones went on."""
    failing = (FAIL, INCONCLUSIVE) if strict else (FAIL,)
    broken = [v for v in profile.verdicts if v.verdict in failing]
    rest = [v for v in profile.verdicts if v.verdict not in failing]
    parts = [
        _head(profile, len(broken), strict=strict),
        _limits([*broken, *rest], profile.latency.confidence),
        *_reasons([*broken, *rest]),
        *_costs(profile, broken),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(profile: Profile, count: int, *, strict: bool) -> str:
    name = profile.model + (f" ({profile.label})" if profile.label else "")
    limits = "limit" if len(profile.verdicts) == 1 else "limits"
    strictly = ", inconclusive ones included (strict)" if strict else ""
    return (
        f"latency_budget: {count} of {len(profile.verdicts)} {limits} broken{strictly} "
        f"by {name} on {profile.device}"
    )


def _limits(verdicts: list[Verdict], confidence: float) -> str:
    rows = [
        (
            v.gate,
            v.verdict.upper() if v.verdict == FAIL else v.verdict,
            "-" if v.measured is None else units.format_quantity(v.unit, v.measured),
            _interval(v),
            f"at {'least' if v.at_least else 'most'} {units.format_quantity(v.unit, v.limit)}",
        )
        for v in verdicts
    ]
    headers = ["limit", "verdict", "measured", f"{confidence * 100:.4g} % interval", "allowed"]
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


def _interval(verdict: Verdict) -> str:
    if verdict.interval is None:
        return "-"
    low, high = (units.format_quantity(verdict.unit, bound) for bound in verdict.interval)
    return "exact" if verdict.interval[0] == verdict.interval[1] else f"{low} to {high}"


def _reasons(verdicts: list[Verdict]) -> list[str]:
    lines = [f"{v.gate}: {v.verdict}: {v.reason}" for v in verdicts if v.reason]
    return ["\n".join(lines)] if lines else []


def _costs(profile: Profile, broken: list[Verdict]) -> list[str]:
    """One table per kind of question the broken limits ask; a table is not shown twice."""
    tables: dict[str, str] = {}
    for verdict in broken:
        title, chosen, weight = _question(profile, verdict)
        if chosen and title not in tables:
            tables[title] = f"{title}\n\n{cost_table(profile, chosen, weight)}"
    return list(tables.values())


Weight = Callable[[OperatorCost], float]


def _question(profile: Profile, verdict: Verdict) -> tuple[str, list[OperatorCost], Weight]:
    operators = list(profile.operators)
    if verdict.gate.startswith("operators["):
        key = verdict.gate[len("operators[") : -1]
        chosen = [operator for operator, _ in members(profile, key)]
        return f"What {key} is spent on:", chosen, _self_ns
    if verdict.gate == "macs":
        return "Where the MACs are:", [o for o in operators if o.macs], lambda o: o.macs
    if verdict.gate == "activation_memory":
        return "", [], _self_ns
    if verdict.gate in ("non_mac", "mac_rate"):
        hidden = [o for o in operators if o.mac_share < 1.0]
        return "What is spent outside MAC kernels:", hidden, _self_ns
    return "Where the latency goes:", operators, _self_ns


def _self_ns(operator: OperatorCost) -> float:
    return operator.self_ns


def cost_table(
    profile: Profile, operators: list[OperatorCost], weight: Weight, most_rows: int = MOST_ROWS
) -> str:
    """Operators by weight: group, calls, self time, share of the latency, and what they are inside."""
    ordered = sorted(operators, key=weight, reverse=True)
    shown, hidden = ordered[:most_rows], ordered[most_rows:]
    rows = [
        (
            o.name,
            o.group,
            o.calls,
            units.format_duration(o.self_ns),
            units.format_share(o.self_ns / profile.latency.median_ns),
            where(profile, o.name),
        )
        for o in shown
    ]
    if hidden:
        rest_ns = sum(o.self_ns for o in hidden)
        rows.append(
            (
                f"{len(hidden)} more",
                "",
                sum(o.calls for o in hidden),
                units.format_duration(rest_ns),
                units.format_share(rest_ns / profile.latency.median_ns),
                "",
            )
        )
    return tabulate(
        rows,
        ["operator", "group", "calls", "time", "share", "inside"],
        tablefmt="simple",
        colalign=("left", "left", "right", "right", "right", "left"),
        disable_numparse=True,
    )


def where(profile: Profile, name: str) -> str:
    """The composites an operator's time lies in, those of at least a tenth of it."""
    found = [
        (composite.name, cost.self_ns)
        for composite in profile.composites
        for cost in composite.inside
        if cost.name == name
    ]
    total_ns = sum(self_ns for _, self_ns in found)
    named = [("top level" if root == name else root, ns) for root, ns in found]
    if len(named) == 1:
        return named[0][0]
    named.sort(key=lambda item: -item[1])
    parts = [
        f"{root} {units.format_share(self_ns / total_ns)}"
        for root, self_ns in named
        if total_ns and self_ns >= 0.1 * total_ns
    ]
    return ", ".join(parts)
