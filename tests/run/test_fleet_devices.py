from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.run.fleet_devices import KindOfDevice, fleet_table, side_by_side
from tests.profiles import MS, latency_of, network


def kind(name: str, *profiles: Profile, **outcomes: str) -> KindOfDevice:
    results: Any = SimpleNamespace(
        profiles={(p.test, p.label): p for p in profiles},
        outcomes=outcomes,
        in_order=lambda: list(profiles),
    )
    return KindOfDevice(name, cast("Any", results), devices={f"{name}-1": None})


def call(test: str, p50_ns: int) -> Profile:
    return replace(network(), test=test, label="", latency=latency_of([p50_ns] * 20))


def test_the_summary_has_a_row_for_each_kind() -> None:
    found = kind("pi", test_a="passed", test_b="failed", test_c="skipped")
    found.lost["test_d"] = "it was lost"
    [_, _, row] = fleet_table([found])
    assert row.split() == ["pi", "pi-1", "1", "1", "1", "1"]


def test_calls_stand_side_by_side() -> None:
    pi = kind("pi", call("test_a", 40 * MS), call("test_b", 2 * MS))
    nano = kind("nano", call("test_a", 10 * MS))
    lines = [line.split() for line in side_by_side([pi, nano])]
    assert lines[0] == ["p50", "ms", "pi", "nano"]
    assert lines[2:] == [["test_a", "40", "10"], ["test_b", "2", "-"]]


def test_one_kind_needs_no_such_table() -> None:
    assert side_by_side([kind("pi", call("test_a", MS)), kind("nano")]) == []
