"""What a run of pytest covered: outcomes by test, and which test modules it collected in full."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_hiddencost.regression.recording import Coverage

if TYPE_CHECKING:
    import pytest

    from pytest_hiddencost.records import Profile

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Outcomes:
    """Outcome of every test so far; one phase that failed, or an xfail, is no pass."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, report: pytest.TestReport) -> None:
        """Take one phase's report in."""
        before = self._found.get(report.nodeid)
        if report.failed:
            self._found[report.nodeid] = FAILED
        elif report.skipped or hasattr(report, "wasxfail"):
            self._found[report.nodeid] = SKIPPED if before != FAILED else FAILED
        elif report.when == "call" and before is None:
            self._found[report.nodeid] = PASSED

    def of(self, outcome: str) -> frozenset[str]:
        """The tests that ended so."""
        return frozenset(test for test, found in self._found.items() if found == outcome)


def coverage_of(
    config: pytest.Config,
    collected: Iterable[str],
    profiles: Iterable[Profile],
    outcomes: Outcomes,
    *,
    collect_failed: bool,
) -> Coverage:
    """The coverage of this run; of a collection that failed or was filtered nothing is said."""
    return Coverage(
        collected=frozenset(collected),
        measured=frozenset((profile.test, profile.label) for profile in profiles),
        passed=outcomes.of(PASSED),
        whole=None if collect_failed else _collected_in_full(config),
        root=config.rootpath,
    )


def whole_suite(config: pytest.Config) -> bool:
    """Whether nothing on the command line chose among the tests."""
    source = getattr(config, "args_source", None)
    chosen = source is None or source.name == "ARGS"
    return not chosen and _collected_in_full(config) is not None


def _collected_in_full(config: pytest.Config) -> tuple[Path, ...] | None:
    option = config.option
    if any(getattr(option, name, None) for name in ("ignore", "ignore_glob", "lf", "pyargs")):
        return None
    base = config.invocation_params.dir
    return tuple((base / argument).resolve() for argument in config.args if "::" not in argument)
