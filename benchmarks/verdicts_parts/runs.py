"""Record-then-compare: recordings, and the comparisons in fresh processes that follow each."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from verdicts_parts.load import loaded, wait_until_alone
from verdicts_parts.log import Line, Log
from verdicts_parts.plants import Plant, plant, plant_recorded, write_project
from verdicts_parts.process import Run
from verdicts_parts.tools import Judgement, Tool

CONDITIONS = QUIET, LOADED, DISTURBED = "quiet", "loaded", "recorded quiet, loaded"
PER_RECORDING = 8
TOLERATED_CORES = 0.3
SEED = 20


@dataclass(frozen=True)
class Job:
    """All models compared once by every tool: the ``number``-th time under this condition."""

    condition: str
    planted: Plant
    number: int

    def by(self, tool: Tool) -> tuple[str, str, int, str]:
        """What tells it from others in the log."""
        return self.condition, self.planted.name, self.number, tool.name


class Runs:
    """Runs jobs for the models with the tools, and keeps the log.

    ``patience_s``: how long to go on trying to have the machine alone, for each run.
    """

    def __init__(
        self, log: Log, tools: Sequence[Tool], models: tuple[str, ...], patience_s: float
    ) -> None:
        self._log, self._tools, self._models = log, tools, models
        self._patience_s = patience_s
        self._done = {_key(line) for line in log.comparisons()}

    def run(self, jobs: Sequence[Job]) -> None:
        """Those of the jobs that are not in the log."""
        rounds = in_rounds([job for job in jobs if self._to_do(job)])
        for number, round_jobs in enumerate(rounds):
            names = ", ".join(job.planted.name for job in round_jobs)
            _say(
                f"recording {number + 1} of {len(rounds)}: {round_jobs[0].condition}, then {names}"
            )
            with tempfile.TemporaryDirectory(prefix="verdicts-") as folder:
                self._round(Path(folder), round_jobs)

    def _to_do(self, job: Job) -> list[Tool]:
        return [tool for tool in self._tools if job.by(tool) not in self._done]

    def _round(self, folder: Path, jobs: Sequence[Job]) -> None:
        turns = random.Random(f"{SEED} {jobs[0]}")
        needed = [tool for tool in self._tools if any(tool in self._to_do(job) for job in jobs)]
        ready = [
            tool
            for tool in turns.sample(needed, len(needed))
            if self._recorded(folder / tool.name, tool, jobs[0])
        ]
        for job in jobs:
            to_do = [tool for tool in self._to_do(job) if tool in ready]
            for tool in turns.sample(to_do, len(to_do)):
                self._compared(folder / tool.name, tool, job)

    def _recorded(self, folder: Path, tool: Tool, job: Job) -> bool:
        """Record; a tool that stored nothing is left out of this round, and asked again later.

        What it would not record, since the machine was not fit, it is asked for again for a while.
        """
        write_project(folder, self._models, tool.fixture, tool.call)
        plant_recorded(folder, job.planted)
        load = int(job.condition == LOADED)
        end = time.monotonic() + self._patience_s
        run = self._run(lambda: tool.record(folder), load)
        while (
            (adding := tool.adding) is not None
            and tool.entries(folder) < len(self._models)
            and time.monotonic() < end
        ):
            run = self._run(lambda: tool.run(folder, *adding), load)
        if tool.entries(folder):
            return True
        why = run.line_with(r"(?i)not recorded|error") or run.output[-1000:]
        self._log.add([{"refused": tool.name, "condition": job.condition, "why": why}])
        _say(f"  {tool.name} did not record: {why}")
        return False

    def _compared(self, folder: Path, tool: Tool, job: Job) -> None:
        plant(folder, job.planted)
        run = self._run(lambda: tool.compare(folder), load=int(job.condition != QUIET))
        lines = _lines(job, tool, tool.judgements(run, folder, self._models), run)
        self._log.add(lines)
        self._done.add(job.by(tool))
        words = ", ".join(f"{line['model']} {line['verdict']}" for line in lines)
        _say(f"  {job.planted.name}: {tool.name}: {words}")

    def _run(self, action: Callable[[], Run], load: int) -> Run:
        """A run under so much load, again where others disturbed it."""
        end = time.monotonic() + self._patience_s
        while True:
            wait_until_alone(end)
            with loaded(load):
                run = action()
            if run.others_cores <= load + TOLERATED_CORES or time.monotonic() >= end:
                return run


def _lines(job: Job, tool: Tool, judgements: Mapping[str, Judgement], run: Run) -> list[Line]:
    return [
        {
            "condition": job.condition,
            "plant": job.planted.name,
            "number": job.number,
            "tool": tool.name,
            "model": model,
            "verdict": judgement.verdict,
            "named": any(name in judgement.why for name in job.planted.operators),
            "why": judgement.why[:1000],
            "growth": judgement.growth,
            "device": judgement.device,
            "seconds": round(run.seconds / len(judgements), 2),
            "others_cores": round(run.others_cores, 2),
        }
        for model, judgement in judgements.items()
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _key(line: Line) -> tuple[str, str, int, str]:
    return line["condition"], line["plant"], line["number"], line["tool"]


def in_rounds(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs by what is recorded before them, conditions in turns, a few for each recording."""
    kinds: dict[tuple[str, str], list[Job]] = {}
    for job in sorted(jobs, key=lambda job: (job.number, job.planted.name)):
        kinds.setdefault((job.condition, job.planted.recorded), []).append(job)
    chunks = [list(_chunks(of_kind)) for of_kind in kinds.values()]
    return [chunk for chunk in chain(*zip_longest(*chunks)) if chunk]


def _chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), PER_RECORDING):
        yield list(jobs[start : start + PER_RECORDING])
