"""Call sites as text: which line of which module called an operator."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.call_sites import (
    call_site_lines,
    calls_by_modules,
    grouped_call_sites,
    pattern,
)
from pytest_hiddencost.core.records import CallSiteCost
from tests.profiles import US, operator, patient


def call_site(
    module: str, line: str = "model.py:41", calls: int = 1, self_us: float = 1
) -> CallSiteCost:
    return CallSiteCost(module, line, calls, self_us * US)


def test_the_same_line_in_numbered_modules_is_one_group() -> None:
    call_sites = tuple(call_site(f"blocks.{i}.shuffle", calls=2, self_us=3) for i in range(12))
    copies = operator("aten::copy_", 36 * US, 24, call_sites=call_sites)
    assert [str(group) for group in grouped_call_sites(copies)] == [
        "24 x aten::copy_ from blocks.*.shuffle, model.py:41 (36 us)"
    ]


def test_calls_are_counted_by_module_path_over_all_lines() -> None:
    call_sites = (
        call_site("blocks.0.shuffle", "model.py:41", calls=2),
        call_site("blocks.1.shuffle", "model.py:41", calls=3),
        call_site("blocks.0.shuffle", "model.py:43", calls=4),
        call_site("", "model.py:7", calls=5),
    )
    copies = operator("aten::copy_", 4 * US, 14, call_sites=call_sites)
    assert calls_by_modules(copies) == {"blocks.*.shuffle": 5, "blocks.0.shuffle": 4, "": 5}
    assert calls_by_modules(operator("aten::cat", US)) == {}


def test_one_module_is_named_in_full() -> None:
    copies = operator("aten::copy_", 3 * US, call_sites=(call_site("blocks.3.shuffle", self_us=3),))
    assert [group.modules for group in grouped_call_sites(copies)] == ["blocks.3.shuffle"]


def test_other_lines_and_other_modules_are_other_groups_costliest_first() -> None:
    call_sites = (
        call_site("blocks.0.shuffle", "model.py:41", self_us=2),
        call_site("blocks.0.shuffle", "model.py:43", self_us=5),
        call_site("stem", "model.py:12", self_us=3),
        call_site("blocks.1.shuffle", "model.py:41", self_us=2),
    )
    found = grouped_call_sites(operator("aten::copy_", 12 * US, 4, call_sites=call_sites))
    assert [(group.modules, group.line, group.calls) for group in found] == [
        ("blocks.0.shuffle", "model.py:43", 1),
        ("blocks.*.shuffle", "model.py:41", 2),
        ("stem", "model.py:12", 1),
    ]


@pytest.mark.parametrize(
    ("module", "line", "text"),
    [
        ("layers.0", "", "from layers.0 ("),
        ("", "model.py:7", "from model.py:7 ("),
    ],
)
def test_an_unknown_module_or_line_is_left_out(module: str, line: str, text: str) -> None:
    (group,) = grouped_call_sites(operator("aten::cat", US, call_sites=(call_site(module, line),)))
    assert text in str(group)


def test_an_unknown_call_site_has_no_group() -> None:
    assert grouped_call_sites(operator("aten::cat", US, call_sites=(call_site("", ""),))) == []
    assert grouped_call_sites(operator("aten::cat", US)) == []


@pytest.mark.parametrize(
    ("modules", "text"),
    [
        (["a.0.b", "a.1.b"], "a.*.b"),
        (["layer1.0.conv1", "layer2.5.conv1"], "layer*.*.conv1"),
        (["layer1.0.conv1", "layer1.5.conv1"], "layer1.*.conv1"),
        (["0", "12"], "*"),
        (["stem"], "stem"),
        ([""], ""),
    ],
)
def test_numbers_that_differ_become_stars(modules: list[str], text: str) -> None:
    assert pattern(modules) == text


@patient
@given(
    parts=st.lists(st.sampled_from(["conv", "block", "."]), min_size=1, max_size=4),
    numbers=st.lists(st.integers(0, 99), min_size=1, max_size=5),
)
def test_a_pattern_matches_every_path_that_it_stands_for(
    parts: list[str], numbers: list[int]
) -> None:
    modules = [str(number).join(parts) for number in numbers]
    text = re.compile(re.escape(pattern(modules)).replace(r"\*", r"\d+"))
    assert all(text.fullmatch(module) for module in modules)


def test_the_costliest_lines_are_shown_so_many_of_each_operator_and_in_all() -> None:
    def spread(name: str, *costs_us: float) -> object:
        return operator(
            name,
            sum(costs_us) * US,
            len(costs_us),
            call_sites=tuple(
                call_site("", f"model.py:{i}", 1, us) for i, us in enumerate(costs_us)
            ),
        )

    operators = [spread("aten::cat", 9, 8, 7), spread("aten::add", 8.5, 1)]
    lines = call_site_lines(operators, each=2, most=3)  # type: ignore[arg-type]
    assert [line.partition(" from")[0] for line in lines] == [
        "1 x aten::cat", "1 x aten::add", "1 x aten::cat"
    ]  # fmt: skip
    assert [line.partition("model.py:")[2][0] for line in lines] == ["0", "0", "1"]
