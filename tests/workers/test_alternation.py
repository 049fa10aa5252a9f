"""Head and base in turns: their order, the ratio of each block, and when blocks are enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice, pairwise
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.judge.interleaved.ratios import WindowTime
from pytest_hiddencost.workers.alternation import (
    LOOKS_GROWTH,
    NOTICEABLE,
    SIDE_TURN_NS,
    UNAFFECTED_NS,
    Refills,
    take_turns,
    take_windows,
)
from tests.profiles import patient

MS = 1_000_000
HEAD_FIRST, BASE_FIRST = ("head", "base"), ("base", "head")
calls = st.lists(st.integers(1, 10**10), min_size=1, max_size=9)


class Fake:
    """A side whose turns are given; ``log`` has what both sides did, in order.

    ``slower``: the first call after a turn of the other side takes so many times as long.
    """

    def __init__(
        self, name: str, log: list[str], times: Iterator[Sequence[int]], slower: float = 1.0
    ) -> None:
        self._name, self._log, self._times, self._slower = name, log, times, slower
        self.asked: list[tuple[int, int]] = []

    def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
        self.asked.append((duration_ns, refill))
        self._log.append(self._name)
        times = next(self._times)
        return [round(median(times) * self._slower)] * refill + list(times)

    def prepare(self) -> None:
        self._log.append(f"{self._name} prepares")

    def window(self) -> WindowTime:
        self._log.append(self._name)
        return WindowTime(len(self._log), 100)


def sides(
    head: Sequence[Sequence[int]] = ([MS],),
    base: Sequence[Sequence[int]] = ([MS],),
    slower: tuple[float, float] = (1.0, 1.0),
) -> tuple[Fake, Fake, list[str]]:
    """Head, base, and their log."""
    log: list[str] = []
    return (
        Fake("head", log, cycle(head), slower[0]),
        Fake("base", log, cycle(base), slower[1]),
        log,
    )


def after(blocks: int) -> Callable[[Sequence[float], int], bool]:
    return lambda changes, _: len(changes) >= blocks


def test_a_block_has_a_turn_in_either_order() -> None:
    head, base, log = sides()
    take_turns(head, base, after(40), Refills(), fewest=40)
    turns = list(zip(log[::2], log[1::2], strict=True))
    for block in zip(turns[::2], turns[1::2], strict=True):
        assert sorted(block) == [BASE_FIRST, HEAD_FIRST]


@pytest.mark.parametrize("period", range(1, 12))
def test_a_disturbance_that_returns_at_intervals_meets_both_sides_alike(period: int) -> None:
    head, base, log = sides()
    take_turns(head, base, after(1000), Refills(), fewest=1000)
    for phase in range(period):
        met = log[phase::period]
        assert 0.3 <= met.count("head") / len(met) <= 0.7


def test_a_block_is_the_mean_of_two_ratios_of_medians() -> None:
    head, base, _ = sides(
        head=[[9, 2, 4], [8], [1], [1]], base=[[1, 3], [4, 4, 100], [1], [2, 2, 2]]
    )
    found = take_turns(head, base, after(2), Refills(), fewest=2)
    expected = [(math.log(4 / 2) + math.log(8 / 4)) / 2, (math.log(1) + math.log(1 / 2)) / 2]
    assert found == pytest.approx(expected)


def test_the_cost_of_coming_second_is_no_change() -> None:
    log: list[str] = []

    class Second(Fake):
        def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
            super().turn(duration_ns, refill=refill)
            return [MS] * refill + [MS if len(log) % 2 else round(1.2 * MS)]

    head, base = (Second(name, log, cycle([[MS]])) for name in HEAD_FIRST)
    assert take_turns(head, base, after(9), Refills(), fewest=9) == pytest.approx([0.0] * 9)


def test_the_order_of_turns_does_not_invert_the_ratio() -> None:
    head, base, _ = sides(head=[[2 * MS]])
    found = take_turns(head, base, after(9), Refills(), fewest=9)
    assert found == pytest.approx([math.log(2)] * 9)


def test_both_are_asked_for_turns_of_the_same_length() -> None:
    head, base, _ = sides()
    take_turns(head, base, after(7), Refills(), fewest=7)
    assert head.asked == base.asked == [(SIDE_TURN_NS, 1), (SIDE_TURN_NS, 2)] * 7


@settings(patient, max_examples=50)
@given(st.lists(st.tuples(calls, calls), min_size=1, max_size=30))
def test_swapped_sides_have_inverse_ratios(
    times: list[tuple[list[int], list[int]]],
) -> None:
    one, other = [one for one, _ in times], [other for _, other in times]
    head, base, log = sides(one, other)
    found = take_turns(head, base, after(len(times)), Refills(), fewest=1)
    assert log.count("head") == log.count("base") == 2 * len(found)
    head, base, _ = sides(other, one)
    swapped = take_turns(head, base, after(len(times)), Refills(), fewest=1)
    assert swapped == pytest.approx([-ratio for ratio in found])


# --- refills -------------------------------------------------------------------------------------


def refills_of(*sides: Fake) -> list[list[int]]:
    """How many calls that do not count each side was asked for, turn by turn."""
    return [[refill for _, refill in side.asked] for side in sides]


def test_a_call_that_refills_the_caches_does_not_count() -> None:
    head, base, _ = sides(head=[[2 * MS]], slower=(9.0, 1.5))
    found = take_turns(head, base, after(8), Refills(), fewest=8)
    assert found == pytest.approx([math.log(2)] * 8)
    assert refills_of(head, base) == [[1, 2] * 8] * 2


@pytest.mark.parametrize("slower", [(1.0, 1.0), (1.15, 1.0), (0.7, 1.15)])
def test_refills_are_left_out_where_they_are_hardly_slower(slower: tuple[float, float]) -> None:
    head, base, _ = sides(slower=slower)
    take_turns(head, base, after(6), Refills(), fewest=5)
    assert refills_of(head, base) == [[1, 2] * 5 + [0, 0]] * 2


@pytest.mark.parametrize("slower", [(1.2, 1.0), (1.0, 1.2)])
def test_refills_are_kept_where_either_side_needs_them(slower: tuple[float, float]) -> None:
    assert math.log(max(slower)) > NOTICEABLE
    head, base, _ = sides(slower=slower)
    take_turns(head, base, after(6), Refills(), fewest=5)
    assert refills_of(head, base) == [[1, 2] * 6] * 2


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("slower", [1.0, 2.0])
def test_a_model_that_alternates_between_two_kinds_of_calls_is_no_change(
    ahead: int, slower: float
) -> None:
    """Whichever kind of call a side is at, with refills and without."""

    class Alternating(Fake):
        done = 0

        def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
            super().turn(duration_ns, refill=refill)
            times = []
            for call in range(refill + 1):
                usual = MS * (1 + self.done % 2)
                times.append(round(usual * (slower if call == 0 else 1.0)))
                self.done += 1
            return times

    head, base = (Alternating(name, [], cycle([[MS]])) for name in HEAD_FIRST)
    base.done = ahead
    assert take_turns(head, base, after(9), Refills(), fewest=9) == pytest.approx([0.0] * 9)


def test_the_next_pair_knows_what_a_pair_learnt_about_refills() -> None:
    refills = Refills()
    head, base, _ = sides()
    take_turns(head, base, after(5), refills, fewest=5)
    head, base, _ = sides()
    take_turns(head, base, after(5), refills, fewest=5)
    assert refills_of(head, base) == [[0] * 10] * 2


def test_a_long_call_needs_no_refills_from_the_second_turn_on() -> None:
    head, base, _ = sides(head=[[UNAFFECTED_NS]], base=[[2 * UNAFFECTED_NS]], slower=(2.0, 2.0))
    found = take_turns(head, base, after(8), Refills(), fewest=8)
    assert sorted(refills_of(head, base)) == [[0] * 16, [1] + [0] * 15]
    assert found == pytest.approx([math.log(1 / 2)] * 8)


# --- how long ------------------------------------------------------------------------------------


@patient
@given(st.integers(1, 30), st.integers(1, 12))
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
        assert now == max(before + 1, int(before * LOOKS_GROWTH))


def test_a_look_gets_the_time_of_all_calls_of_both_sides() -> None:
    head, base, _ = sides(head=[[3, 4, 5], [5]], base=[[10], [20, 30, 40]], slower=(10.0, 10.0))
    seen: list[tuple[int, int]] = []

    def enough(changes: Sequence[float], spent_ns: int) -> bool:
        seen.append((len(changes), spent_ns))
        return len(seen) == 2

    take_turns(head, base, enough, Refills(), fewest=1)
    block = (12 + 40) + (10 + 100) + (5 + 2 * 50) + (90 + 2 * 300)
    assert seen == [(1, block), (2, 2 * block)]


def test_an_error_of_a_side_is_not_swallowed() -> None:
    log: list[str] = []
    head = Fake("head", log, cycle([[MS]]))
    base = Fake("base", log, islice(cycle([[MS]]), 2))
    with pytest.raises(StopIteration):
        take_turns(head, base, after(9), Refills(), fewest=9)
    assert log.count("base") == 3, "asked a third time, and no further"


def test_windows_alternate_after_both_are_ready() -> None:
    head, base, log = sides()
    found = take_windows(head, base, lambda windows: len(windows) >= 40, fewest=40)
    assert log[:2] == ["head prepares", "base prepares"]
    orders = list(zip(log[2::2], log[3::2], strict=True))
    for two in zip(orders[::2], orders[1::2], strict=True):
        assert sorted(two) == [BASE_FIRST, HEAD_FIRST]
    head_first = [of_head.non_mac_ns < of_base.non_mac_ns for of_head, of_base in found]
    assert head_first == [order == HEAD_FIRST for order in orders], "each its own window"


@pytest.mark.parametrize("fewest", [1, 8])
def test_each_side_takes_windows_until_they_are_enough(fewest: int) -> None:
    head, base, log = sides()
    looks: list[int] = []

    def enough(windows: Sequence[tuple[WindowTime, WindowTime]]) -> bool:
        looks.append(len(windows))
        return len(windows) >= 2 * fewest

    found = take_windows(head, base, enough, fewest=fewest)
    assert looks[0] == fewest
    assert len(found) == looks[-1] >= 2 * fewest
    assert [log.count(name) for name in HEAD_FIRST] == [len(found)] * 2
