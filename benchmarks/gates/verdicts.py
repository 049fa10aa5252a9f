"""Verdicts of the stored baseline, beside pytest-benchmark and pytest-torch.

Each tool records, something is injected or nothing, and the tool compares in a fresh process. All
tools get the same models and the same time, and take turns: quiet, and while another process
loads a core.
"""

from __future__ import annotations

from benchmarks.gates.comparisons import (
    CONDITIONS,
    DISTURBED,
    QUIET,
    Comparisons,
    gate_settings,
    jobs_of,
    tools_of,
)
from benchmarks.gates.hiddencost import Baseline
from benchmarks.gates.others import PytestBenchmark, PytestTorch
from benchmarks.gates.tables import tables
from benchmarks.gates.tools import Tool
from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.models import ALL_MODELS, ONE, SMALL

TOOLS: tuple[type[Tool], ...] = (Baseline, PytestBenchmark, PytestTorch)


def run(measuring: Measuring) -> None:
    """Compare with every tool that is installed."""
    Comparisons(measuring, tools_of(measuring, TOOLS)).run(jobs_of(measuring))


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(12, 1),
    models=(SMALL, ONE),
    known_models=ALL_MODELS,
    threads=1,
    own=gate_settings(1.0, TOOLS, CONDITIONS, (QUIET, DISTURBED)),
)
