"""Causes: the operators and lines that cost a broken check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_hiddencost.core import units
from pytest_hiddencost.core.call_sites import CallSiteGroup, grouped_call_sites
from pytest_hiddencost.core.checks import FAIL, OPERATORS, REGRESSION
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import (
    CallsChange,
    OperatorChange,
    OperatorCost,
    Profile,
    Verdict,
)

OPERATORS_NAMED = 3  # that cost time, in one cause
MOST_ADDED = 8  # operators with more calls, in one cause


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
        return _growth(verdict, profile)
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


def _growth(verdict: Verdict, profile: Profile) -> list[Cause]:
    """Return the causes of growth over baseline or base."""
    key = verdict.check.key
    if key in ("p50", "non_mac"):
        return _slower(profile)
    added = [change for change in _changed_calls(profile) if change.calls > 0]
    if key == "calls":
        return _added(added)
    if key == "macs":
        with_macs = {operator.name for operator in profile.operators if operator.macs}
        return _added([change for change in added if change.operator in with_macs])
    # Bytes have no call site of their own; added calls are the likeliest.
    first = next(iter(_added(added)), Cause(""))
    return [replace(first, text=verdict.explanation)]


def _changed_calls(profile: Profile) -> Iterable[CallsChange]:
    """Return the operators with another number of calls than in the baseline or base."""
    for compared in (profile.comparison, profile.interleaved):
        if compared is not None and compared.changed_calls:
            return compared.changed_calls
    return ()


def _added(changes: Iterable[CallsChange]) -> list[Cause]:
    """Return a cause for each call site that makes more calls."""
    by_call_site: dict[tuple[str, str], list[CallsChange]] = {}
    for change in changes:
        by_call_site.setdefault((change.modules, change.line), []).append(change)
    return [_at_call_site(alike) for alike in by_call_site.values()]


def _at_call_site(changes: Sequence[CallsChange]) -> Cause:
    first = changes[0]
    calls = listed([f"{change.calls:+d} {change.operator}" for change in changes], MOST_ADDED)
    where = f" from {first.where}" if first.where else ""
    return Cause(f"{calls}{where}", first.line, first.operator, first.modules)


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
