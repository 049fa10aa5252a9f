"""The energy pass within a measurement: when it runs, with what around it, and when it cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
import torch

from pytest_hiddencost import Profile, Sampling
from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure import Call, Wanted, measure
from pytest_hiddencost.measure.energy.meter import EnergyMeter

CPU = torch.device("cpu")
BRIEF = Sampling(max_time_ns=5_000_000)
X = torch.ones(2, 3)


class CountingModel:
    """A model that counts its calls, and remembers the last grad mode."""

    calls = 0
    grad = True

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.grad = torch.is_grad_enabled()
        return x * 2


class Meter:
    """A meter that looks at something at each reading."""

    name, domain = "bench meter", "board"

    def __init__(self, look: Callable[[], object]) -> None:
        self.seen: list[object] = []
        self._look = look

    def read_nj(self) -> float:
        self.seen.append(self._look())
        return float(len(self.seen)) * 1e6


def measured(model: CountingModel, meter: EnergyMeter, **call: object) -> Profile:
    made = Call(model, (X,), {}, CPU, **call)  # type: ignore[arg-type]
    return measure(made, BRIEF, wanted=Wanted(meter=lambda device: meter))


def test_the_pass_makes_calls_of_its_own_after_those_that_are_timed() -> None:
    model = CountingModel()
    meter = Meter(lambda: model.calls)
    profile = measured(model, meter)
    assert profile.energy is not None
    first, last = meter.seen[0], meter.seen[-1]
    assert isinstance(first, int)
    assert isinstance(last, int)
    assert first > len(profile.latency.samples_ns)
    assert last - first >= profile.energy.calls
    assert profile.calls_made > last  # the profiler comes later


def test_no_profiler_runs_while_the_meter_is_read() -> None:
    meter = Meter(torch.autograd._profiler_enabled)  # type: ignore[attr-defined]
    assert measured(CountingModel(), meter).energy is not None
    assert set(meter.seen) == {False}


def test_tracers_of_others_are_off_meanwhile_and_back_afterwards() -> None:
    def tracer(frame: FrameType, event: str, argument: object) -> None:
        return None

    meter = Meter(sys.gettrace)
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        measured(CountingModel(), meter)
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert set(meter.seen) == {None}
    assert after is tracer


@pytest.mark.parametrize("grad_mode", ["grad", "no_grad"])
def test_the_calls_run_in_their_grad_mode(grad_mode: str) -> None:
    model = CountingModel()
    meter = Meter(lambda: model.grad)
    measured(model, meter, grad_mode=grad_mode)
    assert set(meter.seen) == {grad_mode == "grad"}


def test_a_search_in_vain_leaves_the_reason() -> None:
    def none(device: torch.device) -> EnergyMeter:
        raise EnergyError(f"no meter for {device}", "buy one")

    call = Call(CountingModel(), (X,), {}, CPU)
    profile = measure(call, BRIEF, wanted=Wanted(meter=none))
    assert profile.energy is None
    assert profile.energy_unknown is not None
    assert profile.energy_unknown.reason == "no meter for cpu"
    assert profile.energy_unknown.remedy == "buy one"


def test_setup_is_refused_before_a_meter_is_read() -> None:
    meter = Meter(lambda: None)
    call = Call(CountingModel(), (), {}, CPU, setup=lambda: (X,))
    profile = measure(call, BRIEF, wanted=Wanted(meter=lambda device: meter))
    assert profile.energy is None
    assert profile.energy_unknown is not None
    assert "setup=" in profile.energy_unknown.reason
    assert meter.seen == []


def test_without_a_wish_no_meter_is_looked_for() -> None:
    profile = measure(Call(CountingModel(), (X,), {}, CPU), BRIEF)
    assert (profile.energy, profile.energy_unknown) == (None, None)
