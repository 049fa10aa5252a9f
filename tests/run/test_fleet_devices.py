from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.run.fleet_devices import KindOfDevice, fleet_table


def kind(name: str, *profiles: Profile, **outcomes: str) -> KindOfDevice:
    results: Any = SimpleNamespace(
        profiles={(p.test, p.label): p for p in profiles},
        outcomes=outcomes,
        in_order=lambda: list(profiles),
    )
    return KindOfDevice(name, cast("Any", results), devices={f"{name}-1": None})


def test_the_summary_has_a_row_for_each_kind() -> None:
    found = kind("pi", test_a="passed", test_b="failed", test_c="skipped")
    found.lost["test_d"] = "it was lost"
    [_, _, row] = fleet_table([found])
    assert row.split() == ["pi", "pi-1", "1", "1", "1", "1"]


def test_a_row_names_a_few_devices() -> None:
    found = kind("pi", test_a="passed")
    found.devices = {f"pi-{i}": None for i in range(1000)}
    [_, _, row] = fleet_table([found])
    assert "pi-0, pi-1 and 998 more" in row
