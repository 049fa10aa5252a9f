"""The hooks of a run that uses the plugin: they translate pytest's events for the run's mode."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.report import run_file
from pytest_hiddencost.run import markers, modes
from pytest_hiddencost.run.fixture import HiddenCost, nothing_checked
from pytest_hiddencost.run.meter_search import meter_search
from pytest_hiddencost.run.model_items import collect_models
from pytest_hiddencost.run.modes.base import Judgement
from pytest_hiddencost.run.operator_groups import operator_groups
from pytest_hiddencost.run.output import RunOutput, failing
from pytest_hiddencost.run.output_files import check_output_files, write_output_files
from pytest_hiddencost.run.progress import Progress
from pytest_hiddencost.run.results import Results, attach, identified
from pytest_hiddencost.run.selection import CollectedByPytest, Watched, marker_levels, measures_here
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.run.time_limits import TimeLimits, paused
from pytest_hiddencost.workers.node_ids import test_id

if TYPE_CHECKING:
    import torch

    from pytest_hiddencost.core.taxonomy import Taxonomy


@dataclass
class _Test:
    """One test while it runs, from ``started_s`` on the clock ``monotonic``.

    ``seen`` counts the measurements that were judged, ``reported`` the judgements on reports.
    """

    budgets: tuple[Budget, ...] = ()
    fixture: HiddenCost | None = None
    judged: list[Judgement] = field(default_factory=list)
    seen: int = 0
    reported: int = 0
    started_s: float = field(default_factory=monotonic)


_TEST = pytest.StashKey[_Test]()


class HiddenCostSession:
    """The plugin object that pytest gets once a test, an option or a worker's report needs it."""

    def __init__(self, config: pytest.Config, watched: Watched) -> None:
        self._config = config
        collected = CollectedByPytest(watched)
        self._settings = settings = Settings.from_config(config)
        if not hasattr(config, "workerinput"):
            check_output_files(settings)
        collect_models(config, settings.models, self)
        self.results = Results(config, collected)
        self._output = RunOutput(settings, self.results)
        self._mode = modes.chosen(config, settings, collected)
        self._mode.show, self._mode.find_meter = Progress(config).show, meter_search(config)
        config.add_cleanup(self._mode.close)
        if measures_here(config) and not settings.disable:
            self._mode.prepare()
            config.pluginmanager.register(TimeLimits(self._mode.settle))
        config.pluginmanager.register(self._output)

    def device(self) -> torch.device:
        """Return the device to measure on; fail the test if the machine lacks it."""
        from pytest_hiddencost.measure import choose_device

        try:
            return choose_device(self._settings.device)
        except HiddenCostError as error:
            message = f"hiddencost: {error}"
        pytest.fail(message, pytrace=False)

    def measuring(self, item: pytest.Item) -> HiddenCost:
        """Return the fixture's object for one test."""
        if self._settings.disable:
            pytest.skip("hiddencost is switched off (--hiddencost-disable)")
        # A test may ask for the fixture by name while it runs, as the first need of this object.
        test = item.stash.setdefault(_TEST, _Test())
        given = test.budgets, self._taxonomy, self.device, test.started_s
        test.fixture = HiddenCost(test_id(item), self._mode, *given)
        return test.fixture

    def for_xdist_workers(self) -> dict[str, object] | None:
        """Return the mode's plain data for pytest-xdist workers."""
        try:
            return self._mode.for_xdist_workers()
        except HiddenCostError as error:
            raise pytest.UsageError(str(error)) from error

    def take(self, report: pytest.TestReport) -> None:
        """Take in one report, from this process or from a pytest-xdist worker."""
        self.results.take(report)

    @cached_property
    def _taxonomy(self) -> Taxonomy:
        return operator_groups(self._config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Read the test's markers; a bad marker is an error of this test alone."""
        # A plugin that retries runs the same item again.
        test = item.stash[_TEST] = _Test()
        item.user_properties[:] = [
            p for p in item.user_properties if not p[0].startswith("hiddencost")
        ]
        message = ""
        try:
            test.budgets = self._mode.budgets(markers.budgets_of(marker_levels(item)))
            if "hiddencost" in getattr(item, "fixturenames", ()):
                _ = self._taxonomy
        except HiddenCostError as error:
            message = f"hiddencost: {error}"
        if message:  # outside the handler, or pytest shows the error twice
            pytest.fail(message, pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge the test when its body is over; an error of the body goes first."""
        result = yield
        test = item.stash.get(_TEST, _Test())
        marked = bool(test.budgets) and not self._settings.disable
        unchecked = nothing_checked(item.name, test.fixture, marked=marked)
        if message := unchecked or failing(self._judge(item), strict=self._settings.strict):
            pytest.fail(message, pytrace=False)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge the calls that a fixture measured in its teardown."""
        test = item.stash.get(_TEST, _Test())
        earlier = 0 if test.fixture is None else len(test.fixture.measurements) - test.seen
        try:
            result = yield
        finally:  # the report carries the calls of a test that fails as well
            judged = self._judge(item)
        if message := failing(judged[earlier:], strict=self._settings.strict):
            pytest.fail(message, pytrace=False)
        return result

    def _judge(self, item: pytest.Item) -> Sequence[Judgement]:
        """Judge the calls measured since the last time, each once; return their judgements."""
        test = item.stash.get(_TEST, _Test())
        before = len(test.judged)
        for measurement in test.fixture.measurements[test.seen :] if test.fixture else ():
            test.seen += 1
            with paused(item):
                test.judged.append(self._mode.judge(measurement))
        return test.judged[before:]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let the report carry new judgements."""
        self._mode.show("")  # before pytest writes how the test ended
        test = item.stash.get(_TEST, _Test())
        fresh = test.judged[test.reported :]
        for judgement in fresh:
            item.user_properties.extend(run_file.properties(judgement.profile))
        report = identified(item, (yield))
        if fresh and test.fixture is not None:
            test.reported = len(test.judged)
            attach(report, test.fixture.measurements[0].device, fresh)
        return report

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in which tests a pytest-xdist worker collected."""
        self.results.take_collection(node)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End the run once, in the process to which all reports come."""
        if hasattr(self._config, "workeroutput"):
            self.results.give_collection(self._config.workeroutput)
            return
        looked_only = (getattr(self._config.option, f"setup{n}", False) for n in ("plan", "only"))
        if not self.results.outcomes or any(looked_only):
            return
        ending = self.results.ending = self._mode.end(self.results.finished())
        settings = self._mode.own_outputs(self._settings)
        written = write_output_files(settings, self.results, self._config.rootpath)
        self._output.written = written
        passed = session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED)
        if written.errors or (ending.failed and passed):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
