"""Head and base in turns: their order, the change that they show, and what was noticed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from statistics import mean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.judge.interleaved.disagreement import Conditions
from pytest_hiddencost.judge.interleaved.ratios import WindowTime
from pytest_hiddencost.workers.alternation import (
    SIDE_TURN_NS,
    UNAFFECTED_NS,
    Turns,
    take_windows,
)
from pytest_hiddencost.workers.messages import Times
from tests.profiles import patient

MS = 1_000_000
HEAD_FIRST, BASE_FIRST = ("head", "base"), ("base", "head")
calls = st.lists(st.integers(1, 10**10), min_size=1, max_size=9)
# Around UNAFFECTED_NS the number of refills depends on which side came first.
short_calls = st.lists(st.integers(1, UNAFFECTED_NS - 1), min_size=1, max_size=9)


class Fake:
    """A side whose turns are given; ``log`` has what both sides did, in order.

    ``slower``: the calls that do not count take so many times as long. ``noticed``: the page
    faults and preemptions of each turn.
    """

    def __init__(
        self,
        name: str,
        log: list[str],
        times: Iterator[Sequence[int]],
        slower: float = 1.0,
        noticed: tuple[int, int] = (0, 0),
    ) -> None:
        self._name, self._log, self._times, self._slower = name, log, times, slower
        self._noticed = noticed
        self.asked: list[tuple[int, int]] = []

    def turn(self, duration_ns: int, *, refill: int) -> Times:
        self.asked.append((duration_ns, refill))
        self._log.append(self._name)
        times = next(self._times)
        first = [round(median(times) * self._slower)] * refill
        return Times((*first, *times), *self._noticed)

    def prepare(self) -> None:
        self._log.append(f"{self._name} prepares")

    def window(self) -> WindowTime:
        self._log.append(self._name)
        return WindowTime(len(self._log), 100)

    @property
    def refills(self) -> list[int]:
        """The calls that do not count, turn by turn, as it was asked for them."""
        return [refill for _, refill in self.asked]


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


def taken(head: Fake, base: Fake, blocks: int) -> Turns:
    """So many blocks of turns."""
    turns = Turns(head, base)
    turns.take(0.0, fewest=blocks)
    assert turns.blocks == blocks
    return turns


# --- order ---------------------------------------------------------------------------------------


def test_a_block_has_a_turn_in_either_order() -> None:
    head, base, log = sides()
    taken(head, base, 40)
    turns = list(zip(log[::2], log[1::2], strict=True))
    for block in zip(turns[::2], turns[1::2], strict=True):
        assert sorted(block) == [BASE_FIRST, HEAD_FIRST]


@pytest.mark.parametrize("period", range(1, 12))
def test_a_disturbance_that_returns_at_intervals_meets_both_sides_alike(period: int) -> None:
    head, base, log = sides()
    taken(head, base, 1000)
    for phase in range(period):
        met = log[phase::period]
        assert 0.3 <= met.count("head") / len(met) <= 0.7


def test_both_are_asked_for_turns_of_the_same_length() -> None:
    head, base, _ = sides()
    taken(head, base, 7)
    assert head.asked == base.asked == [(SIDE_TURN_NS, 1), (SIDE_TURN_NS, 2)] * 7


# --- the change ----------------------------------------------------------------------------------


class Ordered(Fake):
    """A side whose turns take what is given for a first turn, or for a second one."""

    def __init__(
        self, name: str, log: list[str], first: Sequence[int], second: Sequence[int]
    ) -> None:
        super().__init__(name, log, iter(()))
        self._by_place = cycle(first), cycle(second)

    def turn(self, duration_ns: int, *, refill: int) -> Times:
        self._times = self._by_place[len(self._log) % 2]  # type: ignore[assignment]
        usual = next(self._times)
        self._times = iter([[usual]])  # type: ignore[list-item]
        return super().turn(duration_ns, refill=refill)


def test_the_change_is_the_mean_of_the_medians_of_both_orders() -> None:
    log: list[str] = []
    head = Ordered("head", log, first=[2, 8, 4], second=[10, 1000, 10])
    base = Ordered("base", log, first=[1, 1, 1], second=[2, 2, 2])
    change = taken(head, base, 3).change
    head_first = median([math.log(2 / 2), math.log(8 / 2), math.log(4 / 2)])
    base_first = median([math.log(10), math.log(1000), math.log(10)])
    assert change == pytest.approx(mean([head_first, base_first]))


def test_the_time_of_a_turn_is_the_median_of_its_calls_that_count() -> None:
    head, base, _ = sides(head=[[9, 2, 4]], base=[[1, 1, 100]], slower=(50.0, 70.0))
    assert taken(head, base, 4).change == pytest.approx(math.log(4))


def test_the_cost_of_coming_second_is_no_change() -> None:
    log: list[str] = []
    head, base = (Ordered(name, log, [MS], [round(1.2 * MS)]) for name in HEAD_FIRST)
    assert taken(head, base, 9).change == pytest.approx(0.0)


def test_the_order_of_turns_does_not_invert_the_change() -> None:
    head, base, _ = sides(head=[[2 * MS]])
    assert taken(head, base, 9).change == pytest.approx(math.log(2))


def test_a_few_disturbed_turns_are_no_change() -> None:
    log: list[str] = []
    head = Ordered("head", log, [MS, MS, 50 * MS], [MS, MS, 90 * MS])
    base = Ordered("base", log, [MS], [MS])
    assert taken(head, base, 9).change == pytest.approx(0.0)


@settings(patient, max_examples=50)
@given(short_calls, short_calls, st.integers(1, 9))
def test_swapped_sides_have_the_inverse_change(
    one: list[int], other: list[int], blocks: int
) -> None:
    head, base, log = sides([one], [other])
    found = taken(head, base, blocks).change
    assert log.count("head") == log.count("base") == 2 * blocks
    head, base, _ = sides([other], [one])
    assert taken(head, base, blocks).change == pytest.approx(-found)


# --- refills -------------------------------------------------------------------------------------


def test_calls_that_refill_the_caches_do_not_count() -> None:
    head, base, _ = sides(head=[[2 * MS]], slower=(9.0, 1.5))
    assert taken(head, base, 8).change == pytest.approx(math.log(2))
    assert head.refills == base.refills == [1, 2] * 8


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("slower", [1.0, 2.0])
def test_a_model_that_alternates_between_two_kinds_of_calls_is_no_change(
    ahead: int, slower: float
) -> None:
    """Whichever kind of call a side is at."""

    class Alternating(Fake):
        done = 0

        def turn(self, duration_ns: int, *, refill: int) -> Times:
            super().turn(duration_ns, refill=refill)
            times = []
            for call in range(refill + 1):
                usual = MS * (1 + self.done % 2)
                times.append(round(usual * (slower if call == 0 else 1.0)))
                self.done += 1
            return Times(tuple(times))

    log: list[str] = []
    head, base = (Alternating(name, log, cycle([[MS]])) for name in HEAD_FIRST)
    base.done = ahead
    assert taken(head, base, 9).change == pytest.approx(0.0)


def test_a_long_call_needs_no_refills_from_the_second_turn_on() -> None:
    head, base, _ = sides(head=[[UNAFFECTED_NS]], base=[[2 * UNAFFECTED_NS]], slower=(2.0, 2.0))
    assert taken(head, base, 8).change == pytest.approx(math.log(1 / 2))
    assert sorted([head.refills, base.refills]) == [[0] * 16, [1] + [0] * 15]


def test_a_call_that_gets_short_has_refills_again() -> None:
    log: list[str] = []
    head = Fake("head", log, iter([[UNAFFECTED_NS]] * 2 + [[MS]] * 99))
    base = Fake("base", log, iter([[UNAFFECTED_NS]] * 2 + [[MS]] * 99))
    taken(head, base, 8)
    for side in (head, base):
        assert side.refills[-10:] == [1, 2] * 5


def test_a_call_that_is_known_to_be_long_needs_no_refill_at_all() -> None:
    head, base, _ = sides(head=[[UNAFFECTED_NS]], base=[[UNAFFECTED_NS]])
    Turns(head, base, call_ns=UNAFFECTED_NS).take(0.0, fewest=3)
    assert head.refills == base.refills == [0] * 6


# --- how long ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head_s", "base_s", "blocks"),
    [(14.0, 14.0, 1), (1.0, 90.0, 1), (2.0, 2.0, 3), (0.005, 14.0, 3)],
)
def test_one_block_is_enough_if_calls_of_both_sides_take_seconds(
    head_s: float, base_s: float, blocks: int
) -> None:
    head, base, _ = sides(head=[[round(head_s * 1e9)]], base=[[round(base_s * 1e9)]])
    turns = Turns(head, base, call_ns=head_s * 1e9)
    turns.take(0.0, fewest=3)
    assert turns.blocks == blocks
    assert turns.change == pytest.approx(math.log(head_s / base_s))


def test_there_are_at_least_so_many_blocks_and_at_least_so_much_time() -> None:
    block = (MS * (1 + 1 + 1 + 2)) * 2  # calls that do not count take time as well
    for duration_ns, fewest, expected in ((0.0, 5, 5), (2.5 * block, 1, 3), (3.0 * block, 1, 3)):
        head, base, _ = sides()
        turns = Turns(head, base)
        turns.take(duration_ns, fewest=fewest)
        assert turns.blocks == expected


def test_an_error_of_a_side_is_not_swallowed() -> None:
    log: list[str] = []
    head = Fake("head", log, cycle([[MS]]))
    base = Fake("base", log, islice(cycle([[MS]]), 2))
    with pytest.raises(StopIteration):
        taken(head, base, 9)
    assert log.count("base") == 3, "asked a third time, and no further"


# --- what was noticed ----------------------------------------------------------------------------


def test_nothing_is_noticed_on_an_undisturbed_machine() -> None:
    head, base, _ = sides(head=[[2 * MS]])
    assert taken(head, base, 4).conditions(threads_share_cores=False) == Conditions()


def test_threads_that_share_cores_are_among_the_conditions() -> None:
    head, base, _ = sides()
    assert taken(head, base, 1).conditions(threads_share_cores=True).threads_share_cores


@pytest.mark.parametrize("worse", HEAD_FIRST)
def test_page_faults_are_those_of_the_worse_side_per_call(worse: str) -> None:
    log: list[str] = []
    head, base = (
        # 4 calls count in each turn; 1 or 2 more come before.
        Fake(name, log, cycle([[MS] * 4]), noticed=(60 if name == worse else 6, 0))
        for name in HEAD_FIRST
    )
    found = taken(head, base, 9).conditions(threads_share_cores=False)
    assert found.faults == pytest.approx((60 / 5 + 60 / 6) / 2)


def test_preemptions_are_those_of_both_sides_per_second_of_calls() -> None:
    log: list[str] = []
    head = Fake("head", log, cycle([[UNAFFECTED_NS]]), noticed=(0, 3))
    base = Fake("base", log, cycle([[UNAFFECTED_NS]]), noticed=(0, 1))
    found = taken(head, base, 5).conditions(threads_share_cores=False)
    calls_taken = 1 + 4 * 5  # with the first one, which does not count
    assert found.preemptions == pytest.approx(4 * 10 / (calls_taken * UNAFFECTED_NS / 1e9))


def test_scatter_is_the_usual_difference_between_neighbouring_turns_of_a_side() -> None:
    head, base, _ = sides(head=[[MS], [2 * MS]], base=[[MS], [2 * MS]])
    found = taken(head, base, 9).conditions(threads_share_cores=False)
    assert found.scatter == pytest.approx(1.0)


def test_a_difference_between_the_sides_is_no_scatter() -> None:
    head, base, _ = sides(head=[[3 * MS]])
    assert taken(head, base, 9).conditions(threads_share_cores=False).scatter == 0.0


# --- windows -------------------------------------------------------------------------------------


def test_windows_alternate_after_both_are_ready() -> None:
    head, base, log = sides()
    found = take_windows(head, base, 0.0, fewest=40)
    assert log[:2] == ["head prepares", "base prepares"]
    orders = list(zip(log[2::2], log[3::2], strict=True))
    for two in zip(orders[::2], orders[1::2], strict=True):
        assert sorted(two) == [BASE_FIRST, HEAD_FIRST]
    head_first = [of_head.non_mac_ns < of_base.non_mac_ns for of_head, of_base in found]
    assert head_first == [order == HEAD_FIRST for order in orders], "each its own window"


@pytest.mark.parametrize("fewest", [1, 3, 8])
def test_each_side_takes_windows_until_the_time_is_over_and_they_are_enough(fewest: int) -> None:
    head, base, log = sides()
    found = take_windows(head, base, 0.0, fewest=fewest)
    assert len(found) == fewest
    assert [log.count(name) for name in HEAD_FIRST] == [fewest] * 2
    found = take_windows(head, base, 1_000_000.0, fewest=fewest)
    assert len(found) >= fewest
