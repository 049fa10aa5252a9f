"""A profile against its baseline: when a time fails, when it passes, and when it stays open."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS
from pytest_hiddencost.core.records import LATENCY, Comparison, Profile, ReferenceTime, Verdict
from pytest_hiddencost.core.tolerances import MOST_GROWTH, STRUCTURE, Tolerances
from pytest_hiddencost.judge.baseline import comparison as baseline_comparison
from pytest_hiddencost.judge.baseline.comparison import (
    BATCH,
    MOST_RELAUNCHES,
    RELAUNCH_LOOKS,
    BaselinePlan,
    compare,
    could_fail,
    timed_keys,
)
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.sequential import CHECK_SHARES, SequentialTest
from tests.judge.launches import CAT, CONV, COPY, MS, REFERENCE_NS, SHARES, launch, launches

QUIET = (10.0, 10.02, 9.98)  # ms; 0.2 % between launches
NOISY = (10.0, 11.0, 9.0)
SESSIONS = [100, pytest.param(3_000, marks=pytest.mark.nightly)]


def entry(*p50_ms: float) -> Entry:
    return entry_of(launches(*(p50_ms or QUIET)))


class Relaunching:
    """Starts relaunches that measure what is given, and counts them."""

    def __init__(self, make: Callable[[int], Profile]) -> None:
        self._make = make
        self.started = 0

    def __call__(self, count: int) -> Sequence[Profile]:
        found = [self._make(self.started + i) for i in range(count)]
        self.started += count
        return found


def like(ms: float, **changes: float) -> Relaunching:
    return Relaunching(lambda i: launch((ms + 0.01 * (i % 3)) * MS, **changes))  # type: ignore[arg-type]


def never() -> Relaunching:
    def make(_: int) -> Profile:
        raise AssertionError("no relaunch is needed")

    return Relaunching(make)


def plan(
    launcher: Relaunching | None = None, *, tolerance: float = 0.05, calls: int = 1
) -> BaselinePlan:
    return BaselinePlan(tolerance, 0.99, calls, Tolerances(), launcher)


def judged(
    profile: Profile, recorded: Entry, how: BaselinePlan
) -> tuple[dict[str, Verdict], Comparison]:
    verdicts, comparison = compare(profile, recorded, how)
    return {verdict.check.key: verdict for verdict in verdicts}, comparison


# --- what is compared ----------------------------------------------------------------------------


def test_the_latency_and_non_mac_time_are_compared_in_time_and_nothing_else() -> None:
    assert timed_keys(entry()) == ["p50", "non_mac"]
    verdicts, _ = judged(launch(), entry(), plan(never()))
    assert set(verdicts) == {"p50", "non_mac", *STRUCTURE}


def test_without_non_mac_time_in_every_launch_the_latency_alone_is_compared() -> None:
    assert timed_keys(replace(entry(), non_mac_ns=(1_000, 0, 1_000))) == ["p50"]


# --- the three verdicts -------------------------------------------------------------------------


def test_unchanged_code_passes_on_a_quiet_device() -> None:
    verdicts, comparison = judged(launch(10.01 * MS), entry(), plan(never()))
    assert {v.verdict for v in verdicts.values()} == {PASS}
    assert comparison.growth == pytest.approx(0.001, abs=1e-4)
    assert comparison.fresh == 0


def test_a_confirmed_growth_fails_with_its_size() -> None:
    relaunching = like(12.0)
    verdicts, comparison = judged(launch(12 * MS), entry(), plan(relaunching))
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["p50"].measured == pytest.approx(0.2, abs=0.002)
    assert verdicts["p50"].reason == (
        "confirmed by 3 relaunches; reference workload +0 % against the recording"
    )
    assert verdicts["non_mac"].verdict == FAIL
    assert verdicts["calls"].verdict == PASS
    assert relaunching.started == comparison.fresh == BATCH, "three were enough"


def test_a_slow_launch_that_relaunches_do_not_confirm_is_no_regression() -> None:
    relaunching = like(10.0)
    verdicts, comparison = judged(launch(12 * MS), entry(), plan(relaunching))
    assert verdicts["p50"].verdict == PASS
    assert comparison.growth == pytest.approx(0.001, abs=0.002), "the slow one does not count"
    assert relaunching.started == BATCH


def test_a_growth_within_the_tolerance_needs_no_relaunch() -> None:
    verdicts, _ = judged(launch(10.3 * MS), entry(), plan(never()))
    assert verdicts["p50"].verdict == PASS


def test_the_markers_own_tolerance_counts() -> None:
    own = Tolerances(own={"p50": 0.3, "non_mac": 0.4})
    how = replace(plan(never()), tolerances=own)
    verdicts, _ = judged(launch(12 * MS), entry(), how)
    assert verdicts["p50"].verdict == PASS
    assert (verdicts["p50"].limit, verdicts["non_mac"].limit) == (0.3, 0.4)


@pytest.mark.parametrize(("mac_share", "allowed"), [(0.6, 0.125), (0.0, 0.05), (0.999, 10.0)])
def test_non_mac_time_may_grow_by_the_tolerated_share_of_the_recorded_call(
    mac_share: float, allowed: float
) -> None:
    recorded = [launch(ms * MS, shares={CONV: mac_share}) for ms in QUIET]
    now = launch(shares={CONV: mac_share})
    verdicts, _ = judged(now, entry_of(recorded), plan(never()))
    assert verdicts["non_mac"].limit == pytest.approx(allowed, rel=0.01)
    assert verdicts["non_mac"].limit <= MOST_GROWTH
    assert verdicts["p50"].limit == 0.05


def test_launches_that_spread_too_much_are_inconclusive_with_what_could_be_detected() -> None:
    verdicts, comparison = judged(launch(10.2 * MS), entry(*NOISY), plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert comparison.smallest_growth is not None
    assert comparison.smallest_growth > 0.3
    assert re.fullmatch(
        r"a growth below [\d.]+ % cannot be detected with 3 launches", verdicts["p50"].reason
    )
    allowed = re.fullmatch(
        r'record more \(--hiddencost-launches\) or allow more: regression=\{"p50": "(\d+)%"\}',
        verdicts["p50"].remedy,
    )
    assert allowed is not None
    loose = Tolerances(own={"p50": int(allowed[1]) / 100})
    again, _ = judged(launch(10.2 * MS), entry(*NOISY), replace(plan(never()), tolerances=loose))
    assert again["p50"].verdict == PASS, "what the remedy says does decide"


def test_all_looks_are_taken_while_p50_is_open() -> None:
    relaunching = Relaunching(lambda i: launch((12 + 2 * (-1) ** i) * MS))
    verdicts, comparison = judged(launch(12 * MS), entry(10, 10.5, 9.5), plan(relaunching))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert comparison.fresh == relaunching.started == MOST_RELAUNCHES


def test_growth_of_non_mac_time_alone_fails() -> None:
    def grown(ms: float) -> Profile:
        return launch(ms * MS, shares={CONV: 0.4})

    relaunching = Relaunching(lambda i: grown(10 + 0.01 * (i % 2)))
    verdicts, _ = judged(grown(10), entry(), plan(relaunching))
    assert verdicts["non_mac"].verdict == FAIL
    assert verdicts["non_mac"].measured == pytest.approx(0.5, abs=0.01)
    assert verdicts["p50"].verdict == PASS


def test_growth_of_one_operator_within_the_same_latency_is_no_regression() -> None:
    now = launch(shares={CAT: 0.14, CONV: 0.58, COPY: 0.02})
    verdicts, _ = judged(now, entry(), plan(never()))
    assert {v.verdict for v in verdicts.values()} == {PASS}


# --- the reference workload --------------------------------------------------------------------


def test_a_device_that_is_slower_as_a_whole_is_no_regression() -> None:
    slow = launch(12 * MS, reference_ns=1.2 * REFERENCE_NS)
    verdicts, comparison = judged(slow, entry(), plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason == (
        "the reference workload is 20 % slower than at recording: the device changed"
    )
    assert "record again (--hiddencost-update)" in verdicts["p50"].remedy
    assert comparison.reference_growth == pytest.approx(0.2)


def test_a_device_that_is_faster_hides_no_regression() -> None:
    fast = launch(10 * MS, reference_ns=0.8 * REFERENCE_NS)
    verdicts, _ = judged(fast, entry(), plan(like(10.0, reference_ns=0.8 * REFERENCE_NS)))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "reference workload is 20 % faster than at recording" in verdicts["p50"].reason


def test_a_reference_that_moved_by_far_less_than_the_growth_is_no_excuse() -> None:
    reference_ns = 1.08 * REFERENCE_NS
    slower = launch(15 * MS, reference_ns=reference_ns)
    verdicts, _ = judged(slower, entry(), plan(like(15.0, reference_ns=reference_ns)))
    assert verdicts["p50"].verdict == FAIL
    assert verdicts["p50"].measured == pytest.approx(1.5 / 1.08 - 1, abs=0.01)


def at(reference: float, relative: float) -> tuple[Profile, BaselinePlan]:
    """A launch on a device whose reference workload takes so many times as long, and relaunches."""
    ms, reference_ns = 10.0 * reference * relative, reference * REFERENCE_NS
    return launch(ms * MS, reference_ns=reference_ns), plan(like(ms, reference_ns=reference_ns))


def test_a_growth_beyond_what_a_slower_device_explains_fails() -> None:
    slower, how = at(1.15, 1.25)
    verdicts, _ = judged(slower, entry(), how)
    assert verdicts["p50"].verdict == FAIL
    assert "reference workload +15 % against the recording" in verdicts["p50"].reason


@pytest.mark.parametrize("reference", [1.1, 1.15, 1.25, 1.6, 3.0])
def test_a_model_that_a_slower_device_slows_more_than_the_reference_is_no_regression(
    reference: float,
) -> None:
    slower, how = at(reference, reference**0.39)
    verdicts, _ = judged(slower, entry(), how)
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "reference workload" in verdicts["p50"].reason


def test_a_call_that_takes_longer_on_a_faster_device_fails() -> None:
    slower, how = at(0.93, 1.22)
    verdicts, _ = judged(slower, entry(), how)
    assert verdicts["p50"].verdict == FAIL


def test_a_slower_device_neither_hides_a_stale_baseline_nor_makes_one() -> None:
    def improved(reference: float, relative: float) -> bool:
        slower, _ = at(reference, relative)
        _, comparison = judged(slower, entry(), plan(never()))
        return "p50" in comparison.improved

    assert improved(1.1, 0.8), "12 % faster, on a device that is slower"
    assert not improved(1.25, 0.8), "as fast as it was"


def test_a_reference_that_moved_a_little_leaves_less_growth_to_pass() -> None:
    for reference, verdict in ((1.0, PASS), (1.04, INCONCLUSIVE), (0.96, INCONCLUSIVE)):
        same, how = at(reference, 1.025)
        verdicts, _ = judged(same, entry(), how)
        assert verdicts["p50"].verdict == verdict, reference


def test_a_reference_that_moved_a_little_makes_fewer_baselines_stale() -> None:
    for reference, stale in ((1.0, True), (0.96, False)):
        faster, how = at(reference, 0.925)
        _, comparison = judged(faster, entry(), how)
        assert ("p50" in comparison.improved) == stale, reference


def test_a_reference_that_moved_hides_larger_growths() -> None:
    def seen(reference: float) -> float:
        found = judged(
            launch(10 * MS * reference, reference_ns=reference * REFERENCE_NS), entry(), plan()
        )
        assert found[1].smallest_growth is not None
        return found[1].smallest_growth

    assert seen(1.0) < 0.99 * seen(1.04) < 0.98 * seen(1.08)
    assert seen(0.5) >= 1.05 / 0.5 - 1.0, "nothing fails that takes no longer than it did"


def test_a_launch_without_the_reference_workload_is_inconclusive() -> None:
    bare = replace(launch(12 * MS), reference=ReferenceTime())
    verdicts, _ = judged(bare, entry(), plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason == "a launch has no time for p50"


def test_a_recording_without_the_reference_workload_is_inconclusive() -> None:
    recorded = replace(entry(), reference_ns=(0, 0, 0))
    verdicts, _ = judged(launch(12 * MS), recorded, plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "without the reference workload" in verdicts["p50"].reason


def test_a_recording_beyond_every_time_raises_nothing() -> None:
    """Such a growth rounds to -1, which has no logarithm."""
    recorded = replace(entry(), relative=(4e18,) * 3)
    _, comparison = judged(launch(12 * MS), recorded, plan(never()))
    assert comparison.growth == -1.0


@pytest.mark.parametrize("reference_ns", [1, 2**62])
def test_impossible_numbers_raise_nothing(reference_ns: int) -> None:
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


def test_times_relative_to_another_reference_workload_are_not_compared() -> None:
    recorded = replace(entry(), reference_version=99)
    verdicts, comparison = judged(launch(20 * MS), recorded, plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].explanation == (
        "the baseline was recorded with another reference workload; record it again "
        "(--hiddencost-update)"
    )
    assert verdicts["calls"].verdict == PASS, "structure is compared all the same"
    assert comparison.growth is comparison.reference_growth is None


# --- what cannot be decided ---------------------------------------------------------------------


def test_on_an_unfit_device_structure_is_checked_and_time_is_not() -> None:
    now = launch(20 * MS, calls={COPY: 15}, unfit="throttled while measured")
    verdicts, _ = judged(now, entry(), plan(never()))
    assert verdicts["calls"].verdict == FAIL
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].reason == "throttled while measured"
    assert verdicts["p50"].remedy == "measure again when the device is idle"


def test_times_recorded_on_an_unfit_device_are_not_compared_and_the_structure_is() -> None:
    recorded = entry_of([*launches(*QUIET[:2]), launch(unfit="throttled while measured")])
    verdicts, comparison = judged(launch(20 * MS, calls={COPY: 15}), recorded, plan(never()))
    assert verdicts["calls"].verdict == FAIL
    for key in timed_keys(recorded):
        assert verdicts[key].verdict == INCONCLUSIVE
        assert verdicts[key].reason == (
            "the stored times were taken on a device unfit for timing: throttled while measured"
        )
        assert "--hiddencost-update" in verdicts[key].remedy
    assert comparison.growth is None


@pytest.mark.parametrize("side", ["now", "recorded"])
def test_times_that_depend_on_the_number_of_calls_are_not_compared(side: str) -> None:
    steady, growing = launch(), launch(varies=(LATENCY,), unfit="busy")
    now, then = (growing, steady) if side == "now" else (steady, growing)
    verdicts, _ = judged(now, entry_of([then] * 3), plan(never()))
    assert {verdicts[key].verdict for key in ("p50", "non_mac")} == {INCONCLUSIVE}
    assert verdicts["p50"].reason.startswith("the call changes as it is repeated")


def test_a_device_that_is_unfit_now_comes_before_one_that_was() -> None:
    recorded = entry_of([launch(unfit="busy then") for _ in range(3)])
    verdicts, _ = judged(launch(unfit="busy now"), recorded, plan(never()))
    assert verdicts["p50"].reason == "busy now"


def test_one_recorded_launch_can_fail_nothing() -> None:
    verdicts, comparison = judged(launch(20 * MS), entry(10.0), plan(never()))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "holds one launch" in verdicts["p50"].reason
    assert "--hiddencost-launches=3" in verdicts["p50"].remedy
    assert comparison.smallest_growth is None


def test_a_confidence_that_so_few_launches_can_never_reach_is_named() -> None:
    how = replace(plan(never()), confidence=0.999999, calls=10_000)
    verdicts, _ = judged(launch(20 * MS), entry(10.0, 10.1), how)
    assert verdicts["p50"].reason == (
        "2 recorded launches cannot show a regression at 99.9999 % confidence among 10000 calls"
    )


def test_a_structure_that_failed_needs_no_relaunches() -> None:
    now = launch(12 * MS, calls={COPY: 15})
    verdicts, _ = judged(now, entry(), plan(never()))
    assert verdicts["calls"].verdict == FAIL
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "the structure failed already" in verdicts["p50"].reason


def test_where_no_relaunch_can_be_started_nothing_is_confirmed() -> None:
    verdicts, _ = judged(launch(12 * MS), entry(), plan(None))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert verdicts["p50"].explanation == (
        "no relaunch confirmed the growth: this run starts none; run without pytest-xdist (-n0)"
    )


def test_relaunches_that_were_unfit_confirm_nothing() -> None:
    relaunching = Relaunching(lambda _: launch(12 * MS, unfit="busy"))
    verdicts, comparison = judged(launch(12 * MS), entry(), plan(relaunching))
    assert verdicts["p50"].verdict == INCONCLUSIVE
    assert "only 0 of 3 relaunches could be measured" in verdicts["p50"].reason
    assert comparison.fresh == 0


# --- what got better ----------------------------------------------------------------------------


def test_a_call_faster_by_more_than_the_tolerance_makes_the_baseline_stale() -> None:
    verdicts, comparison = judged(launch(8 * MS), entry(), plan(never()))
    assert verdicts["p50"].verdict == PASS
    assert "p50" in comparison.improved


def test_a_device_that_became_faster_makes_no_baseline_stale() -> None:
    _, comparison = judged(launch(8 * MS, reference_ns=0.8 * REFERENCE_NS), entry(), plan(never()))
    assert comparison.improved == ()


# --- error rates --------------------------------------------------------------------------------


@pytest.mark.parametrize("sessions", SESSIONS)
def test_no_false_alarm_where_launches_spread_as_on_a_shared_machine(sessions: int) -> None:
    random = np.random.default_rng(5)
    alarms = 0

    def one(_: int) -> Profile:
        return launch(float(10 * MS * np.exp(random.normal(0.0, 0.04))))

    for _ in range(sessions):
        recorded = entry_of([one(0) for _ in range(3)])
        verdicts, _ = judged(one(0), recorded, plan(Relaunching(one)))
        alarms += any(v.verdict == FAIL for v in verdicts.values())
    assert alarms == 0


@pytest.mark.parametrize("sessions", SESSIONS)
def test_no_false_alarm_where_a_changed_device_slows_the_model_more_or_less(sessions: int) -> None:
    random = np.random.default_rng(7)
    alarms = 0
    for _ in range(sessions):
        exponent = random.uniform(0.6, 1.4)

        def slowed(drift: float, exponent: float = exponent) -> Profile:
            reference, own = np.exp(random.normal(drift, 0.01)), np.exp(random.normal(0.0, 0.01))
            return launch(
                float(10 * MS * own * reference**exponent),
                reference_ns=float(reference * REFERENCE_NS),
            )

        then, now = random.normal(0.0, 0.2, 2)
        recorded = entry_of([slowed(then) for _ in range(3)])
        relaunching = Relaunching(lambda _, drift=now, make=slowed: make(drift))  # type: ignore[misc]
        verdicts, _ = judged(slowed(now), recorded, plan(relaunching))
        alarms += any(v.verdict == FAIL for v in verdicts.values())
    assert alarms == 0


@pytest.mark.parametrize("sessions", SESSIONS)
def test_at_the_tolerance_itself_alarms_are_as_rare_as_promised(sessions: int) -> None:
    random = np.random.default_rng(8)
    alarms = 0

    def one(ms: float) -> Profile:
        shares = {name: share * np.exp(random.normal(0.0, 0.03)) for name, share in SHARES.items()}
        return launch(float(ms * MS * np.exp(random.normal(0.0, 0.03))), shares=shares)

    for _ in range(sessions):
        recorded = entry_of([one(10.0) for _ in range(3)])
        how = replace(plan(Relaunching(lambda _: one(10.5))), confidence=0.8)
        verdicts, _ = judged(one(10.5), recorded, how)
        alarms += any(v.verdict == FAIL for v in verdicts.values())
    slack = 3.0 * math.sqrt(0.2 * 0.8 / sessions)
    assert 0.015 <= alarms / sessions <= 0.2 + slack


def test_the_risk_is_shared_by_looks_checks_and_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SequentialTest] = []

    def remembered(*arguments: Any) -> SequentialTest:
        made.append(SequentialTest(*arguments))
        return made[-1]

    monkeypatch.setattr(baseline_comparison, "SequentialTest", remembered)
    judged(launch(), entry(), plan(calls=5))
    assert made == [SequentialTest(RELAUNCH_LOOKS, CHECK_SHARES, 0.99, 5)]


@pytest.mark.parametrize(("ms", "looks"), [(12.0, 1), (11.5, 2), (11.0, 3)])
def test_a_smaller_growth_takes_more_looks(ms: float, looks: int) -> None:
    spread = Relaunching(lambda i: launch((ms + 0.2 * (i % 3 - 1)) * MS))
    verdicts, comparison = judged(launch(ms * MS), entry(10.0, 10.2, 9.8), plan(spread))
    assert verdicts["p50"].verdict == FAIL
    assert comparison.fresh == RELAUNCH_LOOKS[looks - 1].size


def test_a_recording_that_could_never_fail_is_known_before_it_is_made() -> None:
    assert not could_fail(1, 0.99)
    assert could_fail(2, 0.99)
    assert not could_fail(2, 1.0 - 1e-10)
    verdicts, _ = judged(launch(25 * MS), entry(10.0, 10.01), plan(like(25.0)))
    assert verdicts["p50"].verdict == FAIL, "two launches, and a doubling"


def test_a_growth_of_a_fifth_fails_at_the_spread_of_a_quiet_device() -> None:
    random = np.random.default_rng(6)
    found = []

    def one(ms: float) -> Profile:
        return launch(float(ms * MS * np.exp(random.normal(0.0, 0.025))))

    for _ in range(100):
        recorded = entry_of([one(10.0) for _ in range(3)])
        how = plan(Relaunching(lambda _: one(12.0)), calls=4)
        verdicts, _ = judged(one(12.0), recorded, how)
        found.append(verdicts["p50"].verdict)
    assert found.count(FAIL) >= 90
    assert PASS not in found
