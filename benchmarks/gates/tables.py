"""The tables of comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import mean, median, stdev

from benchmarks.gates.comparisons import CONDITIONS, NOT_RECORDED
from benchmarks.lib.injections import INJECTIONS, LATENCY, NONE, STRUCTURE
from benchmarks.lib.log import Line
from benchmarks.lib.tables import NOTHING, Table, by

VERDICTS = ("fail", "inconclusive", "pass")
UNRECORDED = ("new", NOT_RECORDED)
STEADY = 0.1  # share: a device that is no more than this slower or faster than at recording
ALL = "all"


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the tables of these comparisons."""
    unchanged = _injected(lines, NONE.name)
    yield _alarms(unchanged)
    yield _growths([line for line in unchanged if line.figures.get("growth") is not None])
    yield _structure(_injected(lines, *(one.name for one in STRUCTURE)))
    yield _detection(_injected(lines, *(one.name for one in LATENCY)))
    yield _times([line for line in lines if "seconds" in line.figures])


def _injected(lines: Sequence[Line], *names: str) -> list[Line]:
    return [line for line in lines if line.case["injected"] in names]


def _by_condition(lines: Sequence[Line]) -> Iterator[tuple[list[str], list[Line]]]:
    """Yield condition and tool with their lines, then each tool with all of its lines."""
    found = by(lines, "condition", "tool")
    for condition, tool in sorted(found, key=lambda key: (CONDITIONS.index(key[0]), key[1])):
        yield [condition, tool], found[condition, tool]
    if len(by(lines, "condition")) > 1:
        yield from (([ALL, tool], of) for tool, of in _by_tool(lines).items())


def _by_tool(lines: Sequence[Line]) -> dict[str, list[Line]]:
    return dict(sorted((tool, of) for (tool,), of in by(lines, "tool").items()))


def _alarms(lines: Sequence[Line]) -> Table:
    headers = [
        "condition", "tool", "comparisons", *VERDICTS, NOT_RECORDED, "error", "other load, cores",
        "s a test",
    ]  # fmt: skip
    rows = [[*names, *_counts(of), *_costs(of)] for names, of in _by_condition(lines)]
    note = "A recording that stored nothing counts once, whatever the number of models."
    return Table("Verdicts on unchanged code", headers, rows, lines, note, left=2)


def _counts(lines: Sequence[Line]) -> list[str]:
    counts = [_count(lines, verdict) for verdict in VERDICTS]
    unrecorded = _count(lines, *UNRECORDED)
    rest = len(lines) - sum(counts) - unrecorded
    return [str(n) for n in (len(lines), *counts, unrecorded, rest)]


def _count(lines: Sequence[Line], *verdicts: str) -> int:
    return sum(line.figures["verdict"] in verdicts for line in lines)


def _costs(lines: Sequence[Line]) -> list[str]:
    timed = [line.figures for line in lines if "seconds" in line.figures]
    if not timed:
        return [NOTHING, NOTHING]
    return [f"{median(one[key] for one in timed):.1f}" for key in ("others_cores", "seconds")]


def _growths(lines: Sequence[Line]) -> Table:
    headers = ["condition", "tool", "comparisons", "mean", "median", "spread", "range"]
    rows = [
        [*names, *_growth_cells([100 * line.figures["growth"] for line in of])]
        for names, of in _by_condition(lines)
        if len(of) > 1
    ]
    title = "Growth of p50 seen in unchanged code, %"
    note = "The mean has its standard error; the spread is the standard deviation."
    return Table(title, headers, rows, lines, note, left=2)


def _growth_cells(seen: Sequence[float]) -> list[str]:
    spread = stdev(seen)
    return [
        str(len(seen)),
        f"{mean(seen):+.2f} +- {spread / math.sqrt(len(seen)):.2f}",
        f"{median(seen):+.2f}",
        f"{spread:.2f}",
        f"{min(seen):+.1f} to {max(seen):+.1f}",
    ]


def _structure(lines: Sequence[Line]) -> Table:
    found = by(lines, "injected", "condition", "tool")
    tools = list(_by_tool(lines))
    rows = [
        [*names, *(_caught_and_named(found.get((*names, tool), [])) for tool in tools)]
        for names in by(lines, "injected", "condition")
    ]
    note = "Caught / its operator named / comparisons."
    headers = ["injected", "condition", *tools]
    return Table("Changes of structure", headers, rows, lines, note, left=2)


def _caught_and_named(lines: Sequence[Line]) -> str:
    if not lines:
        return NOTHING
    failed = [line for line in lines if line.figures["verdict"] == "fail"]
    return f"{len(failed)} / {sum(line.figures['named'] for line in failed)} / {len(lines)}"


def _detection(lines: Sequence[Line]) -> Table:
    tools = list(_by_tool(lines))
    rows = []
    for (condition, name), of in sorted(by(lines, "condition", "injected").items(), key=_order):
        rows.append([name, condition, *_cells(of, tools)])
        steady = [line for line in of if _steady(line)]
        if steady:
            words = f"{condition}, device within {100 * STEADY:.0f} %"
            rows.append([name, words, *_cells(steady, tools)])
    headers = ["injected", "condition", *tools]
    note = "Caught / inconclusive / missed (comparisons)."
    return Table("Slower calls", headers, rows, lines, note, left=2)


def _order(group: tuple[tuple[str, str], list[Line]]) -> tuple[int, int]:
    (condition, name), _ = group
    return CONDITIONS.index(condition), list(INJECTIONS).index(name)


def _cells(lines: Sequence[Line], tools: Sequence[str]) -> list[str]:
    found = _by_tool(lines)
    return [_caught(found.get(tool, [])) for tool in tools]


def _caught(lines: Sequence[Line]) -> str:
    if not lines:
        return NOTHING
    counts = [_count(lines, verdict) for verdict in VERDICTS]
    neither = len(lines) - sum(counts)
    shares = " / ".join(f"{100 * count / len(lines):.0f} %" for count in counts)
    return f"{shares} ({len(lines)}{f', {neither} without a verdict' if neither else ''})"


def _steady(line: Line) -> bool:
    growth = line.figures.get("device_growth")
    return growth is not None and abs(growth) <= STEADY


def _times(lines: Sequence[Line]) -> Table:
    tools = list(_by_tool(lines))
    found = by(lines, "injected", "tool")
    rows = [
        [name, *(_seconds(found.get((name, tool), [])) for tool in tools)]
        for name in INJECTIONS
        if any((name, tool) in found for tool in tools)
    ]
    note = "Median (longest)."
    return Table("Time to a verdict, s a test", ["injected", *tools], rows, lines, note)


def _seconds(lines: Sequence[Line]) -> str:
    if not lines:
        return NOTHING
    seconds = [line.figures["seconds"] for line in lines]
    return f"{median(seconds):.1f} ({max(seconds):.1f})"
