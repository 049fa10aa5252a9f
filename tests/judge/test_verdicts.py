"""The factory of verdicts: what each kind of verdict holds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, NEW, PASS, REGRESSION, Check
from pytest_hiddencost.core.records import LATENCY, DeviceHealth, Verdict
from pytest_hiddencost.core.tolerances import MOST_GROWTH
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.judge.statistics import Growth
from pytest_hiddencost.run.markers import latency_budget
from tests.profiles import limit_on, patient

WHY = Reason("two launches differ", "record more")
GROWTH = Growth(share=0.2, low=0.1, high=0.3, risk=0.001)


def test_a_decided_verdict_needs_no_reason() -> None:
    found = verdicts.decided(limit_on("p50"), PASS, 9.0, 10.0, "duration", interval=(8.0, 9.5))
    assert found == Verdict(limit_on("p50"), PASS, 9.0, 10.0, unit="duration", interval=(8.0, 9.5))
    assert found.explanation == ""


def test_an_undecided_verdict_has_reason_and_remedy() -> None:
    found = verdicts.undecided(
        limit_on("mac_rate"), 3e9, "mac_rate", WHY, measured=3e9, interval=(2e9, 4e9),
        at_least=True, sampling_helps=True,
    )  # fmt: skip
    assert found == Verdict(
        limit_on("mac_rate"), INCONCLUSIVE, 3e9, 3e9, WHY.found, "mac_rate", (2e9, 4e9), True, True,
        WHY.remedy,
    )  # fmt: skip


@pytest.mark.parametrize(("grown", "verdict"), [(True, FAIL), (False, PASS)])
def test_an_exact_comparison_has_no_width(grown: bool, verdict: str) -> None:
    found = verdicts.exact("calls", "calls", 15, 14, grown=grown)
    assert found.check == Check(REGRESSION, "calls")
    assert (found.verdict, found.measured, found.limit) == (verdict, 15.0, 14.0)
    assert found.interval == (15.0, 15.0)


def test_a_growth_has_its_interval_and_what_is_allowed() -> None:
    passes = verdicts.growth_passes("p50", GROWTH, 0.5)
    fails = verdicts.growth_fails("p50", GROWTH, 0.05, "shown by 5 pairs")
    undecided = verdicts.growth_open("p50", 0.15, WHY, GROWTH)
    for found in (passes, fails, undecided):
        assert found.check == Check(REGRESSION, "p50")
        assert (found.measured, found.interval, found.unit) == (0.2, (0.1, 0.3), "share")
    assert [found.verdict for found in (passes, fails, undecided)] == [PASS, FAIL, INCONCLUSIVE]
    assert [found.limit for found in (passes, fails, undecided)] == [0.5, 0.05, 0.15]
    assert [found.reason for found in (passes, fails)] == ["", "shown by 5 pairs"]
    assert undecided.explanation == "two launches differ; record more"


def test_a_growth_that_is_unknown_has_no_figures() -> None:
    found = verdicts.growth_open("p50", 0.05, WHY)
    assert (found.measured, found.interval) == (None, None)


def test_a_new_call_has_one_verdict_for_the_whole_comparison() -> None:
    found = verdicts.new(reasons.NO_BASELINE)
    assert (found.check, found.verdict, found.measured) == (Check(REGRESSION), NEW, None)
    assert found.explanation == (
        "no baseline on this device; record it with --hiddencost-update-new"
    )


def test_an_unfit_device_gives_its_reasons_and_its_remedies() -> None:
    health = DeviceHealth(False, ("throttled", "load of 3"), remedies=("cool it", "stop others"))
    assert verdicts.unfit(health) == Reason("throttled; load of 3", "cool it; stop others")


def test_an_unfit_device_without_a_remedy_of_its_own_has_one_all_the_same() -> None:
    assert verdicts.unfit(DeviceHealth(False, ("throttled",))).remedy == (
        "measure again when the device is idle"
    )


@pytest.mark.parametrize(
    ("growth", "allowed"),
    [(0.0, "5%"), (0.049, "5%"), (0.0501, "10%"), (0.12, "15%"), (2.3, "235%"), (99.0, "1000%"),
     (math.inf, "1000%")],
)  # fmt: skip
def test_a_roomier_tolerance_is_the_next_step_of_five_percent(growth: float, allowed: str) -> None:
    assert verdicts.roomier(growth) == allowed


@patient
@given(st.floats(0.0, 2 * MOST_GROWTH))
def test_a_roomier_tolerance_is_one_that_a_marker_accepts(growth: float) -> None:
    allowed = verdicts.roomier(growth)
    share = latency_budget(regression={"p50": allowed}).regression.timed("p50", 0.0)
    assert share == units.parse(allowed, ["share"], "allowed", max_share=MOST_GROWTH).value
    assert share > growth or share == MOST_GROWTH


def test_p50_is_no_way_out_of_a_varying_count_if_times_vary_too() -> None:
    steady = verdicts.varying(["macs"], "macs")
    changing = verdicts.varying(["macs", LATENCY], "macs")
    assert steady is not None
    assert changing is not None
    assert "limit p50" in steady.remedy
    assert "limit p50" not in changing.remedy
    assert "setup=" in changing.remedy
