"""Convolutions against a clock: the time in every convolution of the reference models.

The clock takes timestamps around each convolution. The benchmark subtracts the clock's reading
around an operator that does nothing, in the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, perf_counter_ns
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.accuracy.profiled import Profiled, raw_roots, timed_ns
from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Line
from benchmarks.lib.models import ALL_MODELS, ONE, network, on_backend, on_both_backends
from benchmarks.lib.tables import Table, by, spread, values
from pytest_hiddencost.measure.operators.attribution import Attribution

CONVOLUTION = "aten::conv2d"
FEWEST, MOST = 7, 31
FIGURES = {
    "ours_sum_error": "ours, sum (at most 5), %",
    "ours_module_error": "ours, module (at most 10), %",
    "raw_sum_error": "raw, sum, %",
    "raw_module_error": "raw, module, %",
}
convolve: Callable[..., torch.Tensor] = torch.conv2d
nothing: Callable[[torch.Tensor], torch.Tensor] = torch.resolve_conj


class Clock:
    """Timestamps around each convolution of a call."""

    def __init__(self) -> None:
        self._durations_ns: list[int] = []

    def convolutions_ns(self, call: Callable[[], object]) -> list[int]:
        """Run the call with the clock around each convolution."""
        return self._run(call, self._timed)

    def own_ns(self, call: Callable[[], object]) -> list[int]:
        """Run the call with the clock around nothing, before each convolution."""
        return self._run(call, self._nothing_timed)

    def _run(self, call: Callable[[], object], conv2d: Callable[..., torch.Tensor]) -> list[int]:
        self._durations_ns = []
        F.conv2d = conv2d
        try:
            call()
        finally:
            F.conv2d = convolve
        return self._durations_ns

    def _timed(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start = perf_counter_ns()
        result = convolve(*args, **kwargs)
        self._durations_ns.append(perf_counter_ns() - start)
        return result

    def _nothing_timed(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start = perf_counter_ns()
        nothing(args[0])
        self._durations_ns.append(perf_counter_ns() - start)
        return convolve(*args, **kwargs)


@dataclass
class Rounds:
    """Times of the convolutions, as shares of a plain call right before.

    The speed of a shared machine changes all the time, and shares do not.
    """

    clocked: list[list[float]] = field(default_factory=list)
    own: list[list[float]] = field(default_factory=list)
    raw: list[list[float]] = field(default_factory=list)

    def add(self, ours: Profiled, clock: Clock) -> None:
        """Measure the model once with each instrument."""
        run = ours.call.run
        run()
        plain_ns = timed_ns(run)
        self.clocked.append([ns / plain_ns for ns in clock.convolutions_ns(run)])
        self.own.append([ns / plain_ns for ns in clock.own_ns(run)])
        ours.windows.add()
        run()
        plain_ns = timed_ns(run)
        self.raw.append([ns / plain_ns for name, ns in raw_roots(run) if name == CONVOLUTION])

    @property
    def truth(self) -> float:
        """The share of all convolutions by the clock."""
        return median(map(sum, self.clocked)) - median(map(sum, self.own))


def measure(model: str, backend: str, rounds_s: float) -> dict[str, float]:
    """Compare the plugin and the raw profiler with the clock."""
    clock, rounds = Clock(), Rounds()
    with on_backend(backend):
        ours = Profiled(*network(model))
        ours.call.run()
        end = perf_counter() + rounds_s
        while (count := len(rounds.raw)) < FEWEST or (count < MOST and perf_counter() < end):
            rounds.add(ours, clock)
        return errors(ours, rounds)


def errors(ours: Profiled, rounds: Rounds) -> dict[str, float]:
    """Return the errors in percent of the clock's times: of the sum, and of the median module."""
    found = ours.attribution(1.0)
    conv2d = next(c for c in found.composites if c.name == CONVOLUTION)
    modules = [site.module for name, site in ours.call_sites if name == CONVOLUTION]
    own, raw = by_module(modules, rounds.own), by_module(modules, rounds.raw)
    truth = {m: share - own[m] for m, share in by_module(modules, rounds.clocked).items()}
    latency_ns = median(window.plain_ns for window in ours.windows.kept)
    return {
        "clock_ms": rounds.truth * latency_ns / 1e6,
        "ours_sum_error": 100 * (conv2d.total_ns / rounds.truth - 1),
        "raw_sum_error": 100 * (median(map(sum, rounds.raw)) / rounds.truth - 1),
        "ours_module_error": module_error(attributed(found, truth), truth),
        "raw_module_error": module_error(raw, truth),
    }


def attributed(ours: Attribution, modules: dict[str, float]) -> dict[str, float]:
    """Return the share of the latency that the plugin attributes to each of these modules."""
    found = dict.fromkeys(modules, 0.0)
    for operator in ours.operators:
        for site in operator.call_sites:
            if site.module in found:
                found[site.module] += site.self_ns
    return found


def module_error(shares: dict[str, float], truth: dict[str, float]) -> float:
    """Return the median error of single modules in percent."""
    return 100 * median(abs(shares[module] / truth[module] - 1) for module in truth)


def by_module(modules: Sequence[str], rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """Add up the median share of each module's calls."""
    totals: dict[str, float] = {}
    for module, shares in zip(modules, zip(*rounds, strict=True), strict=True):
        totals[module] = totals.get(module, 0.0) + median(shares)
    return totals


def run(measuring: Measuring) -> None:
    """Measure each model on each backend."""
    rounds_s = 0.5 if measuring.short else 4.0
    measuring.in_fresh_processes(measure, on_both_backends(measuring.models), rounds_s=rounds_s)


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the errors by model."""
    found = by(lines, "model", "backend")
    rows = [_row(", ".join(case), of_case) for case, of_case in found.items()]
    worst = [
        f"{max(abs(median(values(of_case, f))) for of_case in found.values()):.1f}" for f in FIGURES
    ]
    rows.append(["largest median", "", *worst])
    headers = ["model", "clock, ms", *FIGURES.values()]
    yield Table("Convolutions against a clock", headers, rows, lines)


def _row(name: str, lines: Sequence[Line]) -> list[str]:
    cells = [
        spread(values(lines, figure), "{:+.1f}" if "sum" in figure else "{:.1f}")
        for figure in FIGURES
    ]
    return [name, f"{median(values(lines, 'clock_ms')):.3g}", *cells]


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    models=(ALL_MODELS, ONE),
    known_models=ALL_MODELS,
)
