"""The base class of the modes of a run, and the records that a mode takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Literal

from pytest_hiddencost.core.records import Device, Profile, Sampling
from pytest_hiddencost.core.taxonomy import Taxonomy
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge import budgets
from pytest_hiddencost.judge.baseline.coverage import Coverage
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.judge.selftest import SelfTest
from pytest_hiddencost.run.settings import Settings

if TYPE_CHECKING:
    from pytest_hiddencost.measure import Call, Wanted
    from pytest_hiddencost.measure.energy.energy_of_call import MeterSearch
    from pytest_hiddencost.measure.outlook import CallProgress
    from pytest_hiddencost.measure.pace import Pace

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True


@dataclass(frozen=True)
class Request:
    """One call of the fixture: the call to measure, and its budget.

    ``started_s`` is the start of the test's setup on the clock ``monotonic``.
    """

    test: str
    label: str
    call: Call
    budget: Budget | None
    taxonomy: Taxonomy
    started_s: float = field(default_factory=monotonic)


def with_injected(request: Request, injection: str) -> Request:
    """Return the request with this regression injected into its call; unchanged for no name."""
    if not injection:
        return request
    from pytest_hiddencost.measure.injected import with_injection

    return replace(request, call=with_injection(request.call, injection))


@dataclass(frozen=True)
class Measurement:
    """One measured call: its profile without verdicts, and the data that the verdicts need.

    ``injected`` holds profiles of the same call with an injected regression, by its name.
    ``test_s``: seconds from the beginning of the test's setup until the call was measured.
    """

    profile: Profile
    device: Device
    taxonomy: Taxonomy
    budget: Budget | None = None
    injected: Mapping[str, Profile] = field(default_factory=dict)
    test_s: float = 0.0

    @property
    def tolerances(self) -> Tolerances:
        """The growth that the budget allows this call."""
        return Tolerances() if self.budget is None else self.budget.regression


@dataclass(frozen=True)
class Judgement:
    """One judged call: its profile with every verdict.

    ``error`` says why the comparison failed; it fails the test.
    """

    profile: Profile
    selftests: tuple[SelfTest, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class FinishedRun:
    """A run at its end.

    ``failed`` are ids of tests. ``whole``: the whole suite was selected. ``alone``: this process
    measured, and no worker of pytest-xdist. ``test_s``: how long each test took, in seconds.
    """

    profiles: Sequence[Profile]
    device: Device | None
    coverage: Coverage
    failed: frozenset[str]
    selftests: Sequence[SelfTest]
    whole: bool
    alone: bool
    test_s: Mapping[str, float] = field(default_factory=dict)


Color = Literal["green", "yellow", "red"]


@dataclass(frozen=True)
class Line:
    """A line at the end of the summary, in one of the reporter's colours.

    ``unused`` counts the baseline entries that it lists; a quiet run only tells their number.
    ``detail``: it explains such a line, and a quiet run leaves it out.
    """

    text: str
    color: Color
    unused: int = 0
    detail: bool = False


@dataclass(frozen=True)
class Ending:
    """The lines that the end of the session adds to the summary; a red one fails the session."""

    lines: tuple[Line, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the session fails."""
        return any(line.color == "red" for line in self.lines)


class Mode:
    """The purpose of a run. By itself it measures each call here and checks its budget."""

    show: Callable[[str], None] = staticmethod(lambda _: None)
    """Shows the progress of the run, and nothing for an empty text; the session sets it."""

    find_meter: MeterSearch | None = None
    """Finds the energy meter of a device; the session sets it."""

    threads_at_start: int | None = None
    """torch's intra-op threads before the first test, which may change them; None: unknown."""

    _counts_thop = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._device: Device | None = None

    def prepare(self) -> None:
        """Start slow preparations before tests are collected or run; the base mode has none."""

    def settle(self) -> None:
        """Wait for the preparations, so that they disturb no measurement."""

    def budgets(self, found: tuple[Budget, ...]) -> tuple[Budget, ...]:
        """Return those of a test's budgets that this run checks: all of them."""
        return found

    def measure(self, request: Request) -> Measurement:
        """Measure one call, and longer while a timed limit of its budget is open.

        Raises the errors of the model, and ``MeasurementError``.
        """
        self.show(_measuring(request))
        budget = request.budget
        timed = budget is not None and budget.timed and not self._xdist_objection()
        undecided = partial(_undecided, request) if timed else None
        from pytest_hiddencost.measure import Wanted

        by_windows = budget is not None and timed and budget.needs_windows
        energy = self._settings.energy or (budget is not None and budget.needs_energy)
        wanted = Wanted(
            samples=timed,
            windows=by_windows,
            thop=self._counts_thop,
            meter=self.find_meter if energy else None,
            replays=self._settings.kinds,
        )
        sampling = self._sampling(timed=timed)
        return self._measured(request, sampling, undecided=undecided, wanted=wanted)

    def judge(self, measurement: Measurement) -> Judgement:
        """Judge a measured call by its budget."""
        return Judgement(with_limits(measurement))

    def for_xdist_workers(self) -> dict[str, object] | None:
        """Return the plain data that pytest-xdist workers of this run need: none.

        Raises ``HiddenCostError``.
        """
        return None

    def end(self, run: FinishedRun) -> Ending:
        """End the session, in the process to which all reports come."""
        return Ending()

    def own_outputs(self, settings: Settings) -> Settings:
        """Return the settings of the files that the session writes at the end: all of them."""
        return settings

    def close(self) -> None:
        """End the processes and remove the files of this mode, which has none."""

    def _sampling(self, *, timed: bool) -> Sampling:
        """Return the time and the confidence to measure with; ``timed``: a limit needs the time."""
        return self._settings.sampling

    def _measured(
        self,
        request: Request,
        sampling: Sampling,
        *,
        undecided: Callable[[Profile], bool] | None = None,
        wanted: Wanted | None = None,
        pace: Pace | None = None,
    ) -> Measurement:
        """Measure, within limits, while ``undecided``; with ``pace`` another process says when.

        ``wanted`` is the purpose of the measurement.
        """
        from pytest_hiddencost.measure import describe_device, measure

        def tell(progress: CallProgress) -> None:
            if progress.lengthy:
                self.show(f"{_measuring(request)}: {progress}")

        profile = measure(
            request.call,
            sampling,
            threads=self._settings.threads,
            taxonomy=request.taxonomy,
            undecided=undecided,
            wanted=wanted,
            pace=pace,
            tell=tell,
        )
        if objection := self._xdist_objection():  # the reason for any load that was seen
            remedies = ("run timed tests without pytest-xdist (-n0)",)
            health = replace(profile.health, fit=False, reasons=(objection,), remedies=remedies)
            profile = replace(profile, health=health)
        profile = replace(profile, test=request.test, label=request.label)
        if self._device is None:
            threads = self._settings.threads or self.threads_at_start
            self._device = describe_device(request.call.device, threads)
        test_s = monotonic() - request.started_s
        return Measurement(profile, self._device, request.taxonomy, request.budget, test_s=test_s)

    def _xdist_objection(self) -> str:
        """Return the objection to timing beside other pytest-xdist workers; empty without any."""
        workers = self._settings.xdist_workers
        return f"other workers running (pytest-xdist, {workers} workers)" if workers > 1 else ""


def with_limits(measurement: Measurement) -> Profile:
    """Return the profile with the verdicts on its budget's limits."""
    if measurement.budget is None:
        return measurement.profile
    found = budgets.check(measurement.profile, measurement.budget, measurement.taxonomy)
    return replace(measurement.profile, verdicts=found)


def _measuring(request: Request) -> str:
    return f"measuring {request.label or request.test.rpartition('::')[2]}"


def _undecided(request: Request, profile: Profile) -> bool:
    assert request.budget is not None
    found = budgets.check(profile, request.budget, request.taxonomy)
    return budgets.more_samples_help(found)
