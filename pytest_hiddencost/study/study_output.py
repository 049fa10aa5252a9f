"""The study's progress lines during the run, and its tables at the end."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pytest_hiddencost.run.results import PROFILES, STUDY_FIGURES
from pytest_hiddencost.study.figures import figures_of
from pytest_hiddencost.study.results import results_in
from pytest_hiddencost.study.tables import all_tables


def pytest_configure(config: pytest.Config) -> None:
    """Offer the study's figures to the report."""
    config.stash[STUDY_FIGURES] = figures_of


def pytest_collection_finish(session: pytest.Session) -> None:
    """Number the selected measurements, for the progress lines."""
    measured = [i for i in session.items if "hiddencost" in getattr(i, "fixturenames", ())]
    numbers = {item.nodeid: number for number, item in enumerate(measured, start=1)}
    progress = _Progress(session.config, numbers)
    session.config.pluginmanager.register(progress, "hiddencost-study-progress")


@dataclass(frozen=True, eq=False)  # pytest keeps plugins in sets
class _Progress:
    config: pytest.Config
    numbers: dict[str, int]

    @pytest.hookimpl(trylast=True)  # after pytest has written the file's name
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        number = self.numbers.get(nodeid)
        # With -v, pytest itself shows the running test.
        if reporter is None or number is None or reporter.verbosity != 0:
            return
        name = nodeid.partition("[")[2].rstrip("]")
        reporter.write(f"\n[{number:2}/{len(self.numbers)}] {name} ", flush=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the tables of the study, unless ``-q`` is given."""
    results = results_in(config.stash.get(PROFILES, {}).values())
    if not results or config.get_verbosity() < 0:
        return
    terminalreporter.section("device study", sep="=")
    for lines in all_tables(results):
        for line in lines:
            terminalreporter.write_line(line)
        terminalreporter.write_line("")
