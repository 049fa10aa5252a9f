"""What a run of pytest selected: tests, markers, plugins, and how each test ended."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pytest_hiddencost.judge.baseline.coverage import Coverage
from pytest_hiddencost.run import markers

if TYPE_CHECKING:
    import pytest

    from pytest_hiddencost.core.records import CallKey

TestOutcome = Literal["passed", "failed", "skipped"]


class Collected(Protocol):
    """What pytest collected, as the plugin watches it; ``ours`` are tests that use the plugin."""

    ids: list[str]
    ours: list[str]
    deselected: list[str]
    collect_failed: bool


class Outcomes:
    """The outcome of every test so far; a failed phase or an xfail is no pass."""

    def __init__(self) -> None:
        self._found: dict[str, TestOutcome] = {}

    def add(self, report: pytest.TestReport) -> None:
        """Take in one phase's report."""
        before = self._found.get(report.nodeid)
        if report.failed:
            self._found[report.nodeid] = "failed"
        elif report.skipped or hasattr(report, "wasxfail"):
            self._found[report.nodeid] = "skipped" if before != "failed" else "failed"
        elif report.when == "call" and before is None:
            self._found[report.nodeid] = "passed"

    def of(self, outcome: TestOutcome) -> frozenset[str]:
        """Return the tests that ended so."""
        return frozenset(test for test, found in self._found.items() if found == outcome)

    def __bool__(self) -> bool:
        return bool(self._found)


def coverage_of(
    config: pytest.Config,
    collected: Iterable[str],
    measured: Iterable[CallKey],
    passed: frozenset[str],
    *,
    collect_failed: bool,
) -> Coverage:
    """Return the coverage of this run; unknown if a collection failed or was filtered."""
    return Coverage(
        collected=frozenset(collected),
        measured=frozenset(measured),
        passed=passed,
        whole=None if collect_failed else _collected_in_full(config),
        root=config.rootpath,
    )


def whole_suite(config: pytest.Config) -> bool:
    """Return whether nothing on the command line chose among the tests."""
    source = getattr(config, "args_source", None)
    chosen = source is None or source.name == "ARGS"
    return not chosen and _collected_in_full(config) is not None


def _collected_in_full(config: pytest.Config) -> tuple[Path, ...] | None:
    option = config.option
    if any(getattr(option, name, None) for name in ("ignore", "ignore_glob", "lf", "pyargs")):
        return None
    base = config.invocation_params.dir
    return tuple((base / argument).resolve() for argument in config.args if "::" not in argument)


def marker_levels(item: pytest.Item) -> list[list[pytest.Mark]]:
    """Return the test's markers, closest level first: parameter, function, class, module."""
    of_parameters = getattr(getattr(item, "callspec", None), "marks", ())
    levels: dict[object, list[pytest.Mark]] = {"parameters": []}
    for node, mark in item.iter_markers_with_node(markers.NAME):
        own = any(mark is candidate for candidate in of_parameters)
        levels.setdefault("parameters" if own else node, []).append(mark)
    return list(levels.values())


def conftests(config: pytest.Config) -> list[Path]:
    """Return the conftest.py files of this run."""
    files = [getattr(plugin, "__file__", None) for plugin in config.pluginmanager.get_plugins()]
    return [Path(file) for file in files if file and Path(file).name == "conftest.py"]


def plugin_names(config: pytest.Config) -> frozenset[str]:
    """Return the plugins whose options a worker process has to be kept from."""
    names = {name for name, _ in config.pluginmanager.list_name_plugin()}
    if getattr(config.option, "xmlpath", None) is None:
        names.discard("junitxml")
    return frozenset(names)
