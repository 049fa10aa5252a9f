"""Situations in which a check may say nothing although it should: each tool brought into each."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from verdicts_parts.log import Log
from verdicts_parts.plants import NONE, SLOW, plant, write_project
from verdicts_parts.process import Run
from verdicts_parts.tools import Tool

MODEL = ("MobileNet",)
MANY = tuple(f"Tiny {number}" for number in range(20))
TINY_TIME_S = 0.01
ATTEMPTS = 5
OTHER_TORCH = "9.9.0"
CAUGHT, REPORTED, SILENT = "caught", "reported", "passes silently"
SKIPPED, REFUSED, STORED, UNSEEN = "skipped", "an error", "all stored", "no failure in it"
ALARM = "a false alarm"

OPEN = r"(?i)\binconclusive:|not fit for timing"
WORKERS = r"(?i)workers? running|xdist plugin is active|pytest-xdist,"
LONGEST = 120

# What tells two boards apart: all else, architecture and number of cores, may be the same.
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
class Finding:
    """What came of a situation, in a word or two, and what the tool printed."""

    outcome: str
    detail: str


@dataclass(frozen=True)
class Place:
    """A tool, and folders for it: ``recorded`` has a record of the code as it was.

    ``times``: how often to try what only happens now and then.
    """

    tool: Tool
    folder: Path
    recorded: Path
    times: int

    def copy(self, name: str) -> Path:
        """A project with its record."""
        return Path(shutil.copytree(self.recorded, self.folder / name))

    def write(self, folder: Path, names: tuple[str, ...], prefix: str = "test") -> None:
        """The project's tests."""
        write_project(folder, names, self.tool.fixture, self.tool.call, prefix)

    def check(self, folder: Path, *arguments: str) -> Run:
        """A comparing run."""
        return self.tool.run(folder, *self.tool.comparing, *arguments)


def saved_regression(place: Place) -> Finding:
    """Every run compares and saves, the code gets slow, and the failed job is started again."""
    both = place.tool.both
    if both is None:
        return Finding("does not apply", "a run records or compares")
    folder = place.copy("saved")
    plant(folder, SLOW)
    first, *again = (place.tool.run(folder, *both) for _ in range(1 + place.times))
    passed = [run for run in again if run.code == 0]
    worst = next((run for run in passed if not run.line_with(OPEN)), (passed or again)[0])
    found = _found(worst, OPEN)
    detail = f"first: {_told(first)}; again: {len(passed)} of {place.times} pass, {found.detail}"
    return Finding(found.outcome, detail)


def renamed(place: Place) -> Finding:
    """A test gets another name and its code slow."""
    folder = place.copy("renamed")
    place.write(folder, MODEL, "test_speed_of")
    plant(folder, SLOW)
    run = place.check(folder)
    return _found(run, r"(?i)unused", r"(?i)no baseline|not compared")


def junit(place: Place) -> Finding:
    """The code gets slow: what CI's test report, read from JUnit's file, shows."""
    folder = place.copy("junit")
    plant(folder, SLOW)
    run = place.check(folder)
    bad = sum(outcome.word in ("failed", "error") for outcome in run.outcomes.values())
    found = _found(run, OPEN)
    detail = f"{bad} failures of {len(run.outcomes)} tests in JUnit, {found.detail}"
    return Finding(UNSEEN if run.code and not bad else found.outcome, detail)


def no_baseline(place: Place) -> Finding:
    """Nothing was ever recorded; the code is as it was."""
    folder = place.folder / "first"
    place.write(folder, MODEL)
    plant(folder, NONE)
    found = _found(place.check(folder), r"(?i)no baseline|can't compare")
    return Finding(REFUSED if found.outcome == CAUGHT else found.outcome, found.detail)


def other_torch(place: Place) -> Finding:
    """The record was made with another version of torch, the code is the same."""
    recorded_with = _torch_version(place.tool)
    folder = place.copy("torch")
    (folder / "conftest.py").write_text(FAKE_TORCH, encoding="utf-8")
    plant(folder, NONE)
    run = place.check(folder)
    line = run.line_with(rf"(?=.*{re.escape(recorded_with)})(?=.*{re.escape(OTHER_TORCH[:3])})")
    return _unlike(run, line)


def other_board(place: Place) -> Finding:
    """Recorded on a Raspberry Pi 4, compared on a Jetson; the code is the same."""
    folder = place.folder / "board"
    place.write(folder, MODEL)
    plant(folder, NONE)
    first, second = BOARDS.items()
    _pretend(folder, *first)
    record(place.tool, folder)
    _pretend(folder, *second)
    run = place.check(folder)
    line = run.line_with(r"(?i)machine_info is different|no baseline|recorded on")
    return _unlike(run, line)


def _unlike(run: Run, line: str) -> Finding:
    """What came of unchanged code compared with a record of something else."""
    outcome = REPORTED if line else ALARM if run.code else SILENT
    return Finding(outcome, _told(run, line))


def _pretend(folder: Path, node: str, board: str) -> None:
    fake = FAKE_BOARD.format(node=node, board=board)
    (folder / "conftest.py").write_text(fake, encoding="utf-8")


def recorded_by_workers(place: Place) -> Finding:
    """Twenty tests of a tiny model are recorded by two workers of pytest-xdist."""
    tool = type(place.tool)(place.tool.python, replace(place.tool.settings, time_s=TINY_TIME_S))
    stored, findings = [], []
    for number in range(place.times):
        folder = place.folder / f"stored {number}"
        write_project(folder, MANY, tool.fixture, tool.call)
        plant(folder, NONE)
        run = tool.run(folder, *tool.recording, "-n2")
        findings.append(_found(run, WORKERS))
        stored.append(tool.entries(folder))
    detail = f"stored {', '.join(map(str, stored))} of {len(MANY)}; {findings[-1].detail}"
    return Finding(STORED if min(stored) == len(MANY) else findings[-1].outcome, detail)


def compared_by_workers(place: Place) -> Finding:
    """The code gets slow, and two workers of pytest-xdist run the tests."""
    folder = place.copy("compared")
    plant(folder, SLOW)
    run = place.check(folder, "-n2")
    return _found(run, WORKERS)


def _found(run: Run, *patterns: str) -> Finding:
    line = run.line_with(*patterns)
    if run.code:
        outcome = CAUGHT
    elif all(test.word == "skipped" for test in run.outcomes.values()):
        outcome = SKIPPED
    else:
        outcome = REPORTED if line else SILENT
    return Finding(outcome, _told(run, line))


def _told(run: Run, line: str = "") -> str:
    said = re.sub(r"'/\S+'", "...", line or run.line_with("Performance has regressed"))
    if len(said) > LONGEST:
        said = f"{said[:LONGEST]} ..."
    return f"exit {run.code}, {run.last_line}{said and f': {said}'}"


def _torch_version(tool: Tool) -> str:
    return tool.version_of("torch").partition("+")[0].rpartition(".")[0]


SITUATIONS: dict[str, Callable[[Place], Finding]] = {
    "a regressed run is saved, then run again": saved_regression,
    "a test is renamed, and slow": renamed,
    "JUnit's file after a failed comparison": junit,
    "nothing recorded yet": no_baseline,
    "recorded with another torch": other_torch,
    "recorded on another board": other_board,
    "recorded with -n2": recorded_by_workers,
    "slow, compared with -n2": compared_by_workers,
}


def record(tool: Tool, folder: Path) -> None:
    """Record, again where a tool finds the machine too busy."""
    for _ in range(ATTEMPTS):
        run = tool.record(folder)
        if tool.entries(folder):
            return
    raise SystemExit(f"{tool.name} did not record:\n{run.output}")


def look(log: Log, tools: Sequence[Tool], times: int) -> None:
    """Every tool in every situation that is not in the log."""
    done = {(line["situation"], line["tool"]) for line in log.findings()}
    for tool in tools:
        to_do = [name for name in SITUATIONS if (name, tool.name) not in done]
        if not to_do:
            continue
        with tempfile.TemporaryDirectory(prefix="verdicts-") as folder:
            place = Place(tool, Path(folder), Path(folder) / "recorded", times)
            place.write(place.recorded, MODEL)
            plant(place.recorded, NONE)
            record(tool, place.recorded)
            for name in to_do:
                finding = SITUATIONS[name](place)
                print(f"  {tool.name}: {name}: {finding}", file=sys.stderr, flush=True)
                log.add(
                    [
                        {
                            "situation": name,
                            "tool": tool.name,
                            "outcome": finding.outcome,
                            "detail": finding.detail,
                        }
                    ]
                )
