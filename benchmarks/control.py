"""Whether the control follows the device as models do: launches of models while the machine varies.

Every launch is a fresh process, the models in turns; within it the control of the plugin and one of
a loop in Python, operators on next to nothing and copies are used in turns. "Power": latency goes
by this power of the control from launch to launch, 1 is best. "Spread": the standard deviation
between launches of latency over control, which is what a baseline is held to; "at one pace": around
the line that has this power.

The second table: a fifth of its own time is added to every call, computing next to nothing, block
by block in the same process. The control should not notice.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression, median, stdev
from time import perf_counter, perf_counter_ns
from typing import Any

from tabulate import tabulate

MODELS = ("MobileNet", "ShuffleNetV2", "MobileNetV2", "ResNet50")
VISIT_NS = 400_000_000  # with one control, then the other
PLANTED = 0.2  # of a call's time
CALLS_IN_BLOCK = 15
CONTROLS = ("the plugin's", "loop, operators, copies")


@dataclass(frozen=True)
class Launch:
    """What one process saw with one control: medians, in ns, and their median ratio."""

    latency_ns: float
    control_ns: float
    relative: float


def simple() -> Callable[[], int]:
    """A control that does what costs time in any program."""
    import torch

    small, source = torch.ones(1), torch.ones(64 * 1024)
    copy = torch.empty_like(source)

    def count() -> None:
        total = 0
        for step in range(3_000):
            total += step

    def operators() -> None:
        for _ in range(30):
            torch.add(small, small)

    def copies() -> None:
        for _ in range(8):
            copy.copy_(source)

    def run() -> int:
        logs = []
        with torch.inference_mode():
            for part in (count, operators, copies):
                start = perf_counter_ns()
                part()
                logs.append(math.log(perf_counter_ns() - start))
        return round(math.exp(fmean(logs)))

    return run


def measure(model_name: str, seconds: float, threads: int) -> None:
    """One launch: print what it saw with each control."""
    import torch

    from pytest_hiddencost.profiling.calls import Call
    from pytest_hiddencost.profiling.control import Control
    from pytest_hiddencost.profiling.latency import LatencySampler
    from pytest_hiddencost.records import Sampling
    from pytest_hiddencost.study.models import reference_model

    torch.set_num_threads(threads)
    device = torch.device("cpu")
    model, image = reference_model(model_name).build().eval(), torch.randn(1, 3, 32, 32)
    call = Call(model, (image,), {}, device)
    sampling = Sampling(max_time_ns=VISIT_NS, min_samples=5)
    controls: tuple[Callable[[], int], ...] = (Control(device), simple())
    visits: list[list[tuple[float, float, float]]] = [[] for _ in controls]
    end = perf_counter() + seconds
    while perf_counter() < end:
        for control, seen in zip(controls, visits, strict=True):
            sampler = LatencySampler(call, sampling, control=control)
            sampler.warm_up()
            sampler.sample()
            found = sampler.control_time()
            seen.append((sampler.result().median_ns, found.mean_ns, found.relative))
    print(json.dumps([[median(column) for column in zip(*seen, strict=True)] for seen in visits]))


def grown(model_name: str, seconds: float, threads: int) -> None:
    """One launch: print by what a fifth more changes the call, a bare control and the plugin's."""
    import torch
    from verdicts_parts.subjects import Slowed

    from pytest_hiddencost.profiling.control import Control
    from pytest_hiddencost.study.models import reference_model

    torch.set_num_threads(threads)

    class Bare(Control):
        def _settle(self) -> None:
            pass

    bare, settled = Bare(torch.device("cpu")), Control(torch.device("cpu"))
    model, image = reference_model(model_name).build().eval(), torch.randn(1, 3, 32, 32)
    plain, planted = Slowed(model, 0.0).eval(), Slowed(model, PLANTED).eval()

    def block(call: torch.nn.Module) -> list[float]:
        turns = []
        for _ in range(CALLS_IN_BLOCK):
            start = perf_counter_ns()
            call(image)
            took_ns = perf_counter_ns() - start
            bare_ns = bare()
            call(image)
            turns.append((took_ns, bare_ns, settled()))
        return [median(column) for column in zip(*turns, strict=True)]

    ratios: list[list[float]] = []
    with torch.inference_mode():
        block(plain)
        end = perf_counter() + seconds
        while perf_counter() < end:
            before, between, after = block(plain), block(planted), block(plain)
            ratios.append([2 * b / (a + c) for a, b, c in zip(before, between, after, strict=True)])
    print(json.dumps([median(column) for column in zip(*ratios, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--launches", type=int, default=8, help="of each model")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each launch")
    parser.add_argument("--threads", type=int, default=1)
    for one in MEASURED:
        parser.add_argument(f"--{one}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for one, measured in MEASURED.items():
        if getattr(options, one):
            measured(getattr(options, one), options.seconds, options.threads)
            return
    models = options.models.split(",")
    seen: dict[str, list[list[Launch]]] = {model: [] for model in models}
    growths: dict[str, list[list[float]]] = {model: [] for model in models}
    for number in range(options.launches):
        print(f"launch {number + 1} of {options.launches}", file=sys.stderr, flush=True)
        for model in models:
            found = launched("measure", model, options.seconds, options.threads)
            seen[model].append([Launch(*columns) for columns in found])
            growths[model].append(launched("grown", model, options.seconds, options.threads))
    rows = [row(which, launches) for which in range(len(CONTROLS)) for launches in seen.items()]
    headers = [
        "control", "model", "launches", "latency varies by", "control varies by", "power", "spread",
        "at one pace",
    ]  # fmt: skip
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))
    headers = ["model", "launches", "the call", "a control as it comes", "the plugin's"]
    rows = [
        [model, str(len(found)), *map(spread, zip(*found, strict=True))]
        for model, found in growths.items()
    ]
    print("\n" + tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def launched(what: str, model: str, seconds: float, threads: int) -> Any:
    command = [sys.executable, __file__, f"--{what}={model}"]
    command += [f"--seconds={seconds}", f"--threads={threads}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def spread(ratios: Sequence[float]) -> str:
    """Median growth, and the least and the largest."""
    middle, low, high = (
        f"{value - 1.0:+.1%}" for value in (median(ratios), min(ratios), max(ratios))
    )
    return f"{middle} ({low} to {high})"


def row(which: int, of_model: tuple[str, list[list[Launch]]]) -> list[str]:
    model, launches = of_model
    seen = [found[which] for found in launches]
    latencies = [math.log(launch.latency_ns) for launch in seen]
    controls = [math.log(launch.control_ns) for launch in seen]
    ratios = [math.log(launch.relative) for launch in seen]
    line = linear_regression(controls, ratios)
    left = [
        ratio - line.slope * control - line.intercept
        for ratio, control in zip(ratios, controls, strict=True)
    ]
    return [
        CONTROLS[which],
        model,
        str(len(seen)),
        f"{stdev(latencies):.1%}",
        f"{stdev(controls):.1%}",
        f"{linear_regression(controls, latencies).slope:.2f}",
        f"{stdev(ratios):.1%}",
        f"{math.hypot(*left) / math.sqrt(len(left) - 2):.1%}",
    ]


MEASURED = {"measure": measure, "grown": grown}

if __name__ == "__main__":
    main()
