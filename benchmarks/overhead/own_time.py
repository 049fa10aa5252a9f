"""The plugin's own time: the seconds of each pass of one measurement, default settings, a budget.

Tests run in a pytest session in a fresh process. The first test of a session also pays imports and
calibration, so it has a row of its own. A clock around each pass leaves the passes inside it out.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from itertools import chain
from pathlib import Path
from pkgutil import resolve_name
from time import perf_counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Figures, Line
from benchmarks.lib.models import network
from benchmarks.lib.tables import NOTHING, Table, by, spread, values
from pytest_hiddencost.core.records import Profile

TARGET_S = 5.0  # of a call of 5 ms
STEPS = 1_000  # of the model of small operators: about 5 ms
DECIDED, OPEN = "decided", "open"
ELSE = "everything else"
MEASURE = "pytest_hiddencost.measure."
PASSES: dict[str, tuple[tuple[str, str], ...]] = {
    "first call": (("one_call", "_first_call"),),
    "MACs": (("passes", "count_macs"),),
    "memory": (("passes", "memory_of"),),
    "thop": (("passes", "thop_macs"),),
    "warm-up": (("latency.sampler:LatencySampler", "warm_up"),),
    "samples": (
        ("latency.sampler:LatencySampler", "sample"),
        ("latency.sampler:LatencySampler", "sample_more"),
    ),
    "reference workload": (("latency.reference_workload:ReferenceWorkload", "__call__"),),
    "call sites": (("operators.roots", "root_call_sites"),),
    "clock": (("operators.roots", "clocked_shares"),),
    "windows": (
        ("operators.window_pass:Windows", "prepare"),
        ("operators.window_pass:Windows", "add"),
    ),
    "plain calls between windows": (("operators.windows:OperatorWindows", "_plain_ns"),),
    "reading events": (
        ("operators.profiler", "_disable_profiler"),
        ("operators.windows", "marked_call"),
        ("operators.windows", "fold"),
    ),
    "calibration": (("passes", "calibrated"),),
    "unseen work": (("unseen_work:UnseenWork", "found"),),
    "profile assembly": (("passes:Passes", "_profile"),),
}
"""The functions of each pass, by the place where the plugin looks them up."""

TEST_FILE = """\
import pytest
from benchmarks.overhead import own_time

MODEL, DATA = own_time.SUBJECTS[{model!r}]()

@pytest.mark.latency_budget(p50="100 s", non_mac="100 s")
@pytest.mark.parametrize("number", range({tests}))
def test_call(hiddencost, number):
    own_time.PROFILES.append(hiddencost(MODEL, DATA))
"""
PROFILES: list[Profile] = []  # of the session in this process


class SmallOperators(nn.Module):
    """Python that calls small operators, one after another."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` after ``STEPS`` multiplications and additions."""
        for _ in range(STEPS):
            x = x * 0.99 + 0.01
        return x


def perceptron() -> tuple[nn.Module, Tensor]:
    """Return a tiny multi-layer perceptron."""
    layers = (nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(*layers).eval(), torch.randn(8, 64)


SUBJECTS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "README's example": lambda: network("README example"),
    "LSTM": lambda: (nn.LSTM(64, 128, 2, batch_first=True).eval(), torch.randn(1, 100, 64)),
    "MLP": perceptron,
    "ShuffleNet": lambda: network("ShuffleNet"),
    "small operators": lambda: (SmallOperators().eval(), torch.randn(8)),
}


class Clocks:
    """A pytest plugin that clocks every test, and every pass without the passes inside it."""

    def __init__(self) -> None:
        self.tests: list[dict[str, float]] = []
        self._inside_s: list[float] = []  # of every clock that runs, the time of clocks inside it

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Clock one test; what no pass took is ``ELSE``."""
        self.tests.append(dict.fromkeys(PASSES, 0.0))
        return (yield from self._clocked(ELSE))

    def install(self) -> None:
        """Put a clock around the functions of every pass, in this process."""
        for name, functions in PASSES.items():
            for owner, attribute in functions:
                found = resolve_name(MEASURE + owner)
                setattr(found, attribute, self._around(name, getattr(found, attribute)))

    def _around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def clocked(*args: Any, **kwargs: Any) -> Any:
            clock = self._clocked(name)
            next(clock)
            try:
                return function(*args, **kwargs)
            finally:
                next(clock, None)

        return clocked

    def _clocked(self, name: str) -> Iterator[None]:
        self._inside_s.append(0.0)
        start = perf_counter()
        try:
            yield
        finally:
            took_s = perf_counter() - start
            seconds = self.tests[-1]
            seconds[name] = seconds.get(name, 0.0) + took_s - self._inside_s.pop()
            if self._inside_s:
                self._inside_s[-1] += took_s


def measure(model: str, limits: str, tests: int) -> Figures:
    """Run a session of ``tests`` on one model and return the seconds of each test but the first.

    Limits that are ``OPEN`` stay so: measurements are as long as they can be.
    """
    gc.enable()  # as in a user's session
    clocks = Clocks()
    clocks.install()
    if limits == OPEN:
        budgets = resolve_name("pytest_hiddencost.judge.budgets")
        budgets.more_samples_help = lambda _: True
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test_own_time.py"
        file.write_text(TEST_FILE.format(model=model, tests=tests))
        arguments = ["-q", "--no-summary", "-pno:cacheprovider", f"--rootdir={folder}", str(file)]
        if pytest.main(arguments, plugins=[clocks]):
            raise SystemExit(f"the tests on {model} failed")
    later = clocks.tests[1:]
    return {
        "first_s": sum(clocks.tests[0].values()),
        "passes_s": {name: [test[name] for test in later] for name in (*PASSES, ELSE)},
        "p50_ms": [found.latency.median_ns / 1e6 for found in PROFILES[1:]],
        "samples": [len(found.latency.samples_ns) for found in PROFILES[1:]],
        "windows": [found.profiler.windows for found in PROFILES[1:]],
    }


def run(measuring: Measuring) -> None:
    """Measure each model, with limits that are decided at once and with limits that stay open."""
    cases = [{"model": m, "limits": limits} for limits in (DECIDED, OPEN) for m in measuring.models]
    measuring.in_fresh_processes(measure, cases, tests=2 if measuring.short else 3)


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return one table for decided and one for open limits, with a column for each model."""
    titles = {DECIDED: "limits that are decided at once", OPEN: "limits that stay open to the end"}
    note = f"Target: at most {TARGET_S:g} s for a call of 5 ms, except in a session's first test."
    for (limits,), found in by(lines, "limits").items():
        models = {model: of for (model,), of in by(found, "model").items()}
        rows = [
            [name, *(_shown(cell(of), form) for of in models.values())]
            for name, (cell, form) in CELLS.items()
        ]
        title = f"A test with {titles[limits]}, by pass, s"
        yield Table(title, ["pass", *models], rows, found, note)


def _shown(found: Sequence[float], form: str) -> str:
    return spread(found, form) if found else NOTHING


def _seconds(name: str) -> Callable[[Sequence[Line]], list[float]]:
    def found(lines: Sequence[Line]) -> list[float]:
        # Older lines lack passes that came later.
        return list(chain(*(line.figures["passes_s"].get(name, ()) for line in lines)))

    return found


def _whole(lines: Sequence[Line]) -> list[float]:
    passes_s = [line.figures["passes_s"].values() for line in lines]
    return [sum(test) for of_line in passes_s for test in zip(*of_line, strict=True)]


def _each(figure: str) -> Callable[[Sequence[Line]], list[float]]:
    return lambda lines: list(chain(*(line.figures[figure] for line in lines)))


CELLS: dict[str, tuple[Callable[[Sequence[Line]], list[float]], str]] = {
    **{name: (_seconds(name), "{:.2f}") for name in (*PASSES, ELSE)},
    "whole test": (_whole, "{:.2f}"),
    "first test of the session": (lambda lines: values(lines, "first_s"), "{:.2f}"),
    "p50 of the call, ms": (_each("p50_ms"), "{:.3g}"),
    "number of samples": (_each("samples"), "{:.0f}"),
    "number of windows": (_each("windows"), "{:.0f}"),
}
"""The rows of a table: the values of the lines of one model, and the form of their numbers."""

BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    models=(tuple(SUBJECTS), ("MLP",)),
    known_models=tuple(SUBJECTS),
)
