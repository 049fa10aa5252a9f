"""Operators added to a model: the growth of its latency, and the time attributed to them.

Both sides run the same added operators, once on one element and once on 32 KiB, so that only the
operators' own work differs. They are called from C++ where there is a compiler: the data of the
large ones drives Python's own out of the caches, and that time is in no operator.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cache
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

from benchmarks.accuracy.profiled import Profiled, has_compiler, raw_roots, timed_ns
from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Line
from benchmarks.lib.models import ONE, network, on_backend
from benchmarks.lib.tables import Table, by, spread, values
from pytest_hiddencost.core.intervals import median_interval
from pytest_hiddencost.measure.operators.attribution import Attribution
from pytest_hiddencost.study.results import DEFAULT_BACKEND, ONEDNN_OFF

PRECISION = 0.03  # half-width of the growth's interval, relative to the growth
LAYERS = 5  # of the model, each with added operators
COUNTS = {  # of operators added to each layer: a few, and many
    ("MobileNet", DEFAULT_BACKEND): (20, 80),
    ("ResNet50", DEFAULT_BACKEND): (120, 300),
    ("MobileNet", ONEDNN_OFF): (120, 300),
}
CHANNELS, SIDE = 8, 32  # 32 KiB: more would drive the model's own data out of the caches
SOURCE = """
void copies(at::Tensor result, at::Tensor source, int64_t times) {
  for (int64_t i = 0; i < times; i++) result.copy_(source);
}
void cats(at::Tensor result, at::Tensor first, at::Tensor second, int64_t times) {
  for (int64_t i = 0; i < times; i++) at::cat_out(result, {first, second}, 3);
}
void sums(at::Tensor result, at::Tensor whole, int64_t side, int64_t times) {
  for (int64_t i = 0; i < times; i++)
    at::add_out(result, whole.narrow(3, 0, side), whole.narrow(3, side, side));
}
"""


class InPython:
    """The loops of ``SOURCE``, for a machine without a compiler."""

    @staticmethod
    def copies(result: torch.Tensor, source: torch.Tensor, times: int) -> None:
        """Copy."""
        for _ in range(times):
            result.copy_(source)

    @staticmethod
    def cats(result: torch.Tensor, first: torch.Tensor, second: torch.Tensor, times: int) -> None:
        """Concatenate."""
        for _ in range(times):
            torch.cat((first, second), 3, out=result)

    @staticmethod
    def sums(result: torch.Tensor, whole: torch.Tensor, side: int, times: int) -> None:
        """Add two parts of a tensor."""
        for _ in range(times):
            torch.add(whole.narrow(3, 0, side), whole.narrow(3, side, side), out=result)


@cache
def loops() -> Any:
    """Return ``copies``, ``cats`` and ``sums``; they are compiled once per machine."""
    if not has_compiler():
        return InPython
    from torch.utils.cpp_extension import load_inline

    return load_inline("hiddencost_ablation", SOURCE, functions=["copies", "cats", "sums"])


class Added:
    """Operators of one kind on tensors of one size; results go to memory that exists already."""

    def __init__(self, kind: str, channels: int, side: int) -> None:
        self._result = torch.empty(1, channels, side, side)
        halves = torch.randn(2, 1, channels, side, side // 2).unbind()
        self._loop, self._arguments = {
            "copy": (loops().copies, (torch.randn(1, channels, side, side).transpose(2, 3),)),
            "cat": (loops().cats, halves),
            "narrow + add": (loops().sums, (torch.randn(1, channels, side, 2 * side), side)),
        }[kind]

    def run(self, times: int) -> None:
        """Run the operators so many times."""
        self._loop(self._result, *self._arguments, times)


KINDS = ("copy", "cat", "narrow + add")


class Also(nn.Module):
    """A layer, and operators beside it that change nothing: on full or on tiny tensors."""

    def __init__(self, layer: nn.Module, kind: str, times: int) -> None:
        super().__init__()
        self.layer, self.times = layer, times
        self.full, self.tiny = Added(kind, CHANNELS, SIDE), Added(kind, 1, 2)
        self.chosen = self.full

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the layer, then the operators."""
        result: torch.Tensor = self.layer(x)
        # Both sides load this data. It drives the model's own out of the caches, which costs time
        # that belongs to no operator.
        self.full.run(1)
        self.chosen.run(self.times)
        return result


class Extended:
    """A model with added operators, its two sides in turns."""

    def __init__(self, model: nn.Module, image: torch.Tensor, kind: str, times: int) -> None:
        extended = copy.deepcopy(model)
        norms = [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
        self._added = {n: Also(extended.get_submodule(n), kind, times) for n in norms[:LAYERS]}
        for name, also in self._added.items():
            extended.set_submodule(name, also)
        # One model for both sides: a copy elsewhere in memory may be faster or slower.
        self._sides = {full: Profiled(extended, image) for full in (False, True)}
        self.plain_ns: list[float] = []
        self.growths_ns: list[float] = []
        self.raw_ns: list[float] = []

    def add_round(self) -> None:
        """Time three plain calls of each side, and profile one."""
        for _ in range(3):
            before, with_them, after = (self._timed_ns(full) for full in (False, True, False))
            self.plain_ns.append((before + after) / 2)
            self.growths_ns.append(with_them - self.plain_ns[-1])
        tiny, full = (self._raw_ns(full) for full in (False, True))
        self.raw_ns.append(full - tiny)

    def known(self) -> bool:
        """Return whether the growth's 90 % interval is narrow enough."""
        bounds = median_interval(self.growths_ns, 0.9)
        width = 2 * PRECISION * median(self.growths_ns)
        return bounds is not None and bounds[1] - bounds[0] <= width

    def figures(self) -> dict[str, float]:
        """Return the growth of the latency, by the clock, by the plugin and by the profiler."""
        latency_ns, grown_ns = median(self.plain_ns), median(self.growths_ns)
        tiny = self._attributed_ns(self._switch(False).attribution(latency_ns))
        full = self._attributed_ns(self._switch(True).attribution(latency_ns + grown_ns))
        return {
            "effect_share": grown_ns / latency_ns,
            "grown_us": grown_ns / 1e3,
            "ours_us": (full - tiny) / 1e3,
            "raw_us": median(self.raw_ns) / 1e3,
        }

    def _switch(self, full: bool) -> Profiled:
        for also in self._added.values():
            also.chosen = also.full if full else also.tiny
        return self._sides[full]

    def _timed_ns(self, full: bool) -> int:
        run = self._switch(full).call.run
        run()
        return timed_ns(run)

    def _raw_ns(self, full: bool) -> float:
        side = self._switch(full)
        side.windows.add()
        roots = zip(raw_roots(side.call.run), side.call_sites, strict=True)
        return sum(ns for (_, ns), (_, site) in roots if site.module in self._added)

    def _attributed_ns(self, attribution: Attribution) -> float:
        sites = (site for operator in attribution.operators for site in operator.call_sites)
        return sum(site.self_ns for site in sites if site.module in self._added)


def measure(
    model: str, backend: str, added: str, count: int, fewest: int, rounds_s: float
) -> dict[str, float]:
    """Compare the growth of the latency with the time attributed to the added operators."""
    with on_backend(backend):
        extended = Extended(*network(model), added, count // LAYERS)
        end = perf_counter() + rounds_s
        while len(extended.raw_ns) < fewest or (not extended.known() and perf_counter() < end):
            extended.add_round()
        return extended.figures()


def run(measuring: Measuring) -> None:
    """Measure every kind of operator, few and many of it."""
    cases = [
        {"model": model, "backend": backend, "added": kind, "count": LAYERS * count}
        for (model, backend), counts in COUNTS.items()
        if model in measuring.models and (backend == DEFAULT_BACKEND or not measuring.short)
        for kind in KINDS
        for count in (counts[1:] if measuring.short else counts)
    ]
    fewest, rounds_s = (3, 1.0) if measuring.short else (9, 90.0)
    measuring.in_fresh_processes(measure, cases, fewest=fewest, rounds_s=rounds_s)


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the growths by model and kind."""
    headers = [
        "added to", "effect, % of latency", "latency grew, us", "ours, us", "ours, %", "raw, %",
    ]  # fmt: skip
    found = by(lines, "model", "backend", "count", "added")
    rows = [_row("{}, {}: {} x {}".format(*case), of_case) for case, of_case in found.items()]
    note = "If the effect exceeds 3 % of the latency, ours may be off by 15 %."
    yield Table("Operators added to a model", headers, rows, lines, note)


def _row(name: str, lines: Sequence[Line]) -> list[str]:
    def error(figure: str) -> str:
        errors = (100 * (one.figures[figure] / one.figures["grown_us"] - 1) for one in lines)
        return spread(errors, "{:+.1f}")

    return [
        name,
        spread(values(lines, "effect_share", 100), "{:.1f}"),
        f"{median(values(lines, 'grown_us')):.0f}",
        f"{median(values(lines, 'ours_us')):.0f}",
        error("ours_us"),
        error("raw_us"),
    ]


MODELS = tuple(dict.fromkeys(model for model, _ in COUNTS))
BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    models=(MODELS, ONE),
    known_models=MODELS,
    threads=1,  # two threads wait for each other on a machine with noisy neighbours
)
