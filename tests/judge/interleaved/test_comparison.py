"""Verdicts on a call measured beside another revision's: when it fails, and what that takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS
from pytest_hiddencost.core.records import CallSiteCost, InterleavedComparison, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.interleaved.comparison import (
    CONFIRMING,
    GATE_SHARES,
    LOOKS,
    MOST_OPERATORS,
    OVERSUBSCRIBED,
    RISK_SHARES,
    TIMED,
    Pair,
    Plan,
    judge,
)
from pytest_hiddencost.judge.interleaved.ratios import PAIR_SPREAD, Estimate, growth_of
from pytest_hiddencost.workers.revisions import Base
from tests.judge.launched import CAT, CONV, COPY, MS, NORM, launch

REFERENCE = Base("main", Path("/project"), commit="0123456789abcdef")
ERROR = 0.002
GATES = [f"regression[{gate}]" for gate in TIMED]


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
    """A pair of processes in which this side took ``change`` more (0.1: 10 %)."""
    head, base = head or measured(10 * MS * (1.0 + change)), base or measured()
    estimates = {"p50": Estimate(math.log1p(change), error)}
    shares = [profile.non_mac_share for profile in (head, base)]
    if min(shares) > 0.0:
        hidden = math.log1p(change) + math.log(shares[0] / shares[1])
        estimates["non_mac"] = Estimate(hidden, error)
    return Pair(estimates, blocks, head, base, fresh=fresh, oversubscribed=oversubscribed)


class Fresh:
    """Measures pairs as given, after the first one, and counts them; an error ends it."""

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


def like(*changes: float) -> Fresh:
    return Fresh(lambda number: pair(changes[number % len(changes)]))


def never() -> Fresh:
    def make(_: int) -> Pair:
        raise AssertionError("no fresh pair is needed")

    return Fresh(make)


def broken(after: int, change: float = 0.2) -> Fresh:
    def make(number: int) -> Pair:
        if number >= after:
            raise InterleavingError("main: the worker process ended with exit status -9")
        return pair(change)

    return Fresh(make)


def plan(tolerance: float = 0.15, *, calls: int = 1, tolerances: Tolerances | None = None) -> Plan:
    return Plan(REFERENCE, tolerance, 0.99, calls, tolerances or Tolerances())


def judged(
    first: Pair, fresh: Fresh, how: Plan | None = None
) -> tuple[dict[str, Verdict], InterleavedComparison]:
    fresh.first = first
    verdicts, comparison = judge(how or plan(), fresh)
    found = {v.gate.removeprefix("regression[").removesuffix("]"): v for v in verdicts}
    assert len(found) == len(verdicts)
    return found, comparison


def answers(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {gate: verdict.verdict for gate, verdict in verdicts.items()}


# --- time ---------------------------------------------------------------------------------------


def test_unchanged_code_passes_from_the_first_pair() -> None:
    verdicts, comparison = judged(pair(0.001), never())
    assert set(answers(verdicts).values()) == {PASS}
    assert set(verdicts) == {"calls", "macs", "allocated_bytes", "activation_memory", *TIMED}
    assert (comparison.launches, comparison.blocks) == (1, 40)
    assert comparison.improved == comparison.differences == ()


def test_one_pair_whose_threads_share_cores_passes_nothing() -> None:
    """Such pairs differ by tens of percent: faster by the first may be slower by the next."""
    verdicts, comparison = judged(pair(-0.3, oversubscribed=True), like(0.3, 0.35))
    assert verdicts["p50"].verdict != PASS
    assert comparison.launches > LOOKS[0]
    verdicts, comparison = judged(pair(0.001, oversubscribed=True), like(0.002, -0.001))
    assert {verdicts[gate].verdict for gate in TIMED} == {PASS}
    assert comparison.launches == 1 + LOOKS[0]


def test_one_pair_whose_threads_share_cores_passes_nothing_where_structure_changed() -> None:
    more = measured(7 * MS, calls={COPY: 15})
    verdicts, comparison = judged(pair(-0.3, head=more, oversubscribed=True), never())
    assert verdicts["calls"].verdict == FAIL
    assert {verdicts[gate].verdict for gate in TIMED} == {INCONCLUSIVE}
    assert comparison.improved == ()
    assert "the structure changed already" in verdicts["p50"].reason


def test_what_was_compared_is_said() -> None:
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
    assert p50.reason == ""


def test_slower_code_fails_when_fresh_pairs_confirm_it() -> None:
    fresh = like(0.5, 0.51)
    verdicts, comparison = judged(pair(0.9), fresh)
    assert verdicts["p50"].verdict == verdicts["non_mac"].verdict == FAIL
    assert verdicts["p50"].reason == "shown by 5 pairs of processes, 5 of them fresh"
    mean = (1.9 * 1.5 * 1.51 * 1.5 * 1.51) ** (1 / 5) - 1.0
    assert verdicts["p50"].measured == pytest.approx(mean, abs=0.001)
    assert fresh.asked == comparison.launches - 1 == LOOKS[1], "three may be alike by luck"


def test_a_slow_first_pair_that_fresh_ones_do_not_confirm_is_no_failure() -> None:
    fresh = like(0.0)
    verdicts, comparison = judged(pair(0.2), fresh)
    assert FAIL not in answers(verdicts).values()
    assert verdicts["p50"].verdict == PASS
    assert comparison.ratio == pytest.approx(1.2 ** (1 / comparison.launches)), "it counts here"
    assert comparison.launches == fresh.asked + 1


def standing_then_fresh(change: float, confirmed: float) -> Fresh:
    """Pairs that ran other tests before, then fresh ones."""
    return Fresh(
        lambda number: pair(change if number < LOOKS[0] else confirmed, fresh=number >= LOOKS[0])
    )


def test_processes_that_ran_other_tests_fail_nothing_by_themselves() -> None:
    fresh = standing_then_fresh(0.5, 0.5)
    verdicts, comparison = judged(pair(0.5, fresh=False), fresh)
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["p50"].reason == "shown by 5 pairs of processes, 2 of them fresh"
    assert comparison.launches == 1 + LOOKS[1]


@pytest.mark.parametrize("change", [0.2, 0.5, 3.0])
def test_what_an_earlier_test_slowed_is_no_failure(change: float) -> None:
    fresh = standing_then_fresh(change, 0.0)
    verdicts, comparison = judged(pair(change, fresh=False), fresh)
    assert FAIL not in answers(verdicts).values()
    assert comparison.launches == 1 + LOOKS[-1]


def test_one_fresh_pair_confirms_nothing() -> None:
    fresh = Fresh(lambda number: pair(0.5, fresh=number == LOOKS[0]))
    verdicts, comparison = judged(pair(0.5, fresh=False), fresh)
    assert FAIL not in answers(verdicts).values()
    assert comparison.launches == 1 + LOOKS[-1]


def test_fresh_pairs_are_asked_for_where_a_gate_may_be_broken_and_no_more_than_it_takes() -> None:
    slower, unclear = like(0.15), like(0.0)
    judged(pair(0.18, fresh=False), slower)
    assert slower.asked == LOOKS[-1], "at the limit"
    assert slower.asked_fresh == CONFIRMING
    judged(pair(0.0, fresh=False), unclear, plan(0.001))
    assert unclear.asked == LOOKS[-1], "it cannot be told"
    assert unclear.asked_fresh == 0


@pytest.mark.parametrize("stays", [True, False])
def test_non_mac_time_is_worth_pairs_that_stay_for_other_tests(stays: bool) -> None:
    tight = Tolerances(own={"non_mac": 0.005})
    fresh = Fresh(lambda _: pair(0.0), stays=stays)
    verdicts, comparison = judged(pair(0.0), fresh, plan(0.15, tolerances=tight))
    assert verdicts["p50"].verdict == PASS
    assert verdicts["non_mac"].verdict == INCONCLUSIVE
    assert comparison.launches == 1 + (LOOKS[1] if stays else 0)


def test_unchanged_code_passes_without_fresh_pairs() -> None:
    fresh = standing_then_fresh(0.0, 9.9)
    verdicts, comparison = judged(pair(0.0, fresh=False), fresh, plan(0.03))
    assert verdicts["p50"].verdict == PASS
    assert comparison.launches == 1 + LOOKS[0]


@pytest.mark.parametrize("change", [0.2, 2.0, 100.0])
def test_nothing_fails_by_the_first_pair_alone(change: float) -> None:
    verdicts, comparison = judged(pair(change, error=0.0), broken(0))
    assert FAIL not in answers(verdicts).values()
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert comparison.launches == 1


def test_a_growth_at_the_limit_is_not_decided_however_often_it_is_measured() -> None:
    fresh = like(0.15)
    verdicts, comparison = judged(pair(0.15), fresh)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason.endswith("% by 8 pairs of processes")
    assert fresh.asked == comparison.launches - 1 == LOOKS[-1]


def test_where_threads_share_cores_it_is_said_what_would_tell_more() -> None:
    at_the_limit = 0.15
    reasons = []
    for oversubscribed in (True, False):
        verdicts, _ = judged(pair(at_the_limit, oversubscribed=oversubscribed), like(at_the_limit))
        assert verdicts["p50"].verdict == INCONCLUSIVE
        reasons.append(verdicts["p50"].reason)
    assert reasons[0] == f"{reasons[1]}; {OVERSUBSCRIBED}"
    assert "--hiddencost-threads" in OVERSUBSCRIBED


def test_more_pairs_are_measured_only_as_long_as_they_are_needed() -> None:
    fresh = Fresh(lambda number: pair(0.185 if number < LOOKS[0] else 0.2))
    verdicts, _ = judged(pair(0.18), fresh, plan(0.15))
    assert verdicts["p50"].verdict == FAIL
    assert fresh.asked == LOOKS[1]


def test_a_first_pair_that_cannot_tell_is_asked_again() -> None:
    fresh = like(0.0)
    verdicts, _ = judged(pair(0.0, error=0.05), fresh)
    assert verdicts["p50"].verdict == PASS
    assert fresh.asked == LOOKS[0]


def test_non_mac_time_may_grow_alone() -> None:
    def grown(_: int = 0) -> Pair:
        return pair(head=measured(shares={CONV: 0.3}))

    fresh = Fresh(grown)
    verdicts, comparison = judged(grown(), fresh)
    assert verdicts["non_mac"].verdict == FAIL
    assert verdicts["non_mac"].measured == pytest.approx(0.7 / 0.4 - 1.0)
    assert verdicts["p50"].verdict == PASS
    assert comparison.non_mac_ratio == pytest.approx(0.7 / 0.4)


def test_without_non_mac_time_there_is_no_such_gate() -> None:
    none = replace(measured(), non_mac_share=0.0)
    verdicts, comparison = judged(pair(head=none, base=none), never())
    assert "non_mac" not in verdicts
    assert comparison.non_mac_ratio is None
    assert comparison.non_mac_interval is None


def test_an_improvement_passes_and_is_told() -> None:
    verdicts, comparison = judged(pair(-0.3), never())
    assert set(answers(verdicts).values()) == {PASS}
    assert comparison.improved == tuple(GATES)
    assert comparison.ratio == pytest.approx(0.7)


def test_what_may_be_faster_by_less_than_the_tolerance_is_no_improvement() -> None:
    verdicts, comparison = judged(pair(-0.16), never())
    assert verdicts["p50"].measured == pytest.approx(-0.16)
    assert comparison.improved == ()


def test_blocks_are_those_of_the_pair_that_had_fewest_and_imports_those_that_were_looked_at() -> (
    None
):
    fresh = Fresh(lambda number: pair(0.2, blocks=30 + number))
    first = replace(pair(0.2, blocks=50), imported=("net.py", "net.py"))
    _, comparison = judged(first, fresh)
    assert comparison.blocks == 30
    assert comparison.imported == ("net.py", "net.py")


def test_what_is_faster_within_the_tolerance_is_no_improvement() -> None:
    _, comparison = judged(pair(-0.1), never())
    assert comparison.improved == ()


def test_more_calls_in_a_session_need_more_evidence() -> None:
    few, _ = judged(pair(0.18), like(0.18), plan(calls=1))
    many, _ = judged(pair(0.18), like(0.18), plan(calls=1_000_000))
    assert few["p50"].verdict == FAIL
    assert many["p50"].verdict == INCONCLUSIVE


def test_a_gate_has_its_own_share_of_the_risk_only() -> None:
    def verdict_of_risk(times: float) -> str:
        """Of p50, at so many times the risk that all of it would be at the second look."""
        whole = 0.01 * RISK_SHARES[1]
        low, high = 0.15, 3.0  # growth that has this risk, by five pairs
        for _ in range(60):
            middle = (low + high) / 2.0
            alike = [Estimate(math.log1p(middle), ERROR)] * (1 + LOOKS[1])
            risk = growth_of(alike, PAIR_SPREAD["p50"], 0.15, 0.99).risk
            low, high = (middle, high) if risk > times * whole else (low, middle)
        both = measured(10 * MS, shares={CONV: 1.0})
        first = pair(high, head=both, base=both)
        found, _ = judged(first, Fresh(lambda n: first if n < LOOKS[1] else pair(0.15)))
        return found["p50"].verdict

    assert verdict_of_risk(0.9 * GATE_SHARES["p50"]) == FAIL
    assert verdict_of_risk(1.1 * GATE_SHARES["p50"]) == INCONCLUSIVE


def test_looks_and_gates_share_the_risk() -> None:
    assert sum(RISK_SHARES) == pytest.approx(1.0)
    assert len(RISK_SHARES) == len(LOOKS)
    assert sum(GATE_SHARES.values()) == pytest.approx(1.0)
    assert set(GATE_SHARES) == set(TIMED)


# --- trouble ------------------------------------------------------------------------------------


def test_without_a_fresh_pair_it_is_said_why_nothing_was_confirmed() -> None:
    fresh = broken(0)
    verdicts, comparison = judged(pair(0.2), fresh)
    p50 = verdicts["p50"]
    assert p50.verdict == INCONCLUSIVE
    assert p50.reason.startswith("between +")
    assert p50.reason.endswith("%; main: the worker process ended with exit status -9")
    assert "pairs" not in p50.reason
    assert comparison.ratio == pytest.approx(1.2)
    assert fresh.asked == 1, "it is not tried again"


def test_trouble_with_a_later_pair_keeps_those_before_it() -> None:
    verdicts, comparison = judged(pair(0.15), broken(LOOKS[0] + 1, change=0.15))
    p50 = verdicts["p50"]
    assert p50.verdict == INCONCLUSIVE
    assert "by 4 pairs of processes; main: the worker process ended" in p50.reason
    assert comparison.launches == LOOKS[0] + 2
    assert comparison.ratio == pytest.approx(1.15)


@pytest.mark.parametrize("after", range(LOOKS[-1]))
def test_trouble_never_makes_a_failure_of_unchanged_code(after: int) -> None:
    verdicts, _ = judged(pair(0.2), broken(after, change=0.0))
    assert FAIL not in answers(verdicts).values()


def test_trouble_is_no_trouble_for_a_gate_that_passes() -> None:
    first = pair(head=measured(shares={CONV: 0.3}))  # non-MAC time only
    verdicts, _ = judged(first, broken(0))
    assert verdicts["p50"].verdict == PASS
    assert verdicts["p50"].reason == ""
    assert verdicts["non_mac"].verdict == INCONCLUSIVE


def test_other_errors_are_not_taken_for_trouble() -> None:
    with pytest.raises(AssertionError, match="no fresh pair is needed"):
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
    assert verdicts["p50"].verdict == INCONCLUSIVE, "time is not needed any more"
    assert comparison.launches == 1


def test_more_macs_fail_without_another_pair() -> None:
    verdicts, _ = judged(pair(0.3, head=measured(kinds={"conv2d 3x3": 31_000_000})), never())
    assert verdicts["macs"].verdict == FAIL


@pytest.mark.parametrize("quantity", ["allocated_bytes", "activation_peak_bytes"])
def test_more_bytes_fail_without_another_pair(quantity: str) -> None:
    gate = {"activation_peak_bytes": "activation_memory"}.get(quantity, quantity)
    verdicts, _ = judged(pair(head=measured(**{quantity: 2**23})), never())
    assert verdicts[gate].verdict == FAIL


def test_fewer_calls_are_an_improvement() -> None:
    verdicts, comparison = judged(pair(head=measured(calls={COPY: 13})), never())
    assert verdicts["calls"].verdict == PASS
    assert comparison.improved == ("regression[calls]",)
    assert comparison.differences[0].startswith("-1 aten::copy_")


def test_structure_that_varies_by_itself_is_no_improvement() -> None:
    head = measured(calls={COPY: 13}, structure_varies=True)
    _, comparison = judged(pair(head=head), never())
    assert comparison.improved == ()


def test_the_first_pair_is_what_structure_is_read_from() -> None:
    def grown(_: int) -> Pair:
        return pair(head=measured(calls={COPY: 15}))

    verdicts, _ = judged(pair(0.2), Fresh(grown))
    assert verdicts["calls"].verdict == PASS


def test_a_device_that_keeps_no_account_of_bytes_has_no_such_gate() -> None:
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


def test_one_tolerance_of_the_marker_is_for_all_of_time() -> None:
    verdicts, _ = judged(pair(0.2), never(), plan(tolerances=Tolerances(everywhere=0.5)))
    assert verdicts["p50"].verdict == verdicts["non_mac"].verdict == PASS
    first = pair(0.2, head=measured(12 * MS, calls={COPY: 15}))
    verdicts, _ = judged(first, never(), plan(tolerances=Tolerances(everywhere=0.5)))
    assert verdicts["calls"].verdict == FAIL


def test_a_named_tolerance_is_before_that_for_all() -> None:
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


def test_operators_that_came_or_went_have_no_calls_on_the_other_side() -> None:
    head = measured(calls={CAT: 0, "aten::clone": 3}, shares={"aten::clone": 0.3})
    _, comparison = judged(pair(head=head), never())
    found = {change.name: change for change in comparison.operators}
    came, went = found["aten::clone"], found[CAT]
    assert (came.base_calls, came.head_calls, came.base_ns) == (0, 3, 0.0)
    assert (went.base_calls, went.head_calls, went.head_ns) == (12, 0, 0.0)
    assert comparison.operators[0] == came


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


@settings(deadline=None, max_examples=60)
@given(
    first=pairs,
    fresh=st.lists(pairs, min_size=LOOKS[-1], max_size=LOOKS[-1]),
    works=st.integers(0, 2 * LOOKS[-1]),
    tolerance=st.floats(0.0, 0.5),
    calls=st.integers(1, 50),
    grown=st.booleans(),
)
def test_a_failure_in_time_takes_fresh_pairs_that_show_it(
    first: Pair, fresh: Sequence[Pair], works: int, tolerance: float, calls: int, grown: bool
) -> None:
    def make(number: int) -> Pair:
        if number >= works:
            raise InterleavingError("no more")
        return fresh[number]

    if grown:
        first = replace(first, head=measured(calls={COPY: 15}))
    launcher, how = Fresh(make), plan(tolerance, calls=calls)
    verdicts, comparison = judged(first, launcher, how)
    assert set(answers(verdicts).values()) <= {PASS, FAIL, INCONCLUSIVE}
    assert launcher.asked <= LOOKS[-1]
    assert comparison.launches == len(launcher.pairs) + 1
    if grown:
        assert launcher.asked == 0
        assert answers(verdicts)["calls"] == FAIL
    confirmed = [first, *launcher.pairs]
    for gate in TIMED:
        verdict = verdicts[gate]
        if verdict.verdict == FAIL:
            estimates = [found.estimates[gate] for found in confirmed]
            assert comparison.launches == len(confirmed) > LOOKS[0]
            assert sum(found.fresh for found in confirmed) >= CONFIRMING
            risk = growth_of(estimates, PAIR_SPREAD[gate], tolerance, how.confidence).risk
            look = LOOKS.index(comparison.launches - 1)
            share = (1.0 - how.confidence) * RISK_SHARES[look]
            assert risk <= share * GATE_SHARES[gate] / calls
        if verdict.verdict == PASS:
            assert verdict.interval is not None
            assert verdict.interval[1] <= tolerance
        if verdict.verdict != PASS:
            assert verdict.reason
