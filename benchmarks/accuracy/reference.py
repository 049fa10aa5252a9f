"""The reference workload: whether it follows the device as models do, and nothing else.

Launches of a model vary as the device does. A baseline compares latency over reference time, so
the spread of this ratio between launches is what hides a regression. The second table slows every
call of the model by a fifth, in the same process: the reference workload should not notice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean, linear_regression, median, stdev
from time import perf_counter, perf_counter_ns

import torch

from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.log import Figures, Line
from benchmarks.lib.models import ALL_MODELS, ONE, network
from benchmarks.lib.subjects import Slowed
from benchmarks.lib.tables import NOTHING, Table, by, part, spread, values
from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.latency.reference_workload import ReferenceWorkload
from pytest_hiddencost.measure.latency.sampler import LatencySampler

VISIT_NS = 400_000_000  # with one workload, then with the other
SLOWER_SHARE = 0.2
CALLS_IN_BLOCK = 15
FEWEST_FOR_A_LINE = 3  # launches
PLUGIN, SIMPLE = "the plugin's", "loop, operators, copies"
CPU = torch.device("cpu")
Workload = Callable[[], int]
NOTICES = {"call": "the call", "bare": "workload without preparation", "settled": "the plugin's"}


class Bare(ReferenceWorkload):
    """The plugin's workload without its preparation: it finds the call's data in the caches."""

    def _settle(self) -> None:
        pass


def run(measuring: Measuring) -> None:
    """Measure launches, and the changes by a slower call."""
    seconds = measuring.own["seconds"]
    for name, function in (("launch", launch), ("slower", slower_call)):
        cases = [{"part": name, "model": model} for model in measuring.models]
        measuring.in_fresh_processes(function, cases, seconds=seconds)


def launch(model: str, seconds: float) -> Figures:
    """Sample a model with each workload in turns, and return the medians of the visits."""
    module, image = network(model)
    call = Call(module, (image,), {}, CPU)
    workloads: dict[str, Workload] = {PLUGIN: ReferenceWorkload(CPU), SIMPLE: simple_workload()}
    visits: dict[str, list[tuple[float, float, float]]] = {name: [] for name in workloads}
    end = perf_counter() + seconds
    while perf_counter() < end or not visits[SIMPLE]:
        for name, workload in workloads.items():
            visits[name].append(visit(call, workload))
    names = ("latency_ns", "reference_ns", "relative")
    return {
        name: dict(zip(names, map(median, zip(*seen, strict=True)), strict=True))
        for name, seen in visits.items()
    }


def visit(call: Call, workload: Workload) -> tuple[float, float, float]:
    """Return latency, reference time and their ratio from one round of samples."""
    sampling = Sampling(max_time_ns=VISIT_NS, min_samples=5)
    sampler = LatencySampler(call, sampling, reference=workload)
    sampler.warm_up()
    sampler.sample()
    found = sampler.reference_time()
    return sampler.result().median_ns, found.mean_ns, found.relative


def simple_workload() -> Workload:
    """Return a workload of the costs that every program has."""
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

    def timed() -> int:
        logs = [math.log(_timed_ns(action)) for action in (count, operators, copies)]
        return round(math.exp(fmean(logs)))

    return torch.inference_mode()(timed)


def slower_call(model: str, seconds: float) -> Figures:
    """Return the changes by a slower call: of its own time, and of the workloads' times."""
    module, image = network(model)
    plain, slow = Slowed(module, 0.0).eval(), Slowed(module, SLOWER_SHARE).eval()
    workloads = Bare(CPU), ReferenceWorkload(CPU)
    ratios: list[list[float]] = []
    with torch.inference_mode():
        block(plain, image, workloads)
        end = perf_counter() + seconds
        while not ratios or perf_counter() < end:
            blocks = [block(one, image, workloads) for one in (plain, slow, plain)]
            ratios.append([2 * b / (a + c) for a, b, c in zip(*blocks, strict=True)])
    return dict(zip(NOTICES, map(median, zip(*ratios, strict=True)), strict=True))


def block(
    call: torch.nn.Module, image: torch.Tensor, workloads: tuple[Workload, Workload]
) -> list[float]:
    """Return the median times of the call, the bare workload and the settled one, in turns."""
    bare, settled = workloads
    turns = []
    for _ in range(CALLS_IN_BLOCK):
        took_ns = _timed_ns(lambda: call(image))
        bare_ns = bare()
        call(image)
        turns.append((took_ns, bare_ns, settled()))
    return [median(column) for column in zip(*turns, strict=True)]


def _timed_ns(action: Callable[[], object]) -> int:
    start = perf_counter_ns()
    action()
    return perf_counter_ns() - start


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the spread between launches, and the changes by a slower call."""
    launches, slower = part(lines, "launch"), part(lines, "slower")
    headers = [
        "workload", "model", "launches", "latency varies by", "workload varies by", "exponent",
        "spread", "spread at equal speed",
    ]  # fmt: skip
    found = by(launches, "model").items()
    rows = [_launch_row(name, model, of) for name in (PLUGIN, SIMPLE) for (model,), of in found]
    note = (
        "The latency is proportional to the workload's time to the power of the exponent; 1 is "
        "best. The spread is the standard deviation of latency / reference time between launches."
    )
    yield Table("Launches", headers, rows, launches, note, left=2)
    rows = [
        [model, str(len(of)), *(spread(_growths(of, name), "{:+.1f}") for name in NOTICES)]
        for (model,), of in by(slower, "model").items()
    ]
    headers = ["model", "launches", *(f"{words}, %" for words in NOTICES.values())]
    yield Table("Change when a call takes a fifth longer", headers, rows, slower)


def _launch_row(workload: str, model: str, lines: Sequence[Line]) -> list[str]:
    cells = [workload, model, str(len(lines))]
    if len(lines) < FEWEST_FOR_A_LINE:
        return [*cells, *[NOTHING] * 5]
    seen = [line.figures[workload] for line in lines]
    latencies, references, ratios = (
        [math.log(one[key]) for one in seen] for key in ("latency_ns", "reference_ns", "relative")
    )
    line = linear_regression(references, ratios)
    left = [y - line.slope * x - line.intercept for x, y in zip(references, ratios, strict=True)]
    shares = [stdev(latencies), stdev(references), stdev(ratios)]
    shares.append(math.hypot(*left) / math.sqrt(len(left) - 2))
    words = [f"{share:.1%}" for share in shares]
    exponent = linear_regression(references, latencies).slope
    return [*cells, *words[:2], f"{exponent:.2f}", *words[2:]]


def _growths(lines: Sequence[Line], name: str) -> list[float]:
    return [100 * (ratio - 1) for ratio in values(lines, name)]


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(8, 3),
    models=(("MobileNet", "ShuffleNetV2", "MobileNetV2", "ResNet50"), ONE),
    known_models=ALL_MODELS,
    threads=1,
    own=(Setting("seconds", "time of each launch in s", 5.0, 1.0, recorded=True),),
)
