"""The throughput of operator kinds on this machine, and the check of replays against calls.

Every process measures the battery, or one model. The sum of a model's replays should be below its
call: views, allocations and Python are not replayed. The replays of its MAC kernels should take as
long as the profiler finds them to take within the call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Figures, Line
from benchmarks.lib.models import ALL_MODELS, UNLIKE_MODELS, network, on_backend
from benchmarks.lib.tables import NOTHING, Table, by, part, spread, values
from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.operator_rates import DeviceKinds, OperatorRate
from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.core.roofline import BOUNDS, bound_by, shares_by_bound
from pytest_hiddencost.core.units import format_bytes
from pytest_hiddencost.measure import Call, Wanted, measure
from pytest_hiddencost.measure.kinds.surveys import measured_kinds
from pytest_hiddencost.report.replay_tables import replayed_total_ns, short_shapes
from pytest_hiddencost.study.results import BACKENDS, DEFAULT_BACKEND

BATTERY, REPLAYS = "battery", "replays"
MODELS = (*UNLIKE_MODELS, "VGG16", "ResNet50", "MobileNet", "ShuffleNetV2")
KNOWN_MODELS = (*UNLIKE_MODELS, *ALL_MODELS)
SHORT = Sampling(max_time_ns=100_000_000)


def battery() -> Figures:
    """Return the peaks and every entry of the battery."""
    found = measured_kinds(torch.device("cpu"), None, lambda _: None, energy=False)
    return dict(encode(found))


def replays(model: str, backend: str, short: bool) -> Figures:
    """Return the times of a model's call, of its replays, and of the MAC kernels in both."""
    module, batch = network(model)
    call = Call(module, (batch,), {}, torch.device("cpu"))
    wanted = Wanted(thop=False, checks=False, replays=True)
    with on_backend(backend):
        found = measure(call, SHORT if short else Sampling(), wanted=wanted)
    assert found.peaks is not None
    kinds = [kind for kind in found.mac_kinds if kind.replay_ns and kind.self_ns]
    return {
        "call_ms": found.latency.median_ns / 1e6,
        "operators": len(found.replays),
        "replayed_share": replayed_total_ns(found.replays) / found.latency.median_ns,
        "kernels_ms": sum(kind.self_ns or 0.0 for kind in kinds) / 1e6,
        "kernels_replayed_ms": sum(kind.replay_ns or 0.0 for kind in kinds) / 1e6,
        "bounds": shares_by_bound(found.replays, found.peaks),
        "notes": list(found.notes),
    }


def run(measuring: Measuring) -> None:
    """Measure the battery and the models, each in a process of its own."""
    measuring.in_fresh_processes(battery, [{"part": BATTERY}])
    backends = (DEFAULT_BACKEND,) if measuring.short else BACKENDS
    cases = [
        {"part": REPLAYS, "model": model, "backend": backend}
        for model in measuring.models
        for backend in backends
        if backend == DEFAULT_BACKEND or model in ALL_MODELS
    ]
    measuring.in_fresh_processes(replays, cases, short=measuring.short)


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the tables of the battery, and that of the replays."""
    batteries = part(lines, BATTERY)
    if batteries:
        found = [decode(DeviceKinds, line.figures) for line in batteries]
        yield from _battery_tables(found, batteries)
    if models := part(lines, REPLAYS):
        yield _replays_table(models)


def _battery_tables(found: Sequence[DeviceKinds], lines: Sequence[Line]) -> Iterator[Table]:
    peaks = [kinds.peaks for kinds in found]
    rows = [["matrix product, GMAC/s", spread(p.mac_rate / 1e9 for p in peaks)]]
    for copies in zip(*(p.copies for p in peaks), strict=True):
        name = f"copy of {format_bytes(copies[0].copied_bytes)}, GB/s"
        rows.append([name, spread(copy.byte_rate / 1e9 for copy in copies)])
    rows.append(["call of one element, us", spread(p.call_ns / 1e3 for p in peaks)])
    yield Table("Peaks of the device", ["peak", "value"], rows, lines)
    entries = list(zip(*(kinds.operators for kinds in found), strict=True))
    macs = [_entry_row(e, found, e[0].kind, mac=True) for e in entries if e[0].macs]
    yield Table(
        "Throughput by kind",
        ["kind", "shapes", "GMAC/s", "MAC/B", "bound by"],
        macs,
        lines,
        "In fp32, batch 1. The bound is the one that most processes find.",
        left=2,
    )
    moved = [_entry_row(e, found, e[0].operator, mac=False) for e in entries if not e[0].macs]
    headers = ["operator", "shapes", "GB/s", "moved", "bound by"]
    yield Table("Throughput of operators without MACs", headers, moved, lines, left=2)


def _entry_row(
    entry: Sequence[OperatorRate], found: Sequence[DeviceKinds], name: str, *, mac: bool
) -> list[str]:
    first = entry[0]
    bounds = [bound_by(rate, kinds.peaks) for rate, kinds in zip(entry, found, strict=True)]
    rates = (rate.mac_rate if mac else rate.byte_rate for rate in entry)
    size = f"{first.macs_per_byte:.3g}" if mac else format_bytes(first.moved_bytes)
    bound = max(BOUNDS, key=bounds.count)
    return [name, short_shapes(first.shapes), spread(rate / 1e9 for rate in rates), size, bound]


def _replays_table(lines: Sequence[Line]) -> Table:
    rows = [
        [
            model,
            backend,
            spread(values(of, "call_ms")),
            spread(values(of, "operators"), "{:.0f}"),
            spread(values(of, "replayed_share", 100), "{:.0f}"),
            spread(found, "{:.0f}") if (found := _kernel_percents(of)) else NOTHING,
            *(spread((100 * line.figures["bounds"][b] for line in of), "{:.0f}") for b in BOUNDS),
        ]
        for (model, backend), of in by(lines, "model", "backend").items()
    ]
    headers = [
        "model", "backend", "call, ms", "operators", "replays, % of the call",
        "MAC kernels replayed, % of those in the call", *(f"{bound}, %" for bound in BOUNDS),
    ]  # fmt: skip
    note = "Operators are distinct ones. Bounds have shares of the replayed time."
    return Table("Replays against the call", headers, rows, lines, note, left=2)


def _kernel_percents(lines: Sequence[Line]) -> list[float]:
    pairs = [(line.figures["kernels_replayed_ms"], line.figures["kernels_ms"]) for line in lines]
    return [100 * replayed / in_call for replayed, in_call in pairs if in_call]


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    models=(MODELS, ("MLP",)),
    known_models=KNOWN_MODELS,
)
