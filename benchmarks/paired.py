"""Two revisions side by side: ours beside stored baselines, and alternation by hand.

The plan is that of ``verdicts.py``: the same models, the same plants, quiet and while another
process loads a core, the tools in turns. Ours is asked for growth beyond 2 %, so that 5 % is to be
seen. Every finished comparison is kept in a results file: a rerun continues.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, median, stdev

from verdicts import jobs
from verdicts_parts import tables
from verdicts_parts.command import log_of, models_of, parser_for, show_tools, tools_of
from verdicts_parts.log import Line, Log
from verdicts_parts.plants import LATENCY, NONE, STRUCTURE
from verdicts_parts.runs import LOADED, QUIET, Runs
from verdicts_parts.side_by_side import Alternation, Paired
from verdicts_parts.tools import Benchmark, HiddenCost, Settings, Tool

TOOLS: tuple[type[Tool], ...] = (Paired, HiddenCost, Benchmark, Alternation)
PATIENCE_S = 30.0  # to be alone on the machine, for each run
SECTIONS = ("alarms", "structure", "power")
ALL = "all"  # conditions together
# Comparing processes for each condition; every one compares every model.
POWER = {p.name: 12 for p in LATENCY if p.share < 0.5}
LONG = {
    QUIET: {NONE.name: 40, **{p.name: 3 for p in STRUCTURE}, **POWER},
    LOADED: {NONE.name: 40, **{p.name: 2 for p in STRUCTURE}, **POWER},
}
SHORT = {
    QUIET: {NONE.name: 1, **{p.name: 1 for p in STRUCTURE}, "+5 %": 1, "+10 %": 1},
    LOADED: {NONE.name: 1, "+10 %": 1},
}


def main() -> None:
    options = parser_for(__doc__, SECTIONS).parse_args()
    models = models_of(options)
    settings = Settings(options.time or 2.0, options.threads)
    log = log_of(options, "paired", models, settings)
    tools = tools_of(options, TOOLS, settings)
    if not options.tables:
        planned = jobs(SHORT if options.short else LONG, options)
        runnable = [tool for tool in tools if not tool.missing]
        Runs(log, runnable, models, options.patience or PATIENCE_S).run(planned)
    show(log, tools)


def show(log: Log, tools: Sequence[Tool]) -> None:
    names = [tool.name for tool in tools]
    show_tools(log, tools)
    for title, text in (
        ("False alarms on unchanged code", tables.alarms(log, names)),
        ("Bias and spread of growth seen in unchanged code", bias(log, names)),
        ("Structure", tables.structure(log, names)),
        ("Power: caught / inconclusive / missed (of)", tables.power(log, names)),
        ("Time to a verdict, s a test: median (longest)", times(log, names)),
    ):
        print(f"\n### {title}\n\n{text}", flush=True)


def bias(log: Log, tools: Sequence[str]) -> str:
    """Growth that was seen where there was none: its mean, with the standard error, and more."""
    rows = []
    for condition in (QUIET, LOADED, ALL):
        for tool in tools:
            seen = [
                100 * line["growth"]
                for line in log.comparisons()
                if line["plant"] == NONE.name
                and line["tool"] == tool
                and condition in (line["condition"], ALL)
                and line.get("growth") is not None
            ]
            if len(seen) > 1:
                spread = stdev(seen)
                rows.append(
                    [
                        condition,
                        tool,
                        str(len(seen)),
                        f"{mean(seen):+.2f} +- {spread / math.sqrt(len(seen)):.2f} %",
                        f"{median(seen):+.2f} %",
                        f"{spread:.2f} %",
                        f"{min(seen):+.1f} to {max(seen):+.1f} %",
                    ]
                )
    return tables.table(
        rows, ["condition", "tool", "of", "mean", "median", "spread", "range"], left=2
    )


def times(log: Log, tools: Sequence[str]) -> str:
    """What a comparison takes, by what was planted."""
    rows = []
    for plant in (NONE, *STRUCTURE, *LATENCY):
        found = [_times(_lines(log, plant.name, tool)) for tool in tools]
        if any(cell != tables.NOTHING for cell in found):
            rows.append([plant.name, *found])
    return tables.table(rows, ["planted", *tools])


def _lines(log: Log, plant: str, tool: str) -> list[Line]:
    return [line for line in log.comparisons() if (line["plant"], line["tool"]) == (plant, tool)]


def _times(lines: Sequence[Line]) -> str:
    if not lines:
        return tables.NOTHING
    seconds = [line["seconds"] for line in lines]
    return f"{median(seconds):.1f} ({max(seconds):.1f})"


if __name__ == "__main__":
    main()
