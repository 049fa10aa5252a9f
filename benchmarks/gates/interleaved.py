"""Verdicts of ``--hiddencost-against``, beside processes of both revisions taking turns by hand.

The models and injections are those of the benchmark ``verdicts``. The tolerance is 2 %, so that
a growth of 5 % must be seen.
"""

from __future__ import annotations

from benchmarks.gates.comparisons import (
    LOADED,
    QUIET,
    Comparisons,
    gate_settings,
    jobs_of,
    tools_of,
)
from benchmarks.gates.hiddencost import Against
from benchmarks.gates.others import AlternatingProcesses
from benchmarks.gates.tables import tables
from benchmarks.gates.tools import Tool
from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.models import ALL_MODELS, ONE, SMALL

TOOLS: tuple[type[Tool], ...] = (Against, AlternatingProcesses)


def run(measuring: Measuring) -> None:
    """Compare with every tool."""
    Comparisons(measuring, tools_of(measuring, TOOLS)).run(jobs_of(measuring))


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(12, 1),
    models=(SMALL, ONE),
    known_models=ALL_MODELS,
    threads=1,
    own=gate_settings(2.0, TOOLS, (QUIET, LOADED), (QUIET,)),
)
