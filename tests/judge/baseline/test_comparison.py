"""When a time has regressed, when not, and when nothing can be said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS
from pytest_hiddencost.core.records import Comparison, Profile, ReferenceTime, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.comparison import (
    BATCH,
    MOST_FRESH,
    P50_SHARE,
    RISK_SHARES,
    Plan,
    _Timed,
    compare,
    could_fail,
    timed_gates,
)
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from tests.judge.launched import CAT, CONV, COPY, MS, REFERENCE_NS, SHARES, launch, launches

QUIET = (10.0, 10.02, 9.98)  # ms; 0.2 % between launches
NOISY = (10.0, 11.0, 9.0)


def entry(*p50_ms: float) -> Entry:
    return entry_of(launches(*(p50_ms or QUIET)))


class Fresh:
    """Starts relaunches that take so long, and counts them."""

    def __init__(self, make: Callable[[int], Profile]) -> None:
        self._make = make
        self.started = 0

    def __call__(self, count: int) -> Sequence[Profile]:
        found = [self._make(self.started + i) for i in range(count)]
        self.started += count
        return found


def like(ms: float, **changes: float) -> Fresh:
    return Fresh(lambda i: launch((ms + 0.01 * (i % 3)) * MS, **changes))  # type: ignore[arg-type]


def never() -> Fresh:
    def make(_: int) -> Profile:
        raise AssertionError("no relaunch is needed")

    return Fresh(make)


def plan(launcher: Fresh | None = None, *, tolerance: float = 0.05, calls: int = 1) -> Plan:
    return Plan(tolerance, 0.99, calls, Tolerances(), launcher)


def judged(profile: Profile, recorded: Entry, how: Plan) -> tuple[dict[str, Verdict], Comparison]:
    verdicts, comparison = compare(profile, recorded, how)
    return {v.gate.removeprefix("regression[").removesuffix("]"): v for v in verdicts}, comparison


# --- which quantities ---------------------------------------------------------------------------


def test_p50_non_mac_groups_and_operators_are_held() -> None:
    assert timed_gates(entry()) == [
        "p50", "non_mac", "concatenation", "data_movement", "mac", "normalization",
        "aten::cat", "aten::copy_", CONV, "aten::native_batch_norm",
    ]  # fmt: skip


def test_what_is_below_one_percent_is_held_as_part_of_the_rest() -> None:
    small = [launch(ms * MS, shares={COPY: 0.009}) for ms in QUIET]
    assert COPY not in timed_gates(entry_of(small))
    assert "data_movement" not in timed_gates(entry_of(small))


def test_operators_below_resolution_are_held_in_their_groups_only() -> None:
    def rough(profile: Profile) -> Profile:
        operators = [replace(o, below_resolution=o.name == CAT) for o in profile.operators]
        return replace(profile, operators=tuple(operators))

    gates = timed_gates(entry_of([rough(profile) for profile in launches(*QUIET)]))
    assert CAT not in gates
    assert "concatenation" in gates


# --- the three verdicts -------------------------------------------------------------------------


def test_the_same_passes_on_a_quiet_device() -> None:
    verdicts, comparison = judged(launch(10.01 * MS), entry(), plan(never()))
    assert {v.verdict for v in verdicts.values()} == {PASS}
    assert comparison.growth == pytest.approx(0.001, abs=1e-4)
    assert comparison.fresh == 0


def test_a_confirmed_growth_fails_and_says_by_how_much() -> None:
    fresh = like(12.0)
    verdicts, comparison = judged(launch(12 * MS), entry(), plan(fresh))
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["p50"].measured == pytest.approx(0.2, abs=0.002)
    assert verdicts["p50"].reason == (
        "confirmed by 3 relaunches; reference workload +0 % against the recording"
    )
    assert verdicts["non_mac"].verdict == FAIL
    assert verdicts["calls"].verdict == PASS
    assert fresh.started == comparison.fresh == BATCH, "three were enough"


def test_a_slow_launch_that_fresh_ones_do_not_confirm_is_no_regression() -> None:
    fresh = like(10.0)
    verdicts, comparison = judged(launch(12 * MS), entry(), plan(fresh))
    assert verdicts["p50"].verdict == PASS
    assert comparison.growth == pytest.approx(0.001, abs=0.002), "the slow one does not count"
    assert fresh.started == BATCH


def test_a_growth_within_the_tolerance_needs_no_launch() -> None:
    verdicts, _ = judged(launch(10.3 * MS), entry(), plan(never()))
    assert verdicts["p50"].verdict == PASS


def test_the_markers_own_tolerance_counts() -> None:
    own = Tolerances(own={"p50": 0.3, "non_mac": 0.3, "operators": 0.3})
    how = replace(plan(never()), tolerances=own)
    verdicts, _ = judged(launch(12 * MS), entry(), how)
    assert verdicts["p50"].verdict == PASS
    assert verdicts["p50"].limit == 0.3


def test_what_spreads_too_much_is_inconclusive_and_says_what_could_be_told() -> None:
    verdicts, comparison = judged(launch(10.2 * MS), entry(*NOISY), plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert comparison.smallest_growth is not None
    assert comparison.smallest_growth > 0.3
    assert verdicts["p50"].reason.startswith("cannot tell less than ")
    assert "with 3 launches: record more" in verdicts["p50"].reason


def test_all_looks_are_taken_while_it_is_open() -> None:
    fresh = Fresh(lambda i: launch((12 + 2 * (-1) ** i) * MS))
    verdicts, comparison = judged(launch(12 * MS), entry(10, 10.5, 9.5), plan(fresh))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert comparison.fresh == fresh.started == MOST_FRESH


def test_growth_of_one_operator_alone_is_found() -> None:
    def grown(ms: float) -> Profile:
        return launch(ms * MS, shares={CAT: 0.2})

    verdicts, _ = judged(grown(10), entry(), plan(Fresh(lambda i: grown(10 + 0.01 * (i % 2)))))
    assert {name for name, v in verdicts.items() if v.verdict == FAIL} >= {CAT, "concatenation"}
    assert verdicts["p50"].verdict == PASS


# --- the reference workload --------------------------------------------------------------------------------


def test_a_machine_that_is_slower_as_a_whole_is_no_regression() -> None:
    slow = launch(12 * MS, reference_ns=1.2 * REFERENCE_NS)
    verdicts, comparison = judged(slow, entry(), plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason == "reference workload 20 % slower than at recording"
    assert comparison.reference_growth == pytest.approx(0.2)


def test_a_machine_that_is_faster_hides_no_regression() -> None:
    fast = launch(10 * MS, reference_ns=0.8 * REFERENCE_NS)
    verdicts, _ = judged(fast, entry(), plan(like(10.0, reference_ns=0.8 * REFERENCE_NS)))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "reference workload 20 % faster than at recording" in verdicts["p50"].reason


def test_a_control_that_moved_by_far_less_than_the_growth_excuses_nothing() -> None:
    reference_ns = 1.08 * REFERENCE_NS
    slower = launch(15 * MS, reference_ns=reference_ns)
    verdicts, _ = judged(slower, entry(), plan(like(15.0, reference_ns=reference_ns)))
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["p50"].measured == pytest.approx(1.5 / 1.08 - 1, abs=0.01)


def at(reference: float, relative: float) -> tuple[Profile, Plan]:
    """A launch on a device whose control takes so many times as long, and more like it."""
    ms, reference_ns = 10.0 * reference * relative, reference * REFERENCE_NS
    return launch(ms * MS, reference_ns=reference_ns), plan(like(ms, reference_ns=reference_ns))


def test_a_growth_beyond_what_a_slower_device_explains_fails() -> None:
    slower, how = at(1.15, 1.25)
    verdicts, _ = judged(slower, entry(), how)
    assert verdicts["p50"].verdict == FAIL
    assert "reference workload +15 % against the recording" in verdicts["p50"].reason


@pytest.mark.parametrize("control", [1.1, 1.15, 1.25, 1.6, 3.0])
def test_a_model_that_suffers_more_than_the_control_is_no_regression(reference: float) -> None:
    slower, how = at(reference, reference**0.39)
    verdicts, _ = judged(slower, entry(), how)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "reference workload" in verdicts["p50"].reason


def test_on_a_faster_device_fails_what_takes_longer_all_the_same() -> None:
    slower, how = at(0.93, 1.22)
    verdicts, _ = judged(slower, entry(), how)
    assert verdicts["p50"].verdict == FAIL


def test_a_slower_device_hides_no_stale_baseline_and_makes_none() -> None:
    def improved(reference: float, relative: float) -> bool:
        slower, _ = at(reference, relative)
        _, comparison = judged(slower, entry(), plan(never()))
        return "regression[p50]" in comparison.improved

    assert improved(1.1, 0.8), "12 % faster, on a device that is slower"
    assert not improved(1.25, 0.8), "as fast as it was"


def test_a_control_that_moved_a_little_leaves_less_to_pass() -> None:
    for reference, verdict in ((1.0, PASS), (1.04, INCONCLUSIVE), (0.96, INCONCLUSIVE)):
        same, how = at(reference, 1.025)
        verdicts, _ = judged(same, entry(), how)
        assert verdicts["p50"].verdict == verdict, reference


def test_a_control_that_moved_a_little_leaves_less_to_be_stale() -> None:
    for reference, stale in ((1.0, True), (0.96, False)):
        faster, how = at(reference, 0.925)
        _, comparison = judged(faster, entry(), how)
        assert ("regression[p50]" in comparison.improved) == stale, reference


def test_a_control_that_moved_hides_more() -> None:
    def seen(reference: float) -> float:
        found = judged(
            launch(10 * MS * reference, reference_ns=reference * REFERENCE_NS), entry(), plan()
        )
        assert found[1].smallest_growth is not None
        return found[1].smallest_growth

    assert seen(1.0) < 0.99 * seen(1.04) < 0.98 * seen(1.08)
    assert seen(0.5) >= 1.05 / 0.5 - 1.0, "nothing fails that takes no longer than it did"


def test_a_launch_without_a_control_says_nothing() -> None:
    bare = replace(launch(12 * MS), reference=ReferenceTime())
    verdicts, _ = judged(bare, entry(), plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason == "no time was seen for p50"


def test_without_a_control_nothing_is_said() -> None:
    recorded = replace(entry(), reference_ns=(0, 0, 0))
    verdicts, _ = judged(launch(12 * MS), recorded, plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "without the reference workload" in verdicts["p50"].reason


@pytest.mark.parametrize("reference_ns", [1, 2**62])
def test_numbers_that_nobody_measured_raise_nothing(reference_ns: int) -> None:
    recorded = replace(
        entry(10.0, 11.0),
        reference_ns=(reference_ns,) * 2,
        relative=(1e-9, 4e18),
        p50_ns=(1, 2**62),
    )
    verdicts, comparison = judged(launch(12 * MS), recorded, plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert comparison.interval is not None
    assert comparison.interval[1] > 1e300


def test_another_control_cannot_be_compared_with() -> None:
    recorded = replace(entry(), reference_version=99)
    verdicts, comparison = judged(launch(20 * MS), recorded, plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason == (
        "the baseline was recorded with another reference workload: record it again"
    )
    assert verdicts["calls"].verdict == PASS, "structure is held all the same"
    assert comparison.growth is comparison.reference_growth is None


# --- what cannot be judged ----------------------------------------------------------------------


def test_on_an_unfit_device_structure_is_checked_and_time_is_not() -> None:
    now = launch(20 * MS, calls={COPY: 15}, unfit="throttled while measured")
    verdicts, _ = judged(now, entry(), plan(never()))
    assert verdicts["calls"].verdict == FAIL
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason == "throttled while measured"


def test_one_recorded_launch_can_fail_nothing_and_says_so() -> None:
    verdicts, comparison = judged(launch(20 * MS), entry(10.0), plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "holds one launch" in verdicts["p50"].reason
    assert comparison.smallest_growth is None


def test_a_confidence_that_no_number_of_gates_allows_is_said() -> None:
    how = replace(plan(never()), confidence=0.999999, calls=10_000)
    verdicts, _ = judged(launch(20 * MS), entry(10.0, 10.1), how)
    assert "can never show a regression at 99.9999 % confidence" in verdicts["p50"].reason


def test_a_structure_that_changed_needs_no_fresh_launches() -> None:
    now = launch(12 * MS, calls={COPY: 15})
    verdicts, _ = judged(now, entry(), plan(never()))
    assert verdicts["calls"].verdict == FAIL
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "the structure changed already" in verdicts["p50"].reason


def test_where_no_launch_can_be_started_nothing_is_confirmed() -> None:
    verdicts, _ = judged(launch(12 * MS), entry(), plan(None))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "no relaunches could be started here" in verdicts["p50"].reason


def test_fresh_launches_that_were_unfit_confirm_nothing() -> None:
    fresh = Fresh(lambda _: launch(12 * MS, unfit="busy"))
    verdicts, comparison = judged(launch(12 * MS), entry(), plan(fresh))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "only 0 relaunches could be measured" in verdicts["p50"].reason
    assert comparison.fresh == 0


# --- what got better ----------------------------------------------------------------------------


def test_what_is_faster_beyond_the_tolerance_makes_the_baseline_stale() -> None:
    verdicts, comparison = judged(launch(8 * MS), entry(), plan(never()))
    assert verdicts["p50"].verdict == PASS
    assert "regression[p50]" in comparison.improved


def test_a_machine_that_got_faster_makes_no_baseline_stale() -> None:
    _, comparison = judged(launch(8 * MS, reference_ns=0.8 * REFERENCE_NS), entry(), plan(never()))
    assert comparison.improved == ()


# --- error rates --------------------------------------------------------------------------------


def test_no_false_alarm_where_launches_spread_as_on_a_shared_machine() -> None:
    random = np.random.default_rng(5)
    alarms = 0

    def one(_: int) -> Profile:
        return launch(float(10 * MS * np.exp(random.normal(0.0, 0.04))))

    for _ in range(300):
        recorded = entry_of([one(0) for _ in range(3)])
        verdicts, _ = judged(one(0), recorded, plan(Fresh(one)))
        alarms += any(v.verdict == FAIL for v in verdicts.values())
    assert alarms == 0


def test_no_false_alarm_where_the_device_changes_and_the_model_suffers_more_or_less() -> None:
    random = np.random.default_rng(7)
    alarms = 0
    for _ in range(300):
        power = random.uniform(0.6, 1.4)

        def at_pace(pace: float, power: float = power) -> Profile:
            reference, own = np.exp(random.normal(pace, 0.01)), np.exp(random.normal(0.0, 0.01))
            return launch(
                float(10 * MS * own * reference**power),
                reference_ns=float(reference * REFERENCE_NS),
            )

        then, now = random.normal(0.0, 0.2, 2)
        recorded = entry_of([at_pace(then) for _ in range(3)])
        fresh = Fresh(lambda _, pace=now, make=at_pace: make(pace))  # type: ignore[misc]
        verdicts, _ = judged(at_pace(now), recorded, plan(fresh))
        alarms += any(v.verdict == FAIL for v in verdicts.values())
    assert alarms == 0


def test_at_the_tolerance_itself_alarms_are_as_rare_as_was_asked_for() -> None:
    random = np.random.default_rng(8)
    alarms = 0

    def one(ms: float) -> Profile:
        shares = {name: share * np.exp(random.normal(0.0, 0.03)) for name, share in SHARES.items()}
        return launch(float(ms * MS * np.exp(random.normal(0.0, 0.03))), shares=shares)

    for _ in range(300):
        recorded = entry_of([one(10.0) for _ in range(3)])
        how = replace(plan(Fresh(lambda _: one(10.5))), confidence=0.8)
        verdicts, _ = judged(one(10.5), recorded, how)
        alarms += any(v.verdict == FAIL for v in verdicts.values())
    assert 5 <= alarms <= 0.2 * 300 + 20, "three standard deviations above a fifth at most"


def test_the_looks_and_the_gates_share_the_risk() -> None:
    assert sum(RISK_SHARES) == pytest.approx(1.0)
    assert 0.0 < P50_SHARE < 1.0
    shares = [gate.risk_share for gate in _Timed(launch(), entry(), plan(calls=5))._gates]
    assert sum(shares) == pytest.approx(1 / 5)
    assert shares[0] == pytest.approx(P50_SHARE / 5)
    assert len(set(shares[1:])) == 1


@pytest.mark.parametrize(("ms", "looks"), [(12.0, 1), (11.5, 2), (11.0, 3)])
def test_the_less_is_known_the_more_must_be_seen(ms: float, looks: int) -> None:
    spread = Fresh(lambda i: launch((ms + 0.2 * (i % 3 - 1)) * MS))
    verdicts, comparison = judged(launch(ms * MS), entry(10.0, 10.2, 9.8), plan(spread))
    assert verdicts["p50"].verdict == FAIL
    assert comparison.fresh == BATCH * looks


def test_parts_that_can_never_fail_leave_p50_its_chance() -> None:
    how = replace(plan(), confidence=1.0 - 1e-9)
    verdicts, _ = judged(launch(10 * MS), entry(10.0, 10.1), how)
    assert verdicts[CAT].reason.startswith("2 recorded launches can never show a regression")
    assert verdicts["p50"].interval is not None


def test_what_could_never_fail_is_known_before_it_is_recorded() -> None:
    assert not could_fail(1, 0.99)
    assert could_fail(2, 0.99)
    assert not could_fail(2, 1.0 - 1e-10)
    verdicts, _ = judged(launch(25 * MS), entry(10.0, 10.01), plan(like(25.0)))
    assert verdicts["p50"].verdict == FAIL, "two launches, and a doubling"


def test_a_fifth_more_is_caught_at_the_spread_of_a_quiet_machine() -> None:
    random = np.random.default_rng(6)
    found = []

    def one(ms: float) -> Profile:
        return launch(float(ms * MS * np.exp(random.normal(0.0, 0.025))))

    for _ in range(100):
        recorded = entry_of([one(10.0) for _ in range(3)])
        how = plan(Fresh(lambda _: one(12.0)), calls=4)
        verdicts, _ = judged(one(12.0), recorded, how)
        found.append(verdicts["p50"].verdict)
    assert found.count(FAIL) >= 90
    assert PASS not in found
