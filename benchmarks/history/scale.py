"""Time and memory of questions to a large store, each in a process of its own."""

from __future__ import annotations

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


LAUNCHER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
lines = process.stdout.read().count(b"\\n")
_, status, usage = os.wait4(process.pid, 0)
print(status, usage.ru_maxrss, lines)
"""
"""Starts the command from a small process, whose own memory would count as the command's."""


def asked(store: str, question: str) -> Figures:
    """Return the seconds of the command, start included, and its peak of memory."""
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
    status, peak_kb, lines = map(int, done.stdout.split())
    if status not in (0, 256):  # 1: the gate found a rise
        raise SystemExit(f"{' '.join(command)}: status {status}")
    return {"seconds": seconds, "peak_mb": peak_kb / 1024, "lines": lines}
