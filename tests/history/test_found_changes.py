"""Change points of stored calls: which runs count, and the line that reports one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_hiddencost.core.records import DeviceHealth, ReferenceTime
from pytest_hiddencost.history.database import HistoryDatabase, StorePart, ask
from pytest_hiddencost.history.found_changes import FoundChange, all_changes, change_line
from pytest_hiddencost.history.questions import Asked
from pytest_hiddencost.history.store_folder import StoreFolder
from tests.history.stored_runs import (
    PI,
    Run,
    measured,
    scatter_of,
    store_at_once,
    store_that_rose,
    stored,
)


def changes(store: str | Path, quantity: str = "p50", **wanted: str) -> list[FoundChange]:
    def question(database: HistoryDatabase) -> tuple[list[FoundChange], int]:
        return all_changes(database, Asked(**wanted), quantity)

    return ask(StoreFolder(str(store)), StorePart(), question)[0]


def test_a_rise_is_told_with_call_device_size_commits_and_day(tmp_path: Path) -> None:
    [found] = changes(store_that_rose(tmp_path))
    line = change_line(found)
    assert line.startswith(f"p50 of tests/test_models.py::test_it on {PI.key} rose 6.")
    assert " % at commit 20abcdef20 (2026-10-10), after 19abcdef19, p = " in line
    assert line.endswith(", in absolute time; 20 runs before, 10 after")
    assert found.from_end == 10


def test_relative_times_cancel_the_speed_of_the_device(tmp_path: Path) -> None:
    """The device is 20 % slower from run 15 on, the call itself 10 % from run 25 on."""
    runs = []
    for day in range(35):
        slower = 1.2 if day >= 15 else 1.0
        call = (1.1 if day >= 25 else 1.0) * scatter_of(day)
        runs.append(Run(day, [measured(10e6 * slower * call, relative=2.0 * call)]))
    store_at_once(tmp_path, runs)
    [found] = changes(tmp_path)
    assert found.relative
    assert found.commit_at == "25abcdef25"
    assert "relative to the reference workload" in change_line(found)


def test_times_by_different_reference_workloads_are_not_divided(tmp_path: Path) -> None:
    runs = []
    for day in range(30):
        reference = ReferenceTime(1e6, 10.0 if day < 15 else 20.0, 8, version=1 + (day >= 15))
        runs.append(Run(day, [replace(measured(10e6 * scatter_of(day)), reference=reference)]))
    store_at_once(tmp_path, runs)
    assert changes(tmp_path) == []


@pytest.mark.parametrize("relative", [0.0, 2.0])
def test_one_run_with_less_time_than_its_macs_hides_no_rise(
    tmp_path: Path, relative: float
) -> None:
    """MAC time is measured apart from the latency, and the network has 6 ms of it."""
    runs = []
    for day in range(30):
        p50_ns = 5.9e6 if day == 7 else (10e6 if day < 20 else 12e6) * scatter_of(day)
        runs.append(Run(day, [measured(p50_ns, relative=relative * p50_ns / 10e6)]))
    store_at_once(tmp_path, runs)
    [found] = changes(tmp_path, "non_mac")
    assert found.commit_at == "20abcdef20"
    assert found.relative == bool(relative)
    assert found.growth == pytest.approx(0.5, abs=0.05)


def test_runs_on_an_unfit_device_decide_nothing(tmp_path: Path) -> None:
    hot = DeviceHealth(False, ("the processor was throttled",))
    runs = []
    for day in range(30):
        profile = measured(10e6 * scatter_of(day))
        if day >= 20:
            profile = measured(15e6 * scatter_of(day), health=hot)
        runs.append(Run(day, [profile]))
    store_at_once(tmp_path, runs)
    assert changes(tmp_path) == []


def test_macs_change_at_once_and_without_a_p_value(tmp_path: Path) -> None:
    for day, macs in enumerate([30, 30, 33]):
        stored(tmp_path, [replace(measured(), macs=macs)], day, dirty=day == 2)
    [found] = changes(tmp_path, "macs")
    assert (found.p, found.commit_at) == (None, "02abcdef02 with changes")
    assert "MACs of tests/test_models.py::test_it" in change_line(found)
    assert "rose 10 % at commit 02abcdef02 with changes (2026-09-22), after 01abcdef01, exact" in (
        change_line(found)
    )


def test_an_operator_has_change_points_of_its_own(tmp_path: Path) -> None:
    runs = []
    for day in range(30):
        profile = measured()
        grown = 1.5 if day >= 18 else 1.0
        operators = tuple(
            replace(
                o, self_ns=o.self_ns * scatter_of(day) * (grown if o.name == "aten::cat" else 1.0)
            )
            for o in profile.operators
        )
        runs.append(Run(day, [replace(profile, operators=operators)]))
    store_at_once(tmp_path, runs)
    [found] = changes(tmp_path, "operator", operator="aten::cat", branch="main")
    assert change_line(found, "aten::cat").startswith("aten::cat of tests/test_models.py::test_it")
    assert found.growth == pytest.approx(0.5, abs=0.03)
    assert changes(tmp_path, "operator", operator="aten::copy_") == []


def test_outside_a_repository_the_day_is_told(tmp_path: Path) -> None:
    for day, macs in enumerate([30, 33]):
        stored(tmp_path, [replace(measured(), macs=macs)], day, commit="")
    [found] = changes(tmp_path, "macs")
    assert "rose 10 % on 2026-09-21, exact" in change_line(found)
