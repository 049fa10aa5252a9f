"""The load by other processes, from the kernel's counters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_hiddencost.measure.device import load
from pytest_hiddencost.measure.device.load import OtherLoad


class Machine:
    """Two cores with counters that a test sets, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stat: Path) -> None:
        self._stat = stat
        self.own_s = self.now_s = 0.0
        self.pass_time(0, own=0, others=0)
        monkeypatch.setattr(load, "STAT", stat)
        monkeypatch.setattr(load, "process_time", lambda: self.own_s)
        monkeypatch.setattr(load, "monotonic", lambda: self.now_s)
        monkeypatch.setattr(load, "usable_cores", lambda: {0, 1})
        monkeypatch.setattr(os, "sysconf", lambda name: 100)

    _others_s = 0.0

    def pass_time(self, seconds: float, *, own: float, others: float) -> None:
        self.now_s += seconds
        self.own_s += own
        self._others_s += others
        own_ticks, other_ticks = round(self.own_s * 100), round(self._others_s * 100)
        stolen = other_ticks // 2
        idle = 123456
        self._stat.write_text(
            "cpu  1 2 3 4 5 6 7 8 0 0\n"
            f"cpu0 {1000 + own_ticks} 0 0 {idle} 77 0 0 0 0 0\n"
            f"cpu1 {1000 + other_ticks - stolen} 0 0 {idle} 5 0 0 {stolen} 0 0\n"
            f"cpu2 {round(self.now_s * 100)} 0 0 {idle} 0 0 0 0 0 0\n"  # not usable by this process
            "intr 1 2 3\n"
        )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path / "stat")


def test_a_quiet_machine_raises_no_objection(machine: Machine) -> None:
    watch = OtherLoad()
    machine.pass_time(2.0, own=4.0, others=0.1)
    assert watch.cores() == pytest.approx(0.05)
    assert watch.objection(threads=2) is None


def test_load_on_a_core_that_a_thread_needs_is_an_objection(machine: Machine) -> None:
    watch = OtherLoad()
    machine.pass_time(2.0, own=2.0, others=1.9)
    assert watch.objection(threads=2) == (
        "other processes took 0.9 of 2 cores while a call with 2 threads was measured"
    )


def test_load_on_a_core_that_the_call_leaves_free_is_no_objection(machine: Machine) -> None:
    watch = OtherLoad()
    machine.pass_time(2.0, own=2.0, others=1.9)
    assert watch.objection(threads=1) is None


def test_the_load_of_a_short_span_is_unknown(machine: Machine) -> None:
    watch = OtherLoad()
    machine.pass_time(0.1, own=0.0, others=0.2)
    assert watch.cores() is None
    assert watch.objection(threads=2) is None


def test_the_load_is_unknown_without_counters(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(load, "STAT", tmp_path / "absent")
    watch = OtherLoad()
    machine.now_s += 5.0
    assert watch.cores() is None
    assert watch.objection(threads=2) is None


def test_the_real_counters_can_be_read() -> None:
    if not load.STAT.exists():
        pytest.skip("needs /proc/stat")
    reading = load._read()
    assert reading is not None
    assert reading.busy_s > 0
