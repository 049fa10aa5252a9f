"""Time and memory of reading a profile: the plugin's folding beside ``key_averages()``.

Both readings run in one process. Memory is the peak of a step beyond the memory that the process
held before it.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Figures, Line
from benchmarks.lib.models import ALL_MODELS, ONE, network, on_backend, on_both_backends
from benchmarks.lib.tables import NOTHING, Table, by, part, spread, values
from pytest_hiddencost import profile
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.folding import Window, fold, is_operator
from pytest_hiddencost.measure.operators.profiler import Session, profiled
from pytest_hiddencost.measure.operators.windows import OperatorWindows
from pytest_hiddencost.study.results import DEFAULT_BACKEND, ONEDNN_OFF

R = TypeVar("R")
STATUS = Path("/proc/self/status")
RESET_PEAK = Path("/proc/self/clear_refs")
CHUNKS = 64
EVENTS_PER_CHUNK = 2 + 3 * CHUNKS  # chunk and split, then narrow, slice, as_strided for each
TARGETS_S = {("Xception", ONEDNN_OFF): "15", ("MobileNet", DEFAULT_BACKEND): "4"}
LEAST_MB = 0.1  # less cannot be seen, and would make ratios meaningless


def run(measuring: Measuring) -> None:
    """Measure readings, windows, folding by size, and whole profiles."""
    events = (1_000, 10_000) if measuring.short else (1_000, 10_000, 100_000, 1_000_000)
    windows = (5, 10) if measuring.short else (5, 10, 20, 40)
    models = [{"model": model} for model in measuring.models]
    parts: tuple[tuple[str, Callable[..., Figures], list[dict[str, Any]]], ...] = (
        ("reading", reading, models),
        ("windows", memory_mb_after, [{**m, "windows": n} for m in models for n in windows]),
        ("folding", folding, [{"events": n} for n in events]),
        ("profile", whole_profile, [dict(case) for case in on_both_backends(measuring.models)]),
    )
    for name, function, cases in parts:
        measuring.in_fresh_processes(function, [{"part": name, **case} for case in cases])


def reading(model: str) -> Figures:
    """Read one call of a model without oneDNN in both ways."""
    module, image = network(model)
    with on_backend(ONEDNN_OFF):
        module(image)
        window, ours_s, ours_mb = folded(profiled(lambda: module(image)))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            module(image)
        _, torch_s, torch_mb = measured(profiler.key_averages)
    events = profiler.profiler.kineto_results.events()
    check_same_calls(window, Counter(e.name() for e in events if is_operator(e.name())))
    return {
        "events": window.structure.events,
        "ours_s": ours_s,
        "ours_mb": ours_mb,
        "torch_s": torch_s,
        "torch_mb": torch_mb,
    }


def check_same_calls(window: Window, calls: Counter[str]) -> None:
    """Refuse to compare readings of different calls."""
    ours = {name: cell[0] for name, cell in window.operators().items()}
    if calls != ours:
        raise SystemExit(f"the readings differ: {calls - Counter(ours)}, {Counter(ours) - calls}")


def memory_mb_after(model: str, windows: int) -> Figures:
    """Return the memory of the process after so many windows without oneDNN."""
    module, image = network(model)
    with on_backend(ONEDNN_OFF):
        kept = OperatorWindows(Call(module, (image,), {}, torch.device("cpu")), [], DEFAULT)
        kept.discard_cold()
        while len(kept.windows) < windows:
            kept.add()
        release()
        return {"memory_mb": memory_mb("VmRSS")}


def folding(events: int) -> Figures:
    """Fold calls of about so many events."""
    tensor = torch.zeros(CHUNKS, 1)

    def call() -> None:
        for _ in range(max(1, round(events / EVENTS_PER_CHUNK))):
            torch.chunk(tensor, CHUNKS)

    with torch.inference_mode():
        window, took_s, _ = folded(profiled(call))
    return {"events": window.structure.events, "took_s": took_s}


def whole_profile(model: str, backend: str) -> Figures:
    """Take one profile with default settings, the first of its process."""
    module, image = network(model)
    with on_backend(backend):
        start = time.perf_counter()
        result = profile(module, image)
        took_s = time.perf_counter() - start
    return {"took_s": took_s, "timed_s": sum(result.latency.samples_ns) / 1e9}


def folded(session: Session) -> tuple[Window, float, float]:
    """Fold a session and return the window, the seconds and the memory in MB."""
    return measured(
        lambda: fold(session.result.experimental_event_tree(), [], session.wall_ns, DEFAULT)
    )


def measured(action: Callable[[], R]) -> tuple[R, float, float]:
    """Return the result, the seconds, and the extra memory at its peak in MB."""
    release()
    RESET_PEAK.write_text("5")
    before_mb = memory_mb("VmRSS")
    start = time.perf_counter()
    result = action()
    took_s = time.perf_counter() - start
    return result, took_s, memory_mb("VmHWM") - before_mb


def release() -> None:
    """Give free memory back to the system: reserves of the allocator would hide growth."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def memory_mb(field: str) -> float:
    """Return a field of this process's status file in MB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1e3


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return one table for each part."""
    yield _reading_table(part(lines, "reading"))
    yield _windows_table(part(lines, "windows"))
    yield _folding_table(part(lines, "folding"))
    yield _profile_table(part(lines, "profile"))


def _reading_table(lines: Sequence[Line]) -> Table:
    headers = [
        "model", "events", "folding, s", "us per event (at most 2)", "`key_averages()`, s",
        "ratio (at least 25)", "folding, MB", "`key_averages()`, MB", "ratio (at least 10)",
    ]  # fmt: skip
    rows = [_reading_row(model, of_model) for (model,), of_model in by(lines, "model").items()]
    return Table("Reading one call, oneDNN off", headers, rows, lines)


def _reading_row(model: str, lines: Sequence[Line]) -> list[str]:
    seen = [line.figures for line in lines]
    return [
        model,
        f"{seen[0]['events']}",
        spread(values(lines, "ours_s")),
        spread(1e6 * one["ours_s"] / one["events"] for one in seen),
        spread(values(lines, "torch_s")),
        spread(one["torch_s"] / one["ours_s"] for one in seen),
        spread(values(lines, "ours_mb")),
        spread(values(lines, "torch_mb")),
        spread(one["torch_mb"] / max(one["ours_mb"], LEAST_MB) for one in seen),
    ]


def _windows_table(lines: Sequence[Line]) -> Table:
    counts = sorted({line.case["windows"] for line in lines})
    found = by(lines, "model", "windows")
    rows = [
        [model, *(_memory(found.get((model, count), [])) for count in counts)]
        for (model,) in by(lines, "model")
    ]
    headers = ["model", *(f"{count} windows, MB" for count in counts)]
    return Table("Memory of the process after profiler windows, oneDNN off", headers, rows, lines)


def _memory(lines: Sequence[Line]) -> str:
    return spread(values(lines, "memory_mb"), "{:.0f}") if lines else NOTHING


def _folding_table(lines: Sequence[Line]) -> Table:
    rows = [
        [
            f"{of_size[0].figures['events']}",
            spread(values(of_size, "took_s", 1e3)),
            spread(1e6 * line.figures["took_s"] / line.figures["events"] for line in of_size),
        ]
        for of_size in by(lines, "events").values()
    ]
    return Table("Folding by size", ["events", "folding, ms", "us per event"], rows, lines)


def _profile_table(lines: Sequence[Line]) -> Table:
    rows = [
        [
            ", ".join(case),
            spread(values(of_case, "took_s")),
            TARGETS_S.get(case, NOTHING),
            spread(100 * (1 - x.figures["timed_s"] / x.figures["took_s"]) for x in of_case),
        ]
        for case, of_case in by(lines, "model", "backend").items()
    ]
    headers = ["model", "time, s", "at most, s", "not in timed calls, %"]
    return Table("`profile(model, image)` with default settings", headers, rows, lines)


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    models=(("Xception", "MobileNet"), ONE),
    known_models=ALL_MODELS,
)
