"""The protocol of a run's mode, and the records that go in and come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from pytest_hiddencost.core.records import Device, Profile, Sampling
from pytest_hiddencost.core.taxonomy import Taxonomy
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge import budgets
from pytest_hiddencost.judge.baseline.coverage import Coverage
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.judge.selftest import SelfTest

if TYPE_CHECKING:
    from pytest_hiddencost.measure import Call
    from pytest_hiddencost.measure.passes import Pace
    from pytest_hiddencost.run.settings import Settings

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True


@dataclass(frozen=True)
class Request:
    """One call of the fixture: what to measure, and the budget it has to keep."""

    test: str
    label: str
    call: Call
    budget: Budget | None
    taxonomy: Taxonomy


@dataclass(frozen=True)
class Measurement:
    """What was measured of one call: a profile without verdicts, and what it is judged by.

    ``injected`` holds profiles of the same call with a regression injected, by injection.
    """

    profile: Profile
    device: Device
    taxonomy: Taxonomy
    budget: Budget | None = None
    injected: Mapping[str, Profile] = field(default_factory=dict)

    @property
    def tolerances(self) -> Tolerances:
        """By how much this call may grow."""
        return Tolerances() if self.budget is None else self.budget.regression


@dataclass(frozen=True)
class Judgement:
    """What was judged of one call: its profile with every verdict.

    ``error`` says why a comparison could not be made; it fails the test.
    """

    profile: Profile
    selftests: tuple[SelfTest, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class FinishedRun:
    """What a run has at its end.

    ``whole``: the whole suite was selected. ``alone``: no other worker measured meanwhile.
    """

    profiles: Sequence[Profile]
    device: Device | None
    coverage: Coverage
    failed: frozenset[str]
    selftests: Sequence[SelfTest]
    whole: bool
    alone: bool


Color = Literal["green", "yellow", "red"]


@dataclass(frozen=True)
class Line:
    """A line at the end of the summary, in one of the reporter's colours."""

    text: str
    color: Color


@dataclass(frozen=True)
class Ending:
    """What the end of the session says, and whether it fails the session."""

    lines: tuple[Line, ...] = ()
    failed: bool = False


class Mode(Protocol):
    """What a run is for. A run has one mode, chosen once."""

    def budgets(self, found: tuple[Budget, ...]) -> tuple[Budget, ...]:
        """Return those of a test's budgets that this run checks."""

    def measure(self, request: Request) -> Measurement:
        """Measure one call. Raises what the model raises, and ``MeasurementError``."""

    def judge(self, measurement: Measurement) -> Judgement:
        """Judge what was measured."""

    def for_xdist_workers(self) -> dict[str, object] | None:
        """Return what pytest-xdist workers of this run need, as plain data."""

    def end(self, run: FinishedRun) -> Ending:
        """Do what the end of the session asks for, where the reports come together."""

    def close(self) -> None:
        """Let go of processes and files."""


def with_limits(measurement: Measurement) -> Profile:
    """Return the profile with the verdicts on its budget's limits."""
    if measurement.budget is None:
        return measurement.profile
    found = budgets.check(measurement.profile, measurement.budget, measurement.taxonomy)
    return replace(measurement.profile, verdicts=found)


def measured(
    request: Request,
    settings: Settings,
    sampling: Sampling,
    *,
    decide: bool = False,
    pace: Pace | None = None,
) -> Profile:
    """Return the profile of a request.

    ``decide``: measure on, within limits, while more samples could decide the budget. ``pace``:
    another process says when to measure.
    """
    from pytest_hiddencost.measure import measure

    profile = measure(
        request.call,
        sampling,
        threads=settings.threads,
        taxonomy=request.taxonomy,
        undecided=_undecided(request) if decide else None,
        pace=pace,
    )
    if objection := xdist_objection(settings):  # it explains whatever load was seen
        remedies = ("run timed tests without pytest-xdist (-n0)",)
        health = replace(profile.health, fit=False, reasons=(objection,), remedies=remedies)
        profile = replace(profile, health=health)
    return replace(profile, test=request.test, label=request.label)


def _undecided(request: Request) -> Callable[[Profile], bool]:
    budget = request.budget

    def undecided(profile: Profile) -> bool:
        found = () if budget is None else budgets.check(profile, budget, request.taxonomy)
        return budgets.more_samples_help(found)

    return undecided


def xdist_objection(settings: Settings) -> str:
    """Return why other workers of pytest-xdist disturb the clock; empty if there are none."""
    workers = settings.xdist_workers
    return f"other workers running (pytest-xdist, {workers} workers)" if workers > 1 else ""
