"""The time and the energy of a repetition, on a clock and a meter that tests move."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.operator_rates import OperatorWork
from pytest_hiddencost.measure.energy import energy_pass
from pytest_hiddencost.measure.kinds import repetitions
from pytest_hiddencost.measure.kinds.repetitions import Pacing, operator_rate, repetition_time

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


def with_clock(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def slept(seconds: float) -> None:
        machine.now_ns += round(seconds * 1e9)

    clock = energy_pass.MeterClock(lambda: machine.now_ns, slept)
    measured = energy_pass.energy_of
    monkeypatch.setattr(
        repetitions, "energy_of", lambda *given, **how: measured(*given, clock=clock, **how)
    )


def test_the_energy_is_that_of_one_repetition(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_clock(machine, monkeypatch)
    rate = operator_rate(WORK, [machine.run("a", 20_000)], CPU, calls=3, meter=machine)
    assert rate.repetition_ns == 20_000
    assert rate.energy_nj == pytest.approx(5.0 * 20_000)
    assert rate.energy_nj_per_mac == pytest.approx(5.0 * 20_000 / 8)
    assert (rate.calls, rate.macs, rate.shapes) == (3, 8, "2x2 2x2")


def test_without_a_meter_or_without_macs_there_is_no_energy(machine: Machine) -> None:
    runs = [machine.run("a", 20_000)]
    assert operator_rate(WORK, runs, CPU).energy_nj is None
    adding = OperatorWork("aten::add", "elementwise", "2x2", macs=0, moved_bytes=48)
    assert operator_rate(adding, runs, CPU, meter=machine).energy_nj is None


def test_a_meter_that_stalls_is_an_error(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with_clock(machine, monkeypatch)
    monkeypatch.setattr(energy_pass, "LONGEST_POLL_NS", 20 * MS)
    monkeypatch.setattr(machine, "read_nj", lambda: 7.0)
    with pytest.raises(EnergyError, match="a meter stalls"):
        operator_rate(WORK, [machine.run("a", 20_000)], CPU, meter=machine)
