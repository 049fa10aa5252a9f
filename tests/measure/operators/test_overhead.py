"""Profiler overhead: the cost of an event, from the calibration and from the windows of a call."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._C._autograd import _profiler_enabled
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_hiddencost.measure.operators.overhead import (
    CONFIDENT,
    DOUBT,
    NO_COST,
    ROOT_EVENTS,
    Calibration,
    EventCost,
    Excess,
    calibrated,
    event_cost,
    fit,
)
from tests.profiles import patient

CALIBRATION = Calibration(leaf_ns=350.0, nested_ns=250.0, inside_share=0.2)  # 300 an event
EVENTS = 100


def windows(*event_ns: float, events: int = EVENTS, root_events: int = 0) -> list[Excess]:
    """Windows with these costs per event, in ns."""
    return [Excess(each * events, events, root_events) for each in event_ns]


# --- the calibration and the observed cost ------------------------------------------------------


def test_the_calibrated_cost_is_the_mean_of_leaf_and_nested_events() -> None:
    assert CALIBRATION.event_ns == 300.0


@pytest.mark.parametrize("observed", [[], windows(900.0), windows(0.0)])
def test_the_calibration_stands_if_the_noise_is_unknown(observed: list[Excess]) -> None:
    cost = event_cost(CALIBRATION, observed)
    assert cost.event_ns == pytest.approx(300)
    assert cost.inside_ns == pytest.approx(60)
    assert cost.root_ns == pytest.approx(ROOT_EVENTS * 300)
    assert cost.calibrated_ns == 300.0
    assert cost.sd_ns == pytest.approx(DOUBT * 300)


def test_the_calibration_stands_for_a_call_without_events() -> None:
    cost = event_cost(CALIBRATION, [Excess(500.0, 0, 0)] * 8)
    assert cost.event_ns == pytest.approx(300)
    assert cost.sd_ns > 0


def test_windows_that_agree_outweigh_the_calibration() -> None:
    cost = event_cost(CALIBRATION, windows(*[500.0 + 2 * i for i in range(-10, 11)]))
    assert cost.event_ns == pytest.approx(500, rel=0.02)
    assert cost.sd_ns < 0.2 * DOUBT * 300
    assert (cost.observed_ns, cost.calibrated_ns) == (500.0, 300.0)


def test_windows_that_disagree_hardly_change_the_calibration() -> None:
    cost = event_cost(CALIBRATION, windows(-9000.0, -2000.0, 500.0, 4000.0, 8000.0))
    assert cost.event_ns == pytest.approx(300, rel=0.02)
    assert cost.observed_ns == 500.0


def test_one_outlier_among_many_windows_changes_little() -> None:
    calm = [400.0 + i for i in range(15)]
    usual = event_cost(CALIBRATION, windows(*calm)).event_ns
    assert event_cost(CALIBRATION, windows(*calm, 1e6)).event_ns == pytest.approx(usual, rel=0.01)


def test_the_root_events_take_their_share_of_an_unexpected_excess() -> None:
    # 100 events, each a root operator, cost twice as much as calibrated.
    claimed_ns = 300 * (1 + ROOT_EVENTS)
    cost = event_cost(CALIBRATION, windows(*[2 * claimed_ns] * 5, root_events=EVENTS))
    assert cost.event_ns > 300
    assert cost.root_ns > ROOT_EVENTS * 300
    assert cost.root_ns - ROOT_EVENTS * 300 > cost.event_ns - 300  # they are less certain
    assert cost.sd_ns > 0
    assert cost.total_ns(EVENTS, EVENTS) == pytest.approx(2 * claimed_ns * EVENTS)


def test_a_window_without_events_among_others_is_no_error() -> None:
    # A model that runs operators in every other call.
    idle = Excess(0.0, 0, 0)
    for mixed in ([idle, *windows(300.0, 310.0)], [*windows(300.0, 310.0), idle]):
        cost = event_cost(CALIBRATION, mixed)
        assert math.isfinite(cost.event_ns)
        assert cost.event_ns >= 0


@pytest.mark.parametrize("observed", [windows(), windows(5.0, 5.0, 5.0), windows(5.0, 9.0, 7.0)])
def test_a_calibration_that_found_no_cost_is_no_error(observed: list[Excess]) -> None:
    cost = event_cost(Calibration(0.0, 0.0, 0.0), observed)
    assert math.isfinite(cost.event_ns)
    assert cost.event_ns >= 0


# --- as a device slows down ---------------------------------------------------------------------


def test_events_cost_twice_as_much_if_the_probe_takes_twice_as_long() -> None:
    fresh = Calibration(350.0, 250.0, 0.2, probe_ns=1000.0)
    assert fresh.at(2000.0) == Calibration(700.0, 500.0, 0.2, probe_ns=2000.0)
    slow = [Excess(600.0 * EVENTS, EVENTS, 0, probe_ns=2000.0)]
    assert event_cost(fresh, slow).event_ns == pytest.approx(600)
    assert event_cost(fresh, slow).calibrated_ns == pytest.approx(600)


def test_a_probe_that_is_not_known_changes_nothing() -> None:
    fresh = Calibration(350.0, 250.0, 0.2, probe_ns=1000.0)
    assert fresh.at(0.0) == fresh
    assert CALIBRATION.at(2000.0) == CALIBRATION


# --- any windows --------------------------------------------------------------------------------

shares = st.floats(0, 1)
calibrations = st.builds(Calibration, st.floats(1, 5000), st.floats(1, 5000), shares)
excesses_ns = st.floats(-1e9, 1e9)


@st.composite
def any_windows(draw: st.DrawFn, least: int = 0) -> list[Excess]:
    """Windows of one call with any excess."""
    events = draw(st.integers(1, 10**5))
    root_events = draw(st.integers(0, events))
    seen = draw(st.lists(excesses_ns, min_size=least, max_size=12))
    return [Excess(excess_ns, events, root_events) for excess_ns in seen]


@patient
@given(calibration=calibrations, observed=any_windows())
def test_a_cost_is_never_negative_and_its_parts_add_up(
    calibration: Calibration, observed: list[Excess]
) -> None:
    cost = event_cost(calibration, observed)
    numbers = (cost.inside_ns, cost.around_ns, cost.root_ns, cost.sd_ns)
    assert all(math.isfinite(number) and number >= 0 for number in numbers)
    assert cost.inside_ns + cost.around_ns == cost.event_ns
    assert cost.inside_ns == pytest.approx(calibration.inside_share * cost.event_ns)
    assert cost.sd_ns <= DOUBT * calibration.event_ns
    assert cost.calibrated_ns == calibration.event_ns


@patient
@given(calibration=calibrations, observed=any_windows(least=1))
def test_the_observed_cost_is_the_median_of_the_windows(
    calibration: Calibration, observed: list[Excess]
) -> None:
    per_event = [window.excess_ns / window.events for window in observed]
    assert event_cost(calibration, observed).observed_ns == pytest.approx(median(per_event))


@patient
@given(calibration=calibrations, observed=any_windows(least=1))
def test_a_cost_lies_between_the_calibrated_and_the_observed_cost(
    calibration: Calibration, observed: list[Excess]
) -> None:
    first = observed[0]
    excess_ns = median(window.excess_ns for window in observed)
    prior = event_cost(calibration, [])
    claimed_ns = prior.total_ns(first.events, first.root_events)
    found_ns = event_cost(calibration, observed).total_ns(first.events, first.root_events)
    slack_ns = 1e-6 * (claimed_ns + abs(excess_ns))
    assert found_ns >= min(claimed_ns, excess_ns) - slack_ns
    if excess_ns >= 0:  # a negative excess can take back no more than the whole cost
        assert found_ns <= max(claimed_ns, excess_ns) + slack_ns


@patient
@given(
    calibration=calibrations,
    middle=st.floats(0, 5000),
    deviations=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    noise=st.lists(st.floats(0, 5000), min_size=2, max_size=5),
    root_events=st.integers(0, EVENTS),
)
def test_the_noisier_the_windows_the_less_they_count(
    calibration: Calibration,
    middle: float,
    deviations: list[float],
    noise: list[float],
    root_events: int,
) -> None:
    def cost(scale: float) -> EventCost:
        around = [middle, *(middle + sign * scale * d for d in deviations for sign in (1, -1))]
        return event_cost(calibration, windows(*around, root_events=root_events))

    costs = [cost(scale) for scale in sorted(noise)]
    moved = [abs(cost.event_ns - calibration.event_ns) for cost in costs]
    for quieter, louder in pairwise(moved):
        assert louder <= quieter * (1 + 1e-6) + 1e-6
    for calm, wild in pairwise(costs):
        assert wild.sd_ns >= calm.sd_ns * (1 - 1e-6) - 1e-6


@patient
@given(
    calibration=calibrations, pattern=st.lists(st.floats(0, 5000), min_size=5, max_size=8),
    times=st.integers(2, 9),
)  # fmt: skip
def test_more_windows_make_the_cost_more_certain(
    calibration: Calibration, pattern: list[float], times: int
) -> None:
    few = event_cost(calibration, windows(*sorted(pattern)))
    many = event_cost(calibration, windows(*sorted(pattern * 9 * times)))
    assert many.sd_ns <= few.sd_ns + 1e-6


def simulated(rng: random.Random, count: int, noise_ns: float) -> tuple[float, EventCost]:
    """A true cost, which deviates from the calibration by its doubt, and the estimate for it."""
    true_ns = rng.gauss(CALIBRATION.event_ns, DOUBT * CALIBRATION.event_ns)
    observed = [rng.gauss(true_ns, noise_ns) for _ in range(count)]
    return true_ns, event_cost(CALIBRATION, windows(*observed))


@pytest.mark.parametrize("noise_ns", [10.0, 100.0, 600.0])
@pytest.mark.parametrize("count", [3, 8, 30])
def test_windows_bring_the_cost_closer_to_the_truth(count: int, noise_ns: float) -> None:
    rng = random.Random(20240607)
    runs = [simulated(rng, count, noise_ns) for _ in range(2000)]
    off_ns = fmean(abs(cost.event_ns - true_ns) for true_ns, cost in runs)
    without_ns = fmean(abs(CALIBRATION.event_ns - true_ns) for true_ns, _ in runs)
    assert off_ns < 1.02 * without_ns  # noisy windows do no harm


@pytest.mark.parametrize("noise_ns", [10.0, 100.0, 600.0])
def test_the_truth_lies_within_the_uncertainty(noise_ns: float) -> None:
    rng = random.Random(20240608)
    runs = [simulated(rng, 12, noise_ns) for _ in range(2000)]
    covered = [abs(cost.event_ns - true_ns) <= CONFIDENT * cost.sd_ns for true_ns, cost in runs]
    assert fmean(covered) > 0.95  # the standard deviation of a dozen windows is itself uncertain


# --- the correction of a time -------------------------------------------------------------------

costs = st.builds(EventCost, st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4))
counts = st.integers(0, 10**6)


@patient
@given(
    cost=costs, calls=counts, children=counts, annotations=counts, self_ns=st.integers(0, 10**12)
)
def test_the_overhead_of_a_self_time_is_subtracted_exactly(
    cost: EventCost, calls: int, children: int, annotations: int, self_ns: int
) -> None:
    children += annotations
    costs_ns = calls * cost.inside_ns + children * cost.around_ns + annotations * cost.inside_ns
    net_ns = cost.net_ns(calls, self_ns + costs_ns, children, annotations)
    assert net_ns == pytest.approx(self_ns, rel=1e-9, abs=1e-3)
    assert net_ns <= self_ns + costs_ns


@patient
@given(cost=costs, roots=st.lists(st.integers(0, 5)), outside_ns=st.integers(0, 10**9))
def test_the_whole_overhead_lies_in_self_times_or_outside(
    cost: EventCost, roots: list[int], outside_ns: int
) -> None:
    # Root operators, each with this number of operators directly inside.
    events = len(roots) + sum(roots)
    inside_ns = sum(
        children * cost.inside_ns + cost.inside_ns + children * cost.around_ns for children in roots
    )
    whole_ns = cost.total_ns(events, len(roots))
    raw_ns = outside_ns + whole_ns - inside_ns
    assert cost.outside_ns(raw_ns, len(roots)) == pytest.approx(outside_ns, rel=1e-9, abs=1e-3)


@patient
@given(cost=costs, raw_ns=st.integers(0, 10**9), calls=counts, children=counts)
def test_events_without_cost_leave_times_unchanged(
    cost: EventCost, raw_ns: int, calls: int, children: int
) -> None:
    assert NO_COST.net_ns(calls, raw_ns, children, children) == raw_ns
    assert NO_COST.outside_ns(raw_ns, children) == raw_ns
    assert NO_COST.total_ns(calls, children) == 0
    assert NO_COST.uncertainty_ns(calls, children) == 0
    assert NO_COST.resolves(0, calls)
    assert cost.net_ns(0, raw_ns, 0, 0) == raw_ns


@patient
@given(cost=costs, sd_ns=st.floats(0, 1e4), calls=counts, children=counts, more=counts)
def test_more_events_never_make_a_time_more_certain(
    cost: EventCost, sd_ns: float, calls: int, children: int, more: int
) -> None:
    cost = EventCost(cost.inside_ns, cost.around_ns, sd_ns=sd_ns)
    uncertainty_ns = cost.uncertainty_ns(calls, children)
    assert uncertainty_ns >= 0
    assert cost.uncertainty_ns(calls + more, children) >= uncertainty_ns
    assert cost.uncertainty_ns(calls, children + more) >= uncertainty_ns


def test_an_operator_as_long_as_three_events_is_resolved() -> None:
    cost = EventCost(3.0, 7.0)
    assert [cost.resolves(ns, calls=2) for ns in (0.0, 59.9, 60.0, 1e6)] == [
        False, False, True, True,
    ]  # fmt: skip


# --- the fit of corrected windows ---------------------------------------------------------------


def test_windows_that_agree_on_a_misfit_keep_it() -> None:
    assert fit([1.05] * 12) == pytest.approx(1.05)
    assert fit([0.9]) == 0.9, "the noise of a single window is unknown"


def test_a_misfit_within_the_noise_counts_as_noise() -> None:
    noisy = [0.8, 0.9, 1.0, 1.1, 1.2, 1.3]
    assert abs(fit(noisy) - 1.0) < 0.1 * abs(median(noisy) - 1.0)


@given(st.lists(st.floats(0.2, 5.0), min_size=1, max_size=40))
def test_a_fit_lies_between_one_and_the_median_of_the_windows(ratios: list[float]) -> None:
    low, high = sorted([1.0, median(ratios)])
    assert low - 1e-12 <= fit(ratios) <= high + 1e-12


def test_a_true_misfit_of_5_percent_is_seen_through_noise_of_5_percent() -> None:
    random.seed(7)
    found = [fit([random.gauss(1.05, 0.05) for _ in range(40)]) for _ in range(200)]
    assert 1.03 < median(found) < 1.055
    without = [fit([random.gauss(1.0, 0.05) for _ in range(40)]) for _ in range(200)]
    assert sum(abs(value - 1.0) < 0.02 for value in without) > 190


# --- on this machine ----------------------------------------------------------------------------


def test_the_calibration_of_this_machine_is_a_cost(capfd: pytest.CaptureFixture[str]) -> None:
    calibrated.cache_clear()
    found = calibrated()
    for cost_ns in (found.leaf_ns, found.nested_ns, found.probe_ns):
        assert math.isfinite(cost_ns)
        assert cost_ns > 0
    assert 0 <= found.inside_share <= 1
    assert capfd.readouterr() == ("", "")
    assert not _profiler_enabled()


def test_a_process_is_calibrated_once() -> None:
    assert calibrated() is calibrated()


class UsersMode(TorchDispatchMode):
    """A dispatch mode of the user's."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("grad", [True, False])
def test_the_calibration_does_not_reach_the_users_modes(grad: bool) -> None:
    calibrated.cache_clear()
    with torch.set_grad_enabled(grad), UsersMode() as spy:
        calibrated()
        assert torch.is_grad_enabled() is grad
        assert not torch.is_inference_mode_enabled()
        assert spy.seen == []
        torch.ones(1)
    assert spy.seen == ["aten.ones.default"]
