"""Record, inject, compare: recordings, and the comparisons in fresh processes that follow each."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from benchmarks.gates.tools import Judgement, Tool, ToolSettings
from benchmarks.lib.benchmark import Measuring, Setting
from benchmarks.lib.injections import INJECTIONS, NONE, Injection, inject, inject_before
from benchmarks.lib.load import loaded, wait_until_alone
from benchmarks.lib.log import Case, Figures
from benchmarks.lib.processes import say
from benchmarks.lib.pytest_runs import Run

CONDITIONS = QUIET, LOADED, DISTURBED = "quiet", "loaded", "recorded quiet then loaded"
ALL_MODELS = "all models"  # of a recording that stored nothing
NOT_RECORDED = "not recorded"
SHORT_INJECTIONS = ("none", "copy", "+50 %")
PER_RECORDING = 8
TOLERATED_CORES = 0.3
SEED = 20


def gate_settings(
    seconds: float,
    tools: Sequence[type[Tool]],
    conditions: tuple[str, ...],
    short_conditions: tuple[str, ...],
) -> tuple[Setting, ...]:
    """Return the options of a benchmark of comparisons."""
    every, names = tuple(INJECTIONS), tuple(tool.name for tool in tools)
    return (
        Setting("seconds", "time of the timed calls of a test in s", seconds, 0.3, recorded=True),
        Setting("conditions", "load of the machine", conditions, short_conditions, conditions),
        Setting("injections", "injected regressions", every, SHORT_INJECTIONS, every),
        Setting("tools", "compared tools", names, names, names),
        Setting("python", "interpreter that has the other tools", sys.executable, sys.executable),
        Setting("patience", "time in s to wait for a quiet machine, before each run", 60.0, 1.0),
    )


def tools_of(measuring: Measuring, kinds: Sequence[type[Tool]]) -> list[Tool]:
    """Return the tools that are asked for and installed; report the others."""
    own = measuring.own
    settings = ToolSettings(own["seconds"], measuring.threads, own["python"])
    tools = [kind(settings) for kind in kinds if kind.name in own["tools"]]
    for tool in tools:
        if tool.missing:
            say(f"left out: {tool.missing}")
    return [tool for tool in tools if not tool.missing]


@dataclass(frozen=True)
class Job:
    """One comparison of all models by every tool: the ``number``-th in this condition."""

    condition: str
    injection: Injection
    number: int

    def case(self, tool: Tool, model: str) -> Case:
        """Return the case of one model and tool."""
        words = {"condition": self.condition, "injected": self.injection.name}
        return {**words, "tool": tool.name, "model": model}


def jobs_of(measuring: Measuring) -> list[Job]:
    """Return the comparisons that are asked for."""
    return [
        Job(condition, INJECTIONS[name], number)
        for condition in measuring.own["conditions"]
        for name in measuring.own["injections"]
        # Load that comes after the recording may raise a false alarm; only unchanged code shows it.
        if condition != DISTURBED or name == NONE.name
        for number in range(measuring.processes)
    ]


class Comparisons:
    """Runs jobs with the tools in turns, and adds a line for each model."""

    def __init__(self, measuring: Measuring, tools: Sequence[Tool]) -> None:
        self._log, self._models, self._tools = measuring.log, measuring.models, tools
        self._patience_s: float = measuring.own["patience"]

    def run(self, jobs: Sequence[Job]) -> None:
        """Run the jobs that the results file does not have."""
        rounds = in_rounds([job for job in jobs if self._to_do(job)])
        for number, round_jobs in enumerate(rounds):
            names = ", ".join(job.injection.name for job in round_jobs)
            say(f"recording {number + 1} of {len(rounds)}: {round_jobs[0].condition}, then {names}")
            with tempfile.TemporaryDirectory() as folder:
                self._round(Path(folder), round_jobs)

    def _to_do(self, job: Job) -> list[Tool]:
        return [
            tool
            for tool in self._tools
            if not all(self._log.has(job.case(tool, model), job.number) for model in self._models)
        ]

    def _round(self, folder: Path, jobs: Sequence[Job]) -> None:
        shuffled = random.Random(f"{SEED} {jobs[0]}")
        needed = [tool for tool in self._tools if any(tool in self._to_do(job) for job in jobs)]
        ready = [
            tool
            for tool in shuffled.sample(needed, len(needed))
            if self._recorded(folder / tool.name, tool, jobs[0])
        ]
        for job in jobs:
            to_do = [tool for tool in self._to_do(job) if tool in ready]
            for tool in shuffled.sample(to_do, len(to_do)):
                self._compare(folder / tool.name, tool, job)

    def _recorded(self, folder: Path, tool: Tool, job: Job) -> bool:
        """Record, and again for a while if the tool refuses; a rerun asks it once more."""
        tool.write(folder, self._models)
        inject_before(folder, job.injection)
        load = int(job.condition == LOADED)
        end = time.monotonic() + self._patience_s
        run: Run | None = self._alone(lambda: tool.record(folder), load)
        while run and tool.entries(folder) < len(self._models) and time.monotonic() < end:
            run = self._alone(lambda: tool.record_rest(folder), load)
        if tool.entries(folder):
            return True
        why = run.line_with(r"(?i)not recorded|error") or run.output[-1000:] if run else ""
        say(f"  {tool.name} did not record: {why}")
        refusal = {"verdict": NOT_RECORDED, "why": why}
        self._log.add([(job.case(tool, ALL_MODELS), job.number, refusal)])
        return False

    def _compare(self, folder: Path, tool: Tool, job: Job) -> None:
        inject(folder, job.injection)
        run = self._alone(lambda: tool.compare(folder), load=int(job.condition != QUIET))
        assert run is not None
        found = tool.judgements(run, folder, self._models)
        say(f"  {tool.name}: " + ", ".join(f"{m} {one.verdict}" for m, one in found.items()))
        self._log.add(
            (job.case(tool, model), job.number, _figures(one, job.injection, run, len(found)))
            for model, one in found.items()
        )

    def _alone(self, action: Callable[[], Run | None], load: int) -> Run | None:
        """Run under this load, and again for a while if other processes disturb the run."""
        end = time.monotonic() + self._patience_s
        while True:
            wait_until_alone(end)
            with loaded(load):
                run = action()
            undisturbed = run is None or run.others_cores <= load + TOLERATED_CORES
            if undisturbed or time.monotonic() >= end:
                return run


def _figures(judgement: Judgement, injection: Injection, run: Run, tests: int) -> Figures:
    return {
        "verdict": judgement.verdict,
        "named": any(name in judgement.why for name in injection.operators),
        "why": judgement.why[:1000],
        "growth": judgement.growth,
        "device_growth": judgement.device_growth,
        "seconds": round(run.seconds / tests, 2),
        "others_cores": round(run.others_cores, 2),
    }


def in_rounds(jobs: Sequence[Job]) -> list[list[Job]]:
    """Group jobs by what is recorded before them, conditions in turns, a few per recording."""
    kinds: dict[tuple[str, str], list[Job]] = {}
    for job in sorted(jobs, key=lambda job: (job.number, job.injection.name)):
        kinds.setdefault((job.condition, job.injection.recorded), []).append(job)
    chunks = [list(_chunks(of_kind)) for of_kind in kinds.values()]
    return [chunk for chunk in chain(*zip_longest(*chunks)) if chunk]


def _chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), PER_RECORDING):
        yield list(jobs[start : start + PER_RECORDING])
