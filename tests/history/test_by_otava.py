"""Change points by Apache Otava: what it is asked, and what is made of its answer."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_hiddencost.cli.main import command_line
from pytest_hiddencost.history.by_otava import otava_changes
from pytest_hiddencost.history.change_points import MOST_RUNS, ChangePoint
from tests.history.stored_runs import store_that_rose


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put a library in Otava's place that finds one change, in the middle; return its arguments."""
    found: dict[str, Any] = {}

    def compute_change_points(series: list[float], **limits: float) -> tuple[list[object], None]:
        found.update(limits, series=series)
        half = len(series) // 2
        growth = series[-1] / series[0] - 1
        stats = SimpleNamespace(forward_rel_change=lambda: growth, pvalue=1e-5)
        return [SimpleNamespace(index=half, stats=stats)], None

    for name in ("otava", "otava.analysis"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(
        sys.modules["otava.analysis"], "compute_change_points", compute_change_points, raising=False
    )
    return found


def history(store: str | Path, *arguments: str) -> Result:
    return CliRunner().invoke(command_line, ["history", str(store), *arguments])


def test_otava_is_asked_with_the_limits_of_the_package(asked: dict[str, Any]) -> None:
    values = [10.0] * 6 + [11.0] * 8
    assert otava_changes(values) == [ChangePoint(7, 11.0 / 10.0 - 1, 1e-5, 7, 7)]
    assert asked == {"series": values, "max_pvalue": 0.001, "min_magnitude": 0.02}


def test_otava_gets_the_newest_runs(asked: dict[str, Any]) -> None:
    values = [float(number) for number in range(1, MOST_RUNS + 11)]
    [change] = otava_changes(values)
    assert asked["series"] == values[10:]
    assert change.index == 10 + MOST_RUNS // 2


def test_few_runs_have_no_change(asked: dict[str, Any]) -> None:
    assert otava_changes([10.0] * 11) == []
    assert asked == {}


def test_the_command_takes_otava_as_its_finder(asked: dict[str, Any], tmp_path: Path) -> None:
    store = store_that_rose(tmp_path)
    told = history(store, "--changes", "--finder", "otava")
    assert told.exit_code == 0
    assert "p = 1e-05" in told.output
    assert "15 runs before, 15 after" in told.output
    assert history(store, "--gate", "--finder", "otava").exit_code == 1
    assert history(store, "--gate", "--finder", "otava", "--last", "6").exit_code == 0


def test_without_otava_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_hiddencost.core.extras.find_spec", lambda name: None)
    monkeypatch.setattr("pytest_hiddencost.cli.history_command._require", lambda *modules: None)
    told = history(tmp_path, "--changes", "--finder", "otava")
    assert told.exit_code == 2
    assert "run pip install 'pytest-hiddencost[otava]'" in told.output


def test_a_finder_without_a_search_is_refused(tmp_path: Path) -> None:
    told = history(tmp_path, "--finder", "otava")
    assert told.exit_code == 2
    assert "--finder is for --changes, --gate and --html" in told.output
