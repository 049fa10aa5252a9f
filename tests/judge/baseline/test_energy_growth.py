"""The growth of energy over recorded launches: when it passes, fails and stays open."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS, Outcome, regression
from pytest_hiddencost.core.energy_records import EnergyUnknown
from pytest_hiddencost.core.records import LATENCY, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.baseline.comparison import BaselinePlan, CallRelauncher, compare
from pytest_hiddencost.judge.baseline.energy_growth import energy_verdicts
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.reasons import Reason
from tests.judge.launches import launch
from tests.profiles import energy_use

TOLERANCE = 0.1
ALLOWED = Tolerances(own={"energy": TOLERANCE})
MJ = 1e6


def used(energy_mj: float, **changes: Any) -> Profile:
    """A launch whose call takes this energy."""
    return launch(energy=energy_use(energy_mj * MJ, **changes))


def recorded(*energies_mj: float) -> Entry:
    return entry_of([used(energy_mj) for energy_mj in energies_mj])


STEADY = recorded(10.0, 10.01, 9.99)
GROWN = used(10.0 * (1 + TOLERANCE))


def judged(now: Profile, entry: Entry = STEADY, calls: int = 1) -> Verdict:
    (verdict,) = energy_verdicts(now, entry, ALLOWED, 0.99, calls, lambda: now)
    assert verdict.check == regression("energy")
    return verdict


@pytest.mark.parametrize(
    ("energy_mj", "outcome"),
    [(10.0, PASS), (5.0, PASS), (10.7, PASS), (11.0, INCONCLUSIVE), (13.0, FAIL), (20.0, FAIL)],
)
def test_growth_is_judged_against_the_spread_between_launches(
    energy_mj: float, outcome: Outcome
) -> None:
    verdict = judged(used(energy_mj))
    assert verdict.verdict == outcome
    assert verdict.measured == pytest.approx(energy_mj / 10.0 - 1.0, abs=1e-3)
    assert verdict.limit == TOLERANCE
    assert verdict.measured is not None
    assert verdict.interval is not None
    assert verdict.interval[0] < verdict.measured < verdict.interval[1]


def test_launches_that_differ_decide_nothing_about_a_small_growth() -> None:
    verdict = judged(used(11.5), recorded(10.0, 12.0, 8.0))
    assert verdict.verdict == INCONCLUSIVE
    assert "cannot be detected with 3 launches" in verdict.reason
    assert 'regression={"energy": ' in verdict.remedy


def test_nothing_is_judged_unless_the_marker_allows_energy_a_growth() -> None:
    assert energy_verdicts(used(99.0), STEADY, Tolerances(0.05), 0.99, 1, lambda: GROWN) == ()


def test_the_comparison_with_a_baseline_has_the_verdict() -> None:
    for energy_mj, outcome in ((10.0, PASS), (20.0, FAIL)):
        now = used(energy_mj)
        plan = BaselinePlan(0.05, 0.99, 1, ALLOWED, energy_launcher=partial(list_of, now))
        assert of_energy(compare(now, STEADY, plan)[0]).verdict == outcome


def list_of(profile: Profile, count: int) -> list[Profile]:
    return [profile] * count


def of_energy(found: tuple[Verdict, ...]) -> Verdict:
    (verdict,) = [v for v in found if v.check == regression("energy")]
    return verdict


@pytest.mark.parametrize(
    ("now", "entry", "reason"),
    [
        (launch(), STEADY, reasons.NO_ENERGY.found),
        (launch(energy_unknown=EnergyUnknown("no meter", "buy one")), STEADY, "unknown: no meter"),
        (used(10.0), entry_of([launch()] * 3), reasons.NO_RECORDED_ENERGY.found),
        (used(10.0, meter="RAPL", domain="package"), STEADY, "this run has RAPL (package)"),
        (replace(used(10.0), varies=(LATENCY,)), STEADY, reasons.CALL_CHANGES.found),
        (used(10.0), recorded(10.0), reasons.ONE_LAUNCH.found),
        (used(10.0), replace(STEADY, unfit="hot"), "unfit for timing: hot"),
    ],
)
def test_energies_that_cannot_be_compared_are_open_with_the_reason(
    now: Profile, entry: Entry, reason: str
) -> None:
    verdict = judged(now, entry)
    assert verdict.verdict == INCONCLUSIVE
    assert reason in verdict.reason
    assert verdict.remedy


def test_an_unfit_device_decides_nothing() -> None:
    hot = launch(energy=energy_use(20 * MJ), unfit="throttled")
    assert judged(hot).verdict == INCONCLUSIVE


def test_too_many_calls_for_so_few_launches_are_told() -> None:
    verdict = judged(used(20.0), calls=100)
    assert verdict.verdict == INCONCLUSIVE
    assert "cannot show a regression at 99 % confidence among 100 calls" in verdict.reason


def test_calls_of_a_session_share_the_risk_of_a_false_alarm() -> None:
    five = recorded(10.0, 10.3, 9.7, 10.1, 9.9)
    assert judged(used(12.6), five, calls=1).verdict == FAIL
    assert judged(used(12.6), five, calls=10).verdict == INCONCLUSIVE


def test_three_launches_decide_two_checks_and_five_decide_twenty() -> None:
    """As the page on energy says: each recorded energy counts as one more call."""
    five = recorded(10.0, 10.01, 9.99, 10.0, 10.0)
    assert judged(used(20.0), STEADY, calls=2 * 2).verdict == FAIL
    assert judged(used(20.0), STEADY, calls=2 * 6).verdict == INCONCLUSIVE
    assert judged(used(20.0), five, calls=2 * 20).verdict == FAIL


@pytest.mark.parametrize("spread", [0.005, 0.05])
def test_growth_that_is_just_allowed_fails_no_more_often_than_the_risk(spread: float) -> None:
    chance = random.Random(7)
    runs, risk, failed = 1000, 0.05, 0
    for _ in range(runs):
        *before_nj, now_nj = (round(10 * MJ * math.exp(chance.gauss(0, spread))) for _ in "1234")
        entry = replace(STEADY, energy_nj=tuple(before_nj))
        grown = replace(GROWN, energy=energy_use(now_nj * (1 + TOLERANCE)))
        (verdict,) = energy_verdicts(
            grown, entry, ALLOWED, 1 - risk, 1, partial(launch, energy=grown.energy)
        )
        failed += verdict.verdict == FAIL
    assert 0 < failed <= risk * runs + 3 * math.sqrt(risk * runs)


# --- the relaunch that decides ------------------------------------------------------------------


def with_relaunch(now_mj: float, again: Profile | Reason) -> Verdict:
    (verdict,) = energy_verdicts(used(now_mj), STEADY, ALLOWED, 0.99, 1, lambda: again)
    return verdict


@pytest.mark.parametrize(
    ("again_mj", "outcome"), [(10.0, PASS), (11.0, INCONCLUSIVE), (20.0, FAIL)]
)
@pytest.mark.parametrize("now_mj", [11.5, 20.0])
def test_energy_that_is_higher_in_the_users_process_is_measured_as_the_recorded_one(
    now_mj: float, again_mj: float, outcome: Outcome
) -> None:
    verdict = with_relaunch(now_mj, used(again_mj))
    assert verdict.verdict == outcome
    assert verdict.measured == pytest.approx(again_mj / 10.0 - 1.0, abs=1e-3)


def test_a_pass_needs_no_relaunch() -> None:
    assert with_relaunch(10.0, used(99.0)).verdict == PASS


def test_growth_that_no_relaunch_measures_does_not_fail() -> None:
    verdict = with_relaunch(20.0, reasons.NO_RELAUNCH)
    assert (verdict.verdict, verdict.reason) == (INCONCLUSIVE, reasons.NO_RELAUNCH.found)
    assert verdict.remedy == reasons.NO_RELAUNCH.remedy
    assert verdict.measured == pytest.approx(1.0, abs=1e-3)
    open_anyway = with_relaunch(11.0, reasons.NO_RELAUNCH)
    assert "cannot be detected with 3 launches" in open_anyway.reason


def test_a_relaunch_on_an_unfit_device_decides_nothing() -> None:
    verdict = with_relaunch(20.0, launch(energy=energy_use(20 * MJ), unfit="throttled"))
    assert verdict.verdict == INCONCLUSIVE
    assert "throttled" in verdict.reason


@pytest.mark.parametrize(
    ("now", "launcher", "reason"),
    [
        (used(20.0), None, reasons.NO_RELAUNCH),
        (used(20.0), lambda _: [], reasons.FEW_RELAUNCHES.filled(count=0, needed=1)),
        (replace(used(20.0), macs=10**12), lambda _: [used(20.0)], reasons.CHANGED_STRUCTURE),
    ],
)
def test_a_run_that_cannot_relaunch_says_why(
    now: Profile, launcher: CallRelauncher | None, reason: Reason
) -> None:
    plan = BaselinePlan(0.05, 0.99, 1, ALLOWED, energy_launcher=launcher)
    verdict = of_energy(compare(now, STEADY, plan)[0])
    assert (verdict.verdict, verdict.reason) == (INCONCLUSIVE, reason.found)


# --- what is recorded --------------------------------------------------------------------------


def test_an_entry_has_the_energy_of_every_launch_and_its_meter() -> None:
    assert STEADY.energy_nj == (10_000_000, 10_010_000, 9_990_000)
    assert STEADY.energy_meter == "bench meter (board)"


@pytest.mark.parametrize("other", [launch(), used(10.0, meter="RAPL")])
def test_energies_of_some_launches_or_of_two_meters_are_not_recorded(other: Profile) -> None:
    entry = entry_of([used(10.0), other, used(10.0)])
    assert entry.energy_nj == ()
    assert entry.energy_meter == ""
