"""Operators against a loop in C++: the cost of one call of small and large operators."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter_ns

import torch
from torch import nn
from torch.utils.benchmark import Language, Timer

from benchmarks.accuracy.profiled import Profiled, has_compiler
from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Line
from benchmarks.lib.processes import fresh
from benchmarks.lib.tables import Table, by, spread, values

ALLOWED_NS, ALLOWED_SHARE = 100.0, 0.25
SCRIPT = """
def loop(x: Tensor, y: Tensor, calls: int):
    result = x
    for _ in range(calls):
        result = {statement}
    return result
"""
CHOSEN, SIDE = "HIDDENCOST_BENCHMARK_OPERATOR", "HIDDENCOST_BENCHMARK_SIZE"
SETUP = (
    "c10::InferenceMode guard; "
    f'int chosen = atoi(getenv("{CHOSEN}")); int size = atoi(getenv("{SIDE}")); '
    "auto x = torch::randn({1, 16, size, size}); auto y = torch::randn_like(x);"
)


@dataclass(frozen=True)
class Size:
    """Operands of 1 x 16 x n x n floats: calls in one call of the model, and in the loop."""

    side: int
    calls: int
    loops: int


SIZES = {"small": Size(8, 64, 20_000), "large": Size(64, 48, 200)}  # 4 and 256 KiB
Operation = Callable[[torch.Tensor, torch.Tensor], object]

# By the name of the root operator: the same call in Python, C++ and TorchScript.
OPERATIONS: dict[str, tuple[Operation, str, str]] = {
    "narrow": (lambda x, y: x.narrow(1, 0, 8), "x.narrow(1, 0, 8)", "x.narrow(1, 0, 8)"),
    "slice": (lambda x, y: x[0:1], "x.slice(0, 0, 1)", "x[0:1]"),
    "view": (lambda x, y: x.view(1, -1), "x.view({1, -1})", "x.view([1, -1])"),
    "as_strided": (
        lambda x, y: x.as_strided((4, 4), (4, 1)),
        "x.as_strided({4, 4}, {4, 1})",
        "x.as_strided([4, 4], [4, 1])",
    ),
    "empty": (
        lambda x, y: torch.empty((1, 16, 8, 8)),
        "at::empty({1, 16, 8, 8})",
        "torch.empty([1, 16, 8, 8])",
    ),
    "copy_": (lambda x, y: y.copy_(x), "y.copy_(x)", "y.copy_(x)"),
    "cat": (lambda x, y: torch.cat((x, y), 1), "at::cat({x, y}, 1)", "torch.cat([x, y], 1)"),
    "add": (torch.add, "at::add(x, y)", "torch.add(x, y)"),
    "relu": (lambda x, y: torch.relu(x), "at::relu(x)", "torch.relu(x)"),
}
VIEWS = ("narrow", "slice", "view", "as_strided", "empty")  # cost the same at any size
CASES = [{"operator": name, "size": "small"} for name in OPERATIONS] + [
    {"operator": name, "size": "large"} for name in OPERATIONS if name not in VIEWS
]
SHORT = [case for case in CASES if case["operator"] in ("view", "add")]


class Repeated(nn.Module):
    """A small network that calls one operator again and again between its layers."""

    def __init__(self, operation: Operation, size: Size) -> None:
        super().__init__()
        self.stem = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Conv2d(16, 16, 1)
        self.operation, self.calls = operation, size.calls
        self.other = torch.randn(1, 16, size.side, size.side)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the layers and the operator between them."""
        x = self.stem(x)
        operation, other = self.operation, self.other
        for _ in range(self.calls):
            operation(x, other)
        mixed: torch.Tensor = self.head(x)
        return mixed


class Loop:
    """The operators in a compiled loop: C++, or TorchScript where there is no compiler."""

    def __init__(self) -> None:
        self._timer = _compiled() if has_compiler() else None

    def cost_ns(self, name: str, size: Size) -> float:
        """Return the cost of one call, with the loop's own."""
        if self._timer is None:
            return self._scripted_ns(name, size)
        os.environ[CHOSEN] = str(list(OPERATIONS).index(name))
        os.environ[SIDE] = str(size.side)
        return float(self._timer.timeit(size.loops).mean * 1e9)

    def _scripted_ns(self, name: str, size: Size) -> float:
        unit = torch.jit.CompilationUnit(SCRIPT.format(statement=OPERATIONS[name][2]))
        x, y = (torch.randn(1, 16, size.side, size.side) for _ in range(2))
        unit.loop(x, y, 10)
        start = perf_counter_ns()
        unit.loop(x, y, size.loops)
        return (perf_counter_ns() - start) / size.loops


def _compiled() -> Timer:
    """Compile all operators into one program: compiling one takes half a minute."""
    cases = " ".join(
        f"case {number}: {{ auto r = {statement}; break; }}"
        for number, (_, statement, _) in enumerate(OPERATIONS.values())
    )
    return Timer(f"switch (chosen) {{ {cases} }}", setup=SETUP, language=Language.CPP)


def measure(cases: list[dict[str, str]], rounds: int) -> list[dict[str, float]]:
    """Compare each operator with its loop, in turns."""
    with torch.inference_mode():
        loop = Loop()
        return [compared(case["operator"], SIZES[case["size"]], loop, rounds) for case in cases]


def compared(name: str, size: Size, loop: Loop, rounds: int) -> dict[str, float]:
    """Return the cost of one call: in the loop, by the plugin, and as the profiler reports it."""
    model = Repeated(OPERATIONS[name][0], size).eval()
    ours = Profiled(model, torch.randn(1, 16, size.side, size.side))
    loop.cost_ns(name, size)
    loops_ns = []
    for _ in range(rounds):
        loops_ns.append(loop.cost_ns(name, size))
        ours.windows.add()
    root = next(c for c in ours.attribution().composites if c.name == f"aten::{name}")
    return {
        "loop_ns": median(loops_ns),
        "ours_ns": root.total_ns / root.calls,
        "raw_ns": root.raw_total_ns / root.calls,
    }


def run(measuring: Measuring) -> None:
    """Measure all operators in each process: they share one compiled program."""
    cases, rounds = (SHORT, 5) if measuring.short else (CASES, 25)
    asked = {"cases": cases, "rounds": rounds}
    for number in range(measuring.processes):
        measuring.measure(cases, number, partial(fresh, measure, asked, measuring.threads))


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the cost by operator."""
    headers = [
        "operator", "C++ loop, ns", "ours, ns", "raw, ns", "ours - loop, ns", "allowed, ns", "met",
    ]  # fmt: skip
    found = by(lines, "operator", "size")
    rows = [
        _row(name if name in VIEWS else f"{name}, {size}", of) for (name, size), of in found.items()
    ]
    yield Table("Operators against a loop in C++", headers, rows, lines)


def _row(name: str, lines: Sequence[Line]) -> list[str]:
    columns = [values(lines, figure) for figure in ("loop_ns", "ours_ns", "raw_ns")]
    error = median(columns[1]) - median(columns[0])
    allowed = max(ALLOWED_NS, ALLOWED_SHARE * median(columns[0]))
    cells = [spread(column, "{:.0f}") for column in columns]
    met = "yes" if abs(error) <= allowed else "no"
    return [name, *cells, f"{error:+.0f}", f"{allowed:.0f}", met]


BENCHMARK = Benchmark(run=run, tables=tables, processes=(3, 1), threads=1)
