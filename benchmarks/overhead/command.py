"""Start-up of the ``hiddencost`` command, against an interpreter that does nothing.

The run file has calls with as many operators, call sites and samples as measured ones.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Case, Figures, Line
from benchmarks.lib.processes import environment
from benchmarks.lib.tables import Table, values

TARGET_MS = 150.0
NOTHING, RUN = "nothing", "RUN"
COMMANDS: dict[str, tuple[str, ...]] = {
    NOTHING: ("-c", "pass"),
    **{
        name: ("-m", "pytest_hiddencost", *name.split())
        for name in (
            "--help",
            f"show {RUN}",
            f"show {RUN} -vv",
            f"compare {RUN} {RUN}",
            f"export {RUN} --format=csv",
            f"export {RUN} --format=openmetrics",
            f"trace {RUN}",
        )
    },
}
CALLS, OPERATORS, SITES, SAMPLES = 10, 40, 20, 300


def run(measuring: Measuring) -> None:
    """Measure starts of each command, all commands before any is repeated."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "run.json")
        write_run(path)
        for command in COMMANDS.values():
            started_ms(command, path)  # compiled files, page cache

        def figures(case: Case, _: int) -> Figures:
            wall_ms, cpu_ms = started_ms(COMMANDS[str(case["command"])], path)
            return {"wall_ms": wall_ms, "cpu_ms": cpu_ms}

        measuring.repeat([{"command": name} for name in COMMANDS], figures)


def started_ms(command: Sequence[str], path: Path) -> tuple[float, float]:
    """Run the command once and return its wall-clock and processor time in ms."""
    words = [str(path) if word == RUN else word for word in command]
    kept = {k: v for k, v in environment().items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], env=kept, check=True, stdout=subprocess.DEVNULL)
    wall_ms = (time.perf_counter() - start) * 1e3
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_ms, cpu_s * 1e3


def write_run(path: Path) -> None:
    """Write a run file of ten made-up calls."""
    from pytest_hiddencost.core.records import CallSiteCost
    from pytest_hiddencost.report import run_file
    from tests.profiles import DEVICE, operator, profile_of, samples_around

    sites = [CallSiteCost(f"blocks.{i}", f"net.py:{i}", 1, 1000.0) for i in range(SITES)]
    operators = [
        operator(f"aten::operator_{i}", 20_000.0, SITES, call_sites=sites) for i in range(OPERATORS)
    ]
    samples_ns = samples_around(1_000_000, SAMPLES)
    profiles = [
        profile_of(*operators, samples_ns=samples_ns, label=f"call {i}") for i in range(CALLS)
    ]
    run_file.save(path, profiles, DEVICE, path.parent)


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the start-up times."""
    headers = ["command", "starts", "wall clock, ms", "processor time, ms", "at most, ms"]
    rows = []
    for command in COMMANDS:
        found = [line for line in lines if line.case["command"] == command]
        if found:
            times = [f"{median(values(found, key)):.0f}" for key in ("wall_ms", "cpu_ms")]
            most = "-" if command == NOTHING else f"{TARGET_MS:g}"
            rows.append([command, str(len(found)), *times, most])
    note = f"Medians; a run file of {CALLS} calls, {OPERATORS} operators in {SITES} modules each."
    yield Table("Start-up of the hiddencost command", headers, rows, lines, note)


BENCHMARK = Benchmark(run=run, tables=tables, processes=(20, 2))
