"""What the plugin costs a run that does not use it: start-up with it against ``-p no:hiddencost``.

Paired: each round starts pytest twice on a suite without us, once with the plugin installed and
once with it switched off, in alternating order; the figure is the median of the differences.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

TARGET_MS = 3.0


def started_ms(folder: Path, *arguments: str) -> tuple[float, float]:
    """Wall-clock and processor time of one pytest run, ms."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    # As users run it: compiled files are kept.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall_ms = (time.perf_counter() - start) * 1e3
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_ms, cpu_s * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds: int = parser.parse_args().rounds
    on: list[tuple[float, float]] = []
    off: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        switched_off = ["-p", "no:hiddencost"]
        for arguments in ([], switched_off):
            started_ms(folder, *arguments)  # compiled files, page cache
        for i in range(rounds):
            for use_us in (True, False) if i % 2 else (False, True):
                (on if use_us else off).append(
                    started_ms(folder, *([] if use_us else switched_off))
                )
    rows = [
        row(name, [pair[index] for pair in on], [pair[index] for pair in off])
        for index, name in enumerate(["wall clock", "processor time"])
    ]
    headers = [
        f"start-up, {rounds} pairs", "with, ms", "without, ms", "median difference, ms",
        "quartiles of it", "target, ms",
    ]  # fmt: skip
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def row(name: str, on_ms: list[float], off_ms: list[float]) -> list[str]:
    differences = [a - b for a, b in zip(on_ms, off_ms, strict=True)]
    low, _, high = statistics.quantiles(differences, n=4)
    return [
        name,
        f"{statistics.median(on_ms):.1f}",
        f"{statistics.median(off_ms):.1f}",
        f"{statistics.median(differences):.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{TARGET_MS:.0f}",
    ]


if __name__ == "__main__":
    main()
