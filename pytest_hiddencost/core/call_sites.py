"""Where in the user's code an operator comes from, as text: like modules in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import CallSiteCost, OperatorCost

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class CallSiteGroup:
    """Calls of one operator from one line, in modules that differ in their numbers only."""

    operator: str
    modules: str  # blocks.*.shuffle
    line: str
    calls: int
    self_ns: float

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.modules, self.line) if part)
        took = units.format_duration(self.self_ns)
        return f"{self.calls} x {self.operator} from {where} ({took})"


def grouped_call_sites(operator: OperatorCost) -> list[CallSiteGroup]:
    """Where an operator comes from, costliest first; empty where that is not known."""
    alike: dict[tuple[str, str], list[CallSiteCost]] = {}
    for site in operator.call_sites:
        if site.module or site.line:
            alike.setdefault((_NUMBER.sub("*", site.module), site.line), []).append(site)
    found = [
        CallSiteGroup(
            operator.name,
            pattern([site.module for site in call_sites]),
            line,
            sum(site.calls for site in call_sites),
            sum(site.self_ns for site in call_sites),
        )
        for (_, line), call_sites in alike.items()
    ]
    return sorted(found, key=lambda place: -place.self_ns)


def call_site_lines(operators: Iterable[OperatorCost], each: int, most: int) -> list[str]:
    """The costliest places of these operators, ``each`` per operator, ``most`` in all."""
    found = [place for operator in operators for place in grouped_call_sites(operator)[:each]]
    return [str(place) for place in sorted(found, key=lambda place: -place.self_ns)[:most]]


def pattern(modules: Sequence[str]) -> str:
    """Paths that differ in their numbers only, as one: ``*`` where they differ."""
    split = [_NUMBER.split(module) for module in modules]
    return "".join(parts[0] if len(set(parts)) == 1 else "*" for parts in zip(*split, strict=True))
