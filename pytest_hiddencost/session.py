"""The hooks of a run that uses hiddencost: decides when to parse, judge, fail and report."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_hiddencost import markers
from pytest_hiddencost.baseline_run import BaselineRun, Ending
from pytest_hiddencost.budgets import Budget
from pytest_hiddencost.codec import decode, encode
from pytest_hiddencost.coverage_of_run import FAILED, Outcomes, coverage_of, whole_suite
from pytest_hiddencost.errors import HiddenCostError, PairingError, SettingError
from pytest_hiddencost.fixture import HiddenCost
from pytest_hiddencost.paired_run import PairedRun
from pytest_hiddencost.peer import PEER
from pytest_hiddencost.records import FAIL, INCONCLUSIVE, NEW, Device, Profile, stale
from pytest_hiddencost.regression.replicas import write_result
from pytest_hiddencost.regression.selftest import SelfTest
from pytest_hiddencost.report import runfile
from pytest_hiddencost.report.failure import failure_message
from pytest_hiddencost.report.terminal import write_summary
from pytest_hiddencost.settings import Settings
from pytest_hiddencost.taxonomy import DEFAULT, Taxonomy

if TYPE_CHECKING:
    import torch

    from pytest_hiddencost.fixture import Turns

_SELFTESTS = pytest.StashKey[list[SelfTest]]()
_BUDGETS = pytest.StashKey[tuple[Budget, ...]]()
_FIXTURE = pytest.StashKey[HiddenCost]()
_REPORTED = pytest.StashKey[int]()
PROFILES = pytest.StashKey[dict[tuple[str, str], Profile]]()
"""Where a run keeps what it measured, by test id and label: ``config.stash[PROFILES]``."""


class Collected(Protocol):
    """What pytest found, as the plugin watches it; ``ours`` are tests that use the plugin."""

    ids: list[str]
    ours: list[str]
    deselected: list[str]
    collect_failed: bool


class HiddenCostSession:
    """Registered with pytest once a test, an option or a worker's report needs it."""

    def __init__(self, config: pytest.Config, settings: Settings, collected: Collected) -> None:
        self._config = config
        self._collected = collected
        self._collected_by_workers: set[str] = set()
        self._settings = settings
        self._taxonomy: Taxonomy | None = None
        self._device_record: Device | None = None
        self._run_file_error = ""
        self._ran = False
        self._ending = Ending()
        self._selftests: list[SelfTest] = []
        self._outcomes = Outcomes()
        self._baselines = BaselineRun(
            settings, lambda: collected.ids, frozenset(_plugin_names(config))
        )
        self._paired = _paired_run(config, settings, collected)
        self._profiles = config.stash.setdefault(PROFILES, {})

    @classmethod
    def from_config(cls, config: pytest.Config, collected: Collected) -> HiddenCostSession:
        """Read the settings and check what can be checked before the tests run."""
        settings = Settings.from_config(config)
        if settings.json is not None and not hasattr(config, "workerinput"):
            runfile.check_writable(settings.json, settings.json_option)
        return cls(config, settings, collected)

    def device(self) -> torch.device:
        """The device to measure on; fails the asking test where there is none such."""
        from pytest_hiddencost.profiling import choose_device

        try:
            return choose_device(self._settings.device)
        except HiddenCostError as error:
            message = f"hiddencost: {error}"
        pytest.fail(message, pytrace=False)

    def measuring(self, item: pytest.Item) -> HiddenCost:
        """The fixture's object for one test."""
        if self._settings.disable:
            pytest.skip("hiddencost is switched off (--hiddencost-disable)")
        # Empty where the fixture was asked for by name while the test ran, unmarked.
        test_budgets: tuple[Budget, ...] = item.stash.get(_BUDGETS, ())
        if self._settings.measures_only:
            test_budgets = ()
        fixture = HiddenCost(
            item.nodeid,
            self._settings,
            test_budgets,
            self._operator_groups(),
            self.device,
            self._turns(),
        )
        item.stash[_FIXTURE] = fixture
        return fixture

    def _turns(self) -> Callable[[str, str], Turns | None] | None:
        """Who else takes turns with the calls that are measured, if anybody."""
        side = self._config.stash.get(PEER, None)
        return None if side is None else side.turns

    def shared_with_workers(self) -> dict[str, Any] | None:
        """What workers need of this process: the files of the other side of a paired run."""
        if self._paired is None or self._settings.disable:
            return None
        try:
            return self._paired.shared()
        except HiddenCostError as error:
            raise pytest.UsageError(f"{self._settings.against_option}: {error}") from error

    def _operator_groups(self) -> Taxonomy:
        if self._taxonomy is None:
            taxonomy = DEFAULT
            answers = self._config.hook.pytest_hiddencost_taxonomy(config=self._config)
            for mapping in reversed(answers):
                if not isinstance(mapping, Mapping):
                    raise HiddenCostError(
                        "pytest_hiddencost_taxonomy: expected a mapping from operator to group "
                        f"such as {{'mylib::norm': 'normalization'}}, got {mapping!r:.80}"
                    )
                taxonomy = taxonomy.extended(mapping)
            self._taxonomy = taxonomy
        return self._taxonomy

    def collect(self, payload: Mapping[str, Any], report: pytest.TestReport) -> None:
        """Take in what one test measured, here or in a worker."""
        self._outcomes.add(report)
        self._selftests += [
            decode(SelfTest, data, "selftest") for data in payload.get("selftests", ())
        ]
        if payload["device"] is not None:
            self._device_record = decode(Device, payload["device"], "device")
        for data in payload["profiles"]:
            profile = Profile.from_dict(data)
            self._profiles[profile.test, profile.label] = profile

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Read the test's markers: a bad one is an error of this test alone."""
        _forget_earlier_run(item)
        message = ""
        try:
            item.stash[_BUDGETS] = markers.budgets_of(_marker_levels(item))
            if "hiddencost" in getattr(item, "fixturenames", ()):
                self._operator_groups()
        except HiddenCostError as error:
            message = f"hiddencost: {error}"
        if message:  # outside the handler, or pytest shows the error twice
            pytest.fail(message, pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge the test when its body is over; what the body raises goes first."""
        result = yield
        if message := self._objection(item):
            pytest.fail(message, pytrace=False)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge what a fixture measured while it was torn down."""
        fixture = item.stash.get(_FIXTURE, None)
        before = len(fixture.profiles) if fixture else 0
        result = yield
        if fixture and (message := self._broken(self._judged(item, fixture)[before:])):
            pytest.fail(message, pytrace=False)
        return result

    def _objection(self, item: pytest.Item) -> str:
        """Why the test must not pass, or an empty string."""
        fixture = item.stash.get(_FIXTURE, None)
        marked = bool(item.stash.get(_BUDGETS, ()))
        if self._settings.measures_only:
            return ""
        if marked and not self._settings.disable and not (fixture and fixture.profiles):
            return (
                f"hiddencost: {item.name} is marked {markers.NAME} but never called the hiddencost "
                "fixture: nothing was measured, so no limit was checked"
            )
        if fixture is None:
            return ""
        if unused := fixture.unused_budgets():
            labels = ", ".join(repr(profile.label) for profile in fixture.profiles)
            return (
                f"hiddencost: {markers.NAME}(label={unused[0].label!r}) speaks of no call of "
                f"{item.name}; labels of its calls: {labels}"
            )
        return self._broken(self._judged(item, fixture))

    def _judged(self, item: pytest.Item, fixture: HiddenCost) -> list[Profile]:
        """The profiles of a test that is over, held against their baselines."""
        device = fixture.device_record
        if device is None or not (self._baselines.on or self._paired):
            return fixture.profiles
        message = ""
        try:
            if self._paired is not None:
                fixture.replace_profiles(self._paired.judged)
                return fixture.profiles
            fixture.replace_profiles(
                lambda profile, allowed: self._baselines.judged(profile, allowed, device)
            )
            for profile in fixture.profiles:
                if planted := fixture.planted.pop(profile.label, None):
                    found = self._baselines.selftests(
                        profile, planted, fixture.tolerances(profile.label), device
                    )
                    item.stash.setdefault(_SELFTESTS, []).extend(found)
        except HiddenCostError as error:
            message = f"hiddencost: {error}"
        if message:  # outside the handler, or pytest shows the error twice
            pytest.fail(message, pytrace=False)
        return fixture.profiles

    def _broken(self, profiles: Sequence[Profile]) -> str:
        strict = self._settings.strict
        failing = (FAIL, INCONCLUSIVE, NEW) if strict else (FAIL,)
        broken = [p for p in profiles if any(v.verdict in failing for v in p.verdicts)]
        if strict:
            broken += [p for p in profiles if stale(p) and p not in broken]
        return "\n\n".join(failure_message(profile, strict=strict) for profile in broken)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let new profiles travel on the report, as plain data, to wherever reports are read."""
        fixture = item.stash.get(_FIXTURE, None)
        fresh = fixture.profiles[item.stash.get(_REPORTED, 0) :] if fixture else []
        for profile in fresh:
            item.user_properties.extend(runfile.properties(profile))
        report = yield
        if fixture is not None and fresh:
            item.stash[_REPORTED] = len(fixture.profiles)
            report.hiddencost = {  # type: ignore[attr-defined]  # reports carry extra attributes
                "device": encode(fixture.device_record),
                "profiles": [profile.to_dict() for profile in fresh],
                "selftests": encode(item.stash.get(_SELFTESTS, [])),
            }
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what ran and how it ended."""
        self._ran = True  # looking at the collection must not empty a run file
        self._outcomes.add(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in what a worker says of its collection."""
        told = getattr(node, "workeroutput", {}).get("hiddencost")
        if told is not None:
            self._collected_by_workers.update(told["collected"])
            self._collected.collect_failed |= told["failed"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what is to be written, once, where the reports come together."""
        collected = {*self._collected.ids, *self._collected.deselected}
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["hiddencost"] = {
                "collected": sorted(collected),
                "failed": self._collected.collect_failed,
            }
            return
        looked_only = self._config.getoption("setupplan") or self._config.getoption("setuponly")
        if not self._ran or looked_only:
            return
        if self._settings.replica is not None:
            failed = self._outcomes.of(FAILED)
            write_result(self._settings.replica.result, self._in_order(), failed)
            return
        if self._settings.peer:
            return
        self._end_baselines(session, collected | self._collected_by_workers)
        if self._settings.json is not None:
            self._write_run_file(session)

    def _end_baselines(self, session: pytest.Session, collected: set[str]) -> None:
        coverage = coverage_of(
            self._config,
            collected,
            self._profiles.values(),
            self._outcomes,
            collect_failed=self._collected.collect_failed,
        )
        self._ending = self._baselines.ending(
            self._in_order(),
            self._device_record,
            coverage,
            lambda: runfile.commit_line(self._config.rootpath),
            self._selftests,
            whole=whole_suite(self._config) and not self._collected.deselected,
            alone=not self._collected_by_workers,
        )
        if self._ending.failed and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write_run_file(self, session: pytest.Session) -> None:
        assert self._settings.json is not None
        try:
            runfile.write(
                self._settings.json,
                self._in_order(),
                self._device_record or self._describe(),
                self._config.rootpath,
            )
        except (OSError, ValueError) as error:
            self._run_file_error = f"hiddencost: the run file was not written: {error}"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _in_order(self) -> list[Profile]:
        """The profiles in the order of a plain run, also when workers finished otherwise."""
        places = {test: i for i, test in enumerate(self._collected.ids)}
        found = list(self._profiles.values())
        return sorted(found, key=lambda profile: places.get(profile.test, len(places)))

    def _describe(self) -> Device:
        """The device that would have been measured, or the default where it is not there."""
        from pytest_hiddencost.profiling import choose_device, describe_device

        try:
            device = choose_device(self._settings.device)
        except HiddenCostError:
            device = choose_device(None)
        return describe_device(device, self._settings.threads)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table of profiles, and where the run file lies."""
        if self._run_file_error:
            terminalreporter.write_line(self._run_file_error, red=True)
        if self._profiles:
            reports = [
                *terminalreporter.getreports("failed"),
                *terminalreporter.getreports("error"),
            ]
            failed = {report.nodeid for report in reports}
            write_summary(
                terminalreporter,
                self._in_order(),
                self._device_record,
                self._settings.verbosity,
                failed=any(test in failed for test, _ in self._profiles) or self._ending.failed,
            )
        for remark in self._paired.remarks() if self._paired is not None else ():
            terminalreporter.write_line(f"against {self._settings.against}: {remark}", yellow=True)
        for line in self._ending.lines:
            if line.color != "green" or self._settings.verbosity >= 0:
                terminalreporter.write_line(line.text, **({line.color: True} if line.color else {}))


def _paired_run(
    config: pytest.Config, settings: Settings, collected: Collected
) -> PairedRun | None:
    """The other side of this run, where it was asked for one; gone when pytest ends."""
    if settings.against is None:
        return None
    given = (getattr(config, "workerinput", None) or {}).get("hiddencost_against")
    try:
        found = PairedRun(
            settings,
            lambda: collected.ours,
            lambda: _conftests(config),
            frozenset(_plugin_names(config)),
            given,
        )
    except PairingError as error:
        raise SettingError(f"{settings.against_option}: {error}") from error
    config.add_cleanup(found.close)
    return found


def _conftests(config: pytest.Config) -> list[Path]:
    files = [getattr(plugin, "__file__", None) for plugin in config.pluginmanager.get_plugins()]
    return [Path(file) for file in files if file and Path(file).name == "conftest.py"]


def _plugin_names(config: pytest.Config) -> list[str]:
    """The plugins whose options a fresh launch has to be kept from."""
    names = [name for name, _ in config.pluginmanager.list_name_plugin()]
    if getattr(config.option, "xmlpath", None) is None:
        names = [name for name in names if name != "junitxml"]
    return names


def _forget_earlier_run(item: pytest.Item) -> None:
    """A plugin that retries runs the same item again."""
    if _FIXTURE in item.stash:
        del item.stash[_FIXTURE]
    if _REPORTED in item.stash:
        del item.stash[_REPORTED]
    item.user_properties[:] = [p for p in item.user_properties if not p[0].startswith("hiddencost")]


def _marker_levels(item: pytest.Item) -> list[list[pytest.Mark]]:
    """The test's markers, closest level first: parameter, function, class, module."""
    of_parameters = getattr(getattr(item, "callspec", None), "marks", ())
    levels: dict[object, list[pytest.Mark]] = {"parameters": []}
    for node, mark in item.iter_markers_with_node(markers.NAME):
        own = any(mark is candidate for candidate in of_parameters)
        levels.setdefault("parameters" if own else node, []).append(mark)
    return list(levels.values())
