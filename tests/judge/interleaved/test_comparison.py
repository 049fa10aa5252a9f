"""Head against base: when a call fails, and how many pairs of processes that takes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS, REGRESSION
from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import CallSiteCost, InterleavedComparison, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.interleaved.comparison import (
    CHECK_SHARES,
    CONFIRMING,
    MOST_OPERATORS,
    PAIR_LOOKS,
    Pair,
    RevisionPlan,
    compare_pairs,
)
from pytest_hiddencost.judge.interleaved.ratios import PAIR_SPREAD, Estimate, growth_of
from pytest_hiddencost.judge.sequential import SequentialTest
from tests.judge.launches import CAT, CONV, COPY, MS, NORM, launch
from tests.profiles import patient

ERROR = 0.002
TIMED = list(CHECK_SHARES)
FIRST, SECOND, LAST = (look.size for look in PAIR_LOOKS)  # pairs in all


def measured(p50_ns: float = 10 * MS, **changes: object) -> Profile:
    """A profile with eight windows, which agree to half a percent."""
    profile = launch(p50_ns, **changes)  # type: ignore[arg-type]
    operators = [
        replace(cost, windows_ns=tuple(cost.self_ns * part for part in (0.995, 1.005)) * 4)
        for cost in profile.operators
    ]
    return replace(profile, operators=tuple(operators))


def pair(
    change: float = 0.0,
    *,
    error: float = ERROR,
    head: Profile | None = None,
    base: Profile | None = None,
    blocks: int = 40,
    fresh: bool = True,
    oversubscribed: bool = False,
) -> Pair:
    """A pair of processes in which head took ``change`` more than base (0.1: 10 %)."""
    head, base = head or measured(10 * MS * (1.0 + change)), base or measured()
    estimates = {"p50": Estimate(math.log1p(change), error)}
    shares = [profile.non_mac_share for profile in (head, base)]
    if min(shares) > 0.0:
        hidden = math.log1p(change) + math.log(shares[0] / shares[1])
        estimates["non_mac"] = Estimate(hidden, error)
    return Pair(estimates, blocks, head, base, fresh=fresh, oversubscribed=oversubscribed)


class Launching:
    """Gives the first pair, then those of ``make``, and counts these; an error ends it."""

    def __init__(self, make: Callable[[int], Pair], *, stays: bool = False) -> None:
        self._make = make
        self.first: Pair | None = None
        self.stays = stays
        self.pairs: list[Pair] = []
        self.asked = 0
        self.asked_fresh = 0

    def __call__(self, *, fresh: bool) -> Pair:
        if self.first is not None:
            first, self.first = self.first, None
            return first
        self.asked += 1
        self.asked_fresh += fresh
        self.pairs.append(self._make(self.asked - 1))
        return self.pairs[-1]


def like(*changes: float) -> Launching:
    return Launching(lambda number: pair(changes[number % len(changes)]))


def never() -> Launching:
    def make(_: int) -> Pair:
        raise AssertionError("no further pair is needed")

    return Launching(make)


def broken(after: int, change: float = 0.2) -> Launching:
    def make(number: int) -> Pair:
        if number >= after:
            raise InterleavingError("main: the worker process ended with exit status -9")
        return pair(change)

    return Launching(make)


def plan(
    tolerance: float = 0.15, *, calls: int = 1, tolerances: Tolerances | None = None
) -> RevisionPlan:
    return RevisionPlan(
        "main", "0123456789abcdef", tolerance, 0.99, calls, tolerances or Tolerances()
    )


def judged(
    first: Pair, launching: Launching, how: RevisionPlan | None = None
) -> tuple[dict[str, Verdict], InterleavedComparison]:
    """The verdicts by key, and the comparison."""
    launching.first = first
    verdicts, comparison = compare_pairs(how or plan(), launching)
    found = {verdict.check.key: verdict for verdict in verdicts}
    assert len(found) == len(verdicts)
    assert {verdict.check.kind for verdict in verdicts} == {REGRESSION}
    return found, comparison


def answers(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {key: verdict.verdict for key, verdict in verdicts.items()}


# --- time ---------------------------------------------------------------------------------------


def test_unchanged_code_passes_from_the_first_pair() -> None:
    verdicts, comparison = judged(pair(0.001), never())
    assert set(answers(verdicts).values()) == {PASS}
    assert set(verdicts) == {"calls", "macs", "allocated_bytes", "activation_memory", *TIMED}
    assert (comparison.launches, comparison.blocks) == (1, 40)
    assert comparison.improved == comparison.differences == ()


def test_one_oversubscribed_pair_passes_nothing() -> None:
    """Such pairs differ by tens of percent: faster by the first may be slower by the next."""
    verdicts, comparison = judged(pair(-0.3, oversubscribed=True), like(0.3, 0.35))
    assert verdicts["p50"].verdict != PASS
    assert comparison.launches >= FIRST
    verdicts, comparison = judged(pair(0.001, oversubscribed=True), like(0.002, -0.001))
    assert {verdicts[key].verdict for key in TIMED} == {PASS}
    assert comparison.launches == FIRST


def test_one_oversubscribed_pair_passes_nothing_where_the_structure_failed() -> None:
    more = measured(7 * MS, calls={COPY: 15})
    verdicts, comparison = judged(pair(-0.3, head=more, oversubscribed=True), never())
    assert verdicts["calls"].verdict == FAIL
    assert {verdicts[key].verdict for key in TIMED} == {INCONCLUSIVE}
    assert comparison.improved == ()
    assert "the structure failed already" in verdicts["p50"].reason
    assert verdicts["p50"].remedy == "mend the structure first"


def test_the_comparison_names_the_base_and_has_ratios_with_intervals() -> None:
    verdicts, comparison = judged(pair(0.01), never())
    assert (comparison.revision, comparison.commit) == ("main", "0123456789abcdef")
    assert comparison.ratio == pytest.approx(1.01)
    assert comparison.interval is not None
    assert comparison.interval[0] < 1.01 < comparison.interval[1]
    assert comparison.non_mac_ratio == pytest.approx(1.01)
    assert comparison.non_mac_interval is not None
    p50 = verdicts["p50"]
    assert p50.measured == pytest.approx(0.01)
    assert (p50.limit, p50.unit) == (0.15, "share")
    assert p50.interval == pytest.approx([bound - 1.0 for bound in comparison.interval])
    assert p50.explanation == ""


def test_slower_code_fails_when_fresh_pairs_confirm_it() -> None:
    launching = like(0.5, 0.51)
    verdicts, comparison = judged(pair(0.9), launching)
    assert verdicts["p50"].verdict == verdicts["non_mac"].verdict == FAIL
    assert verdicts["p50"].reason == "shown by 5 pairs of processes, 5 of them fresh"
    mean = (1.9 * 1.5 * 1.51 * 1.5 * 1.51) ** (1 / 5) - 1.0
    assert verdicts["p50"].measured == pytest.approx(mean, abs=0.001)
    assert launching.asked + 1 == comparison.launches == SECOND, "three may be alike by luck"


def test_a_slow_first_pair_that_fresh_ones_do_not_confirm_is_no_failure() -> None:
    launching = like(0.0)
    verdicts, comparison = judged(pair(0.2), launching)
    assert FAIL not in answers(verdicts).values()
    assert verdicts["p50"].verdict == PASS
    assert comparison.ratio == pytest.approx(1.2 ** (1 / comparison.launches)), "it counts"
    assert comparison.launches == launching.asked + 1


def standing_then_fresh(change: float, confirmed: float) -> Launching:
    """Pairs that ran other tests before, three with the first, then fresh ones."""

    def make(number: int) -> Pair:
        fresh = number + 1 >= FIRST
        return pair(confirmed if fresh else change, fresh=fresh)

    return Launching(make)


def test_processes_that_ran_other_tests_fail_nothing_by_themselves() -> None:
    launching = standing_then_fresh(0.5, 0.5)
    verdicts, comparison = judged(pair(0.5, fresh=False), launching)
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["p50"].reason == "shown by 5 pairs of processes, 2 of them fresh"
    assert comparison.launches == SECOND


@pytest.mark.parametrize("change", [0.2, 0.5, 3.0])
def test_a_pair_that_an_earlier_test_slowed_fails_nothing(change: float) -> None:
    launching = standing_then_fresh(change, 0.0)
    verdicts, comparison = judged(pair(change, fresh=False), launching)
    assert FAIL not in answers(verdicts).values()
    assert comparison.launches == LAST


def test_one_fresh_pair_confirms_nothing() -> None:
    launching = Launching(lambda number: pair(0.5, fresh=number + 1 == FIRST))
    verdicts, comparison = judged(pair(0.5, fresh=False), launching)
    assert FAIL not in answers(verdicts).values()
    assert comparison.launches == LAST


def test_no_more_fresh_pairs_are_asked_for_than_a_failure_takes() -> None:
    slower, unclear = like(0.15), like(0.0)
    judged(pair(0.18, fresh=False), slower)
    assert slower.asked + 1 == LAST, "at the limit"
    assert slower.asked_fresh == CONFIRMING
    judged(pair(0.0, fresh=False), unclear, plan(0.001))
    assert unclear.asked + 1 == LAST, "too small a tolerance to decide"
    assert unclear.asked_fresh == 0, "nothing looks slower"


@pytest.mark.parametrize("stays", [True, False])
def test_non_mac_time_is_worth_pairs_that_stay_for_other_tests(stays: bool) -> None:
    tight = Tolerances(own={"non_mac": 0.005})
    launching = Launching(lambda _: pair(0.0), stays=stays)
    verdicts, comparison = judged(pair(0.0), launching, plan(0.15, tolerances=tight))
    assert verdicts["p50"].verdict == PASS
    assert verdicts["non_mac"].verdict == INCONCLUSIVE
    assert comparison.launches == (SECOND if stays else 1)


def test_unchanged_code_passes_without_fresh_pairs() -> None:
    launching = standing_then_fresh(0.0, 9.9)
    verdicts, comparison = judged(pair(0.0, fresh=False), launching, plan(0.03))
    assert verdicts["p50"].verdict == PASS
    assert comparison.launches == FIRST


@pytest.mark.parametrize("change", [0.2, 2.0, 100.0])
def test_nothing_fails_by_the_first_pair_alone(change: float) -> None:
    verdicts, comparison = judged(pair(change, error=0.0), broken(0))
    assert FAIL not in answers(verdicts).values()
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert comparison.launches == 1


def test_a_growth_at_the_limit_is_not_decided_however_often_it_is_measured() -> None:
    launching = like(0.15)
    verdicts, comparison = judged(pair(0.15), launching)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert re.fullmatch(
        r"growth over base lies between \+[\d.]+ % and \+[\d.]+ % by 8 pairs of processes",
        verdicts["p50"].reason,
    )
    assert re.fullmatch(
        r'allow more, regression=\{"p50": "\d+%"\}, or measure longer \(--hiddencost-max-time\)',
        verdicts["p50"].remedy,
    )
    assert launching.asked + 1 == comparison.launches == LAST


def test_an_open_growth_of_oversubscribed_pairs_asks_for_fewer_threads() -> None:
    verdicts, _ = judged(pair(0.15, oversubscribed=True), like(0.15))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason.endswith("; their threads share cores")
    assert "--hiddencost-threads" in verdicts["p50"].remedy


def test_the_remedy_for_an_open_growth_decides_it() -> None:
    verdicts, _ = judged(pair(0.15), like(0.15))
    share = re.search(r'"p50": "(\d+)%"', verdicts["p50"].remedy)
    assert share is not None
    loose = Tolerances(own={"p50": int(share[1]) / 100, "non_mac": 9.0})
    again, _ = judged(pair(0.15), like(0.15), plan(tolerances=loose))
    assert again["p50"].verdict == PASS


def test_more_pairs_are_measured_only_as_long_as_they_are_needed() -> None:
    launching = Launching(lambda number: pair(0.185 if number + 1 < FIRST else 0.2))
    verdicts, _ = judged(pair(0.18), launching, plan(0.15))
    assert verdicts["p50"].verdict == FAIL
    assert launching.asked + 1 == SECOND


def test_a_first_pair_that_is_too_uncertain_is_followed_by_others() -> None:
    launching = like(0.0)
    verdicts, _ = judged(pair(0.0, error=0.05), launching)
    assert verdicts["p50"].verdict == PASS
    assert launching.asked + 1 == FIRST


def test_non_mac_time_may_grow_alone() -> None:
    def grown(_: int = 0) -> Pair:
        return pair(head=measured(shares={CONV: 0.3}))

    launching = Launching(grown)
    verdicts, comparison = judged(grown(), launching)
    assert verdicts["non_mac"].verdict == FAIL
    assert verdicts["non_mac"].measured == pytest.approx(0.7 / 0.4 - 1.0)
    assert verdicts["p50"].verdict == PASS
    assert comparison.non_mac_ratio == pytest.approx(0.7 / 0.4)


def test_without_non_mac_time_it_is_not_checked() -> None:
    none = replace(measured(), non_mac_share=0.0)
    verdicts, comparison = judged(pair(head=none, base=none), never())
    assert "non_mac" not in verdicts
    assert comparison.non_mac_ratio is None
    assert comparison.non_mac_interval is None


def test_an_improvement_passes_and_is_listed() -> None:
    verdicts, comparison = judged(pair(-0.3), never())
    assert set(answers(verdicts).values()) == {PASS}
    assert comparison.improved == tuple(TIMED)
    assert comparison.ratio == pytest.approx(0.7)


def test_a_call_that_may_be_faster_by_less_than_the_tolerance_is_no_improvement() -> None:
    verdicts, comparison = judged(pair(-0.16), never())
    assert verdicts["p50"].measured == pytest.approx(-0.16)
    assert comparison.improved == ()


def test_blocks_are_those_of_the_pair_with_fewest_and_imports_those_of_the_first() -> None:
    launching = Launching(lambda number: pair(0.2, blocks=30 + number))
    first = replace(pair(0.2, blocks=50), imported=("net.py", "net.py"))
    _, comparison = judged(first, launching)
    assert comparison.blocks == 30
    assert comparison.imported == ("net.py", "net.py")


def test_a_call_faster_within_the_tolerance_is_no_improvement() -> None:
    _, comparison = judged(pair(-0.1), never())
    assert comparison.improved == ()


def test_more_calls_in_a_session_need_more_evidence() -> None:
    few, _ = judged(pair(0.18), like(0.18), plan(calls=1))
    many, _ = judged(pair(0.18), like(0.18), plan(calls=1_000_000))
    assert few["p50"].verdict == FAIL
    assert many["p50"].verdict == INCONCLUSIVE


def growth_of_risk(risk: float) -> float:
    """The growth that this risk belongs to, shown alike by as many pairs as the second look has."""
    low, high = 0.15, 3.0
    for _ in range(60):
        middle = (low + high) / 2.0
        alike = [Estimate(math.log1p(middle), ERROR)] * SECOND
        found = growth_of(alike, PAIR_SPREAD["p50"], 0.15, 0.99).risk
        low, high = (middle, high) if found > risk else (low, middle)
    return high


@pytest.mark.parametrize(("factor", "verdict"), [(0.9, FAIL), (1.1, INCONCLUSIVE)])
def test_p50_has_its_own_share_of_the_risk_only(factor: float, verdict: str) -> None:
    own = 0.01 * PAIR_LOOKS[1].risk_share * CHECK_SHARES["p50"]
    both = measured(10 * MS, shares={CONV: 1.0})  # without non-MAC time
    first = pair(growth_of_risk(factor * own), head=both, base=both)
    found, _ = judged(first, Launching(lambda n: first if n + 1 < SECOND else pair(0.15)))
    assert found["p50"].verdict == verdict


def test_the_checks_share_the_whole_risk() -> None:
    assert sum(CHECK_SHARES.values()) == pytest.approx(1.0)
    assert set(CHECK_SHARES) == {"p50", "non_mac"}


# --- trouble ------------------------------------------------------------------------------------


def test_without_a_further_pair_the_reason_is_why_there_was_none() -> None:
    launching = broken(0)
    verdicts, comparison = judged(pair(0.2), launching)
    p50 = verdicts["p50"]
    assert p50.verdict == INCONCLUSIVE
    assert p50.reason.startswith("growth over base lies between +")
    assert p50.reason.endswith("%; main: the worker process ended with exit status -9")
    assert p50.remedy == "mend that, then run again"
    assert "pairs" not in p50.reason
    assert comparison.ratio == pytest.approx(1.2)
    assert launching.asked == 1, "it is not tried again"


def test_trouble_with_a_later_pair_keeps_those_before_it() -> None:
    verdicts, comparison = judged(pair(0.15), broken(FIRST, change=0.15))
    p50 = verdicts["p50"]
    assert p50.verdict == INCONCLUSIVE
    assert "by 4 pairs of processes; main: the worker process ended" in p50.reason
    assert comparison.launches == FIRST + 1
    assert comparison.ratio == pytest.approx(1.15)


@pytest.mark.parametrize("after", range(LAST - 1))
def test_trouble_never_makes_a_failure_of_unchanged_code(after: int) -> None:
    verdicts, _ = judged(pair(0.2), broken(after, change=0.0))
    assert FAIL not in answers(verdicts).values()


def test_trouble_changes_nothing_for_a_check_that_passes() -> None:
    first = pair(head=measured(shares={CONV: 0.3}))  # non-MAC time only
    verdicts, _ = judged(first, broken(0))
    assert verdicts["p50"].verdict == PASS
    assert verdicts["p50"].reason == ""
    assert verdicts["non_mac"].verdict == INCONCLUSIVE


def test_other_errors_are_not_taken_for_trouble() -> None:
    with pytest.raises(AssertionError, match="no further pair is needed"):
        judged(pair(0.3), never())


# --- structure ----------------------------------------------------------------------------------


def test_more_calls_fail_without_another_pair() -> None:
    site = CallSiteCost("blocks.0", "net.py:7", 14, 1.0)
    verdicts, comparison = judged(
        pair(0.3, head=measured(13 * MS, calls={COPY: 15}, call_sites={COPY: [site]})), never()
    )
    assert verdicts["calls"].verdict == FAIL
    assert "+1 aten::copy_" in verdicts["calls"].reason
    assert "net.py:7" in verdicts["calls"].reason
    assert comparison.differences[0].startswith("+1 aten::copy_")
    assert verdicts["p50"].verdict == INCONCLUSIVE, "no pair was measured to decide it"
    assert comparison.launches == 1


def test_more_macs_fail_without_another_pair() -> None:
    verdicts, _ = judged(pair(0.3, head=measured(kinds={"conv2d 3x3": 31_000_000})), never())
    assert verdicts["macs"].verdict == FAIL


@pytest.mark.parametrize("quantity", ["allocated_bytes", "activation_peak_bytes"])
def test_more_bytes_fail_without_another_pair(quantity: str) -> None:
    key = {"activation_peak_bytes": "activation_memory"}.get(quantity, quantity)
    verdicts, _ = judged(pair(head=measured(**{quantity: 2**23})), never())
    assert verdicts[key].verdict == FAIL


def test_fewer_calls_are_an_improvement() -> None:
    verdicts, comparison = judged(pair(head=measured(calls={COPY: 13})), never())
    assert verdicts["calls"].verdict == PASS
    assert comparison.improved == ("calls",)
    assert comparison.differences[0].startswith("-1 aten::copy_")


def test_structure_that_varies_by_itself_is_no_improvement() -> None:
    head = measured(calls={COPY: 13}, structure_varies=True)
    _, comparison = judged(pair(head=head), never())
    assert comparison.improved == ()


def test_the_structure_is_that_of_the_first_pair() -> None:
    def grown(_: int) -> Pair:
        return pair(head=measured(calls={COPY: 15}))

    verdicts, _ = judged(pair(0.2), Launching(grown))
    assert verdicts["calls"].verdict == PASS


def test_bytes_that_the_device_never_counts_are_not_checked() -> None:
    bare = measured(allocated_bytes=None, activation_peak_bytes=None)
    verdicts, _ = judged(pair(head=bare, base=bare), never())
    assert set(verdicts) == {"calls", "macs", *TIMED}


# --- tolerances ---------------------------------------------------------------------------------


def test_the_markers_own_tolerances_count() -> None:
    own = Tolerances(own={"p50": 0.4, "non_mac": 0.5, "calls": 0.1})
    first = pair(0.2, head=measured(12 * MS, calls={COPY: 15}))
    verdicts, _ = judged(first, never(), plan(tolerances=own))
    assert set(answers(verdicts).values()) == {PASS}
    assert (verdicts["p50"].limit, verdicts["non_mac"].limit) == (0.4, 0.5)


def test_one_tolerance_in_the_marker_is_for_every_timed_check() -> None:
    verdicts, _ = judged(pair(0.2), never(), plan(tolerances=Tolerances(everywhere=0.5)))
    assert verdicts["p50"].verdict == verdicts["non_mac"].verdict == PASS
    first = pair(0.2, head=measured(12 * MS, calls={COPY: 15}))
    verdicts, _ = judged(first, never(), plan(tolerances=Tolerances(everywhere=0.5)))
    assert verdicts["calls"].verdict == FAIL


def test_a_named_tolerance_comes_before_the_one_for_every_check() -> None:
    tolerances = Tolerances(everywhere=0.9, own={"p50": 0.05})
    verdicts, _ = judged(pair(0.3), like(0.3), plan(tolerances=tolerances))
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["non_mac"].verdict == PASS


def test_a_tight_tolerance_is_decided_by_more_pairs() -> None:
    verdicts, _ = judged(pair(0.05), like(0.05), plan(0.01))
    assert verdicts["p50"].verdict == FAIL
    verdicts, _ = judged(pair(0.0), like(0.0), plan(0.02))
    assert verdicts["p50"].verdict == PASS


# --- operators ----------------------------------------------------------------------------------


def test_operators_that_changed_are_listed_slowest_first() -> None:
    head = measured(12 * MS, shares={CONV: 0.5, CAT: 0.2, NORM: 0.1}, outside_ns=0.6 * MS)
    _, comparison = judged(pair(0.2, head=head), like(0.0))
    assert {change.name for change in comparison.operators} <= {CONV, NORM, CAT, COPY, "outside"}
    _, comparison = judged(pair(0.0, head=head), never(), plan(10.0))
    growths = [change.head_ns - change.base_ns for change in comparison.operators]
    assert growths == sorted(growths, reverse=True)
    first, last = comparison.operators[0], comparison.operators[-1]
    assert (first.name, first.head_ns, first.base_ns) == (CAT, 2.4 * MS, 1.0 * MS)
    assert (last.name, last.base_ns) == (NORM, 2.0 * MS)
    assert last.head_ns == pytest.approx(1.2 * MS)


def test_operators_that_were_added_or_removed_have_no_calls_on_one_side() -> None:
    head = measured(calls={CAT: 0, "aten::clone": 3}, shares={"aten::clone": 0.3})
    _, comparison = judged(pair(head=head), never())
    found = {change.name: change for change in comparison.operators}
    added, removed = found["aten::clone"], found[CAT]
    assert (added.base_calls, added.head_calls, added.base_ns) == (0, 3, 0.0)
    assert (removed.base_calls, removed.head_calls, removed.head_ns) == (12, 0, 0.0)
    assert comparison.operators[0] == added


def test_time_outside_of_operators_is_listed_with_them() -> None:
    _, comparison = judged(pair(head=measured(outside_ns=5.0 * MS)), never())
    first = comparison.operators[0]
    assert (first.name, first.base_calls, first.head_calls) == ("outside", 0, 0)
    assert (first.base_ns, first.head_ns) == (0.6 * MS, 5.0 * MS)


def test_long_lists_of_operators_are_cut_to_those_that_changed_most() -> None:
    names = [f"aten::operator_{i}" for i in range(20)]
    calls, before = dict.fromkeys(names, 1), dict.fromkeys(names, 0.001)
    after = {name: 0.001 * (1 + i) for i, name in enumerate(names)}
    head, base = measured(calls=calls, shares=after), measured(calls=calls, shares=before)
    _, comparison = judged(pair(head=head, base=base), never())
    assert [change.name for change in comparison.operators] == names[::-1][:MOST_OPERATORS]


def test_an_operator_that_is_called_more_often_is_listed_however_little_it_takes() -> None:
    names = [f"aten::operator_{i}" for i in range(20)]
    calls, before = dict.fromkeys(names, 1), dict.fromkeys(names, 0.001)
    after = {name: 0.001 * (2 + i) for i, name in enumerate(names)}
    head = measured(calls={**calls, CAT: 13}, shares=after)
    base = measured(calls={**calls, CAT: 12}, shares=before)
    _, comparison = judged(pair(head=head, base=base), never())
    found = {change.name: change for change in comparison.operators}
    assert len(found) == MOST_OPERATORS
    assert (found[CAT].base_calls, found[CAT].head_calls) == (12, 13)


# --- whatever is measured -----------------------------------------------------------------------

some_changes = st.floats(-0.5, 1.0)
some_errors = st.floats(0.0, 0.2)
pairs = st.builds(
    lambda change, error, fresh: pair(change, error=error, fresh=fresh),
    some_changes,
    some_errors,
    st.booleans(),
)


@settings(patient, max_examples=60)
@given(
    first=pairs,
    later=st.lists(pairs, min_size=LAST - 1, max_size=LAST - 1),
    works=st.integers(0, 2 * LAST),
    tolerance=st.floats(0.0, 0.5),
    calls=st.integers(1, 50),
    grown=st.booleans(),
)
def test_a_failure_in_time_takes_fresh_pairs_that_show_it(
    first: Pair, later: Sequence[Pair], works: int, tolerance: float, calls: int, grown: bool
) -> None:
    def make(number: int) -> Pair:
        if number >= works:
            raise InterleavingError("no more")
        return later[number]

    if grown:
        first = replace(first, head=measured(calls={COPY: 15}))
    launching, how = Launching(make), plan(tolerance, calls=calls)
    verdicts, comparison = judged(first, launching, how)
    assert set(answers(verdicts).values()) <= {PASS, FAIL, INCONCLUSIVE}
    assert launching.asked < LAST
    confirmed = [first, *launching.pairs]
    assert comparison.launches == len(confirmed)
    if grown:
        assert launching.asked == 0
        assert answers(verdicts)["calls"] == FAIL
    test = SequentialTest(PAIR_LOOKS, CHECK_SHARES, how.confidence, calls)
    for key in TIMED:
        verdict = verdicts[key]
        if verdict.verdict == FAIL:
            assert sum(found.fresh for found in confirmed) >= CONFIRMING
            [look] = [look for look in PAIR_LOOKS if look.size == len(confirmed)]
            risks = {
                name: growth_of(
                    [found.estimates[name] for found in confirmed],
                    PAIR_SPREAD[name], tolerance, how.confidence,
                ).risk
                for name in TIMED
            }  # fmt: skip
            assert key in test.rejected(look, risks)
        if verdict.verdict == PASS:
            assert verdict.interval is not None
            assert verdict.interval[1] <= tolerance
        if verdict.verdict != PASS:
            assert verdict.reason
        if verdict.verdict == INCONCLUSIVE:
            assert verdict.remedy
