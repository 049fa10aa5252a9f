"""The control workload: what it is relative to, and that nothing of the user's reaches it."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pytest_hiddencost.profiling import in_turns, latency
from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.control import VERSION, Control
from pytest_hiddencost.profiling.latency import LatencySampler
from pytest_hiddencost.records import ControlTime, Sampling

MS = 1_000_000


class Machine:
    """A clock, and what a call and the control take by it; ``order`` is what ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call_ns: float, control_ns: float) -> None:
        self.now_ns = 0
        self.pace = 1.0
        self.order = ""
        self._call_ns, self._control_ns = call_ns, control_ns
        monkeypatch.setattr(latency, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(in_turns, "perf_counter_ns", lambda: self.now_ns)

    def model(self) -> None:
        self.runs("m", self._call_ns)

    def control(self) -> int:
        return self.runs("c", self._control_ns)

    def runs(self, name: str, duration_ns: float) -> int:
        taken_ns = round(self.pace * duration_ns)
        self.now_ns += taken_ns
        self.order += name
        return taken_ns

    def sampler(self, max_time_ns: int, min_samples: int) -> LatencySampler:
        call = Call(self.model, (), {}, torch.device("cpu"))
        settings = Sampling(max_time_ns=max_time_ns, min_samples=min_samples)
        return LatencySampler(call, settings, control=self.control)


def seen(found: ControlTime) -> tuple[float, float, int]:
    return round(found.mean_ns, 3), round(found.relative, 6), found.blocks


def test_the_call_and_the_control_take_turns_between_plain_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, 10 * MS, MS)
    sampler = machine.sampler(500 * MS, 18)
    sampler.sample()
    # 50 ms of turns, and a call that refills the caches; then 50 ms of samples.
    turns = "c" + "mc" * 5
    one, other = turns + "mm" + "mmmmmm", turns + "m" + "mmmmmm"
    assert machine.order == one + other + one
    assert len(sampler.result().samples_ns) == 18, "those beside the control are not among them"
    assert sampler.spent_ns == 330 * MS, "of calls; the control takes none of it"
    assert seen(sampler.control_time()) == (MS, 10.0, 15)


def test_what_a_call_leaves_behind_is_driven_out_before_the_clock_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    control = Control(torch.device("cpu"))
    clocked: list[bool] = []  # for every part: whether the caches were filled before
    before = control._leftovers.clone()

    def part() -> None:
        clocked.append(bool((control._leftovers != before).all()))

    monkeypatch.setattr(control, "_parts", (part, part))
    control()
    assert clocked == [False, False, True, True]
    assert control._leftovers.nbytes >= 4 * 2**20


def test_every_part_of_the_control_weighs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    control = Control(torch.device("cpu"))
    durations_ns = iter((100, 1_000, 10_000))
    monkeypatch.setattr(control, "_timed", lambda part: next(durations_ns))
    assert control() == 1_000


def test_a_turn_is_relative_to_the_control_before_and_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, MS, MS)
    controls_ns = iter((1 * MS, 3 * MS))
    turns = in_turns.InTurns(lambda: next(controls_ns))
    durations_ns = iter((10 * MS,))
    turns.visit(lambda: machine.runs("m", next(durations_ns)), 1)
    assert seen(turns.result()) == (2 * MS, 5.0, 1)


def test_a_turn_is_worth_its_median(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, MS, MS)
    turns = in_turns.InTurns(machine.control)
    durations_ns = iter((0.5 * MS, 0.5 * MS, 2.5 * MS))
    turns.visit(lambda: machine.runs("m", next(durations_ns)), 1)
    assert seen(turns.result()) == (MS, 0.5, 1)


def test_short_calls_share_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, MS, MS)
    machine.sampler(500 * MS, 20).sample()
    assert machine.order.startswith("cmmmcmmmc")


@pytest.mark.parametrize("max_time_ms", [30, 100, 500, 2_000])
@pytest.mark.parametrize(
    ("one_ms", "other_ms"), [(30.0, 1.0), (1.0, 30.0), (2.0, 1.0), (70.0, 1.0)]
)
def test_a_model_that_does_something_else_every_other_call_is_half_of_either(
    monkeypatch: pytest.MonkeyPatch, max_time_ms: int, one_ms: float, other_ms: float
) -> None:
    machine = Machine(monkeypatch, MS, 0.3 * MS)

    def uneven() -> None:
        even = machine.order.count("m") % 2
        machine.runs("m", (other_ms if even else one_ms) * MS)

    call = Call(uneven, (), {}, torch.device("cpu"))
    settings = Sampling(max_time_ns=max_time_ms * MS, min_samples=40)
    sampler = LatencySampler(call, settings, control=machine.control)
    sampler.sample()
    sampler.sample_more()
    samples = sampler.result().samples_ns
    slow = sum(duration > 1.5 * MS for duration in samples)
    assert abs(2 * slow - len(samples)) <= 2, f"{slow} of {len(samples)}"


def test_little_time_makes_short_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 0.1 * MS, MS)
    sampler = machine.sampler(20 * MS, 40)
    sampler.sample()
    assert len(sampler.result().samples_ns) >= 40
    assert sampler.control_time().blocks >= 2


def test_long_calls_are_samples_wherever_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 100 * MS, MS)
    sampler = machine.sampler(1_000 * MS, 10)
    sampler.sample()
    assert machine.order == ("cmc" + "m") * 5
    assert len(sampler.result().samples_ns) == 10
    assert sampler.control_time().blocks == 5


def test_what_the_whole_machine_does_is_not_in_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 10 * MS, MS)
    turns = in_turns.InTurns(machine.control)
    call = Call(machine.model, (), {}, torch.device("cpu"))
    for pace in (1.0, 2.0, 3.0):
        machine.pace = pace
        with latency.timed_calls(call) as time_one:
            turns.visit(time_one, 50 * MS)
    assert turns.result().relative == pytest.approx(10.0)
    assert turns.result().version == VERSION
    assert machine.order.count("m") == 5 + 3 + 2, "one at least, for 50 ms"


@pytest.mark.parametrize("power", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("busy", [0.3, 0.5, 0.7])
def test_a_launch_at_two_paces_is_one_at_a_pace_between(
    monkeypatch: pytest.MonkeyPatch, power: float, busy: float
) -> None:
    machine = Machine(monkeypatch, MS, MS)
    turns = in_turns.InTurns(machine.control)
    for visit in range(20):
        machine.pace = 1.5 if visit < 20 * busy else 1.0
        call_ns = 10 * MS * machine.pace**power
        turns.visit(lambda call_ns=call_ns: machine.runs("m", call_ns / machine.pace), 1)  # type: ignore[misc]
    found = turns.result()
    assert found.relative == pytest.approx(10.0 * (found.mean_ns / MS) ** (power - 1.0))


def test_a_few_odd_turns_do_not_take_the_call_and_the_control_to_different_paces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, MS, MS)
    turns = in_turns.InTurns(machine.control)
    for visit in range(20):
        machine.pace = 1.5 if visit < 11 else 1.0
        odd = 0.88 if visit < 2 else 1.0
        relative = 10 * MS * machine.pace**0.2 * odd
        turns.visit(lambda relative=relative: machine.runs("m", relative), 1)  # type: ignore[misc]
    found = turns.result()
    assert found.relative == pytest.approx(10.0 * (found.mean_ns / MS) ** 0.2, rel=0.02)


def test_a_turn_that_was_disturbed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, MS, MS)
    turns = in_turns.InTurns(machine.control)
    for call_ns in (10 * MS, 30 * MS, 10 * MS, 10 * MS):
        turns.visit(lambda call_ns=call_ns: machine.runs("m", call_ns), 1)  # type: ignore[misc]
    assert seen(turns.result()) == (MS, 10.0, 3)


def test_of_two_turns_that_differ_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, MS, MS)
    turns = in_turns.InTurns(machine.control)
    for call_ns in (30 * MS, 10 * MS):
        turns.visit(lambda call_ns=call_ns: machine.runs("m", call_ns), 1)  # type: ignore[misc]
    assert seen(turns.result()) == (MS, 10.0, 1)


def test_a_round_more_has_turns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 10 * MS, MS)
    sampler = machine.sampler(1_000 * MS, 4)
    sampler.sample()
    turns = sampler.control_time().blocks
    sampler.sample_more()
    assert sampler.control_time().blocks > turns


def test_without_a_control_nothing_is_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 10 * MS, MS)
    call = Call(machine.model, (), {}, torch.device("cpu"))
    sampler = LatencySampler(call, Sampling(max_time_ns=100 * MS, min_samples=10))
    sampler.warm_up()
    sampler.sample()
    assert sampler.control_time() == ControlTime()
    assert set(machine.order) == {"m"}


def test_the_control_takes_time_and_leaves_no_trace() -> None:
    state, grad = torch.get_rng_state(), torch.is_grad_enabled()
    control = Control(torch.device("cpu"))
    assert control() > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() == grad
    assert not torch.is_inference_mode_enabled()


def test_the_users_modes_do_not_reach_the_control() -> None:
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        torch.device("meta"),
        FakeTensorMode(),
    ):
        control = Control(torch.device("cpu"))
        assert control() > 0
    torch.set_default_dtype(torch.float64)
    try:
        control = Control(torch.device("cpu"))
        tensors = [control._image, control._kernel, control._rows]
        assert {tensor.dtype for tensor in tensors} == {torch.float32}
    finally:
        torch.set_default_dtype(torch.float32)
