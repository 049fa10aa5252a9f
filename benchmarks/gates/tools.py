"""Tools that compare latencies: how each records, compares, and reports its verdicts."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from benchmarks.lib.injections import write_project
from benchmarks.lib.pytest_runs import Run, run_pytest

PLUGINS = ("hiddencost", "benchmark", "pytest_torch")


@dataclass(frozen=True)
class Judgement:
    """A tool's answer to one test: its verdict, its own message, and the growth that it saw.

    ``interval``: of the growth; ``non_mac_interval``: of that of non-MAC time. ``interleaved``: the
    tool measured head and base in turns.
    """

    verdict: str
    why: str = ""
    growth: float | None = None
    interval: tuple[float, float] | None = None
    call_ms: float | None = None
    interleaved: bool = False
    non_mac_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ToolSettings:
    """Settings that all tools share: time for the timed calls of a test, threads of torch.

    ``python`` has the tools that are not installed beside the plugin. ``tolerance``: the growth
    that other tools allow, None if each has its own.
    """

    time_s: float
    threads: int | None
    python: str = sys.executable
    tolerance: float | None = None


class Tool(ABC):
    """A tool that compares a project's tests with their record."""

    name: ClassVar[str]
    shares_records_of: ClassVar[str] = ""
    """The name of the tool whose records this one reads as well, if they are not its own."""

    def __init__(self, settings: ToolSettings) -> None:
        self.settings = settings

    @property
    def missing(self) -> str:
        """Why the tool cannot be run on this machine, or an empty string."""
        return ""

    @abstractmethod
    def write(self, folder: Path, models: Sequence[str]) -> None:
        """Write a project that measures these models."""

    @abstractmethod
    def record(self, folder: Path) -> Run:
        """Record the project as it is."""

    @abstractmethod
    def entries(self, folder: Path) -> int:
        """Return how many tests have a record; any number above 0 if it is one for all."""

    def record_rest(self, folder: Path) -> Run | None:
        """Record the tests that have no record yet, if the tool can."""
        return None

    @abstractmethod
    def compare(self, folder: Path) -> Run:
        """Compare the project with its record."""

    @abstractmethod
    def judgements(self, run: Run, folder: Path, models: Sequence[str]) -> Mapping[str, Judgement]:
        """Return the judgement of a comparing run on every model."""


class PytestTool(Tool):
    """A pytest plugin with a fixture that measures a call."""

    fixture: ClassVar[str]
    plugin: ClassVar[str]
    needs: ClassVar[str]
    """An option of the plugin."""

    call: str
    """The statement of a test that measures ``model(image)``."""
    always: tuple[str, ...]
    """Arguments of every run."""
    recording: tuple[str, ...]
    """Arguments of a run that records."""
    comparing: tuple[str, ...]
    """Arguments of a run that compares."""
    both: tuple[str, ...] | None = None
    """Arguments of a run that compares and records, if the tool has such runs."""

    @cached_property
    def missing(self) -> str:
        """Why the plugin cannot be run, or an empty string."""
        command = [self.settings.python, "-m", "pytest", "--help"]
        done = subprocess.run(command, capture_output=True, text=True)
        if self.needs in done.stdout:
            return ""
        return f"{self.name} has no {self.needs}: install it, or name another --python"

    def write(self, folder: Path, models: Sequence[str], prefix: str = "test") -> None:
        """Write one test for each model."""
        write_project(folder, models, self.fixture, self.call, prefix)

    def run(self, folder: Path, *arguments: str) -> Run:
        """Run pytest without the plugins of the other tools."""
        others = [f"-pno:{plugin}" for plugin in PLUGINS if plugin != self.plugin]
        arguments = (*others, *self.always, *arguments)
        return run_pytest(self.settings.python, folder, arguments, self.settings.threads)

    def record(self, folder: Path) -> Run:
        """Record every test."""
        return self.run(folder, *self.recording)

    def compare(self, folder: Path) -> Run:
        """Compare every test with its record."""
        return self.run(folder, *self.comparing)
