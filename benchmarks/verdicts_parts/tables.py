"""The tables, of whatever is in the results file."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tabulate import tabulate

from verdicts_parts.log import Line, Log
from verdicts_parts.plants import LATENCY, NONE, STRUCTURE
from verdicts_parts.runs import DISTURBED, LOADED, QUIET

VERDICTS = ("fail", "inconclusive", "pass")
NOTHING = "-"
STEADY = 0.1  # a machine that is by no more than this slower or faster than at recording


def alarms(log: Log, tools: Sequence[str]) -> str:
    """Unchanged code: what each tool says of it."""
    rows = [
        [condition, tool, *_counts(lines), _refused(log, tool, condition), *_costs(lines)]
        for condition in (QUIET, LOADED, DISTURBED)
        for tool in tools
        if (lines := _lines(log, tool, NONE.name, condition)) or log.refused(tool, condition)
    ]
    rows += [
        ["all", tool, *_counts(lines), _refused(log, tool), *_costs(lines)]
        for tool in tools
        if (lines := _lines(log, tool, NONE.name))
    ]
    headers = [
        "condition", "tool", "comparisons", *VERDICTS, "neither", "recordings refused",
        "others, cores", "s a test",
    ]  # fmt: skip
    return table(rows, headers, left=2)


def structure(log: Log, tools: Sequence[str]) -> str:
    """Each change: caught and named right, of so many."""
    rows = [
        [plant.name, *(_caught_and_named(_lines(log, tool, plant.name)) for tool in tools)]
        for plant in STRUCTURE
    ]
    return table(rows, ["caught / named right / of", *tools])


def power(log: Log, tools: Sequence[str]) -> str:
    """Each growth: caught, inconclusive, passed (missed) and neither, of so many.

    Where a tool says by how much the machine itself had changed, those where it had not are told
    apart.
    """
    rows = []
    for condition in (QUIET, LOADED):
        for plant in LATENCY:
            lines = [_lines(log, tool, plant.name, condition) for tool in tools]
            rows.append([plant.name, condition, *map(_caught, lines)])
            steady = [list(filter(_steady, found)) for found in lines]
            if any(steady):
                words = f"{condition}, machine within {100 * STEADY:.0f} %"
                rows.append([plant.name, words, *map(_caught, steady)])
    return table(rows, ["planted", "condition", *tools], left=2)


def green(log: Log, tools: Sequence[str]) -> str:
    """Each situation: what the tool makes of it."""
    findings = {(line["situation"], line["tool"]): line for line in log.findings()}
    rows = []
    for situation in dict.fromkeys(line["situation"] for line in log.findings()):
        for tool in tools:
            line = findings.get((situation, tool))
            if line:
                rows.append([situation, tool, line["outcome"], line["detail"]])
    return table(rows, ["situation", "tool", "outcome", "what it said"], left=4)


def _lines(log: Log, tool: str, plant: str, condition: str | None = None) -> list[Line]:
    return [
        line
        for line in log.comparisons()
        if line["tool"] == tool
        and line["plant"] == plant
        and condition in (None, line["condition"])
    ]


def _counts(lines: Sequence[Line]) -> list[str]:
    counts = [_count(lines, verdict) for verdict in VERDICTS]
    return [str(n) for n in (len(lines), *counts, len(lines) - sum(counts))]


def _count(lines: Sequence[Line], verdict: str) -> int:
    return sum(line["verdict"] == verdict for line in lines)


def _refused(log: Log, tool: str, condition: str | None = None) -> str:
    return str(len(log.refused(tool, condition)))


def _costs(lines: Sequence[Line]) -> list[str]:
    if not lines:
        return [NOTHING, NOTHING]
    others = median(line["others_cores"] for line in lines)
    return [f"{others:.1f}", f"{median(line['seconds'] for line in lines):.1f}"]


def _steady(line: Line) -> bool:
    return line.get("device") is not None and abs(line["device"]) <= STEADY


def _caught_and_named(lines: Sequence[Line]) -> str:
    if not lines:
        return NOTHING
    failed = [line for line in lines if line["verdict"] == "fail"]
    return f"{len(failed)} / {sum(line['named'] for line in failed)} / {len(lines)}"


def _caught(lines: Sequence[Line]) -> str:
    if not lines:
        return NOTHING
    counts = [_count(lines, verdict) for verdict in VERDICTS]
    neither = len(lines) - sum(counts)
    shares = " / ".join(f"{100 * count / len(lines):.0f} %" for count in counts)
    return f"{shares} ({len(lines)}{f', {neither} neither' if neither else ''})"


def table(rows: Sequence[Sequence[str]], headers: Sequence[str], left: int = 1) -> str:
    """A Markdown table, or a line that there is nothing yet."""
    if not rows:
        return "nothing yet"
    align = ("left",) * left + ("right",) * (len(headers) - left)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)
