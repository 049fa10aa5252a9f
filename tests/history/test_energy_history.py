"""Energy in a store of runs: its columns, its trend, and runs that did not measure it."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_hiddencost.history.database import HistoryDatabase, StorePart, ask
from pytest_hiddencost.history.found_changes import FoundChange, all_changes, change_line
from pytest_hiddencost.history.questions import Asked
from pytest_hiddencost.history.store_folder import StoreFolder
from tests.cli.running import hiddencost
from tests.history.stored_runs import PI, Run, measured, scatter_of, store_at_once, stored
from tests.profiles import energy_use

MJ = 1e6


def by_run(store: Path, *arguments: str) -> str:
    result = hiddencost("history", store, "--by", "run", *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_profile_has_its_energy_and_its_interval(tmp_path: Path) -> None:
    stored(tmp_path, [measured(energy=energy_use(12 * MJ)), measured(label="plain")])
    columns = "energy_nj, energy_low_nj, energy_high_nj, idle_w, energy_meter"
    sql = f"SELECT {columns} FROM profiles ORDER BY label"
    result = hiddencost("history", tmp_path, "--sql", sql, "--format", "json")
    metered, plain = json.loads(result.output)
    assert metered["energy_nj"] == 12 * MJ
    assert metered["energy_low_nj"] < 12 * MJ < metered["energy_high_nj"]
    assert (metered["idle_w"], metered["energy_meter"]) == (2.0, "bench meter")
    assert set(plain.values()) == {None}


def test_the_trend_has_the_energy_if_any_run_measured_it(tmp_path: Path) -> None:
    stored(tmp_path / "plain", [measured()])
    assert "energy" not in by_run(tmp_path / "plain")
    stored(tmp_path / "both", [measured()])
    stored(tmp_path / "both", [measured(energy=energy_use(12 * MJ))], day=1)
    head = by_run(tmp_path / "both").splitlines()[0]
    assert "energy mJ" in head
    found = json.loads(by_run(tmp_path / "both", "--format", "json"))
    assert [row["energy_nj"] for row in found] == [None, 12 * MJ]


def test_a_rise_of_energy_is_found_whatever_the_reference_workload_does(tmp_path: Path) -> None:
    runs = [
        Run(
            day,
            [
                measured(
                    relative=2.0 * (1.0 + day % 3),
                    energy=energy_use((13 if day >= 20 else 12) * MJ * scatter_of(day)),
                )
            ],
        )
        for day in range(30)
    ]
    store_at_once(tmp_path, runs)

    def question(database: HistoryDatabase) -> tuple[list[FoundChange], int]:
        return all_changes(database, Asked(), "energy")

    [found] = ask(StoreFolder(str(tmp_path)), StorePart(), question)[0]
    line = change_line(found)
    assert line.startswith(f"energy of tests/test_models.py::test_it on {PI.key} rose 8.")
    assert "at commit 20abcdef20" in line


def test_runs_without_energy_have_no_trend_of_it(tmp_path: Path) -> None:
    stored(tmp_path, [measured()])
    result = hiddencost("history", tmp_path, "--quantity", "energy", "--changes")
    assert result.exit_code == 0, result.output
    assert "energy of" not in result.output
