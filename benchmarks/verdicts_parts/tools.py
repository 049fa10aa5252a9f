"""The tools that judge: how each records, compares, and says what it found."""

from __future__ import annotations

import json
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from verdicts_parts.plants import function_of
from verdicts_parts.process import Outcome, Run, run_pytest


@dataclass(frozen=True)
class Judgement:
    """What a tool says of one test; ``why`` is its own message, ``growth`` the share it saw.

    ``device``: by what share the machine itself is slower than at recording, as ours sees it.
    """

    verdict: str
    why: str = ""
    growth: float | None = None
    device: float | None = None


@dataclass(frozen=True)
class Settings:
    """What every tool gets alike: time for a test's timed calls, threads of torch."""

    time_s: float
    threads: int


class Tool(ABC):
    """A pytest plugin that records latencies and compares with what it recorded."""

    name: ClassVar[str]
    fixture: ClassVar[str]
    plugin: ClassVar[str]
    module: ClassVar[str]
    needs: ClassVar[str]
    """An option that it must have."""
    elsewhere: ClassVar[bool] = False
    """Whether it is installed in the environment of the others, not in this one."""

    def __init__(self, python: str, settings: Settings) -> None:
        self.python, self.settings = python, settings

    @property
    @abstractmethod
    def call(self) -> str:
        """What a test does with ``model`` and ``image``."""

    @property
    @abstractmethod
    def always(self) -> list[str]:
        """Its arguments in every run."""

    @property
    @abstractmethod
    def recording(self) -> list[str]:
        """Arguments that record."""

    @property
    @abstractmethod
    def comparing(self) -> list[str]:
        """Arguments that compare with what was recorded."""

    @property
    def both(self) -> list[str] | None:
        """Arguments that compare and record in one run, where it has such."""
        return None

    @property
    def adding(self) -> list[str] | None:
        """Arguments that record what has no record yet, where it has such."""
        return None

    @abstractmethod
    def judgements(self, run: Run, folder: Path, names: Iterable[str]) -> dict[str, Judgement]:
        """What a comparing run says of every test."""

    @abstractmethod
    def entries(self, folder: Path) -> int:
        """How many tests' records are stored."""

    @cached_property
    def missing(self) -> str:
        """Why it cannot be run here, or an empty string."""
        command = [self.python, "-m", "pytest", "--help"]
        done = subprocess.run(command, capture_output=True, text=True)
        if self.needs in done.stdout:
            return ""
        return f"no {self.needs} here: not installed, or another version"

    def version_of(self, package: str) -> str:
        """The version of a package that it runs with."""
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        done = subprocess.run([self.python, "-c", code], capture_output=True, text=True)
        return done.stdout.strip() or "?"

    def run(self, folder: Path, *arguments: str) -> Run:
        """Pytest in a fresh process, with no other of the tools."""
        others = [f"-pno:{plugin}" for plugin in PLUGINS if plugin != self.plugin]
        return run_pytest(
            self.python, folder, [*others, *self.always, *arguments], self.settings.threads
        )

    def record(self, folder: Path) -> Run:
        """Record every test."""
        return self.run(folder, *self.recording)

    def compare(self, folder: Path) -> Run:
        """Compare every test with its record."""
        return self.run(folder, *self.comparing)


class HiddenCost(Tool):
    """This plugin; the verdict on p50 counts where no gate failed."""

    name = "pytest-hiddencost"
    fixture = "hiddencost"
    plugin = "hiddencost"
    module = "pytest-hiddencost"
    needs = "--hiddencost-baseline-dir"

    RUN_FILE = "run.json"
    BASELINES = "baselines"
    HEADLINE = "regression[p50]"

    @property
    def call(self) -> str:
        return "hiddencost(model, image)"

    @property
    def always(self) -> list[str]:
        return [
            f"--hiddencost-max-time={self.settings.time_s:g}s",
            f"--hiddencost-baseline-dir={self.BASELINES}",
        ]

    @property
    def recording(self) -> list[str]:
        return ["--hiddencost-update"]

    @property
    def comparing(self) -> list[str]:
        return [f"--hiddencost-json={self.RUN_FILE}"]

    @property
    def both(self) -> list[str] | None:
        return self.adding

    @property
    def adding(self) -> list[str] | None:
        return ["--hiddencost-update-new"]

    def compare(self, folder: Path) -> Run:
        (folder / self.RUN_FILE).unlink(missing_ok=True)
        return super().compare(folder)

    def judgements(self, run: Run, folder: Path, names: Iterable[str]) -> dict[str, Judgement]:
        file = folder / self.RUN_FILE
        profiles = json.loads(file.read_text())["profiles"] if file.exists() else []
        profiled = {str(profile["test"]).partition("::")[2]: profile for profile in profiles}
        found = {}
        for name in names:
            outcome = run.outcomes.get(function_of(name))
            profile = profiled.get(function_of(name))
            if outcome and profile:
                judgement = self._judged(self._gates(profile), outcome.word == "failed")
                comparison = profile["comparison"] or {}
                found[name] = replace(judgement, device=comparison.get("control_growth"))
            else:
                found[name] = Judgement("error", outcome.message if outcome else run.output[-2000:])
        return found

    def _gates(self, profile: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [v for v in profile["verdicts"] if v["gate"].startswith("regression")]

    def _judged(self, gates: list[dict[str, Any]], test_failed: bool) -> Judgement:
        failed = [gate for gate in gates if gate["verdict"] == "fail"]
        headline = next((gate for gate in gates if gate["gate"] == self.HEADLINE), None)
        growth = headline["measured"] if headline else None
        if failed:
            told = "; ".join(map(_told, failed))
            # A verdict that does not reach the user is none.
            return Judgement("fail" if test_failed else "error", told, growth)
        if headline is None:
            return Judgement("error", "no verdict on p50")
        if test_failed:
            return Judgement("error", "the test failed, and no gate did")
        return Judgement(headline["verdict"], _told(headline), growth)

    def entries(self, folder: Path) -> int:
        files = (folder / self.BASELINES).rglob("*.json")
        return sum(file.read_text().count('"p50_ns"') for file in files)


def _told(gate: Mapping[str, Any]) -> str:
    measured = gate["measured"]
    share = f" {100 * measured:+.1f} %" if gate["unit"] == "share" and measured is not None else ""
    return f"{gate['gate']}{share}: {gate['reason']}"


class Benchmark(Tool):
    """pytest-benchmark; the median may be 10 % larger."""

    name = "pytest-benchmark"
    fixture = "benchmark"
    plugin = "benchmark"
    elsewhere = True
    module = "pytest-benchmark"
    needs = "--benchmark-compare-fail"

    STORAGE = "storage"
    NOW = "now.json"

    @property
    def call(self) -> str:
        return "with torch.inference_mode():\n        benchmark(model, image)"

    @property
    def always(self) -> list[str]:
        return [
            f"--benchmark-max-time={self.settings.time_s:g}",
            f"--benchmark-storage={self.STORAGE}",
        ]

    @property
    def recording(self) -> list[str]:
        return ["--benchmark-autosave"]

    @property
    def comparing(self) -> list[str]:
        return [
            "--benchmark-compare",
            "--benchmark-compare-fail=median:10%",
            f"--benchmark-json={self.NOW}",
        ]

    @property
    def both(self) -> list[str]:
        return ["--benchmark-autosave", *self.comparing]

    def judgements(self, run: Run, folder: Path, names: Iterable[str]) -> dict[str, Judgement]:
        regressed = dict(re.findall(r"^\s+(test_\w+) .*?- (Field .*)$", run.output, re.M))
        now = _medians(folder / self.NOW)
        recorded = _medians(self._files(folder)[-1])
        found = {}
        for name in names:
            test = function_of(name)
            if test not in now or test not in recorded:
                found[name] = Judgement("error", run.output[-2000:])
                continue
            growth = now[test] / recorded[test] - 1
            told = f"median {100 * growth:+.1f} %"
            if test in regressed:
                found[name] = Judgement("fail", f"{told}: {regressed[test]}", growth)
            else:
                found[name] = Judgement("pass", told, growth)
        return found

    def _files(self, folder: Path) -> list[Path]:
        return sorted((folder / self.STORAGE).rglob("*.json"))

    def entries(self, folder: Path) -> int:
        files = self._files(folder)
        return len(_medians(files[-1])) if files else 0


def _medians(file: Path) -> dict[str, float]:
    benchmarks = json.loads(file.read_text())["benchmarks"] if file.exists() else []
    return {entry["name"]: entry["stats"]["median"] for entry in benchmarks}


class TorchBaseline(Tool):
    """pytest-torch's ``perf_baseline``; the median may be 25 % larger."""

    name = "pytest-torch"
    fixture = "perf_baseline"
    plugin = "pytest_torch"
    elsewhere = True
    module = "pytest-torch"
    needs = "--torch-update-perf"

    STORE = "perf.json"

    @property
    def call(self) -> str:
        # Without iters it times 20 calls, however short.
        calls = f"calls_in({self.settings.time_s}, model, image)"
        return f"print(perf_baseline(model, image, iters={calls}))"

    @property
    def always(self) -> list[str]:
        return [f"--torch-perf-file={self.STORE}", "--torch-device=cpu"]

    @property
    def recording(self) -> list[str]:
        return ["--torch-update-perf"]

    @property
    def comparing(self) -> list[str]:
        return []

    def judgements(self, run: Run, folder: Path, names: Iterable[str]) -> dict[str, Judgement]:
        return {name: self._judged(run.outcomes.get(function_of(name)), run) for name in names}

    def _judged(self, outcome: Outcome | None, run: Run) -> Judgement:
        if outcome is None:
            return Judgement("error", run.output[-2000:])
        regressed = re.search(r"latency regressed: .*", outcome.message)
        if outcome.word == "failed" and regressed:
            return Judgement("fail", regressed[0])
        if outcome.word != "passed":
            return Judgement(outcome.word, outcome.message)
        found = re.search(r"latency ([\d.]+) ms \(baseline ([\d.]+) ms\)", outcome.printed)
        if not found:
            return Judgement("error", f"passed, and compared with nothing: {outcome.printed}")
        return Judgement("pass", f"median {100 * (float(found[1]) / float(found[2]) - 1):+.1f} %")

    def entries(self, folder: Path) -> int:
        store = folder / self.STORE
        return len(json.loads(store.read_text())["entries"]) if store.exists() else 0


TOOLS: tuple[type[Tool], ...] = (HiddenCost, Benchmark, TorchBaseline)
PLUGINS = tuple(tool.plugin for tool in TOOLS)
