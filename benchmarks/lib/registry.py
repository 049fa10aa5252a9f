"""The benchmarks by name: the module of each, and the question it answers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.lib.benchmark import Benchmark
from benchmarks.lib.repository import ROOT

RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Entry:
    """A benchmark that is imported when it is needed: most of them import torch.

    ``environment`` is the tox environment that has the packages ``needs``.
    """

    module: str
    question: str
    needs: tuple[str, ...] = ()
    environment: str = "bench"

    def missing(self) -> list[str]:
        """Return the packages that the benchmark needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]

    def load(self) -> Benchmark:
        """Import the module and return its benchmark."""
        found = import_module(f"benchmarks.{self.module}").BENCHMARK
        assert isinstance(found, Benchmark)
        return found


BENCHMARKS = {
    "idle": Entry("overhead.idle", "How much start-up time does an unused plugin cost?"),
    "command": Entry("overhead.command", "How long does the hiddencost command take to start?"),
    "study": Entry("overhead.study", "What time and memory does the device study take?"),
    "own-time": Entry("overhead.own_time", "Where does the time of a measurement go?"),
    "analysis": Entry("overhead.analysis", "What time and memory does reading a profile take?"),
    "report-page": Entry(
        "overhead.report_page",
        "How large is a report, and how fast does it open?",
        needs=("playwright", "plotly", "jinja2"),
    ),
    "accuracy": Entry("accuracy.shares", "Are shares of convolutions and of Python right?"),
    "convolutions": Entry("accuracy.convolutions", "Do convolution times agree with a clock?"),
    "operators": Entry("accuracy.operators", "Do operator times agree with loops in C++?"),
    "torchvision": Entry(
        "accuracy.published_macs",
        "Do MACs agree with those that torchvision publishes?",
        needs=("torchvision", "fvcore"),
        environment="torchvision",
    ),
    "ablation": Entry("accuracy.ablation", "Do added operators get the time that they add?"),
    "closure": Entry("accuracy.closure", "How much latency does a profile leave unexplained?"),
    "kinds": Entry(
        "accuracy.kinds", "How fast is each operator kind, and do replays add up to the call?"
    ),
    "reference": Entry("accuracy.reference", "Does the reference workload follow only the device?"),
    "gates": Entry("gates.gates", "Do the gates decide, and are they right?"),
    "false-green": Entry("gates.false_green", "Which regressions pass without a word?"),
    "alternation": Entry("design.alternation", "How do two processes best take turns?"),
    "history": Entry(
        "history.history",
        "Is the store of runs fast, does it lose a run, and how often is a trend a false alarm?",
        needs=("duckdb", "pyarrow", "fsspec"),
    ),
    "otava": Entry(
        "history.otava",
        "Does Apache Otava find changes in trends better, and with fewer false alarms?",
        needs=("otava",),
        environment="otava",
    ),
    "fleet": Entry(
        "fleet.fleet",
        "What does a fleet of devices cost, and what does it lose when one dies?",
        needs=("distributed",),
    ),
    "pairs": Entry("design.pairs", "How far do two processes of the same code differ?"),
}


def results_file(name: str) -> Path:
    """Return the file that holds a benchmark's committed lines."""
    return RESULTS / f"{name}.jsonl"
