"""Parts of a call: each operator's self time by module, composite and line.

A part whose call site is not known stands below ``UNKNOWN_SITE``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_hiddencost.core.records import CallSiteCost, OperatorCost, Profile

UNKNOWN_SITE = "call site not known"
MOST_MODULES = 50  # one inside another
LARGEST_NS = 1e15  # of any time: eleven days
_LEAST_SHARE = 1e-6  # of an operator's time; less is rounding


@dataclass(frozen=True)
class CallPart:
    """Calls of one operator from one place; ``line`` is ``file.py:12``, or empty."""

    modules: tuple[str, ...]
    composite: str
    operator: OperatorCost
    line: str
    self_ns: float
    calls: int


def bounded_ns(ns: float) -> float:
    """Return a time that can be drawn: not negative, and not endless."""
    return min(LARGEST_NS, max(0.0, ns))


def call_parts(profile: Profile) -> Iterator[CallPart]:
    """Yield the parts of a call; those of one operator sum to its self time."""
    for operator in profile.operators:
        sites_ns = sum(bounded_ns(site.self_ns) for site in operator.call_sites)
        scale = min(1.0, bounded_ns(operator.self_ns) / sites_ns) if sites_ns else 1.0
        for site in operator.call_sites:
            self_ns = scale * bounded_ns(site.self_ns)
            composite = site.root or operator.name
            yield CallPart(_modules(site), composite, operator, site.line, self_ns, site.calls)
        yield from _unknown(profile, operator, scale)


def _modules(site: CallSiteCost) -> tuple[str, ...]:
    if site.module:
        return tuple(site.module.split(".", MOST_MODULES))
    return () if site.line else (UNKNOWN_SITE,)


def _unknown(profile: Profile, operator: OperatorCost, scale: float) -> Iterator[CallPart]:
    """Yield the calls whose call sites are not known, by composite as far as possible."""
    known: dict[str, float] = {}
    for site in operator.call_sites:
        known[site.root] = known.get(site.root, 0.0) + scale * bounded_ns(site.self_ns)
    whole_ns = bounded_ns(operator.self_ns)
    left_ns = whole_ns - sum(known.values())
    left_calls = max(0, operator.calls - sum(site.calls for site in operator.call_sites))
    if operator.call_sites and left_ns <= _LEAST_SHARE * whole_ns:
        return
    shares = {
        composite.name: max(0.0, bounded_ns(inside.self_ns) - known.get(composite.name, 0.0))
        for composite in profile.composites
        for inside in composite.inside
        if inside.name == operator.name
    }
    total_ns = sum(shares.values())
    if not total_ns or "" in known:  # files of earlier versions name no composite
        shares, total_ns = {operator.name: 1.0}, 1.0
    for composite, part_ns in shares.items():
        if part_ns:
            share = part_ns / total_ns
            calls = round(left_calls * share)
            yield CallPart((UNKNOWN_SITE,), composite, operator, "", left_ns * share, calls)
