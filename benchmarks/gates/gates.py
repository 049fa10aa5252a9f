"""Verdicts of the gates on four reference models and nine unlike them.

A tool records or commits a project on the quiet machine, something is changed or nothing, and the
tool compares in a fresh process: quiet, or while another process loads a core. A recording serves
the comparisons of the next minutes and hours. All tools take turns, with the same models, the same
time and the same tolerance, 5 %. A run has one test. So its seconds are those of a user's run, and
this test has the whole risk of a false alarm.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gates.comparisons import Comparisons
from benchmarks.gates.plan import (
    CONDITIONS,
    KINDS,
    QUIET,
    ROUNDS,
    THREADS,
    TOOLS,
    budget,
    cells_of,
    plan_of,
)
from benchmarks.gates.tables import tables, tables_of_machines
from benchmarks.gates.tools import Tool, ToolSettings
from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.models import ALL_MODELS, SMALL, UNLIKE_MODELS
from benchmarks.lib.processes import say

TOLERANCE = 0.05
NAMES = tuple(tool.name for tool in TOOLS)


def run(measuring: Measuring) -> None:
    """Run the rest of the plan with every tool that is asked for and installed."""
    own = measuring.own
    tools = dict(_tools(measuring))
    kinds = [k for k in KINDS if any(name == k.tool.name for name, _ in tools)]
    cells = cells_of(measuring.models, own["threads"], own["conditions"], own["together"])
    with tempfile.TemporaryDirectory() as folder:
        comparisons = Comparisons(measuring, tools, Path(folder))
        left = comparisons.left(plan_of(cells, measuring.processes, kinds))
        say(f"left: {budget(left)}; stops after {own['minutes']:g} minutes")
        comparisons.run(left)


def _tools(measuring: Measuring) -> Iterator[tuple[tuple[str, str], Tool]]:
    own = measuring.own
    for kind in (kind for kind in TOOLS if kind.name in own["tools"]):
        found = {
            word: kind(ToolSettings(own["seconds"], THREADS[word], own["python"], TOLERANCE))
            for word in own["threads"]
        }
        if missing := next(iter(found.values())).missing:
            say(f"left out: {missing}")
            continue
        yield from (((kind.name, word), tool) for word, tool in found.items())


MODELS = (*SMALL, *UNLIKE_MODELS)
BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    counted=tables_of_machines,
    processes=(ROUNDS, 1),
    models=(MODELS, ("MLP",)),
    known_models=(*ALL_MODELS, *UNLIKE_MODELS),
    own=(
        Setting("threads", "threads of torch", tuple(THREADS), ("1",), tuple(THREADS)),
        Setting("conditions", "load of the machine", CONDITIONS, (QUIET,), CONDITIONS),
        Setting("tools", "compared tools", NAMES, NAMES, NAMES),
        Setting("minutes", "time after which to stop; a rerun continues", 180.0, 9.0),
        Setting("seconds", "time of the timed calls of a test in s", 2.0, 0.3, recorded=True),
        Setting("together", "models in one run of pytest", 1, 1, recorded=True),
        Setting("python", "interpreter that has the other tools", sys.executable, sys.executable),
        Setting("patience", "time in s to wait for a quiet machine, before each run", 20.0, 1.0),
    ),
)
