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
        _head(profile, broken),
        _limits([*broken, *rest], profile.latency.confidence),
        *_reasons([*broken, *rest]),
        *_costs(profile, broken),
    ]
    return "\n\n".join(parts)


def _head(profile: Profile, broken: list[Verdict]) -> str:
    """One line that pytest's short summary can show: the first broken limit leads."""
    first = broken[0]
    measured = "" if first.measured is None else _quantity(first, first.measured) + ", "
    is_inconclusive = "is inconclusive: " if first.verdict == INCONCLUSIVE else ""
    count = f"{len(broken)} of {len(profile.verdicts)} limits broken"
    model = profile.model + (f" ({profile.label})" if profile.label else "")
    return (
        f"{first.gate} {is_inconclusive}{measured}{_allowed(first)}; "
        f"{count} by {model} on {profile.device}"
    )


def _allowed(verdict: Verdict) -> str:
    return f"at {'least' if verdict.at_least else 'most'} {_quantity(verdict, verdict.limit)}"


def _quantity(verdict: Verdict, value: float) -> str:
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
    headers = ["limit", "verdict", "measured", f"{confidence * 100:.4g} % interval", "allowed"]
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
    """Operators by weight: calls, self time, share of the latency, what they are inside."""
    ordered = sorted(operators, key=weight, reverse=True)
    shown, hidden = ordered[:most_rows], ordered[most_rows:]
    rows = [
        (
            o.name,
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
                sum(o.calls for o in hidden),
                units.format_duration(rest_ns),
                units.format_share(rest_ns / profile.latency.median_ns),
                "",
            )
        )
    return tabulate(
        rows,
        ["operator", "calls", "time", "share", "inside"],
        tablefmt="simple",
        colalign=("left", "right", "right", "right", "left"),
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
