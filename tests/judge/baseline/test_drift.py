"""Growth on a machine with several paces, which a model follows by a power of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import FAIL
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.comparison import Plan, compare
from pytest_hiddencost.judge.baseline.drift import REFERENCE_ERROR, SHOWN_ERROR, Drift
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.statistics import deviations, smallest_growth, spread_beside
from tests.judge.launched import MS, REFERENCE_NS, SHARES, launch

BUSY = 0.5  # a neighbour's, in logarithms
RECORDED, NOW = (1.0, 1.5, 1.5), (1.0, 1.0, 1.5)
PACES = st.floats(0.1, 10.0)


def relative(drift: Sequence[float], power: float, growth: float = 0.0) -> list[float]:
    """Times relative to a control at these paces of a model that follows by this power."""
    jitter = (1.001, 0.999, 1.0)
    return [(1.0 + growth) * pace ** (power - 1.0) * jitter[i % 3] for i, pace in enumerate(drift)]


@pytest.mark.parametrize("power", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("growth", [0.0, 0.2])
def test_launches_at_two_paces_show_the_power(power: float, growth: float) -> None:
    drift = Drift(RECORDED, NOW)
    assert drift.shown
    recorded, now = relative(RECORDED, power), relative(NOW, power, growth)
    found = drift.growth(recorded, now, 0.05, 0.99)
    assert found.share == pytest.approx(growth, abs=0.003)
    assert drift.smallest_growth(recorded, now, 9, 0.05, 1e-3) < 0.1


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        ((1.0, 1.5), (1.0, 1.5, 1.5)),
        ((1.0, 1.02, 0.98), (1.5, 1.52, 1.48)),
        ((1.0, 0.0, 1.5), (1.0, 1.5, 1.5)),
    ],
)
def test_few_launches_or_paces_that_have_nothing_in_common_show_nothing(
    recorded: Sequence[float], now: Sequence[float]
) -> None:
    assert not Drift(recorded, now).shown


def test_what_is_not_shown_is_left_open() -> None:
    drift = Drift((1.0, 1.02, 0.98), (1.5, 1.52, 1.48))
    assert drift.reference_growth == pytest.approx(0.5)
    assert drift.at_most(0.0) == pytest.approx(1.5**REFERENCE_ERROR - 1.0)
    assert drift.counted(0.2) == pytest.approx(0.2), "slower by itself as well"
    assert Drift((1.5, 1.52, 1.48), (1.0, 1.02, 0.98)).counted(0.2) < 0.0
    assert drift.excuse(0.2, 0.05)


def test_of_what_is_shown_little_is_left_open() -> None:
    drift = Drift(RECORDED, NOW)
    apart = math.log(1.5) / 3
    assert drift.at_most(0.0) == pytest.approx(math.exp(SHOWN_ERROR * apart) - 1.0)
    assert drift.counted(0.2) == 0.2, "whichever way the reference workload moved"
    assert not drift.excuse(0.0, 0.05)


@given(st.lists(PACES, min_size=3, max_size=9), st.lists(PACES, min_size=3, max_size=12))
def test_what_is_shown_reaches_as_far_as_it_is_used(
    recorded: list[float], now: list[float]
) -> None:
    drift = Drift(recorded, now)
    variation = math.hypot(*deviations(recorded), *deviations(now))
    assert abs(drift._apart) <= variation * (1.0 + 1e-9) + 1e-9


def test_a_power_that_is_found_out_costs_a_degree_of_freedom() -> None:
    drift = Drift(RECORDED, NOW)
    recorded, now = relative(RECORDED, 1.2), relative(NOW, 1.2)
    spread = spread_beside(recorded, now, RECORDED, NOW)
    expected = smallest_growth(spread, 3, 4, drift.at_most(0.05), 1e-3, slopes=1)
    assert drift.smallest_growth(recorded, now, 4, 0.05, 1e-3) == pytest.approx(expected)


def test_a_control_that_moved_little_is_not_why_a_growth_is_not_decided() -> None:
    drift = Drift((1.0, 1.0, 1.0), (1.1, 1.1, 1.1))
    assert drift.excuse(0.1, 0.05), "half the growth or more"
    assert not drift.excuse(0.5, 0.05)
    assert not drift.excuse(0.0, 0.2), "less than the tolerance"


def test_a_device_that_became_another_is_no_pace() -> None:
    slower = [1.3 * pace for pace in NOW]
    drift = Drift(RECORDED, slower)
    assert drift.shown
    # Neighbours: power 1.4; the device itself: by the power of 1.
    times = [1.3**-0.4 * value for value in relative(slower, 1.4)]
    assert drift.growth(relative(RECORDED, 1.4), times, 0.05, 0.99).share == pytest.approx(
        0.0, abs=0.003
    )
    assert drift.at_most(0.0) > 1.3**REFERENCE_ERROR - 1.0


def test_without_a_control_nothing_is_known() -> None:
    drift = Drift((1.0, 1.5, 1.5), (0.0, 1.0, 1.5))
    assert drift.reference_growth is None
    assert drift.at_most(0.05) == pytest.approx(0.05)
    assert drift.excuse(0.0, 0.05)


class Machine:
    """Launches on a shared machine: a neighbour is there or not, or comes and goes meanwhile."""

    def __init__(self, seed: int, power: float) -> None:
        self._random = np.random.default_rng(seed)
        self._power = power

    def launch(self, ms: float, slower: float = 0.0, power: float = 1.0) -> Profile:
        random = self._random
        pace = BUSY * (random.random() < 0.6) * (1.0 if random.random() < 0.8 else random.random())
        pace += random.normal(0.0, 0.03)
        time = self._power * pace + power * slower + random.normal(0.0, 0.015)
        shares = {n: share * np.exp(random.normal(0.0, 0.02)) for n, share in SHARES.items()}
        reference_ns = REFERENCE_NS * np.exp(pace + slower)
        return launch(
            float(ms * MS * np.exp(time)), reference_ns=float(reference_ns), shares=shares
        )

    def failed(
        self, ms: float, slower: float = 0.0, power: float = 1.0
    ) -> tuple[bool, frozenset[str]]:
        """Whether a call of 10 ms fails that takes so long now, and the verdicts there are."""
        recorded = entry_of([self.launch(10.0) for _ in range(3)])

        def fresh(count: int) -> list[Profile]:
            return [self.launch(ms, slower, power) for _ in range(count)]

        plan = Plan(0.05, 0.99, 4, Tolerances(), fresh)
        [now] = fresh(1)
        verdicts, _ = compare(now, recorded, plan)
        found = {v.gate: v.verdict for v in verdicts}
        return FAIL in found.values(), frozenset({found["regression[p50]"]})


@pytest.mark.parametrize("power", [0.8, 1.0, 1.25])
def test_neighbours_who_come_and_go_raise_no_alarm(power: float) -> None:
    machine = Machine(1, power)
    assert sum(machine.failed(10.0)[0] for _ in range(200)) == 0


@pytest.mark.parametrize(
    ("neighbours", "slower", "power"), [(1.25, 0.25, 1.0), (1.25, 0.25, 0.8), (0.9, 0.25, 1.2)]
)
def test_nor_does_a_device_that_became_slower_meanwhile(
    neighbours: float, slower: float, power: float
) -> None:
    machine = Machine(2, neighbours)
    assert sum(machine.failed(10.0, slower, power)[0] for _ in range(150)) == 0


@pytest.mark.parametrize("power", [0.8, 1.0, 1.25])
def test_neighbours_hide_no_growth_of_a_fifth(power: float) -> None:
    machine = Machine(3, power)
    found = [machine.failed(12.0) for _ in range(100)]
    assert sum(failed for failed, _ in found) >= 90
    assert not any("pass" in verdicts for _, verdicts in found)
