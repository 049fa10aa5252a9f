"""Designs of turns between two processes: the error of the ratio of latencies in a given time.

Pairs of fresh processes run the same code, and all designs come in turns within each pair. The
error is that of the median over blocks, by bootstrap, times the square root of the seconds spent:
a design with half the error needs a fourth of the time.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, median, stdev
from time import perf_counter_ns
from typing import Any

import numpy as np
import torch

from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.log import Line
from benchmarks.lib.models import ALL_MODELS, ONE, SMALL, network
from benchmarks.lib.processes import command_of, environment, fresh
from benchmarks.lib.tables import NOTHING, Table, by, values

VISIT_S = 0.5  # with one design, then the next
WARM_UPS = 20
ANYWHERE, ONE_CORE, OWN_CORES = "", ", both sides on one core", ", a core for each side"


@dataclass(frozen=True)
class Design:
    """The length of a turn, and whether a call that does not count comes first.

    ``balanced``: a block has a turn in either order; otherwise each turn is a block, and the order
    changes every two. ``cores``: where the system puts the sides, one core, or a core each.
    """

    turn: str
    turn_ns: int
    refill: bool
    balanced: bool
    cores: str = ANYWHERE

    @property
    def name(self) -> str:
        """Describe the design."""
        refill = " after a call that does not count" if self.refill else ""
        return f"{self.turn}{refill}{', in either order' if self.balanced else ''}{self.cores}"


DESIGNS = (
    Design("20 ms", 20_000_000, True, False),
    Design("20 ms", 20_000_000, True, True),
    Design("a call", 0, True, False),
    Design("a call", 0, True, True),
    Design("a call", 0, False, False),
    Design("a call", 0, False, True),
    Design("a call", 0, False, True, ONE_CORE),
    Design("a call", 0, False, True, OWN_CORES),
)


def side(model: str) -> None:
    """Run a model for as long as each line on stdin asks, and print the times of its calls."""
    module, image = network(model)
    with torch.inference_mode():
        for _ in range(WARM_UPS):
            module(image)
        print("ready", flush=True)
        for line in sys.stdin:
            refill, duration_ns = map(int, line.split())
            for _ in range(refill):
                module(image)
            times: list[int] = []
            while not times or sum(times) < duration_ns:
                start = perf_counter_ns()
                module(image)
                times.append(perf_counter_ns() - start)
            print(json.dumps(times), flush=True)


class Side:
    """One process of a pair."""

    def __init__(self, stack: ExitStack, model: str, threads: int | None) -> None:
        self._process = subprocess.Popen(
            command_of(side, {"model": model}),
            env=environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(self._end)

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def stay_on(self, cores: set[int]) -> None:
        """Restrict the process to these cores."""
        os.sched_setaffinity(self._process.pid, cores)

    def answer(self) -> str:
        """Return the next line that the process prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def turn(self, design: Design) -> float:
        """Return the median time of the calls of one turn."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{int(design.refill)} {design.turn_ns}\n")
        self._process.stdin.flush()
        times: list[int] = json.loads(self.answer())
        return median(times)


@dataclass
class Seen:
    """One design in one pair: log ratios by block, and those of the first over the second turn."""

    seconds: float = 0.0
    blocks: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    turns: int = 0

    def figures(self) -> dict[str, float]:
        """Return the figures of the pair."""
        return {
            "seconds": self.seconds,
            "ratio_log": median(self.blocks),
            "error": median_error(self.blocks),
            "first_log": median(self.first),
        }


def median_error(blocks: Sequence[float]) -> float:
    """Return the standard error of the median over blocks, by bootstrap."""
    draws = np.random.default_rng(0).choice(blocks, (300, len(blocks)))
    return float(np.median(draws, axis=1).std())


def pair(model: str, designs: list[int], seconds: float) -> list[dict[str, float]]:
    """Measure designs in turns with one pair of processes."""
    found = {DESIGNS[number]: Seen() for number in designs}
    order = list(found)
    with ExitStack() as stack:
        sides = [Side(stack, model, torch.get_num_threads()) for _ in range(2)]
        for one in sides:
            one.answer()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not all(seen.blocks for seen in found.values()):
            random.shuffle(order)
            for design in order:
                visit(design, found[design], sides)
    return [seen.figures() for seen in found.values()]


def visit(design: Design, seen: Seen, sides: Sequence[Side]) -> None:
    """Take turns in one design for a while."""
    with ExitStack() as stack:
        if design.cores:
            settle(stack, design, sides)
        start = time.perf_counter()
        while time.perf_counter() - start < VISIT_S:
            firsts = random.sample((0, 1), 2) if design.balanced else [int(seen.turns % 4 >= 2)]
            turns = [turn(design, sides, first) for first in firsts]
            seen.blocks.append(fmean(ratio for ratio, _ in turns))
            seen.first += [gain for _, gain in turns]
            seen.turns += len(turns)
        seen.seconds += time.perf_counter() - start


def settle(stack: ExitStack, design: Design, sides: Sequence[Side]) -> None:
    """Put the sides on their cores until the visit ends."""
    cores = os.sched_getaffinity(0)
    one, other = sorted(cores)[:2]
    for moved, core in zip(sides, (one, one if design.cores == ONE_CORE else other), strict=True):
        moved.stay_on({core})
        stack.callback(moved.stay_on, cores)


def turn(design: Design, sides: Sequence[Side], first: int) -> tuple[float, float]:
    """Return the logarithms of side 0 over side 1, and of the first turn over the second."""
    one = sides[first].turn(design)
    other = sides[1 - first].turn(design)
    gain = math.log(one / other)
    return (-gain if first else gain), gain


def run(measuring: Measuring) -> None:
    """Measure pairs of processes of each model."""
    numbers = [n for n, design in enumerate(DESIGNS) if _possible(design, measuring.threads)]
    for number in range(measuring.processes):
        for model in measuring.models:
            cases = [{"model": model, "design": DESIGNS[n].name} for n in numbers]
            asked = {"model": model, "designs": numbers, "seconds": measuring.own["seconds"]}
            measuring.measure(cases, number, partial(fresh, pair, asked, measuring.threads))


def _possible(design: Design, threads: int | None) -> bool:
    if not design.cores:
        return True
    pins = hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1
    return threads == 1 and pins


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the errors by design and model."""
    models = [model for (model,) in by(lines, "model")]
    headers = [
        "a turn is", *(f"{model}, error x root s" for model in models), "pairs", "first turn",
        "mean", "spread", "beyond",
    ]  # fmt: skip
    note = (
        "First turn: its extra time over the second. Mean: the extra time of the side that was "
        "started first. Spread: the standard deviation between pairs. Beyond: the part of the "
        "spread that the error within pairs does not explain."
    )
    rows = [_row(name, models, by(of, "model")) for (name,), of in by(lines, "design").items()]
    yield Table("Designs of a turn", headers, rows, lines, note)


def _row(name: str, models: Sequence[str], pairs: dict[tuple[Any, ...], list[Line]]) -> list[str]:
    errors = [_error(pairs.get((model,), [])) for model in models]
    ratios = [values(lines, "ratio_log") for lines in pairs.values()]
    spread = root_mean([stdev(found) for found in ratios if len(found) > 1] or [0.0])
    within = root_mean([root_mean(values(lines, "error")) for lines in pairs.values()])
    first = median(median(values(lines, "first_log")) for lines in pairs.values())
    beyond = math.sqrt(max(0.0, spread**2 - within**2))
    shares = (first, fmean(map(fmean, ratios)), spread, beyond)
    return [name, *errors, str(sum(map(len, ratios))), *map(_percent, shares)]


def _error(lines: Sequence[Line]) -> str:
    if not lines:
        return NOTHING
    seen = [line.figures for line in lines]
    return _percent(root_mean([one["error"] * math.sqrt(one["seconds"]) for one in seen]))


def root_mean(found: Sequence[float]) -> float:
    """Return the root of the mean square."""
    return math.sqrt(fmean(value**2 for value in found))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(4, 1),
    models=(SMALL, ONE),
    known_models=ALL_MODELS,
    threads=1,
    own=(Setting("seconds", "time of each pair in s", 24.0, 4.0, recorded=True),),
)
