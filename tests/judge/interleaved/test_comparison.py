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
from pytest_hiddencost.core.records import (
    LATENCY,
    CallSiteCost,
    DeviceHealth,
    InterleavedComparison,
    Profile,
    Verdict,
)
from pytest_hiddencost.core.tolerances import MOST_GROWTH, Tolerances
from pytest_hiddencost.judge import signed_rank
from pytest_hiddencost.judge.interleaved.comparison import (
    FEWEST_PAIRS,
    MOST_OPERATORS,
    Pair,
    RevisionPlan,
    compare_pairs,
    pair_looks,
)
from pytest_hiddencost.judge.interleaved.disagreement import Conditions
from pytest_hiddencost.judge.sequential import CHECK_SHARES
from tests.judge.launches import CAT, CONV, COPY, MS, NORM, launch
from tests.profiles import patient

CONFIDENCE = 0.99
TIMED = list(CHECK_SHARES)
FIRST, SECOND, LAST = (look.size for look in pair_looks(CONFIDENCE, calls=1))  # pairs in all
CALM = Conditions()


def measured(p50_ns: float = 10 * MS, **changes: object) -> Profile:
    """A profile of head or base."""
    return launch(p50_ns, **changes)  # type: ignore[arg-type]


def pair(
    change: float = 0.0,
    *,
    head: Profile | None = None,
    base: Profile | None = None,
    blocks: int = 40,
    conditions: Conditions = CALM,
) -> Pair:
    """A pair of processes in which head took ``change`` more than base (0.1: 10 %)."""
    head, base = head or measured(10 * MS * (1.0 + change)), base or measured()
    changes = {"p50": math.log1p(change)}
    shares = [profile.non_mac_share for profile in (head, base)]
    if min(shares) > 0.0:
        changes["non_mac"] = math.log1p(change) + math.log(shares[0] / shares[1])
    return Pair(changes, blocks, conditions, head, base)


class Launching:
    """Gives the first pair, then those of ``make``, and counts all of them; an error ends it."""

    def __init__(self, make: Callable[[int], Pair]) -> None:
        self._make = make
        self.first: Pair | None = None
        self.asked = 0

    def __call__(self) -> Pair:
        self.asked += 1
        if self.asked == 1:
            assert self.first is not None
            return self.first
        return self._make(self.asked - 2)


def like(*changes: float, **others: object) -> Launching:
    return Launching(lambda number: pair(changes[number % len(changes)], **others))  # type: ignore[arg-type]


def broken(after: int, *changes: float) -> Launching:
    """Only ``after`` pairs can be measured after the first."""

    def make(number: int) -> Pair:
        if number >= after:
            raise InterleavingError("main: the worker process ended with exit status -9")
        return pair(changes[number % len(changes)])

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


# --- when pairs may decide ----------------------------------------------------------------------


@pytest.mark.parametrize("calls", [1, 7, 1_000])
@pytest.mark.parametrize("confidence", [0.1, 0.5, 0.9, 0.99, 0.9999])
def test_every_look_has_as_many_pairs_as_its_bounds_and_its_risk_take(
    confidence: float, calls: int
) -> None:
    looks = pair_looks(confidence, calls)
    sizes = [look.size for look in looks]
    assert sizes[0] >= FEWEST_PAIRS == 3
    assert sizes == sorted(set(sizes))
    assert math.fsum(look.risk_share for look in looks) == pytest.approx(1.0)
    for look in looks:
        assert look.size >= signed_rank.fewest((1.0 - confidence) * look.risk_share)
    own = (1.0 - confidence) * looks[-1].risk_share * min(CHECK_SHARES.values()) / calls
    assert sizes[-1] > signed_rank.fewest(own), "one pair may favour the wrong side"


def test_more_calls_in_a_session_have_a_later_last_look_and_no_later_first_one() -> None:
    few, many = pair_looks(CONFIDENCE, 1), pair_looks(CONFIDENCE, 10_000)
    assert many[:2] == few[:2]
    assert many[-1].size > few[-1].size


def test_more_confidence_takes_more_pairs() -> None:
    sizes = [pair_looks(confidence, 1)[0].size for confidence in (0.5, 0.9, 0.99, 0.999)]
    assert sizes == sorted(set(sizes))


# --- time ---------------------------------------------------------------------------------------


def test_unchanged_code_passes_at_the_first_look() -> None:
    launching = like(0.002, -0.001)
    verdicts, comparison = judged(pair(0.001), launching)
    assert set(answers(verdicts).values()) == {PASS}
    assert set(verdicts) == {"calls", "macs", "allocated_bytes", "activation_memory", *TIMED}
    assert (launching.asked, comparison.launches, comparison.blocks) == (FIRST, FIRST, 40)
    assert comparison.improved == comparison.differences == ()


def test_the_comparison_names_the_base_and_has_ratios_with_intervals() -> None:
    verdicts, comparison = judged(pair(0.01), like(0.0, 0.02))
    assert (comparison.revision, comparison.commit) == ("main", "0123456789abcdef")
    assert comparison.ratio == pytest.approx(1.01, abs=0.005)
    assert comparison.interval is not None
    assert comparison.interval[0] < 1.01 < comparison.interval[1]
    assert comparison.non_mac_ratio == pytest.approx(1.01, abs=0.005)
    assert comparison.non_mac_interval is not None
    p50 = verdicts["p50"]
    assert p50.measured == pytest.approx(0.01, abs=0.005)
    assert (p50.limit, p50.unit) == (0.15, "share")
    assert p50.interval == pytest.approx([bound - 1.0 for bound in comparison.interval])
    assert p50.explanation == ""


def test_slower_code_fails_with_its_growth_and_the_pairs_that_show_it() -> None:
    verdicts, comparison = judged(pair(0.5), like(0.5))
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["p50"].reason == f"shown by {comparison.launches} pairs of processes"
    assert verdicts["p50"].measured == pytest.approx(0.5)


def test_a_slow_first_pair_alone_is_no_failure() -> None:
    verdicts, comparison = judged(pair(3.0), like(0.0))
    assert FAIL not in answers(verdicts).values()
    assert comparison.ratio == pytest.approx(1.0), "one pair moves the estimate by nothing"


@pytest.mark.parametrize("change", [-0.9, 0.0, 0.2, 100.0])
@pytest.mark.parametrize("after", range(FIRST - 1))
def test_fewer_pairs_than_the_first_look_has_decide_nothing(after: int, change: float) -> None:
    verdicts, comparison = judged(pair(change), broken(after, change))
    assert {verdicts[key].verdict for key in TIMED} == {INCONCLUSIVE}
    assert comparison.launches == after + 1
    assert comparison.ratio is None
    assert comparison.interval is None
    assert comparison.improved == ()


def test_a_growth_at_the_limit_is_not_decided_however_often_it_is_measured() -> None:
    launching = like(0.14, 0.16)
    verdicts, comparison = judged(pair(0.15), launching)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert re.fullmatch(
        rf"growth over base lies between \+[\d.]+ % and \+[\d.]+ % by {LAST} pairs of processes",
        verdicts["p50"].reason,
    )
    assert re.fullmatch(
        r'allow more, regression=\{"p50": "\d+%"\}, or measure longer \(--hiddencost-max-time\)',
        verdicts["p50"].remedy,
    )
    assert launching.asked == comparison.launches == LAST


def test_the_remedy_for_an_open_growth_decides_it() -> None:
    verdicts, _ = judged(pair(0.15), like(0.14, 0.16))
    share = re.search(r'"p50": "(\d+)%"', verdicts["p50"].remedy)
    assert share is not None
    loose = Tolerances(own={"p50": int(share[1]) / 100, "non_mac": 9.0})
    again, _ = judged(pair(0.15), like(0.14, 0.16), plan(tolerances=loose))
    assert again["p50"].verdict == PASS


def test_more_pairs_are_measured_only_as_long_as_they_are_needed() -> None:
    """One pair above the limit is too many for the first look, and not for the second."""
    launching = like(0.05)
    verdicts, _ = judged(pair(0.16), launching)
    assert verdicts["p50"].verdict == PASS
    assert launching.asked == SECOND


def test_non_mac_time_may_fail_alone() -> None:
    def grown(_: int = 0) -> Pair:
        return pair(head=measured(shares={CONV: 0.3}))

    verdicts, comparison = judged(grown(), Launching(grown))
    assert verdicts["non_mac"].verdict == FAIL
    assert verdicts["non_mac"].measured == pytest.approx(0.7 / 0.4 - 1.0)
    assert verdicts["p50"].verdict == PASS
    assert comparison.non_mac_ratio == pytest.approx(0.7 / 0.4)


def test_non_mac_time_that_is_open_but_unlikely_to_fail_takes_no_more_pairs() -> None:
    tight = Tolerances(own={"non_mac": 0.005})
    launching = like(-0.01, 0.01)
    verdicts, _ = judged(pair(0.0), launching, plan(0.15, tolerances=tight))
    assert verdicts["p50"].verdict == PASS
    assert verdicts["non_mac"].verdict == INCONCLUSIVE
    assert launching.asked == FIRST


def test_non_mac_time_that_is_likely_to_fail_takes_more_pairs() -> None:
    tight = Tolerances(own={"non_mac": 0.005})
    launching = like(0.004, 0.02, 0.02)
    verdicts, _ = judged(pair(0.02), launching, plan(0.15, tolerances=tight))
    assert verdicts["p50"].verdict == PASS
    assert launching.asked > FIRST


def test_without_non_mac_time_it_is_not_checked() -> None:
    none = replace(measured(), non_mac_share=0.0)
    verdicts, comparison = judged(
        pair(head=none, base=none), Launching(lambda _: pair(head=none, base=none))
    )
    assert "non_mac" not in verdicts
    assert comparison.non_mac_ratio is None
    assert comparison.non_mac_interval is None


NONE = replace(measured(), non_mac_share=0.0)
LACKING = pair(head=NONE, base=NONE)  # its windows are shorter than the profiler's overhead


@pytest.mark.parametrize("number", [0, 3, FIRST - 1])
def test_non_mac_time_that_one_pair_lacks_is_open(number: int) -> None:
    launching = Launching(lambda asked: LACKING if asked + 1 == number else pair())
    verdicts, comparison = judged(LACKING if number == 0 else pair(), launching)
    assert verdicts["non_mac"].verdict == INCONCLUSIVE
    assert f"1 of {FIRST} pairs of processes have no time" in verdicts["non_mac"].reason
    assert verdicts["non_mac"].remedy
    assert verdicts["p50"].verdict == PASS
    assert comparison.non_mac_ratio is None


def test_a_growth_of_non_mac_time_is_no_pass_if_one_pair_lacks_it() -> None:
    grown = pair(head=measured(shares={CONV: 0.3}))
    verdicts, _ = judged(grown, Launching(lambda asked: LACKING if asked == 3 else grown))
    assert answers(verdicts) == {**answers(verdicts), "p50": PASS, "non_mac": INCONCLUSIVE}


def test_non_mac_time_that_the_marker_names_is_open_if_no_pair_has_it() -> None:
    named = plan(tolerances=Tolerances(own={"non_mac": 0.1}))
    verdicts, _ = judged(LACKING, Launching(lambda _: LACKING), named)
    assert verdicts["non_mac"].verdict == INCONCLUSIVE
    assert verdicts["non_mac"].limit == 0.1


def test_an_improvement_passes_and_is_listed() -> None:
    verdicts, comparison = judged(pair(-0.3), like(-0.3))
    assert set(answers(verdicts).values()) == {PASS}
    assert comparison.improved == ("p50",), "non-MAC time may shrink by more: it is a part only"
    assert comparison.ratio == pytest.approx(0.7)
    _, comparison = judged(pair(-0.5), like(-0.5))
    assert comparison.improved == tuple(TIMED)


def test_a_call_that_may_be_faster_by_less_than_the_tolerance_is_no_improvement() -> None:
    verdicts, comparison = judged(pair(-0.16), like(-0.18, -0.14))
    assert verdicts["p50"].measured == pytest.approx(-0.16, abs=0.01)
    assert comparison.improved == ()


def test_a_call_faster_within_the_tolerance_is_no_improvement() -> None:
    _, comparison = judged(pair(-0.1), like(-0.1))
    assert comparison.improved == ()


def test_blocks_are_those_of_the_pair_with_fewest_and_imports_those_of_the_first() -> None:
    launching = Launching(lambda number: pair(0.0, blocks=30 + number))
    first = replace(pair(0.0, blocks=50), imported=("net.py", "net.py"))
    _, comparison = judged(first, launching)
    assert comparison.blocks == 30
    assert comparison.imported == ("net.py", "net.py")


def test_the_profiles_of_later_pairs_are_not_needed() -> None:
    launching = Launching(lambda _: replace(pair(), head=None, base=None))
    verdicts, _ = judged(pair(), launching)
    assert set(answers(verdicts).values()) == {PASS}


def test_more_calls_in_a_session_need_more_evidence() -> None:
    """But the same growth still fails."""
    few, many = like(0.3), like(0.3)
    verdicts, _ = judged(pair(0.3), few, plan(calls=1))
    assert verdicts["p50"].verdict == FAIL
    verdicts, _ = judged(pair(0.3), many, plan(calls=100_000))
    assert verdicts["p50"].verdict == FAIL
    assert many.asked == pair_looks(CONFIDENCE, 100_000)[-1].size > LAST >= few.asked


# --- why pairs are open --------------------------------------------------------------------------

HOT = DeviceHealth(False, ("cpu0 was throttled",), remedies=("cool the device",))


def open_p50(
    conditions: Conditions = CALM, *, health: DeviceHealth | None = None, apart: float = 0.5
) -> Verdict:
    """The open verdict on p50 of pairs that differ by so much, and that noticed this."""
    head = measured(health=health) if health else None
    changes = (-apart, 2.0 * apart)
    launching = like(*changes, conditions=conditions)
    verdicts, _ = judged(pair(apart, head=head, conditions=conditions), launching)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    return verdicts["p50"]


BUSY = Conditions(preemptions=250.0)
FAULTS = Conditions(faults=1_250.0)
VARYING = Conditions(scatter=0.45)


@pytest.mark.parametrize(
    ("conditions", "health", "reason", "remedy"),
    [
        (Conditions(threads_share_cores=True), None, "more threads than the device has cores",
         "--hiddencost-threads"),
        (FAULTS, None, "takes 1250 pages of memory anew", "make the call reuse its memory"),
        (BUSY, None, "took the cores 250 times a second", "when the device is idle"),
        (CALM, HOT, "; cpu0 was throttled", "cool the device"),
        (VARYING, None, "differs from the next by 45 %", "do the same work every time"),
        (CALM, None, "pairs of processes", 'allow more, regression={"p50": '),
    ],
)  # fmt: skip
def test_pairs_that_disagree_have_the_likely_reason(
    conditions: Conditions, health: DeviceHealth | None, reason: str, remedy: str
) -> None:
    found = open_p50(conditions, health=health)
    assert found.reason.startswith("growth over base lies between -")
    assert reason in found.reason
    assert remedy in found.remedy


def test_the_other_side_of_a_pair_is_no_process_that_disturbs() -> None:
    """A worker takes it for one; the run measured the call alone before."""
    disturbed = DeviceHealth(False, ("other processes took 1.0 of 2 cores",))
    head = measured(health=disturbed)
    how = replace(plan(), health=DeviceHealth(True))
    verdicts, _ = judged(pair(0.5, head=head), like(-0.5, 1.0), how)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason.endswith("pairs of processes")


def test_the_first_reason_that_is_likely_is_given() -> None:
    everything = Conditions(1_250.0, 250.0, 0.45, threads_share_cores=True)
    assert "more threads than" in open_p50(everything, health=HOT).reason
    everything = replace(everything, threads_share_cores=False)
    assert "pages of memory" in open_p50(everything, health=HOT).reason
    everything = replace(everything, faults=0.0)
    assert "250 times a second" in open_p50(everything, health=HOT).reason
    everything = replace(everything, preemptions=0.0)
    assert "cpu0 was throttled" in open_p50(everything, health=HOT).reason


def test_a_few_faults_and_preemptions_are_no_reason() -> None:
    found = open_p50(Conditions(faults=2.0, preemptions=3.0, scatter=0.05))
    assert found.reason.endswith("pairs of processes")


def test_one_disturbed_pair_is_no_reason_but_one_that_shares_cores_is() -> None:
    def one(conditions: Conditions) -> str:
        launching = like(-0.5, 1.0)
        verdicts, _ = judged(pair(0.5, conditions=conditions), launching)
        return verdicts["p50"].reason

    assert one(BUSY).endswith("pairs of processes")
    assert "more threads than" in one(Conditions(threads_share_cores=True))


@pytest.mark.parametrize("conditions", [BUSY, FAULTS, VARYING])
def test_a_growth_close_to_the_limit_is_open_for_no_other_reason(conditions: Conditions) -> None:
    launching = like(0.14, 0.16, conditions=conditions)
    verdicts, _ = judged(pair(0.15, conditions=conditions), launching)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason.endswith("pairs of processes")


# --- trouble ------------------------------------------------------------------------------------


def test_too_few_pairs_for_the_first_look_have_the_trouble_as_reason() -> None:
    launching = broken(1, 0.2)
    verdicts, _ = judged(pair(0.2), launching)
    for key in TIMED:
        assert verdicts[key].reason == (
            f"only 2 of {FIRST} pairs of processes could be measured; main: the worker process "
            "ended with exit status -9"
        )
        assert verdicts[key].remedy == "mend that, then run again"
        assert verdicts[key].measured is None
    assert launching.asked == 3, "it is not tried again"


def test_trouble_with_a_first_pair_is_an_error() -> None:
    def launcher() -> Pair:
        raise InterleavingError("main: no such test")

    with pytest.raises(InterleavingError, match="no such test"):
        compare_pairs(plan(), launcher)


def test_trouble_with_a_later_pair_keeps_those_before_it() -> None:
    verdicts, comparison = judged(pair(0.15), broken(SECOND, 0.14, 0.16))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason.startswith(f"only {SECOND + 1} of {LAST} pairs of processes")
    assert verdicts["p50"].measured == pytest.approx(0.15, abs=0.005)
    assert comparison.launches == SECOND + 1
    assert comparison.ratio == pytest.approx(1.15, abs=0.005)


@pytest.mark.parametrize("after", range(LAST - 1))
def test_trouble_never_makes_a_failure_of_unchanged_code(after: int) -> None:
    verdicts, _ = judged(pair(0.2), broken(after, 0.0))
    assert FAIL not in answers(verdicts).values()


def test_other_errors_are_not_taken_for_trouble() -> None:
    def make(_: int) -> Pair:
        raise AssertionError("a bug")

    with pytest.raises(AssertionError, match="a bug"):
        judged(pair(0.3), Launching(make))


# --- structure ----------------------------------------------------------------------------------


def test_more_calls_fail_and_an_open_time_has_the_first_look_only() -> None:
    site = CallSiteCost("blocks.0", "net.py:7", 14, 1.0)
    head = measured(13 * MS, calls={COPY: 15}, call_sites={COPY: [site]})
    verdicts, comparison = judged(pair(0.15, head=head), like(0.14, 0.16))
    assert verdicts["calls"].verdict == FAIL
    assert "+1 aten::copy_" in verdicts["calls"].reason
    assert "net.py:7" in verdicts["calls"].reason
    assert comparison.differences[0].startswith("+1 aten::copy_")
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert comparison.launches == FIRST


def test_a_growth_that_is_all_but_shown_fails_as_well_where_the_structure_failed() -> None:
    verdicts, comparison = judged(pair(0.5, head=measured(calls={COPY: 15})), like(0.5, 0.6))
    assert (verdicts["calls"].verdict, verdicts["p50"].verdict) == (FAIL, FAIL)
    assert comparison.launches == pair_looks(0.99, 1)[1].size


def test_more_macs_fail() -> None:
    head = measured(kinds={"conv2d 3x3": 31_000_000})
    verdicts, comparison = judged(pair(0.15, head=head), like(0.14, 0.16))
    assert verdicts["macs"].verdict == FAIL
    assert comparison.launches == FIRST


@pytest.mark.parametrize("quantity", ["allocated_bytes", "activation_peak_bytes"])
def test_more_bytes_fail(quantity: str) -> None:
    key = {"activation_peak_bytes": "activation_memory"}.get(quantity, quantity)
    verdicts, _ = judged(pair(head=measured(**{quantity: 2**23})), like(0.0))
    assert verdicts[key].verdict == FAIL


def test_fewer_calls_are_an_improvement() -> None:
    verdicts, comparison = judged(pair(head=measured(calls={COPY: 13})), like(0.0))
    assert verdicts["calls"].verdict == PASS
    assert comparison.improved == ("calls",)
    assert comparison.differences[0].startswith("-1 aten::copy_")


def test_a_time_that_is_open_waits_for_the_structure() -> None:
    head = measured(calls={COPY: 15})
    verdicts, comparison = judged(pair(-0.5, head=head, conditions=BUSY), like(-0.5, 1.0))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason.endswith("no more pairs measure it")
    assert "allow it in regression={...}" in verdicts["p50"].remedy
    assert comparison.launches == FIRST


@pytest.mark.parametrize("side", ["head", "base"])
def test_times_that_depend_on_the_number_of_calls_are_open_after_one_pair(side: str) -> None:
    growing, launching = measured(varies=(LATENCY,)), like(-0.5)
    first = pair(-0.5, head=growing) if side == "head" else pair(-0.5, base=growing)
    verdicts, comparison = judged(first, launching)
    assert {verdicts[key].verdict for key in TIMED} == {INCONCLUSIVE}
    assert verdicts["p50"].reason.startswith("the call changes as it is repeated")
    assert "setup=" in verdicts["p50"].remedy
    assert (launching.asked, comparison.launches) == (1, 1)


def test_the_structure_of_an_accepted_commit_ends_no_pairs() -> None:
    """The stored structure is judged, and may allow what that commit did not do yet."""
    head = measured(calls={COPY: 15})
    accepted = replace(plan(0.15), structure=False)
    launching = like(0.14, 0.16, head=head)
    verdicts, _ = judged(pair(0.15, head=head), launching, accepted)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert launching.asked == LAST
    assert "fails the test" not in verdicts["p50"].reason
    assert verdicts["p50"].remedy.startswith("allow more")


def test_structure_that_varies_by_itself_is_no_improvement() -> None:
    head = measured(calls={COPY: 13}, structure_varies=True)
    _, comparison = judged(pair(head=head), like(0.0))
    assert comparison.improved == ()


def test_the_structure_is_that_of_the_first_pair() -> None:
    launching = Launching(lambda _: pair(head=measured(calls={COPY: 15})))
    verdicts, _ = judged(pair(), launching)
    assert verdicts["calls"].verdict == PASS


def test_bytes_that_the_device_never_counts_are_not_checked() -> None:
    bare = measured(allocated_bytes=None, activation_peak_bytes=None)
    verdicts, _ = judged(
        pair(head=bare, base=bare), Launching(lambda _: pair(head=bare, base=bare))
    )
    assert set(verdicts) == {"calls", "macs", *TIMED}


# --- tolerances ---------------------------------------------------------------------------------


def test_the_markers_own_tolerances_count() -> None:
    own = Tolerances(own={"p50": 0.4, "non_mac": 0.5, "calls": 0.1})
    first = pair(0.2, head=measured(12 * MS, calls={COPY: 15}))
    verdicts, _ = judged(first, like(0.2), plan(tolerances=own))
    assert set(answers(verdicts).values()) == {PASS}
    assert (verdicts["p50"].limit, verdicts["non_mac"].limit) == (0.4, 0.5)


def test_one_tolerance_in_the_marker_is_for_times_and_not_for_the_structure() -> None:
    verdicts, _ = judged(pair(0.2), like(0.2), plan(tolerances=Tolerances(everywhere=0.5)))
    assert verdicts["p50"].verdict == verdicts["non_mac"].verdict == PASS
    first = pair(0.2, head=measured(12 * MS, calls={COPY: 15}))
    verdicts, _ = judged(first, like(0.2), plan(tolerances=Tolerances(everywhere=0.5)))
    assert verdicts["calls"].verdict == FAIL


def test_a_named_tolerance_comes_before_the_one_for_every_check() -> None:
    tolerances = Tolerances(everywhere=0.9, own={"p50": 0.05})
    verdicts, _ = judged(pair(0.3), like(0.3), plan(tolerances=tolerances))
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["non_mac"].verdict == PASS


@pytest.mark.parametrize(("mac_share", "allowed"), [(0.6, 0.15 / 0.4), (0.0, 0.15), (0.999, 10.0)])
def test_non_mac_time_may_grow_by_the_tolerated_share_of_bases_whole_call(
    mac_share: float, allowed: float
) -> None:
    base = measured(shares={CONV: mac_share})
    first = pair(head=measured(shares={CONV: mac_share / 2}), base=base)
    launching = Launching(lambda _: replace(first, changes={"p50": 0.0, "non_mac": 0.0}))
    verdicts, _ = judged(first, launching)
    assert verdicts["non_mac"].limit == pytest.approx(allowed)
    assert verdicts["non_mac"].limit <= MOST_GROWTH
    assert verdicts["p50"].limit == 0.15


def test_a_tight_tolerance_is_decided_where_pairs_agree() -> None:
    verdicts, _ = judged(pair(0.05), like(0.05), plan(0.01))
    assert verdicts["p50"].verdict == FAIL
    verdicts, _ = judged(pair(0.0), like(0.0), plan(0.02))
    assert verdicts["p50"].verdict == PASS


# --- operators ----------------------------------------------------------------------------------


def test_operators_that_changed_are_listed_slowest_first() -> None:
    head = measured(12 * MS, shares={CONV: 0.5, CAT: 0.2, NORM: 0.1}, outside_ns=0.6 * MS)
    _, comparison = judged(pair(0.2, head=head), like(0.0))
    assert {change.name for change in comparison.operators} <= {CONV, NORM, CAT, COPY, "outside"}
    growths = [change.head_ns - change.base_ns for change in comparison.operators]
    assert growths == sorted(growths, reverse=True)
    first, last = comparison.operators[0], comparison.operators[-1]
    assert (first.name, first.head_ns, first.base_ns) == (CAT, 2.4 * MS, 1.0 * MS)
    assert (last.name, last.base_ns) == (NORM, 2.0 * MS)
    assert last.head_ns == pytest.approx(1.2 * MS)


def test_operators_that_were_added_or_removed_have_no_calls_on_one_side() -> None:
    head = measured(calls={CAT: 0, "aten::clone": 3}, shares={"aten::clone": 0.3})
    _, comparison = judged(pair(head=head), like(0.0))
    found = {change.name: change for change in comparison.operators}
    added, removed = found["aten::clone"], found[CAT]
    assert (added.base_calls, added.head_calls, added.base_ns) == (0, 3, 0.0)
    assert (removed.base_calls, removed.head_calls, removed.head_ns) == (12, 0, 0.0)
    assert comparison.operators[0] == added


def test_time_outside_of_operators_is_listed_with_them() -> None:
    _, comparison = judged(pair(head=measured(outside_ns=5.0 * MS)), like(0.0))
    first = comparison.operators[0]
    assert (first.name, first.base_calls, first.head_calls) == ("outside", 0, 0)
    assert (first.base_ns, first.head_ns) == (0.6 * MS, 5.0 * MS)


def test_long_lists_of_operators_are_cut_to_those_that_changed_most() -> None:
    names = [f"aten::operator_{i}" for i in range(20)]
    calls, before = dict.fromkeys(names, 1), dict.fromkeys(names, 0.001)
    after = {name: 0.001 * (1 + i) for i, name in enumerate(names)}
    head, base = measured(calls=calls, shares=after), measured(calls=calls, shares=before)
    _, comparison = judged(pair(head=head, base=base), like(0.0))
    assert [change.name for change in comparison.operators] == names[::-1][:MOST_OPERATORS]


def test_an_operator_that_is_called_more_often_is_listed_however_little_it_takes() -> None:
    names = [f"aten::operator_{i}" for i in range(20)]
    calls, before = dict.fromkeys(names, 1), dict.fromkeys(names, 0.001)
    after = {name: 0.001 * (2 + i) for i, name in enumerate(names)}
    head = measured(calls={**calls, CAT: 13}, shares=after)
    base = measured(calls={**calls, CAT: 12}, shares=before)
    _, comparison = judged(pair(head=head, base=base), like(0.0))
    found = {change.name: change for change in comparison.operators}
    assert len(found) == MOST_OPERATORS
    assert (found[CAT].base_calls, found[CAT].head_calls) == (12, 13)
    assert comparison.operators[0].name == CAT


# --- whatever is measured -----------------------------------------------------------------------

some_conditions = st.builds(
    Conditions, st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.floats(0.0, 1.0), st.booleans()
)
some_pairs = st.builds(
    lambda change, conditions: pair(change, conditions=conditions),
    st.floats(-0.5, 1.0),
    some_conditions,
)


@settings(patient, max_examples=60)
@given(
    found=st.lists(some_pairs, min_size=60, max_size=60),
    works=st.integers(1, 60),
    tolerance=st.floats(0.0, 0.5),
    confidence=st.sampled_from([0.5, 0.8, 0.99]),
    calls=st.integers(1, 50),
    grown=st.booleans(),
)
def test_every_verdict_has_enough_pairs_and_every_open_one_a_remedy(
    found: Sequence[Pair],
    works: int,
    tolerance: float,
    confidence: float,
    calls: int,
    grown: bool,
) -> None:
    def make(number: int) -> Pair:
        if number + 1 >= works:
            raise InterleavingError("no more")
        return found[number + 1]

    first = replace(found[0], head=measured(calls={COPY: 15})) if grown else found[0]
    launching, how = Launching(make), replace(plan(tolerance, calls=calls), confidence=confidence)
    looks = pair_looks(confidence, calls)
    verdicts, comparison = judged(first, launching, how)
    assert set(answers(verdicts).values()) <= {PASS, FAIL, INCONCLUSIVE}
    assert comparison.launches == min(works, launching.asked) <= looks[-1].size
    if grown:
        assert answers(verdicts)["calls"] == FAIL
    for key in TIMED:
        verdict = verdicts[key]
        if verdict.verdict != INCONCLUSIVE or key in comparison.improved:
            assert comparison.launches >= looks[0].size >= FEWEST_PAIRS
        if verdict.verdict == FAIL:
            assert comparison.launches in [look.size for look in looks]
            assert verdict.measured is not None
            assert verdict.measured > verdict.limit
        if verdict.verdict == PASS:
            assert verdict.interval is not None
            assert verdict.interval[1] <= verdict.limit
        if verdict.verdict != PASS:
            assert verdict.reason
        if verdict.verdict == INCONCLUSIVE:
            assert verdict.remedy
