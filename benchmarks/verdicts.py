"""Whether the regression gate cries wolf or sleeps: ours beside pytest-benchmark, pytest-torch.

Record, then compare in fresh processes: the same models, the same time for each test, the tools in
turns; quiet, and while another process loads a core. Between recording and comparing something is
planted into the code under test, or nothing. Every finished comparison is kept in a results file:
a rerun continues, and the tables are of what is there.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from verdicts_parts import green, tables
from verdicts_parts.log import Log
from verdicts_parts.plants import LATENCY, NONE, PLANTS, STRUCTURE
from verdicts_parts.runs import DISTURBED, LOADED, QUIET, Job, Runs
from verdicts_parts.tools import TOOLS, HiddenCost, Settings, Tool

MODELS = ("MobileNet", "MobileNetV2", "ShuffleNetV2", "ResNet50")
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
    QUIET: {NONE.name: 2, **{p.name: 1 for p in STRUCTURE}, "+20 %": 1, "+50 %": 1},
    LOADED: {NONE.name: 1},
    DISTURBED: {NONE.name: 1},
}


def jobs(counts: dict[str, dict[str, int]], sections: Sequence[str], processes: int) -> list[Job]:
    """What to run: as often as the counts say, or so many ``processes`` where not 0."""
    return [
        Job(condition, PLANTS[name], number)
        for condition, plants in counts.items()
        for name, count in plants.items()
        if PLANTS[name].section in sections
        for number in range(processes or count)
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few of each, under 10 minutes")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--processes", type=int, default=0, help="of each kind; default: a table's")
    parser.add_argument("--tools", help="names, separated by commas; default all")
    parser.add_argument("--models", help="names, separated by commas; default four, or one")
    parser.add_argument("--time", type=float, help="s for each test; default 1, or 0.5")
    parser.add_argument("--threads", type=int, default=1, help="of torch; default 1")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--results", type=Path, help="default: verdicts-*.jsonl under --cache")
    parser.add_argument("--peers", default=sys.executable, help="the Python that has the others")
    parser.add_argument(
        "--patience", type=float, help="s to try to be alone on the machine; default 120, or 3"
    )
    parser.add_argument("--tables", action="store_true", help="run nothing, print the tables")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    short: bool = options.short
    models = tuple(options.models.split(",")) if options.models else MODELS[: 1 if short else None]
    settings = Settings(options.time or (0.5 if short else 1.0), options.threads)
    name = f"verdicts-{'short' if short else 'long'}.jsonl"
    log = Log(
        options.results or options.cache / name,
        {
            "models": list(models),
            "time_s": settings.time_s,
            "threads": settings.threads,
            "machine": platform.node(),
        },
    )
    tools = [
        tool(sys.executable if tool is HiddenCost else options.peers, settings)
        for tool in TOOLS
        if not options.tools or tool.name in options.tools.split(",")
    ]
    if not options.tables:
        run(log, [tool for tool in tools if not tool.missing], models, options)
    show(log, tools, options.only)


def run(
    log: Log, tools: Sequence[Tool], models: tuple[str, ...], options: argparse.Namespace
) -> None:
    """What is asked for and not yet in the log."""
    counts = SHORT if options.short else LONG
    patience_s = options.patience or (3.0 if options.short else 120.0)
    planned = jobs(counts, options.only, options.processes)
    Runs(log, tools, models, patience_s).run(planned)
    if "green" in options.only:
        green.look(log, tools, times=2 if options.short else 5)


def show(log: Log, tools: Sequence[Tool], sections: Sequence[str]) -> None:
    """The tables, and which tools could not be run."""
    print(f"\nresults: {log.path}")
    for tool in tools:
        print(f"- {tool.name}: {tool.missing or tool.version_of(tool.module)}")
    for section in sections:
        title, rendered = SECTIONS[section]
        print(f"\n### {title}\n\n{rendered(log, [tool.name for tool in tools])}", flush=True)


if __name__ == "__main__":
    main()
