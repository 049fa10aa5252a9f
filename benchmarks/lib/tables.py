"""Tables in Markdown, computed from lines of results; a caption gives the origin of the lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tabulate import tabulate

from benchmarks.lib.log import Line

NOTHING = "-"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Table:
    """Rows of text and the lines that they were computed from; ``left`` columns hold words."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    lines: Sequence[Line]
    note: str = ""
    left: int = 1

    def markdown(self) -> str:
        """Return title, note, table and caption."""
        align = ("left",) * self.left + ("right",) * (len(self.headers) - self.left)
        grid = tabulate(
            self.rows, self.headers, tablefmt="github", disable_numparse=True, colalign=align
        )
        note = f" {self.note}" if self.note else ""
        return f"**{self.title}.**{note}\n\n{grid}\n\n*{caption(self.lines)}*"


def caption(lines: Sequence[Line]) -> str:
    """Return machines, dates, commits and options of lines with the same options."""
    facts = lines[-1].facts
    machines = list(dict.fromkeys(_machine(line.facts.machine) for line in lines))
    parts = [
        f"{'Machine' if len(machines) == 1 else 'Machines'}: {' and '.join(machines)}",
        f"dates: {_dates(lines)}",
        f"commits: {_commits(lines)}",
        f"options: {_options(facts.options)}",
        f"lines: {len(lines)}",
    ]
    return "; ".join(parts)


def _machine(machine: Mapping[str, Any]) -> str:
    if not machine:
        return NOT_RECORDED
    words = "{processor}, {cores} cores, Python {python}, torch {torch}"
    return words.format(**machine)


def _dates(lines: Sequence[Line]) -> str:
    days = sorted({line.date[:10] for line in lines if line.date})
    if not days:
        return NOT_RECORDED
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _commits(lines: Sequence[Line]) -> str:
    names = {
        f"{line.facts.commit}{' with changes' if line.facts.dirty else ''}": None
        for line in lines
        if line.facts.commit
    }
    return ", ".join(names) or NOT_RECORDED


def _options(options: Mapping[str, Any]) -> str:
    words = [] if not options.get("short") else ["short"]
    if "threads" in options:
        threads = options["threads"]
        words.append(f"threads {threads}" if threads else "torch's default threads")
    own = {key: value for key, value in options.items() if key not in ("short", "threads")}
    return ", ".join([*words, *(f"{key} {value:g}" for key, value in own.items())])


def part(lines: Iterable[Line], name: str) -> list[Line]:
    """Return the lines of one part of a benchmark."""
    return [line for line in lines if line.case.get("part") == name]


def by(lines: Iterable[Line], *keys: str) -> dict[tuple[Any, ...], list[Line]]:
    """Group lines by these keys of their cases."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(tuple(line.case[key] for key in keys), []).append(line)
    return groups


def values(lines: Iterable[Line], figure: str, scale: float = 1.0) -> list[float]:
    """Return one figure of every line."""
    return [scale * line.figures[figure] for line in lines]


def spread(found: Iterable[float], form: str = "{:.3g}") -> str:
    """Return the median, with the smallest and the largest value in brackets."""
    ordered = sorted(found)
    if len(ordered) == 1:
        return form.format(ordered[0])
    middle, low, high = (form.format(v) for v in (median(ordered), ordered[0], ordered[-1]))
    return f"{middle} ({low} to {high})"
