"""Situations in which a regression may pass silently; the benchmark tries each with every tool.

In some of them the code is unchanged and the record is of another machine, torch or test. A tool
that passes silently there would pass a regression as well.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.gates.hiddencost import Baseline
from benchmarks.gates.others import PytestBenchmark, PytestTorch
from benchmarks.gates.tools import PytestTool, ToolSettings
from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.injections import NONE, SLOW, TINY, inject
from benchmarks.lib.log import Figures, Line
from benchmarks.lib.models import ALL_MODELS, ONE
from benchmarks.lib.processes import say
from benchmarks.lib.pytest_runs import Run
from benchmarks.lib.tables import NOTHING, Table, by

TOOLS: tuple[type[PytestTool], ...] = (Baseline, PytestBenchmark, PytestTorch)
NAMES = tuple(tool.name for tool in TOOLS)
MANY = tuple(f"{TINY} {number}" for number in range(20))
TINY_TIME_S = 0.01
ATTEMPTS = 5
OTHER_TORCH = "9.9.0"
CAUGHT, REPORTED, SILENT = "caught", "reported", "passes silently"
SKIPPED, REFUSED, STORED, UNSEEN = "skipped", "an error", "all stored", "no failure in it"
ALARM, NO_MATTER = "a false alarm", "does not apply"
OPEN = r"(?i)\binconclusive:|not fit for timing"
WORKERS = r"(?i)workers? running|xdist plugin is active|pytest-xdist,"
LONGEST = 120
# Two boards may have the same architecture and number of cores; only their names differ here.
BOARDS = {"raspberrypi": "Raspberry Pi 4 Model B Rev 1.4", "jetson": "NVIDIA Jetson Orin Nano"}
FAKE_BOARD = """\
import pathlib
import platform

read_text = pathlib.Path.read_text


def faked(self, *args, **kwargs):
    board = str(self) == "/proc/device-tree/model"
    return "{board}" if board else read_text(self, *args, **kwargs)


pathlib.Path.read_text = faked
platform.node = lambda: "{node}"
platform.machine = lambda: "aarch64"
platform.processor = lambda: ""
"""
FAKE_TORCH = f"""\
import torch

torch.__version__ = torch.version.__version__ = "{OTHER_TORCH}"
"""


@dataclass(frozen=True)
class Stage:
    """A tool and its folders: ``recorded`` has a record of the code as it was.

    ``times``: the number of tries of a situation that does not always occur.
    """

    tool: PytestTool
    models: tuple[str, ...]
    folder: Path
    times: int

    @property
    def recorded(self) -> Path:
        """The project with a record."""
        return self.folder / "recorded"

    def copy(self, name: str) -> Path:
        """Copy the project with its record."""
        return Path(shutil.copytree(self.recorded, self.folder / name))

    def slow_copy(self, name: str) -> Path:
        """Copy the project with its record, and make its code slow."""
        folder = self.copy(name)
        inject(folder, SLOW)
        return folder

    def unchanged(self, name: str) -> Path:
        """Write a project that has no record."""
        folder = self.folder / name
        self.tool.write(folder, self.models)
        inject(folder, NONE)
        return folder

    def check(self, folder: Path, *arguments: str) -> Run:
        """Compare."""
        return self.tool.run(folder, *self.tool.comparing, *arguments)


def saved_regression(stage: Stage) -> Figures:
    """Make the code slow, run with an option that compares and saves, and run that again."""
    if stage.tool.both is None:
        return _finding(NO_MATTER, "a run records or compares")
    folder = stage.slow_copy("saved")
    first, *again = (stage.tool.run(folder, *stage.tool.both) for _ in range(1 + stage.times))
    passed = [run for run in again if run.code == 0]
    worst = next((run for run in passed if not run.line_with(OPEN)), (passed or again)[0])
    found = _judged(worst, OPEN)
    counts = f"{len(passed)} of {stage.times} pass"
    return _finding(found["outcome"], f"first: {_text(first)}; again: {counts}, {found['message']}")


def renamed(stage: Stage) -> Figures:
    """Make the code slow and rename its tests."""
    folder = stage.slow_copy("renamed")
    stage.tool.write(folder, stage.models, "test_speed_of")
    return _judged(stage.check(folder), r"(?i)unused", r"(?i)no baseline|not compared")


def junit(stage: Stage) -> Figures:
    """Make the code slow, and read the file that a CI server shows."""
    run = stage.check(stage.slow_copy("junit"))
    bad = sum(outcome.word in ("failed", "error") for outcome in run.outcomes.values())
    found = _judged(run, OPEN)
    message = f"{bad} failures of {len(run.outcomes)} tests in JUnit, {found['message']}"
    return _finding(UNSEEN if run.code and not bad else found["outcome"], message)


def no_baseline(stage: Stage) -> Figures:
    """Compare where nothing was ever recorded."""
    found = _judged(stage.check(stage.unchanged("first")), r"(?i)no baseline|can't compare")
    return _finding(REFUSED if found["outcome"] == CAUGHT else found["outcome"], found["message"])


def other_torch(stage: Stage) -> Figures:
    """Compare with a record that another version of torch made."""
    folder = stage.copy("torch")
    (folder / "conftest.py").write_text(FAKE_TORCH, encoding="utf-8")
    recorded = re.escape(torch_release(stage.tool.settings.python))
    both = rf"(?=.*{recorded})(?=.*{re.escape(OTHER_TORCH[:3])})"
    return _unlike(stage.check(folder), rf"(?i)no baseline|{both}")


def other_board(stage: Stage) -> Figures:
    """Record on a Raspberry Pi 4, and compare on a Jetson."""
    folder = stage.unchanged("board")
    first, second = BOARDS.items()
    _pretend(folder, *first)
    record(stage.tool, folder)
    _pretend(folder, *second)
    return _unlike(stage.check(folder), r"(?i)machine_info is different|no baseline|recorded on")


def recorded_by_workers(stage: Stage) -> Figures:
    """Record twenty tests of a tiny model with two workers of pytest-xdist."""
    tool = type(stage.tool)(replace(stage.tool.settings, time_s=TINY_TIME_S))
    stored, findings = [], []
    for number in range(stage.times):
        folder = stage.folder / f"stored {number}"
        tool.write(folder, MANY)
        inject(folder, NONE)
        findings.append(_judged(tool.run(folder, *tool.recording, "-n2"), WORKERS))
        stored.append(tool.entries(folder))
    outcome = STORED if min(stored) == len(MANY) else findings[-1]["outcome"]
    counts = f"stored {', '.join(map(str, stored))} of {len(MANY)}"
    return _finding(outcome, f"{counts}; {findings[-1]['message']}")


def compared_by_workers(stage: Stage) -> Figures:
    """Make the code slow, and compare with two workers of pytest-xdist."""
    return _judged(stage.check(stage.slow_copy("compared"), "-n2"), WORKERS)


SITUATIONS: dict[str, Callable[[Stage], Figures]] = {
    "a regressed run is saved, then run again": saved_regression,
    "a test is renamed, and slow": renamed,
    "JUnit's file after a failed comparison": junit,
    "nothing recorded yet": no_baseline,
    "recorded with another torch": other_torch,
    "recorded on another board": other_board,
    "recorded with -n2": recorded_by_workers,
    "slow, compared with -n2": compared_by_workers,
}


def record(tool: PytestTool, folder: Path) -> None:
    """Record, and again if the tool finds the machine too busy."""
    for _ in range(ATTEMPTS):
        run = tool.record(folder)
        if tool.entries(folder):
            return
    raise SystemExit(f"{tool.name} did not record:\n{run.output}")


def torch_release(python: str) -> str:
    """Return major and minor version of an interpreter's torch."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return ".".join(done.stdout.split(".")[:2])


def _pretend(folder: Path, node: str, board: str) -> None:
    fake = FAKE_BOARD.format(node=node, board=board)
    (folder / "conftest.py").write_text(fake, encoding="utf-8")


def _unlike(run: Run, pattern: str) -> Figures:
    """Judge a comparison of unchanged code with a record of something else."""
    line = run.line_with(pattern)
    return _finding(REPORTED if line else ALARM if run.code else SILENT, _text(run, line))


def _judged(run: Run, *patterns: str) -> Figures:
    """Judge a comparison of slow code; the patterns are those of a report."""
    line = run.line_with(*patterns)
    if run.code:
        outcome = CAUGHT
    elif all(test.word == "skipped" for test in run.outcomes.values()):
        outcome = SKIPPED
    else:
        outcome = REPORTED if line else SILENT
    return _finding(outcome, _text(run, line))


def _finding(outcome: str, message: str) -> Figures:
    return {"outcome": outcome, "message": message}


def _text(run: Run, line: str = "") -> str:
    said = re.sub(r"'/\S+'", "...", line or run.line_with("Performance has regressed"))
    if len(said) > LONGEST:
        said = f"{said[:LONGEST]} ..."
    return f"exit {run.code}, {run.last_line}{said and f': {said}'}"


def run(measuring: Measuring) -> None:
    """Bring every tool into every situation."""
    own = measuring.own
    settings = ToolSettings(own["seconds"], measuring.threads, own["python"])
    for kind in (kind for kind in TOOLS if kind.name in own["tools"]):
        tool = kind(settings)
        if tool.missing:
            say(f"left out: {tool.missing}")
        else:
            _try(measuring, tool)


def _try(measuring: Measuring, tool: PytestTool) -> None:
    cases = [{"situation": situation, "tool": tool.name} for situation in SITUATIONS]
    if all(measuring.log.has(case, 0) for case in cases):
        return
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(tool, measuring.models, Path(folder), measuring.processes)
        tool.write(stage.recorded, stage.models)
        inject(stage.recorded, NONE)
        record(tool, stage.recorded)
        for case in cases:
            look = SITUATIONS[case["situation"]]
            measuring.measure([case], 0, partial(_looked, look, stage))


def _looked(look: Callable[[Stage], Figures], stage: Stage) -> list[Figures]:
    return [look(stage)]


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the outcome of each situation, and the tools' messages."""
    tools = [tool for (tool,) in by(lines, "tool")]
    found = by(lines, "situation", "tool")
    rows = [
        [situation, *(_outcome(found.get((situation, tool), [])) for tool in tools)]
        for (situation,) in by(lines, "situation")
    ]
    note = "Reported: the test passes, and the summary says that nothing was judged, and why."
    yield Table("Situations", ["situation", *tools], rows, lines, note, left=1 + len(tools))
    headers = ["situation", "tool", "message"]
    rows = [[*names, of[-1].figures["message"]] for names, of in found.items()]
    yield Table("Messages", headers, rows, lines, left=3)


def _outcome(lines: Sequence[Line]) -> str:
    return str(lines[-1].figures["outcome"]) if lines else NOTHING


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(5, 1),
    models=(ONE, ONE),
    known_models=ALL_MODELS,
    threads=1,
    own=(
        Setting("seconds", "time of the timed calls of a test in s", 1.0, 0.2, recorded=True),
        Setting("tools", "compared tools", NAMES, NAMES, NAMES),
        Setting("python", "interpreter that has the other tools", sys.executable, sys.executable),
    ),
)
