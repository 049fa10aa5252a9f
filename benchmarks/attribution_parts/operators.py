"""Operators against a loop in C++: cost of one call of small and large operators."""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import median
from time import perf_counter_ns

import torch
from common import Profiled, has_compiler, measuring, report
from torch import nn
from torch.utils.benchmark import Language, Timer

ROUNDS = 25
CALLS = {"small": 64, "large": 48}  # in one call of the model
LOOP = {"small": 20_000, "large": 200}
SIZES = {"small": 8, "large": 64}  # of 1 x 16 x n x n floats: 4 and 256 KiB
SCRIPT = """
def loop(x: Tensor, y: Tensor, calls: int):
    result = x
    for _ in range(calls):
        result = {statement}
    return result
"""
VARIABLE = "HIDDENCOST_BENCHMARK_OPERATOR"

Operation = Callable[[torch.Tensor, torch.Tensor], object]

# Name of the root operator: the same call in Python, C++ and TorchScript.
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


class Repeated(nn.Module):
    """A small network that calls one operator again and again between its layers."""

    def __init__(self, operation: Operation, calls: int, size: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Conv2d(16, 16, 1)
        self.operation, self.calls = operation, calls
        self.other = torch.randn(1, 16, size, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        operation, other = self.operation, self.other
        for _ in range(self.calls):
            operation(x, other)
        mixed: torch.Tensor = self.head(x)
        return mixed


class Loop:
    """The operators in a compiled loop: C++, or TorchScript where there is no compiler."""

    def __init__(self) -> None:
        self._timer: Timer | None = None
        if has_compiler():
            cases = " ".join(
                f"case {number}: {{ auto r = {statement}; break; }}"
                for number, (_, statement, _) in enumerate(OPERATIONS.values())
            )
            # One program for all operators: compiling one takes half a minute.
            self._timer = Timer(
                f"switch (chosen) {{ {cases} }}",
                setup=(
                    "c10::InferenceMode guard; "
                    f'int chosen = atoi(getenv("{VARIABLE}")); '
                    'int size = atoi(getenv("HIDDENCOST_BENCHMARK_SIZE")); '
                    "auto x = torch::randn({1, 16, size, size}); auto y = torch::randn_like(x);"
                ),
                language=Language.CPP,
            )

    def cost_ns(self, name: str, size: int, loops: int) -> float:
        """Cost of one call, the loop's own included."""
        if self._timer is not None:
            os.environ[VARIABLE] = str(list(OPERATIONS).index(name))
            os.environ["HIDDENCOST_BENCHMARK_SIZE"] = str(size)
            return float(self._timer.timeit(loops).mean * 1e9)
        return self._scripted_ns(name, size, loops)

    def _scripted_ns(self, name: str, size: int, loops: int) -> float:
        statement = OPERATIONS[name][2]
        unit = torch.jit.CompilationUnit(SCRIPT.format(statement=statement))
        x, y = (torch.randn(1, 16, size, size) for _ in range(2))
        unit.loop(x, y, 10)
        start = perf_counter_ns()
        unit.loop(x, y, loops)
        return (perf_counter_ns() - start) / loops


def main() -> None:
    torch.set_num_threads(1)
    results: dict[str, dict[str, float]] = {}
    with measuring():
        loop = Loop()
        for size in SIZES:
            names = [name for name in OPERATIONS if size == "small" or name not in VIEWS]
            for name in names:
                results[f"{name}, {size}" if name not in VIEWS else name] = compared(
                    name, size, loop
                )
    report(results)


def compared(name: str, size: str, loop: Loop) -> dict[str, float]:
    model = Repeated(OPERATIONS[name][0], CALLS[size], SIZES[size]).eval()
    ours = Profiled(model, torch.randn(1, 16, SIZES[size], SIZES[size]))
    loop.cost_ns(name, SIZES[size], LOOP[size])
    loops_ns = []
    for _ in range(ROUNDS):
        loops_ns.append(loop.cost_ns(name, SIZES[size], LOOP[size]))
        ours.windows.add()
    attribution = ours.attribution()
    root = next(c for c in attribution.composites if c.name == f"aten::{name}")
    return {
        "loop_ns": median(loops_ns),
        "ours_ns": root.total_ns / root.calls,
        "raw_ns": root.raw_total_ns / root.calls,
    }


if __name__ == "__main__":
    main()
