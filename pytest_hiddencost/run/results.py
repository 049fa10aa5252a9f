"""Results of a run so far: profiles, selftests, outcomes, the device, the collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.records import CallKey, Device, Profile
from pytest_hiddencost.judge.baseline.coverage import Coverage
from pytest_hiddencost.judge.selftest import SelfTest
from pytest_hiddencost.run.modes.base import Ending, FinishedRun, Judgement
from pytest_hiddencost.run.selection import (
    MODELS_IN_FULL,
    Collected,
    collected_in_full,
    uses_plugin,
    whole_suite,
)
from pytest_hiddencost.workers.node_ids import test_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_hiddencost.report.html.study_figures import StudyFigures
    from pytest_hiddencost.report.run_file import RunFile

PROFILES = pytest.StashKey[dict[CallKey, Profile]]()
"""The profiles of a run, by test id and label: ``config.stash[PROFILES]``."""
STUDY_FIGURES: pytest.StashKey[Callable[[RunFile], StudyFigures | None]] = pytest.StashKey()
"""The device study's function that makes its figures for the report."""
ATTRIBUTE = "hiddencost"  # of a report, and of a pytest-xdist worker's output
TEST_ID_ATTRIBUTE = "hiddencost_test"  # of a report whose node id a plugin changed
OURS_ATTRIBUTE = "hiddencost_used"  # of a report on a test that uses the plugin and failed

TestOutcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Reported:
    """The plain data that a report carries to the process that reads it."""

    device: Device
    profiles: tuple[Profile, ...]
    selftests: tuple[SelfTest, ...] = ()


@dataclass(frozen=True)
class WorkerCollection:
    """The tests and files that a pytest-xdist worker collected; whether a collector failed."""

    collected: tuple[str, ...]
    modules: tuple[str, ...]
    failed: bool


def identified(item: pytest.Item, report: pytest.TestReport) -> pytest.TestReport:
    """Store the test's id in its report, if a plugin changed the node id.

    The report of a failure also says whether the test uses the plugin.
    """
    if (test := test_id(item)) != report.nodeid:
        setattr(report, TEST_ID_ATTRIBUTE, test)
    if report.failed and uses_plugin(item):
        setattr(report, OURS_ATTRIBUTE, True)
    return report


def attach(report: pytest.TestReport, device: Device, judgements: Sequence[Judgement]) -> None:
    """Let the report carry these judgements."""
    reported = Reported(
        device,
        tuple(judgement.profile for judgement in judgements),
        tuple(selftest for judgement in judgements for selftest in judgement.selftests),
    )
    setattr(report, ATTRIBUTE, encode(reported))


class Results:
    """Collects the data of reports, from this process or from pytest-xdist workers.

    ``ending`` has the lines of the run's end, once it has ended. ``profiles`` are those of
    ``config.stash``, unless these are the results of one device of a fleet.
    """

    def __init__(
        self,
        config: pytest.Config,
        collected: Collected,
        profiles: dict[CallKey, Profile] | None = None,
    ) -> None:
        stored = config.stash.setdefault(PROFILES, {})
        self.profiles = stored if profiles is None else profiles
        self.device: Device | None = None
        self._devices: dict[CallKey, Device] = {}
        self._selftests: dict[tuple[str, str, str], SelfTest] = {}
        self.outcomes: dict[str, TestOutcome] = {}
        self.ending = Ending()
        self._config = config
        self._collected = collected
        self._by_workers: set[str] = set()
        self._modules_of_workers: set[str] = set()
        self._test_s: dict[str, float] = {}
        self._node_ids: dict[str, str] = {}
        self._locations: dict[str, tuple[str, int | None]] = {}
        self._messages: dict[str, str] = {}
        self._ours: set[str] = set()

    def take(self, report: pytest.TestReport) -> None:
        """Take in one report: the outcome of its phase, and its data."""
        test: str = getattr(report, TEST_ID_ATTRIBUTE, report.nodeid)
        self._node_ids[test] = report.nodeid
        self._test_s[test] = self._test_s.get(test, 0.0) + report.duration
        file, line, _ = report.location
        self._locations[test] = file, line
        if report.failed:
            self.outcomes[test] = "failed"
            self._take_failure(test, report)
        elif _of_subtest(report):  # a skipped sub-test is no skipped test
            pass
        elif report.skipped or hasattr(report, "wasxfail"):  # an xfail is no pass
            if self.outcomes.get(test) != "failed":
                self.outcomes[test] = "skipped"
        elif report.passed and report.when == "call":  # a try that is run again is no pass
            self.outcomes.setdefault(test, "passed")
        data: Any = getattr(report, ATTRIBUTE, None)
        if data is None:
            return
        reported = decode(Reported, data, "report")
        self.device = reported.device
        for found in reported.selftests:  # of a test that is run again, the last
            self._selftests[found.test, found.label, found.injection] = found
        for profile in reported.profiles:
            self.profiles[profile.test, profile.label] = profile
            self._devices[profile.test, profile.label] = reported.device

    def _take_failure(self, test: str, report: pytest.TestReport) -> None:
        """Keep the first line of the first message of a test."""
        crash = getattr(report.longrepr, "reprcrash", None)
        message = str(getattr(crash, "message", None) or report.longrepr or "")
        first = next((line for line in message.splitlines() if line.strip()), "failed")
        self._messages.setdefault(test, first.strip())
        if getattr(report, OURS_ATTRIBUTE, False):
            self._ours.add(test)

    def take_collection(self, node: Any) -> None:
        """Take in the collection of a pytest-xdist worker."""
        data = getattr(node, "workeroutput", {}).get(ATTRIBUTE)
        if data is not None:
            found = decode(WorkerCollection, data, "worker")
            self._by_workers.update(found.collected)
            self._modules_of_workers.update(found.modules)
            self._collected.collect_failed |= found.failed

    def give_collection(self, output: dict[str, Any]) -> None:
        """Put the collection of this pytest-xdist worker into its output, for the controller."""
        collected = tuple(sorted(self._own_collection()))
        modules = tuple(sorted(self._collected.modules))
        found = WorkerCollection(collected, modules, self._collected.collect_failed)
        output[ATTRIBUTE] = encode(found)

    def _own_collection(self) -> set[str]:
        return {*self._collected.ids, *self._collected.deselected, *self._collected.vanished}

    def in_order(self) -> list[Profile]:
        """Return the profiles in the order of a plain run, whichever worker finished first."""
        order = {test: i for i, test in enumerate(self._collected.ids)}

        def place(profile: Profile) -> int:
            node_id = self._node_ids.get(profile.test, profile.test)
            return order.get(profile.test, order.get(node_id, len(order)))

        return sorted(self.profiles.values(), key=place)

    def by_device(self) -> list[tuple[Device, list[Profile]]]:
        """Return the profiles in order by the device that measured them, told by its key."""
        found: dict[str, tuple[Device, list[Profile]]] = {}
        for profile in self.in_order():
            device = self._devices.get((profile.test, profile.label), self.device)
            if device is not None:
                found.setdefault(device.key, (device, []))[1].append(profile)
        return list(found.values())

    @property
    def measured_failed(self) -> bool:
        """Whether a test that measured has failed."""
        return any(self.outcomes.get(test) == "failed" for test, _ in self.profiles)

    @property
    def failures(self) -> dict[str, str]:
        """The first line of the message of each test that measured, or was to, and failed."""
        ours = self._ours | {test for test, _ in self.profiles}
        failed = self._that("failed")
        return {test: text for test, text in self._messages.items() if test in ours & failed}

    def location(self, test: str) -> tuple[str, int | None] | None:
        """Return file and line of a test: relative to the rootdir, and counted from 0."""
        return self._locations.get(test)

    def study_figures(self, run: RunFile) -> StudyFigures | None:
        """Return the figures of the device study; None if the run is not of it."""
        make = self._config.stash.get(STUDY_FIGURES, None)
        return None if make is None else make(run)

    def finished(self) -> FinishedRun:
        """Return the record of the run at its end."""
        failed_to_collect = self._collected.collect_failed
        left_out = self._collected.deselected or self._collected.vanished
        return FinishedRun(
            profiles=self.in_order(),
            device=self.device,
            coverage=Coverage(
                collected=frozenset(self._by_workers or self._own_collection()),
                measured=frozenset(self.profiles),
                passed=self._that("passed"),
                whole=None if failed_to_collect else collected_in_full(self._config),
                root=self._config.rootpath,
                models=self._config.stash.get(MODELS_IN_FULL, False),
                modules=frozenset({*self._modules_of_workers, *self._collected.modules}),
            ),
            failed=self._that("failed"),
            selftests=list(self._selftests.values()),
            whole=whole_suite(self._config) and not left_out,
            alone=not self._by_workers,
            test_s=dict(self._test_s),
        )

    def _that(self, outcome: TestOutcome) -> frozenset[str]:
        return frozenset(test for test, found in self.outcomes.items() if found == outcome)


def _of_subtest(report: pytest.TestReport) -> bool:
    """Return whether a report is of a sub-test: pytest's own, or the one of pytest-subtests."""
    return type(report).__name__.lower() == "subtestreport"
