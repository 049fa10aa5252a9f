"""The HTML report of many calls: its size, and the time until a browser shows it.

One model is measured, and its profile stands for every call. Chromium opens the page from a file,
without a window: until the table and the filters work, and then until a call's charts are drawn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.chromium import launched, wait_until
from benchmarks.lib.log import Figures, Line
from benchmarks.lib.models import ALL_MODELS, network
from benchmarks.lib.tables import Table, by, spread, values
from pytest_hiddencost import Sampling, profile
from pytest_hiddencost.measure.device.description import describe_device
from pytest_hiddencost.report.html.page import report_page
from pytest_hiddencost.report.run_file import RunFile

COUNTS = (1, 50, 500)
DRAWN = "document.querySelector('#call .plot[data-drawn]') !== null"


def run(measuring: Measuring) -> None:
    """Make and open a report of every number of calls."""
    counts = COUNTS[:2] if measuring.short else COUNTS
    cases = [{"model": m, "calls": count} for m in measuring.models for count in counts]
    measuring.in_fresh_processes(measure, cases)


def measure(model: str, calls: int) -> Figures:
    """Return size and times of the report of ``calls`` calls of one model."""
    net, data = network(model)
    measured = profile(net, data, sampling=Sampling(max_time_ns=500_000_000))
    tests = [f"test_models.py::test_latency[{i}]" for i in range(calls)]
    profiles = tuple(replace(measured, test=test) for test in tests)
    start = perf_counter()
    page = report_page(RunFile(describe_device(torch.device("cpu")), profiles))
    made_s = perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        opened_s, drawn_s = _in_browser(path)
        size_mb = path.stat().st_size / 1e6
    return {"made_s": made_s, "size_mb": size_mb, "opened_s": opened_s, "drawn_s": drawn_s}


def _in_browser(path: Path) -> tuple[float, float]:
    """Return the seconds until the page works, and from there until a call has a chart."""
    with launched() as browser:
        page = browser.new_page()
        start = perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        ready = perf_counter()
        page.evaluate("location.hash = '#call-0'")
        wait_until(page, DRAWN)
        drawn = perf_counter()
    return ready - start, drawn - ready


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return a row for each model and number of calls."""
    headers = ["model", "calls", "page, MB", "made, s", "opened, s", "first chart of a call, s"]
    figures = ("size_mb", "made_s", "opened_s", "drawn_s")
    rows = [
        [model, str(calls), *(spread(values(found, figure), "{:.2f}") for figure in figures)]
        for (model, calls), found in by(lines, "model", "calls").items()
    ]
    note = "A page of 500 calls opens within 3 s, and no page has more than 6 MB."
    yield Table("The HTML report in headless Chromium", headers, rows, lines, note)


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    models=(("MobileNetV2",), ("MobileNetV2",)),
    known_models=ALL_MODELS,
)
