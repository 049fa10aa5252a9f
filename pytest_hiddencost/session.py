"""The hooks of a run that uses hiddencost: decides when to parse, judge, fail and report."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hiddencost import markers
from pytest_hiddencost.budgets import Budget
from pytest_hiddencost.codec import decode, encode
from pytest_hiddencost.errors import HiddenCostError
from pytest_hiddencost.fixture import HiddenCost
from pytest_hiddencost.records import FAIL, INCONCLUSIVE, Device, Profile
from pytest_hiddencost.report import runfile
from pytest_hiddencost.report.failure import failure_message
from pytest_hiddencost.report.terminal import write_summary
from pytest_hiddencost.settings import Settings
from pytest_hiddencost.taxonomy import DEFAULT, Taxonomy

if TYPE_CHECKING:
    import torch

_BUDGETS = pytest.StashKey[tuple[Budget, ...]]()
_FIXTURE = pytest.StashKey[HiddenCost]()
_REPORTED = pytest.StashKey[int]()
PROFILES = pytest.StashKey[dict[tuple[str, str], Profile]]()
"""Where a run keeps what it measured, by test id and label: ``config.stash[PROFILES]``."""


class HiddenCostSession:
    """Registered with pytest once a test, an option or a worker's report needs it."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._taxonomy: Taxonomy | None = None
        self._device_record: Device | None = None
        self._run_file_error = ""
        self._ran = False
        self._test_ids: Sequence[str] = ()
        self._profiles = config.stash.setdefault(PROFILES, {})

    @classmethod
    def from_config(cls, config: pytest.Config) -> HiddenCostSession:
        """Read the settings and check what can be checked before the tests run."""
        settings = Settings.from_config(config)
        if settings.json is not None and not hasattr(config, "workerinput"):
            runfile.check_writable(settings.json, settings.json_option)
        return cls(config, settings)

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
        fixture = HiddenCost(
            item.nodeid, self._settings, test_budgets, self._operator_groups(), self.device
        )
        item.stash[_FIXTURE] = fixture
        return fixture

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

    def collect(self, payload: Mapping[str, Any], test_ids: Sequence[str] = ()) -> None:
        """Take in what one test measured, here or in a worker; ids in the order of a plain run."""
        self._test_ids = test_ids
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
        if fixture and (message := self._broken(fixture.profiles[before:])):
            pytest.fail(message, pytrace=False)
        return result

    def _objection(self, item: pytest.Item) -> str:
        """Why the test must not pass, or an empty string."""
        fixture = item.stash.get(_FIXTURE, None)
        marked = bool(item.stash.get(_BUDGETS, ()))
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
        return self._broken(fixture.profiles)

    def _broken(self, profiles: Sequence[Profile]) -> str:
        strict = self._settings.strict
        failing = (FAIL, INCONCLUSIVE) if strict else (FAIL,)
        broken = [p for p in profiles if any(v.verdict in failing for v in p.verdicts)]
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
            }
        return report

    def pytest_runtest_logreport(self) -> None:
        """Remember that tests ran: looking at the collection must not empty a run file."""
        self._ran = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the run file, once, where the reports come together."""
        looked_only = self._config.getoption("setupplan") or self._config.getoption("setuponly")
        if self._settings.json is None or not self._ran or looked_only:
            return
        if hasattr(self._config, "workerinput"):
            return
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
        places = {test: i for i, test in enumerate(self._test_ids)}
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
                failed=any(test in failed for test, _ in self._profiles),
            )


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
