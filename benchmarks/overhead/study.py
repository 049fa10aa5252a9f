"""Time and memory of the device study, or of its part on some models."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Figures, Line
from benchmarks.lib.models import ALL_MODELS, ONE, on_both_backends
from benchmarks.lib.tables import NOTHING, Table, by, spread, values

TEST = "pytest_hiddencost.study.test_study::test_reference_model[{backend}-{model}]"
ALL = "all ten"
TARGETS = {"took_s": 240.0, "peak_gb": 1.5}


def run(measuring: Measuring) -> None:
    """Run the study."""
    models = measuring.models
    words = ALL if set(models) == set(ALL_MODELS) else ", ".join(models)
    measuring.in_fresh_processes(measure, [{"models": words}])


def measure(models: str) -> Figures:
    """Run the study in a process of its own and return its time and memory."""
    names = ALL_MODELS if models == ALL else models.split(", ")
    tests = [TEST.format(**case) for case in on_both_backends(names)]
    with tempfile.TemporaryDirectory() as folder:
        run_file = Path(folder) / "study.json"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        command += [f"--hiddencost-json={run_file}", "--pyargs", *tests]
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
        took_s = time.perf_counter() - start
        size_mb = run_file.stat().st_size / 1e6
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    return {"took_s": took_s, "peak_gb": peak_gb, "run_file_mb": size_mb}


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the time and memory of the study, by models."""
    headers = ["models", "time, s", "at most", "peak memory, GB", "at most", "run file, MB"]
    rows = [_row(models, of_models) for (models,), of_models in by(lines, "models").items()]
    yield Table("The device study, each model on two backends", headers, rows, lines)


def _row(models: str, lines: Sequence[Line]) -> list[str]:
    cells = [models]
    for figure in ("took_s", "peak_gb"):
        target = f"{TARGETS[figure]:g}" if models == ALL else NOTHING
        cells += [spread(values(lines, figure)), target]
    return [*cells, spread(values(lines, "run_file_mb"))]


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(1, 1),
    models=(ALL_MODELS, ONE),
    known_models=ALL_MODELS,
)
