"""The time and the energy of a repetition, on a clock and a meter that tests move."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from pytest_hiddencost.core.operator_rates import OperatorWork
from pytest_hiddencost.measure.energy import energy_pass, shared_meter
from pytest_hiddencost.measure.energy.energy_pass import energy_by_running
from pytest_hiddencost.measure.energy.shared_meter import SharedMeter
from pytest_hiddencost.measure.kinds import repetitions
from pytest_hiddencost.measure.kinds.repetitions import (
    Pacing,
    operator_rate,
    repetition_energy_nj,
    repetition_time,
)

CPU = torch.device("cpu")
MS = 1_000_000
WORK = OperatorWork("aten::mm", "matmul", "2x2 2x2", macs=8, moved_bytes=48)


class Machine:
    """A clock that operators move, and a meter of 5 W on it."""

    name, domain = "a meter", "package"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        self.order = ""
        monkeypatch.setattr(repetitions, "perf_counter_ns", lambda: self.now_ns)

    def run(self, name: str, duration_ns: int) -> Callable[[], None]:
        def repetition() -> None:
            self.now_ns += duration_ns
            self.order += name

        return repetition

    def read_nj(self) -> float:
        return 5.0 * self.now_ns


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize("duration_ns", [5_000, 25_000, 3 * MS, 60 * MS])
def test_the_time_is_that_of_one_repetition(machine: Machine, duration_ns: int) -> None:
    found = repetition_time([machine.run("a", duration_ns)], CPU)
    assert found.median_ns == duration_ns
    assert found.interval_ns == (duration_ns, duration_ns)


def test_all_blocks_together_take_the_time_that_is_enough(machine: Machine) -> None:
    repetition_time([machine.run("a", 1_000)], CPU, Pacing(enough_ns=20 * MS))
    tries_ns = 1_000 * (1 + 1 + 4 + 16 + 64 + 256)
    assert machine.now_ns == tries_ns + 20 * MS


def test_a_block_of_a_long_operator_is_one_repetition(machine: Machine) -> None:
    repetition_time([machine.run("a", 3 * MS)], CPU, Pacing(enough_ns=MS))
    assert len(machine.order) == 2 + repetitions.TIMED_BLOCKS


def test_a_slow_operator_ends_after_few_blocks_and_has_no_interval(machine: Machine) -> None:
    found = repetition_time([machine.run("a", 900 * MS)], CPU)
    assert len(machine.order) == 2 + repetitions.FEWEST_TIMED_BLOCKS
    assert found.interval_ns is None


def test_repetitions_take_turns(machine: Machine) -> None:
    runs = [machine.run(name, 2 * MS) for name in "abc"]
    repetition_time(runs, CPU)
    assert machine.order.startswith("abcabcabc")
    assert machine.order == ("abc" * len(machine.order))[: len(machine.order)]


def test_the_median_ignores_disturbed_blocks(machine: Machine) -> None:
    durations_ns = iter([MS] * 60 + [5 * MS] * 20 + [MS] * 10_000)

    def repetition() -> None:
        machine.now_ns += next(durations_ns)

    found = repetition_time([repetition], CPU)
    assert (found.median_ns, found.fastest_ns) == (MS, MS)


@pytest.fixture
def shared(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> SharedMeter:
    """The meter of the machine, on its clock."""

    def slept(seconds: float) -> None:
        machine.now_ns += round(seconds * 1e9)

    clock = energy_pass.MeterClock(lambda: machine.now_ns, slept)
    monkeypatch.setattr(shared_meter, "energy_by_running", partial(energy_by_running, clock=clock))
    monkeypatch.setattr(energy_pass, "LONGEST_POLL_NS", 20 * MS)
    return SharedMeter(machine)


def test_the_rate_has_the_work_and_the_time(machine: Machine) -> None:
    rate = operator_rate(WORK, [machine.run("a", 20_000)], CPU, calls=3)
    assert rate.repetition_ns == 20_000
    assert (rate.calls, rate.macs, rate.shapes) == (3, 8, "2x2 2x2")
    assert rate.energy_nj is None


def test_the_energy_is_that_of_one_repetition(machine: Machine, shared: SharedMeter) -> None:
    with shared as meter:
        found_nj = repetition_energy_nj([machine.run("a", 20_000)], CPU, 20_000, meter)
    assert found_nj == pytest.approx(5.0 * 20_000)
    assert meter.failure is None


def test_a_meter_that_fails_has_the_reason_and_is_left_alone(
    machine: Machine, shared: SharedMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings: list[float] = []

    def read_nj() -> float:
        readings.append(7.0)
        return readings[-1]

    monkeypatch.setattr(machine, "read_nj", read_nj)
    with shared as meter:
        found_nj = repetition_energy_nj([machine.run("a", 20_000)], CPU, 20_000, meter)
        count = len(readings)
        again_nj = repetition_energy_nj([machine.run("a", 20_000)], CPU, 20_000, meter)
    assert (found_nj, again_nj) == (None, None)
    assert len(readings) == count > 0
    assert "a meter stalls" in str(meter.failure)


def test_the_energy_pass_raises_the_errors_of_the_operator(shared: SharedMeter) -> None:
    with shared as meter, pytest.raises(ZeroDivisionError):
        meter.energy_nj(lambda: 1 / 0)
    assert meter.failure is None


class Port:
    """A meter that can be started once."""

    name, domain = "a port", "board"

    def __init__(self, fault: str) -> None:
        self.fault, self.read_nj = fault, lambda: 7.0

    def __enter__(self) -> None:
        if self.fault == "start":
            raise OSError("no such port")

    def __exit__(self, *exception: object) -> None:
        if self.fault == "stop":
            raise OSError("port lost")


@pytest.mark.parametrize("fault", ["start", "stop"])
def test_a_meter_that_cannot_be_started_or_stopped_has_the_reason(fault: str) -> None:
    with SharedMeter(Port(fault)) as meter:
        assert (meter.failure is not None) == (fault == "start")
    assert f"a port cannot be {'started' if fault == 'start' else 'stopped'}" in str(meter.failure)
