"""The energy of an action: windows that the meter resolves, idle power, and meters that fail."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.energy_records import EnergyUse
from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.intervals import samples_needed
from pytest_hiddencost.measure.energy.energy_pass import RESOLVED, energy_of, windows_for
from tests.measure.energy.metered_machine import MS, US, MeteredMachine, S, SensedMachine

SLOW = 30 * S  # of max_time: windows go on until the median is known within 1 %


def measured(
    machine: MeteredMachine, max_time_ns: int = SLOW, confidence: float = 0.99
) -> EnergyUse:
    return energy_of(
        machine.call,
        machine,
        confidence=confidence,
        max_time_ns=max_time_ns,
        clock=machine.clock,
    )


def refusal(machine: MeteredMachine) -> EnergyError:
    with pytest.raises(EnergyError) as error:
        measured(machine)
    assert error.value.remedy
    assert machine.name in error.value.reason
    return error.value


# --- what is measured --------------------------------------------------------------------------


def test_the_energy_of_a_call_is_its_power_times_its_time() -> None:
    use = measured(MeteredMachine(busy_w=10.0, idle_w=2.0, call_ns=200 * US))
    assert use.energy_nj == pytest.approx(10 * 200 * US, rel=0.01)
    assert use.power_w == pytest.approx(10.0, rel=0.01)
    assert use.idle_w == pytest.approx(2.0, rel=0.01)
    assert use.above_idle_nj == pytest.approx(8 * 200 * US, rel=0.01)
    assert (use.meter, use.domain) == ("bench meter", "board")


@settings(deadline=None, max_examples=12)
@given(
    calls_each=st.floats(0.05, 4),
    update_ns=st.integers(1 * MS, 50 * MS),
    busy_w=st.floats(0.5, 200),
    idle_share=st.floats(0.05, 0.9),
)
def test_it_is_known_within_the_meters_resolution_whatever_the_meter(
    calls_each: float, update_ns: int, busy_w: float, idle_share: float
) -> None:
    call_ns = round(update_ns / calls_each)
    machine = MeteredMachine(
        busy_w=busy_w, idle_w=busy_w * idle_share, call_ns=call_ns, update_ns=update_ns
    )
    use = measured(machine)
    assert use.energy_nj == pytest.approx(busy_w * call_ns, rel=2.5 / RESOLVED)
    assert use.idle_w == pytest.approx(busy_w * idle_share, rel=2.5 / RESOLVED)


def test_a_window_holds_a_hundred_changes_of_the_meter() -> None:
    machine = MeteredMachine(update_ns=20 * MS)
    use = measured(machine, max_time_ns=1)
    busy_ns = use.energy_nj / use.power_w * use.calls
    assert busy_ns / len(use.windows_nj) >= 0.99 * RESOLVED * 20 * MS


def test_a_meter_of_coarse_steps_gets_windows_that_it_resolves_under_load() -> None:
    """An idle device takes 50 ms for a step, a busy one 0.1 ms: windows need not last seconds."""
    machine = MeteredMachine(idle_w=0.02, busy_w=10.0, step_nj=1e6, update_ns=US, call_ns=100 * US)
    use = measured(machine)
    assert use.energy_nj == pytest.approx(10 * 100 * US, rel=0.03)
    assert machine.now_ns < 5 * S


def test_calls_that_outlast_many_changes_need_no_longer_windows() -> None:
    machine = MeteredMachine(call_ns=500 * MS, update_ns=MS)
    use = measured(machine)
    assert len(use.windows_nj) == samples_needed(0.5, 0.99)
    assert use.calls == len(use.windows_nj)
    assert use.energy_nj == pytest.approx(10 * 500 * MS, rel=0.01)


def test_there_are_as_many_windows_as_the_interval_needs() -> None:
    for confidence in (0.9, 0.99, 0.999):
        use = measured(MeteredMachine(), max_time_ns=1, confidence=confidence)
        assert len(use.windows_nj) == samples_needed(0.5, confidence)
        assert use.interval_nj is not None
        assert use.confidence == confidence


def loads(seed: int, scatter: float, calls: int = 500) -> Iterator[float]:
    """Loads that change every few hundred calls, as a governor or other processes do."""
    chance = random.Random(seed)
    while True:
        yield from [math.exp(chance.gauss(0.0, scatter))] * calls


def test_more_windows_follow_while_they_differ() -> None:
    few = measured(MeteredMachine(loads=loads(1, 0.2)), max_time_ns=1)
    more = measured(MeteredMachine(loads=loads(1, 0.2)), max_time_ns=20 * S)
    assert len(more.windows_nj) > 3 * len(few.windows_nj)
    assert width(more) < width(few)


def test_the_spread_of_the_first_windows_tells_how_many_are_needed() -> None:
    steady, varied = [100.0, 100.0, 100.1, 99.9], [100.0, 104.0, 96.0, 101.0]
    assert windows_for(steady, 0.99) <= 1
    assert windows_for([value * 50 for value in varied], 0.99) == windows_for(varied, 0.99)
    few, many = windows_for(varied, 0.9), windows_for(varied, 0.99)
    assert many / few == pytest.approx((2.576 / 1.645) ** 2, rel=0.02)


def width(use: EnergyUse) -> float:
    assert use.interval_nj is not None
    return use.interval_nj[1] - use.interval_nj[0]


@pytest.mark.parametrize("scatter", [0.01, 0.02, 0.05])
def test_the_interval_contains_the_energy_as_often_as_it_says(scatter: float) -> None:
    """With few windows and with many: their number must not depend on the interval."""
    found = [
        measured(
            MeteredMachine(loads=loads(seed, scatter, calls=1), call_ns=100 * MS),
            max_time_ns=60 * S,
            confidence=0.9,
        )
        for seed in range(1000)
    ]
    assert len({len(use.windows_nj) for use in found}) > 1
    hits = sum(
        use.interval_nj[0] <= 10 * 100 * MS <= use.interval_nj[1]
        for use in found
        if use.interval_nj is not None
    )
    assert hits >= 0.89 * len(found)
    assert hits < len(found)  # or the intervals are too wide to tell


# --- sensors of power --------------------------------------------------------------------------


def sensed(machine: SensedMachine) -> EnergyUse:
    return energy_of(machine.call, machine.sensor, clock=machine.clock, max_time_ns=1)


def sensor_refusal(machine: SensedMachine) -> str:
    with pytest.raises(EnergyError) as error:
        sensed(machine)
    return error.value.reason


@pytest.mark.parametrize("update_ns", [MS, 10 * MS, 50 * MS])
def test_a_sensor_of_power_tells_the_energy_of_a_call(update_ns: int) -> None:
    machine = SensedMachine(update_ns=update_ns)
    use = sensed(machine)
    assert use.energy_nj == pytest.approx(10 * 200 * US, rel=0.02)
    assert use.idle_w == pytest.approx(2.0, rel=0.02)


def test_a_sensor_that_repeats_its_value_gets_windows_that_it_resolves() -> None:
    use = sensed(SensedMachine(update_ns=200 * MS))
    busy_ns = use.energy_nj / use.power_w * use.calls
    assert busy_ns / len(use.windows_nj) >= 0.99 * RESOLVED * 200 * MS


def test_a_sensor_that_is_too_slow_is_refused_although_it_is_read_often() -> None:
    assert "bench sensor changes every 1 s only" in sensor_refusal(SensedMachine(update_ns=S))


def test_a_sensor_whose_value_stays_is_refused_unless_its_interval_is_known() -> None:
    """A coarse one shows the same power all the time, as a broken one does."""
    assert "bench sensor stalls" in sensor_refusal(SensedMachine(noise=0.0, update_ns=10 * MS))
    use = sensed(SensedMachine(noise=0.0, update_ns=10 * MS, interval_s=0.01))
    assert use.energy_nj == pytest.approx(10 * 200 * US, rel=0.02)
    assert use.idle_w == pytest.approx(2.0, rel=0.02)


def test_a_sensor_that_stops_between_windows_is_refused() -> None:
    machine = SensedMachine(update_ns=10 * MS)
    machine.stalls_at_ns = 4 * S
    assert "bench sensor stalls" in sensor_refusal(machine)


# --- meters that fail --------------------------------------------------------------------------


def test_a_meter_that_never_changes_is_refused() -> None:
    machine = MeteredMachine()
    machine.stalls_at_ns = 0
    assert "stalls: no change in 5" in refusal(machine).reason


def test_a_meter_that_stops_between_windows_is_refused() -> None:
    machine = MeteredMachine()
    machine.stalls_at_ns = 700 * MS
    assert "stalls: no change in" in refusal(machine).reason


def test_a_meter_that_falls_is_refused() -> None:
    machine = MeteredMachine()
    machine.read = lambda energy_nj: energy_nj if machine.reads < 50 else 0.0
    assert "fell from" in refusal(machine).reason


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reading_that_is_no_number_is_refused(value: float) -> None:
    machine = MeteredMachine()
    machine.read = lambda energy_nj: energy_nj if machine.reads < 50 else value
    refusal(machine)


def test_an_error_of_the_meter_is_told() -> None:
    machine = MeteredMachine()

    def unplugged(energy_nj: float) -> float:
        raise OSError("unplugged")

    machine.read = unplugged
    assert "cannot be read: OSError: unplugged" in refusal(machine).reason


def test_a_meter_that_is_too_slow_is_refused_before_any_window() -> None:
    machine = MeteredMachine(update_ns=S)
    reason = refusal(machine).reason
    assert "changes every 1 s only" in reason
    assert "takes 100 s" in reason
    assert machine.now_ns < 20 * S


def test_an_error_of_the_model_is_the_models() -> None:
    machine = MeteredMachine()

    def broken() -> None:
        raise ZeroDivisionError("their own")

    with pytest.raises(ZeroDivisionError, match="their own"):
        energy_of(broken, machine, clock=machine.clock)


# --- meters that have to be started ------------------------------------------------------------


class Started(MeteredMachine):
    """A meter that counts only while it is entered."""

    on = False

    def __enter__(self) -> None:
        self.on = True

    def __exit__(self, *exception: object) -> bool | None:
        self.on = False
        return None

    def read_nj(self) -> float:
        assert self.on
        return super().read_nj()


def test_a_meter_that_is_a_context_manager_runs_only_while_it_is_read() -> None:
    machine = Started()
    measured(machine)
    assert not machine.on


def test_it_is_stopped_if_the_model_fails() -> None:
    machine = Started()
    with pytest.raises(ZeroDivisionError):
        energy_of(lambda: 1 / 0, machine, clock=machine.clock)
    assert not machine.on


class Faulty(Started):
    """A meter that cannot be started, or cannot be stopped."""

    def __init__(self, fault: str, *, suppresses: bool = False) -> None:
        super().__init__()
        self._fault, self._suppresses = fault, suppresses

    def __enter__(self) -> None:
        super().__enter__()
        if self._fault == "start":
            raise OSError("no such port")

    def __exit__(self, *exception: object) -> bool:
        super().__exit__(*exception)
        if self._fault == "stop":
            raise OSError("port lost")
        return self._suppresses


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("start", "cannot be started: OSError: no such"),
        ("stop", "cannot be stopped: OSError: port"),
    ],
)
def test_a_meter_that_cannot_be_started_or_stopped_is_refused(fault: str, reason: str) -> None:
    assert reason in refusal(Faulty(fault)).reason


@pytest.mark.parametrize("machine", [Faulty("stop"), Faulty("none", suppresses=True)])
def test_the_error_of_the_model_counts_whatever_the_meter_does_at_its_end(machine: Faulty) -> None:
    with pytest.raises(ZeroDivisionError):
        energy_of(lambda: 1 / 0, machine, clock=machine.clock)
    assert not machine.on
