"""Time and memory of questions to a large store, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

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


LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
lines = process.stdout.read().count(b"\\n")
_, status, usage = os.wait4(process.pid, 0)
print(status, usage.ru_maxrss, lines, usage.ru_utime + usage.ru_stime)
"""
"""Starts the command from a small process, whose own memory would count as the command's."""


def asked(store: str, question: str) -> Figures:
    """Return the seconds of the command, start included, of its processor, and its memory."""
    return _measured(["history", store, *QUESTIONS[question]])


def compacted(store: str) -> Figures:
    """Return the seconds of a compaction, and its peak of memory."""
    return _measured(["history", "compact", store, "--remove-after", "0h"])


def _measured(arguments: Sequence[str]) -> Figures:
    command = [sys.executable, "-m", "pytest_hiddencost", *arguments]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *command],
        env=environment(), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    *counts, cpu_seconds = done.stdout.split()
    status, peak_kb, lines = map(int, counts)
    if status not in (0, 256):  # 1: the gate found a rise
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return {
        "seconds": seconds,
        "cpu_seconds": float(cpu_seconds),
        "peak_mb": peak_kb / 1024,
        "lines": lines,
    }


def merges(seconds: Sequence[float], store: str) -> Figures:
    """Return the time that runs spent on merging, and the number of files that they left."""
    found_ms = sorted(1000 * one for one in seconds)
    return {
        "runs": len(found_ms),
        "files": sum(1 for _ in Path(store, "runs").rglob("*.parquet")),
        "mean_ms": fmean(found_ms),
        "median_ms": median(found_ms),
        "most_ms": found_ms[-1],
    }
