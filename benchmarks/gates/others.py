"""Other tools: pytest-benchmark, pytest-torch, and processes of both revisions by hand."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import torch
from scipy.stats import mannwhitneyu

from benchmarks.gates.tools import Judgement, PytestTool, Tool, ToolSettings
from benchmarks.lib.injections import INJECTED_FILE, function_of
from benchmarks.lib.load import Watch
from benchmarks.lib.processes import fresh
from benchmarks.lib.pytest_runs import Outcome, Run
from benchmarks.lib.subjects import calls_in, subject

FAIL, PASS, ERROR = "fail", "pass", "error"
TAIL = -2000  # characters of output that explain an error


class PytestBenchmark(PytestTool):
    """pytest-benchmark; the median may grow by 10 %, or by the tolerance of the settings."""

    name = "pytest-benchmark"
    fixture = "benchmark"
    plugin = "benchmark"
    needs = "--benchmark-compare-fail"
    call = "with torch.inference_mode():\n        benchmark(model, image)"
    STORAGE = "storage"
    NOW = "now.json"
    recording = ("--benchmark-autosave",)
    TOLERANCE = 0.1  # the plugin has no default

    def __init__(self, settings: ToolSettings) -> None:
        super().__init__(settings)
        time = f"--benchmark-max-time={settings.time_s:g}"
        self.always = (time, f"--benchmark-storage={self.STORAGE}")
        tolerance = self.TOLERANCE if settings.tolerance is None else settings.tolerance
        self.comparing = (
            "--benchmark-compare",
            f"--benchmark-compare-fail=median:{100 * tolerance:g}%",
            f"--benchmark-json={self.NOW}",
        )
        self.both = self.recording + self.comparing

    def judgements(self, run: Run, folder: Path, models: Sequence[str]) -> Mapping[str, Judgement]:
        """Compare the medians, and find the failures in the output."""
        regressed = dict(re.findall(r"^\s+(test_\w+) .*?- (Field .*)$", run.output, re.M))
        now, recorded = _medians(folder / self.NOW), _medians(self._files(folder)[-1])
        found = {}
        for model in models:
            test = function_of(model)
            if test not in now or test not in recorded:
                found[model] = Judgement(ERROR, run.output[TAIL:])
                continue
            growth = now[test] / recorded[test] - 1
            why = f"median {100 * growth:+.1f} % {regressed.get(test, '')}".strip()
            found[model] = Judgement(FAIL if test in regressed else PASS, why, growth)
        return found

    def entries(self, folder: Path) -> int:
        """Count the tests of the last saved run."""
        files = self._files(folder)
        return len(_medians(files[-1])) if files else 0

    def _files(self, folder: Path) -> list[Path]:
        return sorted((folder / self.STORAGE).rglob("*.json"))


def _medians(file: Path) -> dict[str, float]:
    benchmarks = json.loads(file.read_text())["benchmarks"] if file.exists() else []
    return {entry["name"]: entry["stats"]["median"] for entry in benchmarks}


class PytestTorch(PytestTool):
    """pytest-torch's ``perf_baseline``; the median may grow by 25 %, or the settings' tolerance.

    It allows 0.05 ms more, whatever the tolerance.
    """

    name = "pytest-torch"
    fixture = "perf_baseline"
    plugin = "pytest_torch"
    needs = "--torch-update-perf"
    STORE = "perf.json"
    always = (f"--torch-perf-file={STORE}", "--torch-device=cpu")
    recording = ("--torch-update-perf",)
    comparing = ()

    def __init__(self, settings: ToolSettings) -> None:
        super().__init__(settings)
        # Without iters it times 20 calls, however short.
        calls = f"calls_in({settings.time_s}, model, image)"
        allowed = settings.tolerance
        tolerance = "" if allowed is None else f", latency_tolerance={allowed:g}"
        self.call = f"print(perf_baseline(model, image, iters={calls}{tolerance}))"

    def judgements(self, run: Run, folder: Path, models: Sequence[str]) -> Mapping[str, Judgement]:
        """Read the verdicts from the outcomes of the tests."""
        return {model: _judged(run.outcomes.get(function_of(model)), run) for model in models}

    def entries(self, folder: Path) -> int:
        """Count the entries of the store."""
        store = folder / self.STORE
        return len(json.loads(store.read_text())["entries"]) if store.exists() else 0


def _judged(outcome: Outcome | None, run: Run) -> Judgement:
    if outcome is None:
        return Judgement(ERROR, run.output[TAIL:])
    regressed = re.search(r"latency regressed: .*", outcome.message)
    if outcome.word == "failed" and regressed:
        return Judgement(FAIL, regressed[0])
    if outcome.word != "passed":
        return Judgement(outcome.word, outcome.message)
    found = re.search(r"latency ([\d.]+) ms \(baseline ([\d.]+) ms\)", outcome.printed)
    if not found:
        return Judgement(ERROR, f"passed, and compared with nothing: {outcome.printed}")
    growth = float(found[1]) / float(found[2]) - 1
    return Judgement(PASS, f"median {100 * growth:+.1f} %", growth)


class AlternatingProcesses(Tool):
    """Processes of both revisions in turns, as asv does it with ``--interleave-rounds``.

    Each round is a fresh process for each side. A test fails if the median of all samples grows by
    more than the tolerance and a rank test agrees.
    """

    name = "alternating-processes"
    RECORDED = "recorded"
    ROUNDS = 4
    TOLERANCE, RISK = 0.02, 0.01  # unless the settings have a tolerance

    def write(self, folder: Path, models: Sequence[str]) -> None:
        """Make folders for both sides."""
        (folder / self.RECORDED).mkdir(parents=True)
        (folder / "models.json").write_text(json.dumps(models))

    def record(self, folder: Path) -> Run:
        """Keep the code as it is."""
        watch = Watch()
        shutil.copy(folder / INJECTED_FILE, folder / self.RECORDED)
        return Run(0, "", *watch.stop(), {})

    def entries(self, folder: Path) -> int:
        """Return whether the code was kept."""
        return int((folder / self.RECORDED / INJECTED_FILE).is_file())

    def compare(self, folder: Path) -> Run:
        """Time both sides, and return the samples in ns as output."""
        models = json.loads((folder / "models.json").read_text())
        time_s = self.settings.time_s / self.ROUNDS
        samples: dict[str, dict[str, list[int]]] = {"base": {}, "head": {}}
        sides = [("base", folder / self.RECORDED), ("head", folder)]
        watch = Watch()
        for _ in range(self.ROUNDS):
            for side, code in sides:
                asked = {"folder": str(code), "models": models, "time_s": time_s}
                for model, times in fresh(timed_side, asked, self.settings.threads).items():
                    samples[side].setdefault(model, []).extend(times)
            sides.reverse()
        return Run(0, json.dumps(samples), *watch.stop(), {})

    def judgements(self, run: Run, folder: Path, models: Sequence[str]) -> Mapping[str, Judgement]:
        """Test the samples of each model."""
        samples = json.loads(run.output)
        return {m: self._judgement(samples["head"][m], samples["base"][m]) for m in models}

    def _judgement(self, head: list[int], base: list[int]) -> Judgement:
        growth = median(head) / median(base) - 1
        risk = float(mannwhitneyu(head, base, alternative="greater").pvalue)
        allowed = self.settings.tolerance
        slower = growth > (self.TOLERANCE if allowed is None else allowed) and risk < self.RISK
        why = f"median {100 * growth:+.1f} %, p {risk:.2g}"
        return Judgement(FAIL if slower else PASS, why, growth)


def timed_side(folder: str, models: list[str], time_s: float) -> dict[str, list[int]]:
    """Time calls of each model, with what is injected in the folder, and return them in ns."""
    found = {}
    for name in models:
        model, image = subject(name, f"{folder}/test_models.py")
        times = []
        with torch.inference_mode():
            for _ in range(calls_in(time_s, model, image)):
                start = perf_counter_ns()
                model(image)
                times.append(perf_counter_ns() - start)
        found[name] = times
    return found
