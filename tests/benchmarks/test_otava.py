"""The comparison with Apache Otava: its change points, its tables, the package it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.history.alarms import alarms_of, found_changes
from benchmarks.history.finders import FINDERS, OTAVA, OURS
from benchmarks.history.noises import NOISES
from benchmarks.history.otava import tables
from benchmarks.lib import registry
from benchmarks.lib.command_line import main
from benchmarks.lib.log import Facts, Line
from pytest_hiddencost.history.change_points import ChangePoint

FACTS = Facts("abc1234", False, {}, {"short": False})


def line(part: str, finder: str, **figures: float) -> Line:
    case = {"part": part, "noise": "independent", "finder": finder}
    return Line("2026-05-01T10:00:00Z", FACTS, case, 0, figures)


def test_alarms_and_changes_are_those_of_the_finder_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rise_in_the_middle(values: object) -> list[ChangePoint]:
        return [ChangePoint(60, 0.1, 0.0, 60, 6)]

    monkeypatch.setitem(FINDERS, OTAVA, rise_in_the_middle)
    monkeypatch.setitem(NOISES, "constant", lambda random, days: random.normal(0, 0, days))
    assert found_changes("constant", 2, 0, OTAVA)["0.03 after 6"] == 1.0
    assert found_changes("constant", 2, 0, OURS)["0.2 after 20"] == 1.0
    constant = NOISES["independent"](np.random.default_rng(0), 425) * 0
    assert alarms_of(constant, OURS) == (0, 0)
    assert alarms_of(constant, OTAVA)[0] > 0


def test_tables_show_both_ways_side_by_side() -> None:
    found = {
        f"{growth:g} after {n}": 0.25 for growth in (0.03, 0.05, 0.1, 0.2) for n in (6, 10, 20)
    }
    lines = [
        line("alarms", OURS, histories=20, rises=0, falls=1),
        line("alarms", OTAVA, histories=20, rises=5, falls=7),
        line("found", OURS, **found),
        line("found", OTAVA, **(found | {"0.2 after 20": 1.0})),
    ]
    alarms, changes = tables(lines)
    assert alarms.rows == [["independent", "20", "0.00", "0.25", "0.05", "0.35"]]
    assert changes.rows[-1] == [
        "independent", "+20 %", "25 %", "25 %", "25 %", "25 %", "25 %", "100 %",
    ]  # fmt: skip
    assert len(changes.headers) == len(changes.rows[0])


def test_without_otava_the_benchmark_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="not installed: otava; run tox run -e otava"):
        main(["otava", "--short", f"--results={tmp_path / 'results.jsonl'}"])
