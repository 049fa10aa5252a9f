"""Lock-step: who takes a turn when, what is made of it, and when it is enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.regression.paired.turns import (
    BLOCK_NS,
    GROWTH,
    take_turns,
    take_windows,
)

MS = 1_000_000
HERE_FIRST, THERE_FIRST = ["here", "there"], ["there", "here"]
blocks = st.lists(st.integers(1, 10**10), min_size=1, max_size=9)


class Fake:
    """A side whose blocks are given; ``log`` is what both sides did, in order."""

    def __init__(self, name: str, log: list[str], times: Iterator[Sequence[int]]) -> None:
        self._name, self._log, self._times = name, log, times
        self.asked: list[int] = []

    def turn(self, duration_ns: int) -> Sequence[int]:
        self.asked.append(duration_ns)
        self._log.append(self._name)
        return next(self._times)

    def prepare(self) -> None:
        self._log.append(f"{self._name} prepares")

    def window(self) -> int:
        self._log.append(self._name)
        return len(self._log)


def sides(
    here: Sequence[Sequence[int]] = ([MS],), there: Sequence[Sequence[int]] = ([MS],)
) -> tuple[Fake, Fake, list[str]]:
    log: list[str] = []
    return Fake("here", log, cycle(here)), Fake("there", log, cycle(there)), log


def after(blocks: int) -> Callable[[Sequence[float], int], bool]:
    return lambda ratios, _: len(ratios) >= blocks


def test_who_is_first_changes_every_other_turn() -> None:
    here, there, log = sides()
    take_turns(here, there, after(8), fewest=8)
    assert log == 2 * (2 * HERE_FIRST + 2 * THERE_FIRST)


def test_a_block_is_one_ratio_of_medians() -> None:
    here, there, _ = sides(here=[[9, 2, 4], [8]], there=[[1, 3], [4, 4, 100]])
    found = take_turns(here, there, after(2), fewest=2)
    assert found == pytest.approx([math.log(4 / 2), math.log(8 / 4)])


def test_the_order_does_not_turn_the_ratio_round() -> None:
    here, there, _ = sides(here=[[2 * MS]])
    found = take_turns(here, there, after(9), fewest=9)
    assert found == pytest.approx([math.log(2)] * 9)


def test_both_are_asked_for_blocks_of_the_same_length() -> None:
    here, there, _ = sides()
    take_turns(here, there, after(7), fewest=7)
    assert here.asked == there.asked == [BLOCK_NS] * 7


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(blocks, blocks), min_size=1, max_size=30))
def test_swapped_sides_are_the_same_ratios_the_other_way_round(
    times: list[tuple[list[int], list[int]]],
) -> None:
    ours, theirs = [one for one, _ in times], [other for _, other in times]
    here, there, log = sides(ours, theirs)
    found = take_turns(here, there, after(len(times)), fewest=1)
    assert log.count("here") == log.count("there") == len(found) >= len(times)
    here, there, _ = sides(theirs, ours)
    swapped = take_turns(here, there, after(len(times)), fewest=1)
    assert swapped == pytest.approx([-ratio for ratio in found])


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 20))
def test_looks_are_at_growing_numbers_of_blocks(fewest: int, most: int) -> None:
    here, there, _ = sides()
    looks: list[int] = []

    def enough(ratios: Sequence[float], _: int) -> bool:
        looks.append(len(ratios))
        return len(looks) == most

    found = take_turns(here, there, enough, fewest=fewest)
    assert looks[0] == fewest, "not before an interval can be given"
    assert len(looks) == most
    assert len(found) == looks[-1], "it ends with the look that was enough"
    for before, now in pairwise(looks):
        assert now == max(before + 1, int(before * GROWTH))


def test_a_look_sees_the_time_that_both_sides_spent() -> None:
    here, there, _ = sides(here=[[3, 4], [5]], there=[[10], [20, 30]])
    seen: list[tuple[int, int]] = []

    def enough(ratios: Sequence[float], spent_ns: int) -> bool:
        seen.append((len(ratios), spent_ns))
        return spent_ns > 80

    take_turns(here, there, enough, fewest=1)
    assert seen == [(1, 17), (2, 72), (3, 89)]


def test_what_a_side_raises_is_not_swallowed() -> None:
    log: list[str] = []
    here = Fake("here", log, cycle([[MS]]))
    there = Fake("there", log, islice(cycle([[MS]]), 2))
    with pytest.raises(StopIteration):
        take_turns(here, there, after(9), fewest=9)
    assert log == 2 * HERE_FIRST + THERE_FIRST[:1]


def test_windows_alternate_after_both_are_ready() -> None:
    here, there, log = sides()
    found = take_windows(here, there, lambda windows: len(windows) >= 3, fewest=1)
    assert log[:2] == ["here prepares", "there prepares"]
    assert log[2:] == 2 * HERE_FIRST + THERE_FIRST
    assert found == [(3, 4), (5, 6), (8, 7)], "times of here, then of there, whoever came first"


@pytest.mark.parametrize("fewest", [1, 8])
def test_each_side_takes_windows_until_it_is_enough(fewest: int) -> None:
    here, there, log = sides()
    looks: list[int] = []

    def enough(windows: Sequence[tuple[int, int]]) -> bool:
        looks.append(len(windows))
        return len(windows) >= 2 * fewest

    found = take_windows(here, there, enough, fewest=fewest)
    assert looks[0] == fewest
    assert len(found) == looks[-1] >= 2 * fewest
    assert [log.count(name) for name in ("here", "there")] == [len(found)] * 2
