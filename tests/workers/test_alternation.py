"""Lock-step: who takes a turn when, what is made of it, and when it is enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice, pairwise
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.workers.alternation import (
    GROWTH,
    LITTLE,
    LONG_NS,
    TURN_NS,
    Refills,
    Window,
    take_turns,
    take_windows,
)

MS = 1_000_000
HERE_FIRST, THERE_FIRST = ["here", "there"], ["there", "here"]
calls = st.lists(st.integers(1, 10**10), min_size=1, max_size=9)


class Fake:
    """A side whose turns are given; ``log`` is what both sides did, in order.

    ``refill`` is by how much the first call is slower that comes after the other side's.
    """

    def __init__(
        self, name: str, log: list[str], times: Iterator[Sequence[int]], refill: float = 1.0
    ) -> None:
        self._name, self._log, self._times, self._refill = name, log, times, refill
        self.asked: list[tuple[int, int]] = []

    def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
        self.asked.append((duration_ns, refill))
        self._log.append(self._name)
        times = next(self._times)
        return [round(median(times) * self._refill)] * refill + list(times)

    def prepare(self) -> None:
        self._log.append(f"{self._name} prepares")

    def window(self) -> Window:
        self._log.append(self._name)
        return len(self._log), 100


def sides(
    head: Sequence[Sequence[int]] = ([MS],),
    base: Sequence[Sequence[int]] = ([MS],),
    refill: tuple[float, float] = (1.0, 1.0),
) -> tuple[Fake, Fake, list[str]]:
    log: list[str] = []
    return (
        Fake("here", log, cycle(head), refill[0]),
        Fake("there", log, cycle(base), refill[1]),
        log,
    )


def after(blocks: int) -> Callable[[Sequence[float], int], bool]:
    return lambda changes, _: len(changes) >= blocks


def test_a_block_has_a_turn_in_either_order() -> None:
    head, base, log = sides()
    take_turns(head, base, after(40), Refills(), fewest=40)
    turns = list(zip(log[::2], log[1::2], strict=True))
    for block in zip(turns[::2], turns[1::2], strict=True):
        assert sorted(block) == [tuple(HERE_FIRST), tuple(THERE_FIRST)]


@pytest.mark.parametrize("period", range(1, 12))
def test_what_returns_every_so_often_meets_both_sides_alike(period: int) -> None:
    head, base, log = sides()
    take_turns(head, base, after(1000), Refills(), fewest=1000)
    for phase in range(period):
        met = log[phase::period]
        assert 0.3 <= met.count("here") / len(met) <= 0.7


def test_a_block_is_the_mean_of_its_turns_ratios_of_medians() -> None:
    head, base, _ = sides(
        head=[[9, 2, 4], [8], [1], [1]], base=[[1, 3], [4, 4, 100], [1], [2, 2, 2]]
    )
    found = take_turns(head, base, after(2), Refills(), fewest=2)
    expected = [(math.log(4 / 2) + math.log(8 / 4)) / 2, (math.log(1) + math.log(1 / 2)) / 2]
    assert found == pytest.approx(expected)


def test_what_it_costs_to_come_second_is_no_difference() -> None:
    log: list[str] = []

    class Second(Fake):
        def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
            super().turn(duration_ns, refill=refill)
            return [MS] * refill + [MS if len(log) % 2 else round(1.2 * MS)]

    head, base = (Second(name, log, cycle([[MS]])) for name in HERE_FIRST)
    assert take_turns(head, base, after(9), Refills(), fewest=9) == pytest.approx([0.0] * 9)


def test_the_order_does_not_turn_the_ratio_round() -> None:
    head, base, _ = sides(head=[[2 * MS]])
    found = take_turns(head, base, after(9), Refills(), fewest=9)
    assert found == pytest.approx([math.log(2)] * 9)


def test_both_are_asked_for_turns_of_the_same_length() -> None:
    head, base, _ = sides()
    take_turns(head, base, after(7), Refills(), fewest=7)
    assert head.asked == base.asked == [(TURN_NS, 1), (TURN_NS, 2)] * 7


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(calls, calls), min_size=1, max_size=30))
def test_swapped_sides_are_the_same_ratios_the_other_way_round(
    times: list[tuple[list[int], list[int]]],
) -> None:
    ours, theirs = [one for one, _ in times], [other for _, other in times]
    head, base, log = sides(ours, theirs)
    found = take_turns(head, base, after(len(times)), Refills(), fewest=1)
    assert log.count("here") == log.count("there") == 2 * len(found)
    head, base, _ = sides(theirs, ours)
    swapped = take_turns(head, base, after(len(times)), Refills(), fewest=1)
    assert swapped == pytest.approx([-ratio for ratio in found])


# --- calls that do not count ---------------------------------------------------------------------


def refilled(*sides: Fake) -> list[list[int]]:
    return [[refill for _, refill in side.asked] for side in sides]


def test_the_call_that_refills_the_caches_does_not_count() -> None:
    head, base, _ = sides(head=[[2 * MS]], refill=(9.0, 1.5))
    found = take_turns(head, base, after(8), Refills(), fewest=8)
    assert found == pytest.approx([math.log(2)] * 8)
    assert refilled(head, base) == [[1, 2] * 8] * 2


@pytest.mark.parametrize("slower", [(1.0, 1.0), (1.15, 1.0), (0.7, 1.15)])
def test_it_is_left_out_where_it_is_hardly_slower(slower: tuple[float, float]) -> None:
    head, base, _ = sides(refill=slower)
    take_turns(head, base, after(6), Refills(), fewest=5)
    assert refilled(head, base) == [[1, 2] * 5 + [0, 0]] * 2


@pytest.mark.parametrize("slower", [(1.2, 1.0), (1.0, 1.2)])
def test_it_is_kept_where_either_side_needs_it(slower: tuple[float, float]) -> None:
    assert math.log(max(slower)) > LITTLE
    head, base, _ = sides(refill=slower)
    take_turns(head, base, after(6), Refills(), fewest=5)
    assert refilled(head, base) == [[1, 2] * 6] * 2


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("slower", [1.0, 2.0])
def test_a_model_that_does_something_else_every_other_call_is_no_change(
    ahead: int, slower: float
) -> None:
    """Whichever call either side is at, and whether it needs calls that do not count or not."""

    class EveryOther(Fake):
        done = 0

        def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
            super().turn(duration_ns, refill=refill)
            times = []
            for call in range(refill + 1):
                usual = MS * (1 + self.done % 2)
                times.append(round(usual * (slower if call == 0 else 1.0)))
                self.done += 1
            return times

    head, base = (EveryOther(name, [], cycle([[MS]])) for name in HERE_FIRST)
    base.done = ahead
    assert take_turns(head, base, after(9), Refills(), fewest=9) == pytest.approx([0.0] * 9)


def test_what_one_pair_saw_of_it_the_next_one_knows() -> None:
    refills = Refills()
    head, base, _ = sides()
    take_turns(head, base, after(5), refills, fewest=5)
    head, base, _ = sides()
    take_turns(head, base, after(5), refills, fewest=5)
    assert refilled(head, base) == [[0] * 10] * 2


def test_a_long_call_does_without_at_once() -> None:
    head, base, _ = sides(head=[[LONG_NS]], base=[[2 * LONG_NS]], refill=(2.0, 2.0))
    found = take_turns(head, base, after(8), Refills(), fewest=8)
    assert sorted(refilled(head, base)) == [[0] * 16, [1] + [0] * 15]
    assert found == pytest.approx([math.log(1 / 2)] * 8)


# --- how long ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 20))
def test_looks_are_at_growing_numbers_of_blocks(fewest: int, most: int) -> None:
    head, base, _ = sides()
    looks: list[int] = []

    def enough(changes: Sequence[float], _: int) -> bool:
        looks.append(len(changes))
        return len(looks) == most

    found = take_turns(head, base, enough, Refills(), fewest=fewest)
    assert looks[0] == fewest, "not before an interval can be given"
    assert len(looks) == most
    assert len(found) == looks[-1], "it ends with the look that was enough"
    for before, now in pairwise(looks):
        assert now == max(before + 1, int(before * GROWTH))


def test_a_look_sees_the_time_that_both_sides_spent_with_what_does_not_count() -> None:
    head, base, _ = sides(head=[[3, 4, 5], [5]], base=[[10], [20, 30, 40]], refill=(10.0, 10.0))
    seen: list[tuple[int, int]] = []

    def enough(changes: Sequence[float], spent_ns: int) -> bool:
        seen.append((len(changes), spent_ns))
        return len(seen) == 2

    take_turns(head, base, enough, Refills(), fewest=1)
    block = (12 + 40) + (10 + 100) + (5 + 2 * 50) + (90 + 2 * 300)
    assert seen == [(1, block), (2, 2 * block)]


def test_what_a_side_raises_is_not_swallowed() -> None:
    log: list[str] = []
    head = Fake("here", log, cycle([[MS]]))
    base = Fake("there", log, islice(cycle([[MS]]), 2))
    with pytest.raises(StopIteration):
        take_turns(head, base, after(9), Refills(), fewest=9)
    assert log.count("there") == 3, "asked a third time, and no further"


def test_windows_alternate_after_both_are_ready() -> None:
    head, base, log = sides()
    found = take_windows(head, base, lambda windows: len(windows) >= 40, fewest=40)
    assert log[:2] == ["here prepares", "there prepares"]
    orders = list(zip(log[2::2], log[3::2], strict=True))
    for two in zip(orders[::2], orders[1::2], strict=True):
        assert sorted(two) == [tuple(HERE_FIRST), tuple(THERE_FIRST)]
    first = [ours[0] < theirs[0] for ours, theirs in found]
    assert first == [order == tuple(HERE_FIRST) for order in orders], "each its own time"


@pytest.mark.parametrize("fewest", [1, 8])
def test_each_side_takes_windows_until_it_is_enough(fewest: int) -> None:
    head, base, log = sides()
    looks: list[int] = []

    def enough(windows: Sequence[tuple[Window, Window]]) -> bool:
        looks.append(len(windows))
        return len(windows) >= 2 * fewest

    found = take_windows(head, base, enough, fewest=fewest)
    assert looks[0] == fewest
    assert len(found) == looks[-1] >= 2 * fewest
    assert [log.count(name) for name in ("here", "there")] == [len(found)] * 2
