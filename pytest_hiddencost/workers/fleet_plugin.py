"""The plugin of a test's process on a device: it leaves pytest's reports in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.workers.invocation import FLEET_REPORTS

_SESSION = "hiddencost-session"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take the file's path out of the environment: processes of this one leave no reports."""
    path = os.environ.pop(FLEET_REPORTS, "")
    if path:
        config.option.hiddencost_on_device = True
        config.pluginmanager.register(_Reports(config, Path(path)))


class _Reports:
    """Writes one line for each report, and for each line of the summary's end."""

    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._path = path

    def _write(self, data: object) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(data, default=str) + "\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self._config.hook
        self._write(hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write({"line": [f"{report.nodeid}: {report.longreprtext}", "red"]})

    @pytest.hookimpl(trylast=True, wrapper=True)
    def pytest_sessionfinish(self) -> Any:
        result = yield
        session: Any = self._config.pluginmanager.get_plugin(_SESSION)
        for line in session.results.ending.lines if session is not None else ():
            self._write({"line": [line.text, line.color]})
        return result
