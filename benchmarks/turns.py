"""How two processes best take turns: what a second of turns tells of the ratio of their latencies.

Pairs of fresh processes of the same code; the designs come in turns within every pair. The error is
that of the median over blocks, by bootstrap, times the root of the seconds spent for it: half of it
is as good in a fourth of the time. ``mean`` is what the side that was started first takes longer:
nothing, if sides are treated alike. ``spread`` is the standard deviation between pairs, ``beyond``
what of it the error within pairs does not explain.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import fmean, median, stdev

import numpy as np
from tabulate import tabulate

MODELS = ("MobileNet", "ShuffleNetV2", "MobileNetV2", "ShuffleNet")
VISIT_S = 0.5  # with one design, then the next
SIDE = """
import json, sys
from time import perf_counter_ns
import torch
from pytest_hiddencost.study.models import reference_model
torch.set_num_threads(int(sys.argv[2]))
found = reference_model(sys.argv[1])
model, image = found.build().eval(), torch.randn(1, 3, 32, 32)
with torch.inference_mode():
    for _ in range(20):
        model(image)
    print("ready", flush=True)
    for line in sys.stdin:
        refill, duration_ns = map(int, line.split())
        for _ in range(refill):
            model(image)
        times = []
        while not times or sum(times) < duration_ns:
            start = perf_counter_ns()
            model(image)
            times.append(perf_counter_ns() - start)
        print(json.dumps(times), flush=True)
"""


ANYWHERE, ONE_CORE, OWN_CORES = "anywhere", "one core", "own cores"


@dataclass(frozen=True)
class Design:
    """``balanced``: a block has a turn in either order; otherwise it is one, in changing order.

    ``where`` the sides run: where the system puts them, on one core, or on a core each.
    """

    name: str
    turn_ns: int
    refill: bool
    balanced: bool
    where: str = ANYWHERE


DESIGNS = (
    Design("20 ms, after a call that does not count", 20_000_000, True, False),
    Design("the same, in either order", 20_000_000, True, True),
    Design("a call, after one that does not count", 0, True, False),
    Design("the same, in either order", 0, True, True),
    Design("a call", 0, False, False),
    Design("a call, in either order", 0, False, True),
    Design("the same, on one core", 0, False, True, ONE_CORE),
    Design("the same, each side on a core of its own", 0, False, True, OWN_CORES),
)


class Side:
    """A process that runs the model."""

    def __init__(self, stack: ExitStack, model: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SIDE, model, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(self._end)

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def stay_on(self, cores: set[int]) -> None:
        os.sched_setaffinity(self._process.pid, cores)

    def answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def turn(self, design: Design) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{int(design.refill)} {design.turn_ns}\n")
        self._process.stdin.flush()
        times: list[int] = json.loads(self.answer())
        return median(times)


@dataclass
class Seen:
    """What a design told in one pair: log ratios by block, and what coming first is worth."""

    seconds: float = 0.0
    blocks: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    turns: int = 0

    def error(self) -> float:
        draws = np.random.default_rng(0).choice(self.blocks, (300, len(self.blocks)))
        return float(np.median(draws, axis=1).std())


def designs(threads: int) -> list[Design]:
    """Those that can be had here with so many threads."""
    choice = threads == 1 and hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1
    return [design for design in DESIGNS if choice or design.where == ANYWHERE]


def pair(model: str, seconds: float, threads: int, kinds: Sequence[Design]) -> list[Seen]:
    found = [Seen() for _ in kinds]
    order = list(range(len(kinds)))
    with ExitStack() as stack:
        sides = [Side(stack, model, threads) for _ in range(2)]
        for side in sides:
            side.answer()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            random.shuffle(order)
            for which in order:
                visit(kinds[which], found[which], sides)
    return found


def visit(design: Design, seen: Seen, sides: Sequence[Side]) -> None:
    if design.where != ANYWHERE:
        all_cores = os.sched_getaffinity(0)
        one, other = sorted(all_cores)[:2]
        sides[0].stay_on({one})
        sides[1].stay_on({one if design.where == ONE_CORE else other})
    start = time.perf_counter()
    while time.perf_counter() - start < VISIT_S:
        if design.balanced:
            first = random.randrange(2)
            turns = [turn(design, sides, which) for which in (first, 1 - first)]
        else:
            turns = [turn(design, sides, int(seen.turns % 4 >= 2))]
        seen.blocks.append(fmean(change for change, _ in turns))
        seen.first += [gain for _, gain in turns]
        seen.turns += len(turns)
    seen.seconds += time.perf_counter() - start
    if design.where != ANYWHERE:
        for side in sides:
            side.stay_on(all_cores)


def turn(design: Design, sides: Sequence[Side], first: int) -> tuple[float, float]:
    """The logarithm of one side over the other, and of who came first over who came second."""
    one = sides[first].turn(design)
    other = sides[1 - first].turn(design)
    gain = math.log(one / other)
    return (-gain if first else gain), gain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--pairs", type=int, default=4, help="of processes, for each model")
    parser.add_argument("--seconds", type=float, default=24.0, help="for each pair")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    models, kinds = options.models.split(","), designs(options.threads)
    pairs = {
        model: [pair(model, options.seconds, options.threads, kinds) for _ in range(options.pairs)]
        for model in models
    }
    rows = [row(number, kinds[number].name, pairs) for number in range(len(kinds))]
    headers = [
        "a turn is", *(f"{model}, error x root s" for model in models), "coming first",
        "mean", "spread", "beyond",
    ]  # fmt: skip
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def row(number: int, name: str, pairs: dict[str, list[list[Seen]]]) -> list[str]:
    """One design: errors by model, then over all models."""
    cells = [name]
    first, means, between, within = [], [], [], []
    for of_model in pairs.values():
        seen = [found[number] for found in of_model]
        cells.append(percent(root_mean([one.error() * one.seconds**0.5 for one in seen])))
        first.append(median(gain for one in seen for gain in one.first))
        within.append(root_mean([one.error() for one in seen]))
        of_pairs = [median(one.blocks) for one in seen]
        means.append(fmean(of_pairs))
        between.append(stdev(of_pairs) if len(seen) > 1 else 0.0)
    spread = root_mean(between)
    beyond = math.sqrt(max(0.0, spread**2 - root_mean(within) ** 2))
    told = percent(median(first)), percent(fmean(means)), percent(spread), percent(beyond)
    return [*cells, *told]


def root_mean(values: Sequence[float]) -> float:
    return math.sqrt(fmean(value**2 for value in values))


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


if __name__ == "__main__":
    main()
