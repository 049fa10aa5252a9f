"""Closure: the part of the latency that a profile with default settings leaves unexplained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Line
from benchmarks.lib.models import ALL_MODELS, ONE, network, on_backend, on_both_backends
from benchmarks.lib.tables import Table, by, spread, values
from pytest_hiddencost import profile


def measure(model: str, backend: str) -> dict[str, float]:
    """Profile a model once, the first call of its process."""
    with on_backend(backend):
        found = profile(*network(model))
    explained_ns = sum(operator.self_ns for operator in found.operators) + found.outside_ns
    return {
        "residual_share": 1.0 - explained_ns / found.latency.median_ns,
        "inflation_share": found.profiler.inflation_share,
        "event_cost_ns": found.profiler.event_cost_ns,
        "events": found.profiler.events,
    }


def run(measuring: Measuring) -> None:
    """Measure each model on each backend."""
    measuring.in_fresh_processes(measure, on_both_backends(measuring.models))


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the residual by model."""
    headers = [
        "model", "residual (at most 3), %", "profiled / plain - 1, %", "event cost, ns", "events",
    ]  # fmt: skip
    rows = [_row(", ".join(case), of) for case, of in by(lines, "model", "backend").items()]
    note = "The residual is |sum of self times + time outside operators - latency| / latency."
    yield Table("Closure of a profile", headers, rows, lines, note)


def _row(name: str, lines: Sequence[Line]) -> list[str]:
    return [
        name,
        spread(map(abs, values(lines, "residual_share", 100)), "{:.2f}"),
        spread(values(lines, "inflation_share", 100), "{:.0f}"),
        spread(values(lines, "event_cost_ns"), "{:.0f}"),
        f"{median(values(lines, 'events')):.0f}",
    ]


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    models=(ALL_MODELS, ONE),
    known_models=ALL_MODELS,
)
