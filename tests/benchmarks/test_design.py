"""The tables of the benchmark of pairs."""

from __future__ import annotations

import pytest

from benchmarks.design.pairs import BY_NAME, VARIANTS, tables
from benchmarks.lib.log import Facts, Line

NAME = VARIANTS[0].name


def of_pairs(model: str, *ratios: float) -> list[Line]:
    case = {"model": model, "condition": "loaded", "threads": "1", "variant": NAME}
    facts = Facts("abc1234", False, {}, {"short": False, "seconds": 2.0})
    seen = {"error": 0.002, "blocks": 90, "seconds": 2.5, "faults": 0.0}
    return [
        Line(None, facts, case, number, {"ratio_log": ratio, **seen})
        for number, ratio in enumerate(ratios)
    ]


def test_pairs_are_shown_by_model_load_threads_and_variant() -> None:
    _, table = tables(of_pairs("A", -0.01, 0.01))
    assert [list(row) for row in table.rows] == [
        ["A", "loaded", "1", NAME, "2", "1.41 %", "0.20 %", "2.5", "0"]
    ]


def test_one_pair_of_a_model_has_no_spread() -> None:
    over_models, table = tables(of_pairs("A", -0.01))
    assert (list(over_models.rows), table.rows[0][5]) == ([], "-")


def test_the_spread_over_models_is_the_root_mean_square_of_theirs() -> None:
    over_models, _ = tables([*of_pairs("A", -0.01, 0.01), *of_pairs("B", -0.07, 0.07)])
    assert [list(row) for row in over_models.rows] == [
        ["loaded", "1", NAME, "2", "7.07 %", "9.90 %", "0.20 %", "2.5"]
    ]


@pytest.mark.parametrize("name", list(BY_NAME)[1:])
def test_a_variant_leaves_out_one_thing(name: str) -> None:
    variant = BY_NAME[name]
    parts = {name: part for name, part in vars(variant).items() if name != "name"}
    assert list(parts.values()).count(False) == 1
