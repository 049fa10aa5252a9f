"""Growth on a device whose speed changes, which a model follows with an exponent of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import FAIL, PASS, regression
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.comparison import BaselinePlan, compare
from pytest_hiddencost.judge.baseline.drift import REFERENCE_ERROR, SHOWN_ERROR, Drift
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.statistics import deviations, smallest_growth, spread_beside
from tests.judge.launches import MS, REFERENCE_NS, SHARES, launch
from tests.profiles import patient

RECORDED, NOW = (1.0, 1.5, 1.5), (1.0, 1.0, 1.5)
TIMES = st.floats(0.1, 10.0)


def relative(reference: Sequence[float], exponent: float, growth: float = 0.0) -> list[float]:
    """Times relative to the reference workload, of a model that follows it with this exponent."""
    jitter = (1.001, 0.999, 1.0)
    return [
        (1.0 + growth) * time ** (exponent - 1.0) * jitter[i % 3]
        for i, time in enumerate(reference)
    ]


@pytest.mark.parametrize("exponent", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("growth", [0.0, 0.2])
def test_launches_at_two_speeds_show_the_exponent(exponent: float, growth: float) -> None:
    drift = Drift(RECORDED, NOW)
    assert drift.shown
    recorded, now = relative(RECORDED, exponent), relative(NOW, exponent, growth)
    found = drift.growth(recorded, now, 0.05, 0.99)
    assert found.share == pytest.approx(growth, abs=0.003)
    assert drift.smallest_growth(recorded, now, 9, 0.05, 1e-3) < 0.1


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        pytest.param((1.0, 1.5), (1.0, 1.5, 1.5), id="few launches"),
        pytest.param((1.0, 1.02, 0.98), (1.5, 1.52, 1.48), id="no speed in common"),
        pytest.param((1.0, 0.0, 1.5), (1.0, 1.5, 1.5), id="no reference time"),
    ],
)
def test_these_launches_show_no_exponent(recorded: Sequence[float], now: Sequence[float]) -> None:
    assert not Drift(recorded, now).shown


def test_an_unknown_exponent_widens_every_growth() -> None:
    drift = Drift((1.0, 1.02, 0.98), (1.5, 1.52, 1.48))
    assert drift.reference_growth == pytest.approx(0.5)
    assert drift.at_most(0.0) == pytest.approx(1.5**REFERENCE_ERROR - 1.0)
    assert drift.counted(0.2) == pytest.approx(0.2), "slower by itself as well"
    assert Drift((1.5, 1.52, 1.48), (1.0, 1.02, 0.98)).counted(0.2) < 0.0
    assert drift.excuse(0.2, 0.05)


def test_a_known_exponent_widens_a_growth_by_little() -> None:
    drift = Drift(RECORDED, NOW)
    apart = math.log(1.5) / 3
    assert drift.at_most(0.0) == pytest.approx(math.exp(SHOWN_ERROR * apart) - 1.0)
    assert drift.counted(0.2) == 0.2, "whichever way the reference workload moved"
    assert not drift.excuse(0.0, 0.05)


@patient
@given(st.lists(TIMES, min_size=3, max_size=9), st.lists(TIMES, min_size=3, max_size=12))
def test_the_sides_never_differ_by_more_than_launches_within_them(
    recorded: list[float], now: list[float]
) -> None:
    drift = Drift(recorded, now)
    variation = math.hypot(*deviations(recorded), *deviations(now))
    assert abs(drift._apart) <= variation * (1.0 + 1e-9) + 1e-9


def test_a_fitted_exponent_costs_a_degree_of_freedom() -> None:
    drift = Drift(RECORDED, NOW)
    recorded, now = relative(RECORDED, 1.2), relative(NOW, 1.2)
    spread = spread_beside(recorded, now, RECORDED, NOW)
    expected = smallest_growth(spread, 3, 4, drift.at_most(0.05), 1e-3, slopes=1)
    assert drift.smallest_growth(recorded, now, 4, 0.05, 1e-3) == pytest.approx(expected)


def test_a_reference_that_moved_little_is_not_the_reason_for_an_open_growth() -> None:
    drift = Drift((1.0, 1.0, 1.0), (1.1, 1.1, 1.1))
    assert drift.excuse(0.1, 0.05), "half the growth or more"
    assert not drift.excuse(0.5, 0.05)
    assert not drift.excuse(0.0, 0.2), "less than the tolerance"


def test_a_device_that_became_slower_throughout_is_known_less_well() -> None:
    slower = [1.3 * time for time in NOW]
    drift = Drift(RECORDED, slower)
    assert drift.shown
    # Other load: an exponent of 1.4. The device itself: an exponent of 1.
    times = [1.3**-0.4 * value for value in relative(slower, 1.4)]
    assert drift.growth(relative(RECORDED, 1.4), times, 0.05, 0.99).share == pytest.approx(
        0.0, abs=0.003
    )
    assert drift.at_most(0.0) > 1.3**REFERENCE_ERROR - 1.0


def test_without_a_reference_time_nothing_is_known_of_the_drift() -> None:
    drift = Drift((1.0, 1.5, 1.5), (0.0, 1.0, 1.5))
    assert drift.reference_growth is None
    assert drift.at_most(0.05) == pytest.approx(0.05)
    assert drift.excuse(0.0, 0.05)


# --- error rates -------------------------------------------------------------------------------

OTHER_LOAD = 0.5  # by which other load slows the device, in logarithms
SESSIONS = [60, pytest.param(1_000, marks=pytest.mark.nightly)]


class SharedDevice:
    """Launches on a shared device: other load is there or not, or comes and goes meanwhile."""

    def __init__(self, seed: int, exponent: float) -> None:
        self._random = np.random.default_rng(seed)
        self._exponent = exponent

    def launch(self, ms: float, slower: float = 0.0, exponent: float = 1.0) -> Profile:
        random = self._random
        loaded = OTHER_LOAD * (random.random() < 0.6)
        drift = loaded * (1.0 if random.random() < 0.8 else random.random())
        drift += random.normal(0.0, 0.03)
        time = self._exponent * drift + exponent * slower + random.normal(0.0, 0.015)
        shares = {n: share * np.exp(random.normal(0.0, 0.02)) for n, share in SHARES.items()}
        reference_ns = REFERENCE_NS * np.exp(drift + slower)
        return launch(
            float(ms * MS * np.exp(time)), reference_ns=float(reference_ns), shares=shares
        )

    def verdicts(self, ms: float, slower: float = 0.0, exponent: float = 1.0) -> dict[str, str]:
        """The verdicts on a call that took 10 ms, by key, if it takes so long now."""
        recorded = entry_of([self.launch(10.0) for _ in range(3)])

        def relaunch(count: int) -> list[Profile]:
            return [self.launch(ms, slower, exponent) for _ in range(count)]

        plan = BaselinePlan(0.05, 0.99, 4, Tolerances(), relaunch)
        [now] = relaunch(1)
        verdicts, _ = compare(now, recorded, plan)
        assert {v.check.kind for v in verdicts} == {regression().kind}
        return {v.check.key: v.verdict for v in verdicts}


@pytest.mark.parametrize("sessions", SESSIONS)
@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.25])
def test_other_load_that_comes_and_goes_raises_no_alarm(exponent: float, sessions: int) -> None:
    device = SharedDevice(1, exponent)
    found = [device.verdicts(10.0) for _ in range(sessions)]
    assert not any(FAIL in verdicts.values() for verdicts in found)


@pytest.mark.parametrize("sessions", SESSIONS)
@pytest.mark.parametrize(
    ("of_load", "slower", "exponent"), [(1.25, 0.25, 1.0), (1.25, 0.25, 0.8), (0.9, 0.25, 1.2)]
)
def test_a_device_that_became_slower_meanwhile_raises_no_alarm(
    of_load: float, slower: float, exponent: float, sessions: int
) -> None:
    device = SharedDevice(2, of_load)
    found = [device.verdicts(10.0, slower, exponent) for _ in range(sessions)]
    assert not any(FAIL in verdicts.values() for verdicts in found)


@pytest.mark.parametrize("sessions", SESSIONS)
@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.25])
def test_other_load_hides_no_growth_of_a_fifth(exponent: float, sessions: int) -> None:
    device = SharedDevice(3, exponent)
    found = [device.verdicts(12.0) for _ in range(sessions)]
    noticed = sum(FAIL in verdicts.values() for verdicts in found) / sessions
    assert noticed >= 0.87 - 2.0 * math.sqrt(0.87 * 0.13 / sessions)
    assert PASS not in {verdicts["p50"] for verdicts in found}
