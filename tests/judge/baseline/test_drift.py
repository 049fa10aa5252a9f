"""Growth on a device whose speed changes, which a model follows with an exponent of its own."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import FAIL, PASS, regression
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.comparison import BaselinePlan, compare
from pytest_hiddencost.judge.baseline.drift import REFERENCE_ERROR, Drift
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.statistics import smallest_growth, spread_of
from tests.judge.launches import MS, REFERENCE_NS, SHARES, launch
from tests.profiles import patient

TIMES = st.lists(st.floats(0.1, 10.0), min_size=1, max_size=9)


def test_a_device_that_changed_widens_every_growth() -> None:
    drift = Drift((1.0, 1.02, 0.98), (1.5, 1.52, 1.48))
    assert drift.reference_growth == pytest.approx(0.5)
    assert drift.at_most(0.0) == pytest.approx(1.5**REFERENCE_ERROR - 1.0)
    assert drift.counted(0.2) == pytest.approx(0.2), "slower by itself as well"
    assert Drift((1.5, 1.52, 1.48), (1.0, 1.02, 0.98)).counted(0.2) < 0.0
    assert drift.excuse(0.2, 0.05)


@patient
@given(TIMES, TIMES, st.floats(-0.5, 2.0))
def test_the_widening_is_that_of_the_least_and_the_greatest_plausible_exponent(
    recorded: list[float], now: list[float], share: float
) -> None:
    drift = Drift(recorded, now)
    assert drift.reference_growth is not None
    moved = 1.0 + drift.reference_growth
    exponents = (1.0 - REFERENCE_ERROR, 1.0 + REFERENCE_ERROR)
    shown = [(1.0 + share) * moved ** (exponent - 1.0) - 1.0 for exponent in exponents]
    assert drift.at_most(share) == pytest.approx(max(shown))


@patient
@given(TIMES, TIMES)
def test_launches_at_several_speeds_fit_no_exponent(
    recorded: list[float], now: list[float]
) -> None:
    """The drift is that of the median speeds, however much the launches vary."""
    drift = Drift(recorded, now)
    alike = Drift((median(recorded),) * 3, (median(now),) * 3)
    assert drift.at_most(0.05) == alike.at_most(0.05)
    assert drift.counted(0.2) == alike.counted(0.2)


def test_a_device_that_did_not_change_widens_nothing() -> None:
    drift = Drift((1.0, 1.02, 0.98), (1.01, 1.0, 0.99))
    assert drift.at_most(0.05) == pytest.approx(0.05)
    assert drift.counted(0.2) == pytest.approx(0.2)
    assert not drift.excuse(0.2, 0.05)


@pytest.mark.parametrize("moved", [1.0, 1.1, 0.9])
def test_the_smallest_growth_is_that_beyond_the_widened_tolerance(moved: float) -> None:
    recorded = (1.0, 1.02, 0.98)
    drift = Drift((1.0,) * 3, (moved,) * 3)
    expected = smallest_growth(spread_of(recorded), 3, 9, drift.at_most(0.05), 1e-3)
    assert drift.smallest_growth(recorded, 9, 0.05, 1e-3) == pytest.approx(expected)


def test_a_reference_that_moved_little_is_not_the_reason_for_an_open_growth() -> None:
    drift = Drift((1.0, 1.0, 1.0), (1.1, 1.1, 1.1))
    assert drift.excuse(0.1, 0.05), "half the growth or more"
    assert not drift.excuse(0.5, 0.05)
    assert not drift.excuse(0.0, 0.2), "less than the tolerance"


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
def test_a_growth_of_a_half_never_passes_under_other_load(exponent: float, sessions: int) -> None:
    """The stored times leave the growth open, or fail; pairs then measure it in turns."""
    device = SharedDevice(3, exponent)
    found = [device.verdicts(15.0)["p50"] for _ in range(sessions)]
    assert PASS not in found
