"""Time and memory of questions to a large store, each in a process of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.lib.log import Figures
from benchmarks.lib.processes import environment

CALL = "test_model_007"
DEVICE = "cpu-board-07"
QUESTIONS: dict[str, Sequence[str]] = {
    "one trend": ("--test", CALL, "--device", DEVICE, "--by", "run"),
    "one trend, change points": ("--test", CALL, "--device", DEVICE, "--changes"),
    "one trend of an operator": (
        "--test", CALL, "--device", DEVICE, "--operator", "aten::cat", "--by", "run",
    ),
    "one call on all devices": ("--test", CALL),
    "overview of all calls": (),
    "gate over all calls": ("--gate",),
}  # fmt: skip


def asked(store: str, question: str) -> Figures:
    """Return the seconds of the command, start included, and its peak of memory."""
    command = [sys.executable, "-m", "pytest_hiddencost", "history", store, *QUESTIONS[question]]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = process.stdout.read().count(b"\n")
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status not in (0, 256):  # 1: the gate found a rise
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return {"seconds": seconds, "peak_mb": usage.ru_maxrss / 1024, "lines": lines}


def compacted(store: str) -> Figures:
    """Return the seconds of a compaction, and its peak of memory."""
    command = [sys.executable, "-m", "pytest_hiddencost", "history", "compact", store]
    command += ["--remove-after", "0h"]
    start = time.perf_counter()
    subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=True)
    peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"seconds": time.perf_counter() - start, "peak_mb": peak_kb / 1024}
