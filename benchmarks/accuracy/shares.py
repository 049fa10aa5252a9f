"""Shares of a latency: of convolutions and of the time outside operators, against two references.

The first is a clock around each operator. The second is ablation: a script of the model's
operators leaves Python out, and one with stored results leaves the convolutions out as well.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from time import perf_counter

import torch
from torch import nn

from benchmarks.accuracy.patched import (
    OperatorClock,
    Script,
    cpu_ns,
)
from benchmarks.accuracy.profiled import Profiled
from benchmarks.accuracy.small_models import HELD_OUT, SMALL_MODELS, small_network
from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Figures, Line
from benchmarks.lib.models import ALL_MODELS, network, on_backend, on_both_backends
from benchmarks.lib.tables import NOTHING, Table, by, spread, values
from pytest_hiddencost.measure.operators.attribution import Attribution

CONVOLUTION = "aten::conv2d"
COSTED = (CONVOLUTION, "aten::batch_norm", "aten::linear", "aten::cat", "aten::add")
FEWEST, MOST = 5, 40
WINDOWS = 8  # of the profiler: as many as a measurement takes
ALLOWED, ALLOWED_SUM = 2.0, 3.0  # points of the latency; percent
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc
MOST_KEPT = 2**30  # bytes
WAYS = ("clock", "ablation", "before", "ours")
WORDS = {"clock": "clock", "ablation": "ablation", "before": "profiler alone", "ours": "ours"}


class Subject:
    """One model and its instruments, in turns.

    Times of whole calls are processor times, so that other processes do not count.
    """

    def __init__(self, model: nn.Module, image: torch.Tensor) -> None:
        self.ours = Profiled(model, image)
        self._run = self.ours.call.run
        self._clock = OperatorClock(self._run)
        self._calls: dict[str, Callable[[], object]] = {
            "plain": self._run,
            "no Python": Script(model, image, stored=False),
            "no convolutions": Script(model, image, stored=True),
        }
        self._cpu_ns: dict[str, list[int]] = {name: [] for name in self._calls}

    @property
    def rounds(self) -> int:
        """Number of rounds so far."""
        return len(self._cpu_ns["plain"])

    def add_round(self) -> None:
        """Measure the model once with each instrument."""
        for nothing in (False, True):
            self._clock.add(nothing=nothing)
        for name, call in self._calls.items():
            call()
            self._cpu_ns[name].append(cpu_ns(call))
        if self.rounds <= WINDOWS:
            self.ours.windows.add()

    def references(self) -> dict[str, dict[str, float]]:
        """Return the shares of convolutions and of the time outside, by reference.

        Each is the median over the rounds: the device changes its pace from round to round.
        """
        rounds = list(zip(*self._cpu_ns.values(), self._clock.times_ns(), strict=True))
        return {
            "conv2d": {
                "clock": median(clocked[1] / plain for plain, _, _, clocked in rounds),
                "ablation": median((bare - rest) / plain for plain, bare, rest, _ in rounds),
            },
            "outside": {
                "clock": median(1.0 - clocked[0] / plain for plain, _, _, clocked in rounds),
                "ablation": median(1.0 - bare / plain for plain, bare, _, _ in rounds),
            },
        }


def measure(model: str, backend: str, rounds_s: float) -> Figures:
    """Compare the plugin's shares, with its clock and without it, with both references."""
    _keep_freed_memory()
    network_of = small_network if model in SMALL_MODELS else network
    with on_backend(backend):
        subject = Subject(*network_of(model))
        end = perf_counter() + rounds_s
        while subject.rounds < FEWEST or (subject.rounds < MOST and perf_counter() < end):
            subject.add_round()
        return figures(subject)


def _keep_freed_memory() -> None:
    """Let malloc keep what a call frees.

    Otherwise page faults slow down the script that returns the inputs of its convolutions.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library has none
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
        mallopt(M_MMAP_MAX, 0)


def figures(subject: Subject) -> Figures:
    """Return the shares by quantity and way in percent, the sums, and the events' costs."""
    ours, found = subject.ours, subject.references()
    before, after = ours.attribution(clocked=False), ours.attribution()
    latency_ns = median(window.plain_ns for window in ours.windows.kept)
    for way, attribution in (("before", before), ("ours", after)):
        conv2d, outside = _shares(attribution, latency_ns)
        found["conv2d"][way], found["outside"][way] = conv2d, outside
    costs = {c.name: c.event_cost_ns for c in after.composites if c.clocked}
    return {
        "latency_ms": latency_ns / 1e6,
        "events": after.profiler.events,
        "rounds": subject.rounds,
        **{name: {way: 100 * s for way, s in ways.items()} for name, ways in found.items()},
        "sum": {
            way: 100 * (1.0 - attribution.profiler.residual_share)
            for way, attribution in (("before", before), ("ours", after))
        },
        "clocked_share": sum(c.total_ns for c in after.composites if c.clocked) / latency_ns,
        "event_cost_ns": after.profiler.event_cost_ns,
        "event_costs_ns": costs,
    }


def _shares(attribution: Attribution, latency_ns: float) -> tuple[float, float]:
    convolutions_ns = sum(c.total_ns for c in attribution.composites if c.name == CONVOLUTION)
    return convolutions_ns / latency_ns, attribution.outside_ns / latency_ns


def run(measuring: Measuring) -> None:
    """Measure each model on each backend."""
    rounds_s = 0.5 if measuring.short else 4.0
    measuring.in_fresh_processes(measure, on_both_backends(measuring.models), rounds_s=rounds_s)


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the shares of convolutions and of the time outside, the sums, and event costs."""
    for quantity in ("conv2d", "outside"):
        yield _share_table(quantity, lines)
    yield _sum_table(lines)
    yield _cost_table(lines)


def _share_table(quantity: str, lines: Sequence[Line]) -> Table:
    headers = [
        "model", "ms", "events", *(f"{WORDS[way]}, %" for way in WAYS), "largest difference", "met",
    ]  # fmt: skip
    found = {_name(*case): of_case for case, of_case in by(lines, "model", "backend").items()}
    rows = [_share_row(name, quantity, of_case) for name, of_case in found.items()]
    met = sum(row[-1] == "yes" for row in rows)
    apart = sum(_references_apart(quantity, of_case) > 2 * ALLOWED for of_case in found.values())
    note = (
        f"Shares of the latency. The largest difference is that of ours from the clock or from "
        f"ablation, in points; at most {ALLOWED:g} are allowed. Met: {met} of {len(rows)}. "
        f"On {apart} the references differ by more than {2 * ALLOWED:g}, so that nothing is "
        f"near both. Models that nobody looked at before the choice: {', '.join(HELD_OUT)}."
    )
    return Table(f"Share of {quantity}", headers, rows, lines, note)


def _references_apart(quantity: str, lines: Sequence[Line]) -> float:
    """Return how many points the clock and ablation differ by."""
    clock, ablation = (
        median(line.figures[quantity][way] for line in lines) for way in ("clock", "ablation")
    )
    return float(abs(clock - ablation))


def _share_row(name: str, quantity: str, lines: Sequence[Line]) -> list[str]:
    shares = {way: [line.figures[quantity][way] for line in lines] for way in WAYS}
    middle = {way: median(found) for way, found in shares.items()}
    differences = (middle["ours"] - middle[way] for way in ("clock", "ablation"))
    largest = max(differences, key=abs)
    return [
        name,
        f"{median(values(lines, 'latency_ms')):.3g}",
        f"{median(values(lines, 'events')):.0f}",
        *(spread(shares[way], "{:.1f}") for way in WAYS),
        f"{largest:+.1f}",
        "yes" if abs(largest) <= ALLOWED else "no",
    ]


def _sum_table(lines: Sequence[Line]) -> Table:
    headers = ["model", "profiler alone, %", "ours, %", "timed by the clock, %", "met"]
    rows = []
    for case, of_case in by(lines, "model", "backend").items():
        sums = {way: [line.figures["sum"][way] for line in of_case] for way in ("before", "ours")}
        met = abs(median(sums["ours"]) - 100) <= ALLOWED_SUM
        rows.append([
            _name(*case),
            *(spread(found, "{:.1f}") for found in sums.values()),
            spread(values(of_case, "clocked_share", 100), "{:.0f}"),
            "yes" if met else "no",
        ])  # fmt: skip
    note = f"Operators and time outside, relative to the latency: 100 % within {ALLOWED_SUM:g}."
    return Table("Sums", headers, rows, lines, note)


def _cost_table(lines: Sequence[Line]) -> Table:
    rows = []
    for case, of_case in by(lines, "model", "backend").items():
        costs = [line.figures["event_costs_ns"] for line in of_case]
        own = [[found[name] for found in costs if name in found] for name in COSTED]
        rows.append([
            _name(*case),
            spread(values(of_case, "event_cost_ns"), "{:.0f}"),
            *(spread(found, "{:.0f}") if found else NOTHING for found in own),
        ])  # fmt: skip
    headers = ["model", "of the call, ns", *(f"{name.partition('::')[2]}, ns" for name in COSTED)]
    note = "Of the whole call as the windows show it, and inside a composite as the clock shows it."
    return Table("Cost of a profiler event", headers, rows, lines, note)


def _name(model: str, backend: str) -> str:
    return f"{model}, {backend}"


MODELS = (*ALL_MODELS, *SMALL_MODELS)
BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    models=(MODELS, ("Ghost",)),
    known_models=MODELS,
    threads=1,  # two threads wait for each other on a machine with noisy neighbours
)
