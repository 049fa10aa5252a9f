"""pytest's hooks of a run on a fleet: tests that use the plugin run on devices, others here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.fleet.device_info import installed_torch
from pytest_hiddencost.fleet.device_task import DONE, DeviceAnswer
from pytest_hiddencost.report.device_table import write_device_table
from pytest_hiddencost.report.terminal import write_wrapped
from pytest_hiddencost.report.wording import grouped
from pytest_hiddencost.run.fleet_devices import KindOfDevice, fleet_table
from pytest_hiddencost.run.fleet_reports import merged_reports, reports_of
from pytest_hiddencost.run.output import write_terminal, write_without_summary
from pytest_hiddencost.run.reporter_writer import ReporterWriter
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.selection import Collected, uses_plugin
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.run.time_limits import paused
from pytest_hiddencost.workers.node_ids import test_id

if TYPE_CHECKING:
    from pytest_hiddencost.run.modes.on_fleet import OnFleet


class FleetRun:
    """The plugin object that runs tests on devices and merges their reports."""

    def __init__(
        self, config: pytest.Config, settings: Settings, collected: Collected, mode: OnFleet
    ) -> None:
        self._config = config
        self._settings = settings
        self._mode = mode
        self._summary_written = False
        self._kinds = {
            kind: KindOfDevice(kind, Results(config, collected, {})) for kind in mode.kinds
        }

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put the tests of the fleet first: fixtures of local tests stay set up between them."""
        items.sort(key=lambda item: not uses_plugin(item))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Send the tests to the devices; pytest's own loop then asks for them one by one."""
        go_on = session.config.option.continue_on_collection_errors
        if session.testsfailed and not go_on:
            return
        assert self._mode.dispatcher is not None
        tests = [test_id(item) for item in session.items if uses_plugin(item)]
        self._mode.dispatcher.submit(self._mode.orders(tests))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Wait for the devices in place of running the test here."""
        if not uses_plugin(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        by_kind: dict[str, list[pytest.TestReport]] = {}
        inconclusive: dict[str, str] = {}
        for name, kind in self._kinds.items():
            with paused(item):  # time limits are the devices' matter
                answer = self._answer(item, name)
            if answer.status == DONE:
                by_kind[name] = self._taken(item, kind, answer)
            else:
                inconclusive[name] = kind.lost[test_id(item)] = answer.reason
        self._mode.show("")
        strict = self._settings.strict
        for report in merged_reports(item, by_kind, inconclusive, strict=strict):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _answer(self, item: pytest.Item, kind: str) -> DeviceAnswer:
        assert self._mode.dispatcher is not None
        return self._mode.dispatcher.answer((test_id(item), kind), self._mode.show)

    def _taken(
        self, item: pytest.Item, kind: KindOfDevice, answer: DeviceAnswer
    ) -> list[pytest.TestReport]:
        """Take in the answer of one device."""
        kind.devices[answer.device] = None
        kind.entries += [e for e in answer.entries if item.nodeid.startswith(f"{e.module}::")]
        kind.lines |= dict.fromkeys((text, color) for text, color in answer.lines)
        found = reports_of(self._config, item, answer, kind.kind)
        for report in found:
            kind.results.take(report)
        return found

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write baselines and files of each kind of device."""
        folder = self._mode.baseline_folder
        ended = [
            kind.end(self._config, self._settings, folder)
            for kind in self._kinds.values()
            if kind.results.outcomes
        ]
        if any(ended) and session.exitstatus in (0, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the table of the fleet, then the summary of each kind."""
        self._summary_written = True
        kinds = [kind for kind in self._kinds.values() if kind.results.outcomes or kind.lost]
        if not kinds:
            return
        writer = ReporterWriter(terminalreporter)
        if self._settings.verbosity >= 0 or any(kind.failed for kind in kinds):
            self._write_tables(writer, kinds)
        for text in [*self._versions(), *self._mode.remarks, *self._lost()]:
            write_wrapped(writer, text, yellow=True)
        for kind in kinds:
            write_terminal(terminalreporter, self._settings, kind.results, kind.written, kind.kind)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Write why the run fails to standard error, if pytest wrote no summary."""
        for kind in () if self._summary_written else self._kinds.values():
            write_without_summary(sys.stderr, kind.results, kind.written)

    def _write_tables(self, writer: ReporterWriter, kinds: Sequence[KindOfDevice]) -> None:
        writer.ensure_newline()
        writer.section("fleet")
        for line in fleet_table(kinds):
            writer.write_line(line)
        calls = {kind.kind: {p.key: p for p in kind.results.in_order()} for kind in kinds}
        write_device_table(writer, calls, self._settings.verbosity)

    def _lost(self) -> list[str]:
        """Return a line for each kind and reason for which tests have no answer."""
        return [
            f"inconclusive on {name} ({len(tests)}): {listed(tests)}: {why}"
            for name, kind in self._kinds.items()
            for why, tests in grouped((why, test) for test, why in kind.lost.items()).items()
        ]

    def _versions(self) -> list[str]:
        """Return a line for each other torch than that of this machine."""
        here = installed_torch()
        others = grouped(
            (device.info.torch, device.name)
            for device in self._mode.devices
            if device.info.torch != here
        )
        return [
            f"torch is {there} on {listed(names)}, and {here or 'not installed'} on this machine"
            for there, names in others.items()
        ]
