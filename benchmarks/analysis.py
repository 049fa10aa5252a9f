"""What reading a profile takes: our folding beside ``key_averages()``, and whole profiles.

Every figure comes from fresh processes; what is compared runs in the same one. Tables give the
median over the processes with the least and the largest.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch
from tabulate import tabulate

from pytest_hiddencost import profile
from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.folding import Window, fold, is_operator
from pytest_hiddencost.profiling.kineto import Session, profiled
from pytest_hiddencost.profiling.operators import OperatorWindows
from pytest_hiddencost.study.models import REFERENCE_MODELS
from pytest_hiddencost.taxonomy import DEFAULT

R = TypeVar("R")
Figures = dict[str, float]

STATUS = Path("/proc/self/status")
RESET_PEAK = Path("/proc/self/clear_refs")
EVENTS = (1_000, 10_000, 100_000, 1_000_000)
CHUNKS = 64
EVENTS_PER_CHUNK = 2 + 3 * CHUNKS  # chunk and split, then narrow, slice, as_strided for each


def network(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = next(model for model in REFERENCE_MODELS if model.name == name)
    return model.build().eval(), torch.randn(1, 3, 32, 32)


def memory_mb(field: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1e3


def measured(action: Callable[[], R]) -> tuple[R, float, float]:
    """Result, seconds and extra memory at its peak (MB)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # free memory kept by the allocator would hide what is used
    RESET_PEAK.write_text("5")
    before_mb = memory_mb("VmRSS")
    start = time.perf_counter()
    result = action()
    took_s = time.perf_counter() - start
    return result, took_s, memory_mb("VmHWM") - before_mb


def folded(session: Session) -> tuple[Window, float, float]:
    """What our folding makes of a session, and what it takes."""
    return measured(
        lambda: fold(session.result.experimental_event_tree(), [], session.wall_ns, DEFAULT)
    )


def reading() -> Figures:
    """Xception without oneDNN: our folding, and ``key_averages()`` of ``torch.profiler``."""
    model, image = network("Xception")
    with torch.backends.mkldnn.flags(enabled=False), torch.inference_mode():
        model(image)
        ours, ours_s, ours_mb = folded(profiled(lambda: model(image)))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            model(image)
        _, torch_s, torch_mb = measured(profiler.key_averages)
    events = profiler.profiler.kineto_results.events()
    if Counter(e.name() for e in events if is_operator(e.name())) != {
        name: cell[0] for name, cell in ours.operators().items()
    }:
        raise SystemExit("the two do not see the same calls")
    return {
        "events": ours.structure.events,
        "ours_s": ours_s,
        "ours_us_per_event": ours_s * 1e6 / ours.structure.events,
        "ours_mb": ours_mb,
        "torch_s": torch_s,
        "torch_mb": torch_mb,
    }


def windows() -> Figures:
    """MobileNet without oneDNN, 60,000 events a window: memory after few and many windows."""
    model, image = network("MobileNet")
    found: Figures = {}
    with torch.backends.mkldnn.flags(enabled=False):
        kept = OperatorWindows(Call(model, (image,), {}, torch.device("cpu")), [], DEFAULT)
        kept.discard_cold()
        for count in (5, 10, 20, 40):
            while len(kept.windows) < count:
                kept.add()
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            found[f"{count} windows"] = memory_mb("VmRSS")
    return found


def line() -> Figures:
    """Folding calls of 10^3 to 10^6 events, s."""
    tensor = torch.zeros(CHUNKS, 1)
    found: Figures = {}
    with torch.inference_mode():
        for events in EVENTS:
            calls = max(1, round(events / EVENTS_PER_CHUNK))

            def call(calls: int = calls) -> None:
                for _ in range(calls):
                    torch.chunk(tensor, CHUNKS)

            window, took_s, _ = folded(profiled(call))
            found[str(window.structure.events)] = took_s
    return found


def whole(name: str, onednn: bool) -> Figures:
    """One profile with default settings, the first of its process."""
    model, image = network(name)
    with torch.backends.mkldnn.flags(enabled=onednn):
        start = time.perf_counter()
        result = profile(model, image)
        took_s = time.perf_counter() - start
    return {"took_s": took_s, "timed_s": sum(result.latency.samples_ns) / 1e9}


WORKERS: dict[str, Callable[[], Figures]] = {
    "reading": reading,
    "windows": windows,
    "line": line,
    "xception": lambda: whole("Xception", onednn=False),
    "mobilenet": lambda: whole("MobileNet", onednn=True),
}


def in_processes(part: str, processes: int) -> list[Figures]:
    results = []
    for number in range(processes):
        print(f"{part}: process {number + 1} of {processes}", file=sys.stderr, flush=True)
        command = [sys.executable, "-W", "ignore", __file__, "--worker", part]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    return results


def spread(values: list[float]) -> str:
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        gc.disable()
        print(json.dumps(WORKERS[options.worker]()))
        return
    runs = {part: in_processes(part, options.processes) for part in WORKERS}
    print(f"\n{figures(runs)}\n\n{line_table(runs['line'])}", flush=True)


def figures(runs: dict[str, list[Figures]]) -> str:
    read, whole_x, whole_m = runs["reading"], runs["xception"], runs["mobilenet"]
    rows = [
        ["Xception, oneDNN off: events", f"{read[0]['events']:.0f}", "-"],
        ["folding them, s", spread([r["ours_s"] for r in read]), "-"],
        ["folding, us per event", spread([r["ours_us_per_event"] for r in read]), "at most 2"],
        ["`key_averages()`, s", spread([r["torch_s"] for r in read]), "-"],
        ["ratio of times", spread([r["torch_s"] / r["ours_s"] for r in read]), "at least 25"],
        ["folding, extra memory, MB", spread([r["ours_mb"] for r in read]), "-"],
        ["`key_averages()`, extra memory, MB", spread([r["torch_mb"] for r in read]), "-"],
        [
            "ratio of memory",
            spread([r["torch_mb"] / max(r["ours_mb"], 0.1) for r in read]),
            "at least 10",
        ],
        [
            "MobileNet, oneDNN off: memory with 5, 10, 20, 40 windows, MB",
            ", ".join(f"{median(r[k] for r in runs['windows']):.0f}" for k in runs["windows"][0]),
            "no growth",
        ],
        [
            "`profile(Xception)`, oneDNN off, s",
            spread([r["took_s"] for r in whole_x]),
            "at most 15",
        ],
        ["`profile(MobileNet)`, s", spread([r["took_s"] for r in whole_m]), "at most 4"],
        [
            "of which not timed calls, %",
            spread([100 * (1 - r["timed_s"] / r["took_s"]) for r in whole_m]),
            "at most 50",
        ],
    ]
    return table(rows, ["analysis", "measured", "target"])


def line_table(runs: list[Figures]) -> str:
    rows = [
        [
            events,
            spread([run[events] * 1e3 for run in runs]),
            spread([run[events] * 1e6 / int(events) for run in runs]),
        ]
        for events in runs[0]
    ]
    return table(rows, ["events", "folding, ms", "us per event"])


def table(rows: list[list[str]], headers: list[str]) -> str:
    align = ("left",) + ("right",) * (len(headers) - 1)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)


if __name__ == "__main__":
    main()
