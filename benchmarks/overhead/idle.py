"""Start-up of pytest with the plugin installed, against ``-p no:hiddencost``.

Each repetition is a pair of starts on a suite that does not use the plugin, in alternating order.
Single differences vary widely on a shared machine; their median does not.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Case, Figures, Line
from benchmarks.lib.processes import environment
from benchmarks.lib.tables import Table, values

TARGET_MS = 3.0
SIDES: dict[str, tuple[str, ...]] = {"with": (), "without": ("-p", "no:hiddencost")}
CLOCKS = {"wall clock": "wall_ms", "processor time": "cpu_ms"}


def run(measuring: Measuring) -> None:
    """Measure pairs of starts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        for arguments in SIDES.values():
            started_ms(folder, arguments, measuring.threads)  # compiled files, page cache

        def pair(_: Case, number: int) -> Figures:
            took = {
                word: started_ms(folder, SIDES[word], measuring.threads)
                for word in sorted(SIDES, reverse=number % 2 == 1)
            }
            return {
                f"{word}_{clock}": ms
                for word, of_clocks in took.items()
                for clock, ms in zip(CLOCKS.values(), of_clocks, strict=True)
            }

        measuring.repeat([{"suite": "one empty test"}], pair)


def started_ms(folder: Path, arguments: Sequence[str], threads: int | None) -> tuple[float, float]:
    """Run pytest once and return its wall-clock and processor time in ms."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    # Users keep compiled files; without them every start would compile the plugin.
    kept = {k: v for k, v in environment(threads).items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=kept, check=True, stdout=subprocess.DEVNULL)
    wall_ms = (time.perf_counter() - start) * 1e3
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_ms, cpu_s * 1e3


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the start-up times."""
    headers = [
        "clock", "pairs", "with, ms", "without, ms", "median difference, ms", "its quartiles",
        "at most, ms",
    ]  # fmt: skip
    rows = [_row(lines, *clock) for clock in CLOCKS.items()]
    yield Table("Start-up of a run that does not use the plugin", headers, rows, lines)


def _row(lines: Sequence[Line], name: str, clock: str) -> list[str]:
    on, off = values(lines, f"with_{clock}"), values(lines, f"without_{clock}")
    differences = [a - b for a, b in zip(on, off, strict=True)]
    low, _, high = quantiles(differences * 2 if len(differences) == 1 else differences, n=4)
    return [
        name,
        str(len(on)),
        f"{median(on):.1f}",
        f"{median(off):.1f}",
        f"{median(differences):.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{TARGET_MS:g}",
    ]


BENCHMARK = Benchmark(run=run, tables=tables, processes=(60, 4))
