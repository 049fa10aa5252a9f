"""The tables of the benchmark of pairs."""

from __future__ import annotations

import pytest

from benchmarks.design.pairs import BY_NAME, VARIANTS, tables
from benchmarks.lib.log import Facts, Line


def test_pairs_are_shown_by_model_load_threads_and_variant() -> None:
    case = {"model": "A", "condition": "loaded", "threads": "1", "variant": VARIANTS[0].name}
    facts = Facts("abc1234", False, {}, {"short": False, "seconds": 2.0})
    seen = {"error": 0.002, "blocks": 90, "seconds": 2.5, "faults": 0.0}
    lines = [
        Line(None, facts, case, number, {"ratio_log": ratio, **seen})
        for number, ratio in enumerate((-0.01, 0.01))
    ]
    (table,) = tables(lines)
    assert [list(row) for row in table.rows] == [
        ["A", "loaded", "1", VARIANTS[0].name, "2", "1.41 %", "0.20 %", "2.5", "0"]
    ]
    (one,) = tables(lines[:1])
    assert one.rows[0][5] == "-"


@pytest.mark.parametrize("name", list(BY_NAME)[1:])
def test_a_variant_leaves_out_one_thing(name: str) -> None:
    variant = BY_NAME[name]
    parts = {name: part for name, part in vars(variant).items() if name != "name"}
    assert list(parts.values()).count(False) == 1
