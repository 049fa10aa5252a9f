"""The plan of the benchmark ``gates``: its comparisons, their order, and their time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, islice, zip_longest

from benchmarks.gates.hiddencost import Against, AgainstTight, Interleaved, Never
from benchmarks.gates.others import AlternatingProcesses, PytestBenchmark, PytestTorch
from benchmarks.gates.tools import Tool
from benchmarks.lib.injections import FUSED, INJECTIONS, NONE, STRUCTURE, Injection
from benchmarks.lib.log import Case
from benchmarks.lib.models import ALL_MODELS

CONDITIONS = QUIET, LOADED = "quiet", "loaded"
THREADS = {"1": 1, "default": None}
ROUNDS = 6  # of the full plan
SEED = 20
FIVE, TEN = INJECTIONS["+5 %"], INJECTIONS["+10 %"]
RECORDING_S = 12.0
WAITING_S = 0.7  # for a quiet machine, or for the load to settle
# Time of a test of a long call, relative to others: it has few calls, but each takes its time.
LONGER = {"UNet": 1.3, "Without oneDNN": 8.0, "Long call": 4.0}
RARELY = ROUNDS  # the plan has one slow comparison for this many others


@dataclass(frozen=True)
class Kind:
    """Comparisons by one tool of one change; several ``changes`` take turns.

    ``per_cell``: comparisons in each cell of the full plan; below 1, some cells have none.
    ``seconds``: the expected time of one.
    """

    tool: type[Tool]
    changes: tuple[Injection, ...]
    per_cell: float
    seconds: float


KINDS = (
    Kind(Against, (NONE,), 5.8, 10.0),
    Kind(Against, (TEN,), 1, 10.0),
    Kind(AgainstTight, (FIVE,), 1, 12.0),
    Kind(Against, STRUCTURE, 0.5, 4.0),
    Kind(Interleaved, (NONE,), 2.9, 10.0),
    Kind(Interleaved, (TEN,), 1, 12.0),
    Kind(Interleaved, STRUCTURE, 0.5, 4.0),
    Kind(Never, (NONE,), 0.5, 5.0),
    Kind(Never, (TEN,), 0.5, 5.0),
    Kind(PytestBenchmark, (NONE,), 0.5, 4.0),
    Kind(PytestBenchmark, (TEN,), 0.5, 4.0),
    Kind(PytestTorch, (NONE,), 0.5, 4.0),
    Kind(PytestTorch, (TEN,), 0.5, 4.0),
    Kind(AlternatingProcesses, (NONE,), 0.15, 18.0),
    Kind(AlternatingProcesses, (TEN,), 0.15, 18.0),
)
TOOLS = tuple(dict.fromkeys(kind.tool for kind in KINDS))


@dataclass(frozen=True)
class Cell:
    """Comparisons that are alike: the models of one run, threads of torch, load."""

    models: tuple[str, ...]
    threads: str
    condition: str

    def case(self, model: str) -> Case:
        """Return the part of a case on the cell and one of its models."""
        return {"model": model, "threads": self.threads, "condition": self.condition}

    @property
    def longer(self) -> float:
        """The time of a run, relative to a usual one."""
        return sum(LONGER.get(model, 1.0) for model in self.models)

    @property
    def rare(self) -> bool:
        """Whether a run takes so long that the plan has few of them."""
        return self.longer > 2 * len(self.models)


@dataclass(frozen=True)
class Job:
    """One comparison: the ``number``-th of its kind in its cell."""

    kind: Kind
    change: Injection
    cell: Cell
    number: int

    @property
    def tool(self) -> str:
        """The name of the tool."""
        return self.kind.tool.name

    @property
    def record(self) -> tuple[str, Cell, str]:
        """The key of the quiet recording before; jobs with the same key share it."""
        cell = replace(self.cell, condition=QUIET)
        return self.kind.tool.shares_records_of or self.tool, cell, self.change.recorded

    @property
    def seconds(self) -> float:
        """The time that the comparison is expected to take, without a recording."""
        return WAITING_S + self.kind.seconds * self.cell.longer

    def case(self, model: str) -> Case:
        """Return the case of one model."""
        return {"tool": self.tool, "injected": self.change.name, **self.cell.case(model)}


def cells_of(
    models: Sequence[str], threads: Iterable[str], conditions: Sequence[str], together: int
) -> list[Cell]:
    """Return every cell, with so many models in one run."""
    groups = [tuple(models[i : i + together]) for i in range(0, len(models), together)]
    return [
        Cell(group, word, condition)
        for condition in conditions
        for word in threads
        for group in groups
    ]


def plan_of(cells: Sequence[Cell], rounds: int, kinds: Sequence[Kind] = KINDS) -> list[Job]:
    """Return the jobs of a plan, in an order that is fair wherever it is cut short.

    Every first part has each kind in the plan's proportion. In each kind, every cell comes once
    before any comes twice; a rare cell comes once while the others come ``RARELY`` times.
    """
    placed: list[tuple[float, int, Job]] = []
    for of_kind, kind in enumerate(kinds):
        shuffled = random.Random(f"{SEED} {of_kind}")
        total = max(1, round(kind.per_cell * len(cells) * rounds / ROUNDS))
        jobs = islice(_jobs(kind, cells, shuffled), total)
        placed += [((i + shuffled.random()) / total, of_kind, job) for i, job in enumerate(jobs)]
    return [job for _, _, job in sorted(placed, key=lambda one: one[:2])]


def _jobs(kind: Kind, cells: Sequence[Cell], shuffled: random.Random) -> Iterator[Job]:
    """Yield a job of every cell, then another one of every cell, without end."""
    rare = [cell for cell in cells if cell.rare]
    for number in count():
        for turn, cell in enumerate(_in_turns(cells, shuffled)):
            if cell.rare and number % RARELY != rare.index(cell) % RARELY:
                continue
            of_cell = number // RARELY if cell.rare else number
            fitting = [change for change in kind.changes if _fits(change, cell)]
            yield Job(kind, fitting[(turn + number) % len(fitting)], cell, of_cell)


def _in_turns(cells: Sequence[Cell], shuffled: random.Random) -> list[Cell]:
    """Return the cells, with loads and threads in turns and the models in any order."""
    alike: dict[tuple[str, str], list[Cell]] = {}
    for cell in shuffled.sample(cells, len(cells)):
        alike.setdefault((cell.condition, cell.threads), []).append(cell)
    return [cell for cell in chain(*zip_longest(*alike.values())) if cell]


def _fits(change: Injection, cell: Cell) -> bool:
    """Return whether the models of the cell have the code that is changed."""
    return change.recorded != FUSED or all(model in ALL_MODELS for model in cell.models)


def expected_s(jobs: Sequence[Job]) -> float:
    """Return the time that jobs and the recordings before them are expected to take."""
    records = {job.record for job in jobs if job.tool in RECORDED}
    recording_s = sum(RECORDING_S * cell.longer for _, cell, _ in records)
    return recording_s + sum(job.seconds for job in jobs)


RECORDED = {Interleaved.name, Never.name}


def budget(jobs: Sequence[Job]) -> str:
    """Describe how many comparisons a plan has, and the time that it is expected to take."""
    counts = {tool.name: sum(job.tool == tool.name for job in jobs) for tool in TOOLS}
    by_tool = ", ".join(f"{number} by {name}" for name, number in counts.items() if number)
    return f"{len(jobs)} comparisons, about {expected_s(jobs) / 60:.0f} minutes: {by_tool}"
