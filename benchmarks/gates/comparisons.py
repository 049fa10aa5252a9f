"""Record, change, compare: runs the jobs of a plan until the time is over."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path

from benchmarks.gates.hiddencost import ERROR
from benchmarks.gates.plan import LOADED, Cell, Job, expected_s
from benchmarks.gates.tools import Judgement, Tool
from benchmarks.lib.benchmark import Measuring
from benchmarks.lib.injections import Injection, inject, inject_before
from benchmarks.lib.load import loaded, wait_until_alone
from benchmarks.lib.log import Figures
from benchmarks.lib.processes import say
from benchmarks.lib.pytest_runs import Run

NOT_RECORDED = "not recorded"
RECORDING = "recording"  # takes the place of an injection in a case
TOLERATED_CORES = 0.3

Tools = Mapping[tuple[str, str], Tool]
"""Tools by name and threads."""


class Comparisons:
    """Runs jobs, and adds a line for each model; ``folder`` holds the recorded projects."""

    def __init__(self, measuring: Measuring, tools: Tools, folder: Path) -> None:
        self._log, self._tools, self._folder = measuring.log, tools, folder
        self._minutes: float = measuring.own["minutes"]
        self._patience_s: float = measuring.own["patience"]
        self._recorded: dict[object, Path] = {}

    def left(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs that the results file does not have."""
        return [
            job
            for job in jobs
            if not all(self._log.has(job.case(model), job.number) for model in job.cell.models)
        ]

    def run(self, jobs: Sequence[Job]) -> None:
        """Run jobs one after the other until the minutes are over."""
        start, expected_so_far_s = time.monotonic(), 0.0
        for number, job in enumerate(jobs):
            spent_s = time.monotonic() - start
            if spent_s + job.seconds > 60 * self._minutes:
                say(f"stopped: {len(jobs) - number} comparisons are left; run again to continue")
                return
            self._say_progress(jobs, number, spent_s, expected_so_far_s)
            self._job(job)
            expected_so_far_s = expected_s(jobs[: number + 1])

    def _say_progress(
        self, jobs: Sequence[Job], number: int, spent_s: float, expected_so_far_s: float
    ) -> None:
        job = jobs[number]
        pace = spent_s / expected_so_far_s if expected_so_far_s else 1.0
        left = pace * (expected_s(jobs) - expected_so_far_s) / 60
        words = (job.tool, job.change.name, *job.cell.models, job.cell.threads, job.cell.condition)
        say(f"{number + 1} of {len(jobs)}, {left:.0f} minutes left: {', '.join(words)}")

    def _job(self, job: Job) -> None:
        tool = self._tools[job.tool, job.cell.threads]
        try:
            folder = self._recorded.get(job.record) or self._record(tool, job)
            if folder:
                self._compare(folder, tool, job)
        except subprocess.TimeoutExpired as error:
            self._recorded.pop(job.record, None)
            self._refuse(job, ERROR, str(error))

    def _record(self, tool: Tool, job: Job) -> Path | None:
        """Record, and again for a while if the tool refuses; a later job asks it once more."""
        _, cell, _ = job.record
        folder = self._folder / str(len(list(self._folder.iterdir())))
        tool.write(folder, job.cell.models)
        inject_before(folder, job.change)
        end = time.monotonic() + self._patience_s
        run = again = self._alone(lambda: tool.record(folder), cell)
        while again and tool.entries(folder) < len(job.cell.models) and time.monotonic() < end:
            if again := self._alone(lambda: tool.record_rest(folder), cell):
                run = again
        if tool.entries(folder) >= len(job.cell.models):
            self._recorded[job.record] = folder
            self._add_recording(tool, cell, folder, run)
            return folder
        why = run.line_with(r"(?i)not recorded|error") or run.output[-1000:] if run else ""
        say(f"  not recorded: {why}")
        self._refuse(job, NOT_RECORDED, why)
        return None

    def _add_recording(self, tool: Tool, cell: Cell, folder: Path, run: Run | None) -> None:
        """Add lines on the time of a recording, if a run of pytest made it."""
        if run is None or not run.outcomes:
            return
        found = tool.judgements(run, folder, cell.models)
        for model, one in found.items():
            name = tool.shares_records_of or tool.name
            case = {"tool": name, "injected": RECORDING, **cell.case(model)}
            number = next(n for n in count() if not self._log.has(case, n))
            seconds = round(run.seconds / len(found), 2)
            self._log.add([(case, number, {"seconds": seconds, "call_ms": one.call_ms})])

    def _compare(self, folder: Path, tool: Tool, job: Job) -> None:
        inject(folder, job.change)
        run = self._alone(lambda: tool.compare(folder), job.cell)
        assert run is not None
        found = tool.judgements(run, folder, job.cell.models)
        say("  " + ", ".join(f"{one.verdict} {one.why[:80]}" for one in found.values()))
        self._add(job, {m: _figures(one, job.change, run) for m, one in found.items()})

    def _refuse(self, job: Job, verdict: str, why: str) -> None:
        self._add(job, {model: {"verdict": verdict, "why": why} for model in job.cell.models})

    def _add(self, job: Job, figures: Mapping[str, Figures]) -> None:
        self._log.add((job.case(model), job.number, one) for model, one in figures.items())

    def _alone(self, action: Callable[[], Run | None], cell: Cell) -> Run | None:
        """Run under the load of the cell, and again for a while if others disturb the run."""
        load = int(cell.condition == LOADED)
        end = time.monotonic() + self._patience_s
        while True:
            wait_until_alone(end)
            with loaded(load):
                run = action()
            undisturbed = run is None or run.others_cores <= load + TOLERATED_CORES
            if undisturbed or time.monotonic() >= end:
                return run


def _figures(judgement: Judgement, change: Injection, run: Run) -> Figures:
    return {
        "verdict": judgement.verdict,
        "named": any(name in judgement.why for name in change.operators),
        "why": judgement.why[:1000],
        "growth": judgement.growth,
        "interval": judgement.interval,
        "non_mac_interval": judgement.non_mac_interval,
        "call_ms": judgement.call_ms,
        "interleaved": judgement.interleaved,
        "seconds": round(run.seconds_a_test, 2),
        "others_cores": round(run.others_cores, 2),
    }
