"""Causes: the operators and lines that cost a broken check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_hiddencost.core import units
from pytest_hiddencost.core.call_sites import CallSiteGroup, grouped_call_sites
from pytest_hiddencost.core.checks import FAIL, OPERATORS, REGRESSION, Check
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import (
    CallsChange,
    OperatorChange,
    OperatorCost,
    Profile,
    Verdict,
)

OPERATORS_NAMED = 3  # operators in one cause


@dataclass(frozen=True)
class Cause:
    """The cost behind a check, in words, with the operator and call site that cost most of it."""

    text: str
    line: str = ""  # file.py:number; empty if it is not known
    operator: str = ""
    modules: str = ""


def causes_of(verdict: Verdict, profile: Profile) -> list[Cause]:
    """Return the causes of a broken check, the largest first; none if no operator explains it."""
    check = verdict.check
    if verdict.verdict != FAIL or verdict.measured is None:
        return []
    if check.kind == REGRESSION:
        return _growth(check, profile)
    if check.kind == OPERATORS:
        found = operators_of(profile, check.key)
        if verdict.unit == "calls":
            return _most([(o, float(o.calls)) for o, _ in found], by_calls=True)
        return _most([(o, o.self_ns * part) for o, part in found])
    if check.key in ("non_mac", "mac_rate"):
        hidden = [(o, o.self_ns * (1.0 - o.mac_share)) for o in profile.operators]
        return _most(hidden, outside_ns=profile.outside_ns)
    if check.key == "macs":
        return _most([(o, float(o.macs)) for o in profile.operators])
    return []


def _growth(check: Check, profile: Profile) -> list[Cause]:
    """Return what grew over baseline or base."""
    if check.key in ("p50", "non_mac"):
        return _slower(profile)
    with_macs = {o.name for o in profile.operators if o.macs}
    added = [
        change
        for change in _changed_calls(profile)
        if change.calls > 0 and (check.key == "calls" or change.operator in with_macs)
    ]
    return [_added(change) for change in added] if check.key in ("calls", "macs") else []


def _changed_calls(profile: Profile) -> Iterable[CallsChange]:
    """Return the operators with another number of calls than in the baseline or base."""
    for compared in (profile.comparison, profile.interleaved):
        if compared is not None and compared.changed_calls:
            return compared.changed_calls
    return ()


def _added(change: CallsChange) -> Cause:
    where = f" from {change.where}" if change.where else ""
    text = f"{change.calls:+d} {change.operator}{where}"
    return Cause(text, change.line, change.operator, change.modules)


def _slower(profile: Profile) -> list[Cause]:
    """Return the operators whose time grew most over base; the line is that of the first."""
    found = profile.interleaved
    changes = [c for c in found.operators if c.head_ns > c.base_ns] if found else []
    changes.sort(key=lambda change: change.base_ns - change.head_ns)
    if not changes:
        return []
    costs = {cost.name: cost for cost in profile.operators}
    lines = []
    for change in changes[:OPERATORS_NAMED]:
        group = _busiest(costs.get(change.name))
        called = f", most of it from {group.where}" if group else ""
        lines.append(f"{_grown(change)}{called}")
    first = changes[0].name
    return [_cause(lines, first, _busiest(costs.get(first)))]


def _grown(change: OperatorChange) -> str:
    more = units.format_duration(change.head_ns - change.base_ns)
    if change.head_calls == change.base_calls:
        return f"+{more} {change.name}"
    return f"+{more} {change.name} ({change.base_calls} -> {change.head_calls} calls)"


def _most(
    costs: Iterable[tuple[OperatorCost, float]], *, outside_ns: float = 0.0, by_calls: bool = False
) -> list[Cause]:
    """Return the operators that cost most, each with its busiest call site, as one cause.

    The line is that of the first. If most of the time is outside operators, there is none.
    """
    ordered = sorted(((o, cost) for o, cost in costs if cost > 0), key=lambda each: -each[1])
    if not ordered:
        return []
    lines = [_called(operator, by_calls) for operator, _ in ordered[:OPERATORS_NAMED]]
    first, cost = ordered[0]
    if outside_ns > cost:
        return [Cause("\n".join([f"{units.format_duration(outside_ns)} outside", *lines]))]
    return [_cause(lines, first.name, _busiest(first, by_calls=by_calls))]


def _called(operator: OperatorCost, by_calls: bool) -> str:
    group = _busiest(operator, by_calls=by_calls)
    if group is not None:
        return str(group)
    return f"{operator.calls} x {operator.name} ({units.format_duration(operator.self_ns)})"


def _busiest(operator: OperatorCost | None, *, by_calls: bool = False) -> CallSiteGroup | None:
    """Return the call site that costs most, or calls most; None if none is known."""
    groups = [] if operator is None else grouped_call_sites(operator)
    if by_calls:
        return max(groups, key=lambda group: group.calls, default=None)
    return groups[0] if groups else None


def _cause(lines: list[str], operator: str, group: CallSiteGroup | None) -> Cause:
    text = "\n".join(lines)
    return (
        Cause(text, operator=operator)
        if group is None
        else Cause(text, group.line, operator, group.modules)
    )
