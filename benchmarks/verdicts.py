"""Whether the regression gate cries wolf or sleeps: ours beside pytest-benchmark, pytest-torch.

Record, then compare in fresh processes: the same models, the same time for each test, the tools in
turns; quiet, and while another process loads a core. Between recording and comparing something is
planted into the code under test, or nothing. Every finished comparison is kept in a results file:
a rerun continues, and the tables are of what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from verdicts_parts import green, tables
from verdicts_parts.command import log_of, models_of, parser_for, show_tools, tools_of
from verdicts_parts.log import Log
from verdicts_parts.plants import LATENCY, NONE, PLANTS, STRUCTURE
from verdicts_parts.runs import DISTURBED, LOADED, QUIET, Job, Runs
from verdicts_parts.tools import TOOLS, Settings, Tool

SECTIONS: dict[str, tuple[str, Callable[[Log, Sequence[str]], str]]] = {
    "alarms": ("False alarms on unchanged code", tables.alarms),
    "structure": ("Structure", tables.structure),
    "power": ("Power: caught / inconclusive / missed (of)", tables.power),
    "green": ("No false green", tables.green),
}
# Comparing processes for each condition; every one compares every model.
LONG = {
    QUIET: {NONE.name: 30, **{p.name: 5 for p in STRUCTURE}, **{p.name: 12 for p in LATENCY}},
    LOADED: {NONE.name: 30, **{p.name: 2 for p in STRUCTURE}, **{p.name: 12 for p in LATENCY}},
    DISTURBED: {NONE.name: 20},
}
SHORT = {
    QUIET: {NONE.name: 1, "copy": 1, "cat": 1, "contiguous": 1, "+20 %": 1},
    DISTURBED: {NONE.name: 1},
}


def jobs(counts: dict[str, dict[str, int]], options: argparse.Namespace) -> list[Job]:
    """What is asked for, as often as the counts say, or so many ``processes`` where not 0."""
    return [
        Job(condition, PLANTS[name], number)
        for condition, plants in counts.items()
        for name, count in plants.items()
        if PLANTS[name].section in options.only
        and (not options.conditions or condition in options.conditions)
        and (not options.plants or name in options.plants)
        for number in range(options.processes or count)
    ]


def main() -> None:
    options = parser_for(__doc__, SECTIONS).parse_args()
    models = models_of(options)
    settings = Settings(options.time or (0.5 if options.short else 1.0), options.threads)
    log = log_of(options, "verdicts", models, settings)
    tools = tools_of(options, TOOLS, settings)
    if not options.tables:
        run(log, [tool for tool in tools if not tool.missing], models, options)
    show(log, tools, options.only)


def run(
    log: Log, tools: Sequence[Tool], models: tuple[str, ...], options: argparse.Namespace
) -> None:
    """What is asked for and not yet in the log."""
    counts = SHORT if options.short else LONG
    patience_s = options.patience or (3.0 if options.short else 120.0)
    planned = jobs(counts, options)
    Runs(log, tools, models, patience_s).run(planned)
    if "green" in options.only:
        green.look(log, tools, times=1 if options.short else 5)


def show(log: Log, tools: Sequence[Tool], sections: Sequence[str]) -> None:
    """The tables, and which tools could not be run."""
    show_tools(log, tools)
    for section in sections:
        title, rendered = SECTIONS[section]
        print(f"\n### {title}\n\n{rendered(log, [tool.name for tool in tools])}", flush=True)


if __name__ == "__main__":
    main()
