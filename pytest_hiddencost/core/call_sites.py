"""Call sites as text: one line for all modules whose paths differ only in their numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import CallSiteCost, OperatorCost

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class CallSiteGroup:
    """Calls of one operator from one line, in modules whose paths differ only in their numbers."""

    operator: str
    modules: str  # blocks.*.shuffle
    line: str
    calls: int
    self_ns: float

    @property
    def where(self) -> str:
        """Module path and line, as far as they are known."""
        return ", ".join(filter(None, (self.modules, self.line)))

    def __str__(self) -> str:
        took = units.format_duration(self.self_ns)
        return f"{self.calls} x {self.operator} from {self.where} ({took})"


def grouped_call_sites(operator: OperatorCost) -> list[CallSiteGroup]:
    """Return the known call sites of an operator in groups, costliest first."""
    alike: dict[tuple[str, str], list[CallSiteCost]] = {}
    for site in operator.call_sites:
        if site.module or site.line:
            alike.setdefault((_NUMBER.sub("*", site.module), site.line), []).append(site)
    found = [
        CallSiteGroup(
            operator.name,
            pattern([site.module for site in sites]),
            line,
            sum(site.calls for site in sites),
            sum(site.self_ns for site in sites),
        )
        for (_, line), sites in alike.items()
    ]
    return sorted(found, key=lambda group: -group.self_ns)


def calls_by_modules(operator: OperatorCost) -> Counter[str]:
    """Return the calls of an operator by module path, with paths joined as in a group."""
    calls = Counter[str]()
    for group in grouped_call_sites(operator):
        calls[group.modules] += group.calls
    return calls


def call_site_lines(operators: Iterable[OperatorCost], each: int, most: int) -> list[str]:
    """Return the costliest call sites in words: ``each`` per operator, ``most`` in all."""
    found = [group for operator in operators for group in grouped_call_sites(operator)[:each]]
    return [str(group) for group in sorted(found, key=lambda group: -group.self_ns)[:most]]


def pattern(modules: Sequence[str]) -> str:
    """Return the common form of paths that differ only in their numbers: ``*`` for each of them."""
    split = [_NUMBER.split(module) for module in modules]
    return "".join(parts[0] if len(set(parts)) == 1 else "*" for parts in zip(*split, strict=True))
