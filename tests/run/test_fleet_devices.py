from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.baseline.store import Baselines
from pytest_hiddencost.run.fleet_devices import KindOfDevice, fleet_table
from pytest_hiddencost.run.modes.base import Judgement
from pytest_hiddencost.run.results import Results, attach
from pytest_hiddencost.run.settings import Settings
from tests.judge.baseline.stored_entries import entry
from tests.profiles import DEVICE, network
from tests.run.test_results import Collection, report


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


def test_unused_entries_of_every_device_of_a_kind_are_listed(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    """Devices of one kind may differ; each has a folder of its own among the baselines."""
    config = pytester.parseconfig()
    tests = {"test_a.py::test_a": DEVICE, "test_a.py::test_b": replace(DEVICE, key="cpu-other")}
    results = Results(config, Collection(ids=list(tests)), {})
    for test, device in tests.items():
        last = report("teardown", test=test)
        attach(last, device, [Judgement(network(test=test))])
        for made in (report("call", test=test), last):
            results.take(made)
        module, _, name = test.partition("::")
        Baselines(tmp_path, device).update({(module, name, "old"): entry()})
    found = KindOfDevice("pi", results)
    found.end(config, Settings(), tmp_path)
    unused = [line.text for line in results.ending.lines if line.unused]
    assert [text.partition(";")[0] for text in unused] == [
        "1 unused baseline entry: test_a.py::test_a old",
        "1 unused baseline entry: test_a.py::test_b old",
    ]
