"""Replays: they have every operator and all MACs of a call, and change nothing of the user's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from pytest_hiddencost.core.energy_records import EnergyUnknown
from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.measure import Call, Wanted, measure, passes
from pytest_hiddencost.measure.energy import energy_pass
from pytest_hiddencost.measure.kinds import peaks, repetitions, replays
from pytest_hiddencost.measure.kinds.operator_recording import RecordedOperator, recorded_operators
from pytest_hiddencost.measure.macs.counting import count_macs
from tests.quick_kinds import REPETITION_NS, quick_kinds

CPU = torch.device("cpu")
BRIEF = Sampling(max_time_ns=1_000_000)


class Small(nn.Module):
    """Convolutions of three kinds, two of them alike, norm, activation, cat and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.depthwise, self.pointwise = nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(8, 2, 1)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.norm(self.second(self.first(x))))
        y = self.depthwise(y)[:, :, :4]
        y = self.pointwise(torch.cat((y, y), 1)) + 1.0
        result: Tensor = self.head(y.mean((2, 3)))
        return result


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    quick_kinds(monkeypatch)
    yield
    peaks.measured_peaks.cache_clear()


def call_of(model: Callable[..., object], *args: object, grad_mode: str = "inference") -> Call:
    return Call(model, args, {}, CPU, grad_mode)


def replayed(call: Call, **wanted: Any) -> Profile:
    wish = Wanted(thop=False, checks=False, replays=True, **wanted)
    return measure(call, BRIEF, threads=1, wanted=wish)


def test_a_replay_runs_with_onednn_only_if_the_call_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model switches it off for its second layer."""
    seen: list[bool] = []
    measured_rate = repetitions.operator_rate

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(torch._C._get_mkldnn_enabled())
        return measured_rate(*args, **kwargs)

    class Switching(Small):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.first(x)
            torch._C._set_mkldnn_enabled(False)
            try:
                result: Tensor = self.second(y)
            finally:
                torch._C._set_mkldnn_enabled(True)
            return result

    monkeypatch.setattr(replays, "operator_rate", watched)
    found = replayed(call_of(Switching().eval(), torch.randn(1, 4, 8, 8)))
    assert [replay.calls for replay in found.replays] == [1, 1]
    assert sorted(seen) == [False, True]
    assert torch._C._get_mkldnn_enabled()


def by_operator(found: Profile) -> dict[str, int]:
    calls = Counter[str]()
    for replay in found.replays:
        calls[replay.operator] += replay.calls
    return dict(calls)


@pytest.mark.parametrize("grad_mode", ["inference", "no_grad", "grad"])
def test_replays_have_all_macs_of_the_call(grad_mode: str) -> None:
    found = replayed(call_of(Small().eval(), torch.randn(1, 4, 8, 8), grad_mode=grad_mode))
    assert sum(replay.calls * replay.macs for replay in found.replays) == found.macs > 0


def test_each_kind_has_the_time_of_its_replays() -> None:
    found = replayed(call_of(Small().eval(), torch.randn(1, 4, 8, 8)))
    assert len(found.mac_kinds) == 4
    for kind in found.mac_kinds:
        of_kind = [replay for replay in found.replays if replay.kind == kind.kind]
        assert sum(replay.calls for replay in of_kind) == kind.calls
        assert kind.replay_ns == kind.calls * REPETITION_NS
        assert kind.energy_nj_per_mac is None


def test_each_distinct_operator_is_replayed_once() -> None:
    found = replayed(call_of(Small().eval(), torch.randn(1, 4, 8, 8)))
    convolutions = [r for r in found.replays if r.kind == "conv2d 3x3"]
    assert [(r.calls, r.macs) for r in convolutions] == [(2, 4 * 4 * 9 * 64)]
    assert convolutions[0].shapes.startswith("1x4x8x8 4x4x3x3")
    calls = by_operator(found)
    assert calls["aten::relu_"] == calls["aten::cat"] == calls["aten::mean"] == 1
    assert not {"aten::slice", "aten::view", "aten::empty"} & calls.keys(), "they move no bytes"


def test_replays_come_longest_first_with_the_peaks_of_the_device() -> None:
    found = replayed(call_of(Small().eval(), torch.randn(1, 4, 8, 8)))
    totals_ns = [replay.total_ns for replay in found.replays]
    assert totals_ns == sorted(totals_ns, reverse=True)
    assert found.peaks is not None
    assert found.peaks.call_ns == REPETITION_NS
    assert found.peaks.mac_rate == pytest.approx(32**3 / REPETITION_NS * 1e9)


def test_a_measurement_that_wants_no_replays_has_none() -> None:
    found = measure(call_of(Small().eval(), torch.randn(1, 4, 8, 8)), BRIEF, threads=1)
    assert (found.replays, found.peaks) == ((), None)


@pytest.mark.parametrize(
    "model",
    [
        lambda: nn.LSTM(4, 8),
        lambda: nn.MultiheadAttention(8, 2),
        lambda: nn.TransformerEncoderLayer(8, 2, 16),
        lambda: nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 4), nn.Softmax(1)),
    ],
)
def test_other_layers_are_replayed_whole(model: Callable[[], nn.Module]) -> None:
    layer = model().eval()
    x: Tensor = torch.randn(5, 1, 8)
    args: tuple[Tensor, ...] = (x, x, x) if isinstance(layer, nn.MultiheadAttention) else (x,)
    if isinstance(layer, nn.LSTM):
        args = (x[..., :4],)
    if isinstance(layer, nn.Sequential):
        args = (torch.tensor([9, 0, 3]),)
    found = replayed(call_of(layer, *args))
    assert found.notes == ()
    assert sum(replay.calls * replay.macs for replay in found.replays) == found.macs > 0


def test_nothing_of_the_user_is_changed() -> None:
    model, x = Small().train(), torch.randn(2, 4, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    image, drawn = x.clone(), torch.random.get_rng_state()
    replayed(call_of(model, x))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(x, image)
    assert torch.equal(drawn, torch.random.get_rng_state())


def test_an_operator_that_cannot_run_alone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = RecordedOperator.copies

    def copies(operator: RecordedOperator, count: int) -> list[Callable[[], object]]:
        if operator.work.operator == "aten::cat":
            raise RuntimeError("no such shape")
        return made(operator, count)

    monkeypatch.setattr(RecordedOperator, "copies", copies)
    found = replayed(call_of(Small().eval(), torch.randn(1, 4, 8, 8)))
    note = "some operators are not replayed: aten::cat (RuntimeError: no such shape)"
    assert note in found.notes
    assert "aten::cat" not in by_operator(found)


def test_a_kind_whose_macs_are_not_all_replayed_has_no_time() -> None:
    found = replayed(call_of(Small().eval(), torch.randn(1, 4, 8, 8)))
    (linear,) = [kind for kind in found.mac_kinds if kind.kind == "linear"]
    few = [replay for replay in found.replays if replay.kind != "linear"]
    assert replays._with_replay(linear, found.replays).replay_ns == REPETITION_NS
    bare = replays._with_replay(type(linear)("linear", 1, linear.macs, None), few)
    assert bare.replay_ns is None


def test_a_kind_with_some_of_its_macs_replayed_has_no_time() -> None:
    """The call has two convolutions of this kind, which are alike."""
    found = replayed(call_of(Small().eval(), torch.randn(1, 4, 8, 8)))
    (kind,) = [kind for kind in found.mac_kinds if kind.kind == "conv2d 3x3"]
    (both,) = [replay for replay in found.replays if replay.kind == "conv2d 3x3"]
    unknown = replace(kind, replay_ns=None)
    assert replays._with_replay(unknown, [both]).replay_ns == 2 * REPETITION_NS
    assert replays._with_replay(unknown, [replace(both, calls=1)]).replay_ns is None


# --- tensors of a replay ------------------------------------------------------------------------


def recorded(model: Callable[..., object], *args: object) -> list[RecordedOperator]:
    with torch.inference_mode():
        return recorded_operators(call_of(model, *args))


def tensors_of(operator: RecordedOperator, count: int = 1) -> list[list[Tensor]]:
    runs: list[Any] = operator.copies(count)
    return [[arg for arg in run.args if isinstance(arg, Tensor)] for run in runs]


def test_tensors_have_the_form_of_the_call() -> None:
    x = torch.randn(1, 4, 8, 8).to(memory_format=torch.channels_last).bfloat16()
    (operator,) = recorded(torch.add, x, torch.ones(8).bfloat16().expand(4, 8, 8))
    first, second = tensors_of(operator)[0]
    assert (first.shape, first.stride(), first.dtype) == (x.shape, x.stride(), torch.bfloat16)
    assert second.stride() == (0, 0, 1)
    assert first.data_ptr() != x.data_ptr()
    assert 0 <= first.min() <= first.max() <= 1


def test_rotating_weights_count_as_touched() -> None:
    found = replayed(call_of(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 64)), torch.ones(1, 4)))
    first = next(replay for replay in found.replays if replay.macs == 32)
    weights = 4 * (32 + 8)
    copies = -(-4 * (32 + 8 + 512 + 64) // weights)
    assert first.touched_bytes == first.moved_bytes + (copies - 1) * weights
    assert first.working_bytes == first.touched_bytes


def test_indices_and_masks_keep_their_values() -> None:
    index = torch.tensor([7, 2, 7])
    (operator,) = recorded(nn.Embedding(8, 4), index)
    (again,) = [t for t in tensors_of(operator)[0] if t.dtype == torch.int64]
    assert torch.equal(again, index)
    assert again.data_ptr() != index.data_ptr()


def test_a_tensor_that_is_written_holds_zeros() -> None:
    """Noise that is halved a million times would become subnormal, and slow."""
    (operator,) = recorded(lambda x: x.mul_(0.5), torch.ones(8))
    assert torch.equal(tensors_of(operator)[0][0], torch.zeros(8))


def test_weights_rotate_and_other_inputs_do_not() -> None:
    (operator,) = recorded(nn.Linear(4, 8, bias=False), torch.randn(2, 4))
    assert operator.weight_bytes == 4 * 32
    copies = tensors_of(operator, 3)
    assert len({t.data_ptr() for tensors in copies for t in tensors}) == 1 + 3


@pytest.mark.parametrize(
    ("weight_bytes", "model_bytes", "expected"),
    [(0, 1000, 1), (1000, 1000, 1), (100, 1000, 10), (300, 1000, 4), (1, 10**9, 64), (100, 0, 1)],
)
def test_copies_of_weights_take_as_much_as_the_model(
    weight_bytes: int, model_bytes: int, expected: int
) -> None:
    (operator,) = recorded(torch.relu, torch.ones(2))
    operator.weight_bytes = weight_bytes
    assert replays._copies(operator, model_bytes) == expected


def test_constants_tell_operators_apart_and_values_do_not() -> None:
    def model(x: Tensor) -> Tensor:
        y = x + x
        return (y + y) * 2.0 + (y * 3.0).to(torch.float64).float()

    calls = Counter(operator.work.operator for operator in recorded(model, torch.ones(3)))
    assert calls["aten::mul"] == 2
    (_, *others) = [o for o in recorded(model, torch.ones(3)) if o.work.operator == "aten::add"]
    assert others == []


def test_recording_counts_what_the_counter_counts() -> None:
    model, x = Small().eval(), torch.randn(1, 4, 8, 8)
    with torch.inference_mode():
        counted = count_macs(lambda: model(x))
    found = recorded(model, x)
    assert sum(o.calls * o.work.macs for o in found) == counted.macs
    assert {o.work.kind for o in found if o.work.macs} == {call.kind for call in counted.calls}


# --- energy -------------------------------------------------------------------------------------


class Meter:
    """Counts 7 nJ for every reading."""

    name, domain = "a meter", "package"

    def __init__(self) -> None:
        self.total_nj = 0.0

    def read_nj(self) -> float:
        self.total_nj += 7.0
        return self.total_nj


def test_energies_are_those_of_the_models_own_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    energies_nj = iter([600.0, 300.0, 100.0, 50.0] * 9)
    monkeypatch.setattr(replays, "repetition_energy_nj", lambda *_: next(energies_nj))
    monkeypatch.setattr(energy_pass, "RESOLVED", 1)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8)).eval()
    found = replayed(call_of(model, torch.ones(1, 4)), meter=lambda _: Meter())
    (kind,) = found.mac_kinds
    of_replays = [replay for replay in found.replays if replay.kind == "linear"]
    assert sorted((r.calls, r.macs) for r in of_replays) == [(1, 32), (2, 64)]
    total_nj = sum(r.calls * (r.energy_nj or 0.0) for r in of_replays)
    assert kind.energy_nj_per_mac == pytest.approx(total_nj / (32 + 2 * 64))


def test_without_a_meter_replays_have_times_alone() -> None:
    def none(_: torch.device) -> Any:
        raise EnergyError("no energy meter found: nothing there", "buy one")

    found = replayed(call_of(nn.Linear(4, 8), torch.ones(1, 4)), meter=none)
    assert found.mac_kinds[0].replay_ns == REPETITION_NS
    assert found.mac_kinds[0].energy_nj_per_mac is None
    assert found.energy_unknown is not None


class Once(Meter):
    """A meter that can be started a single time, and fails after so many readings."""

    def __init__(self, readings: float = math.inf) -> None:
        super().__init__()
        self.started, self._left = 0, readings

    def __enter__(self) -> None:
        self.started += 1
        if self.started > 1:
            raise RuntimeError("a generator cannot start twice")

    def __exit__(self, *exception: object) -> None:
        pass

    def read_nj(self) -> float:
        self._left -= 1
        if self._left < 0:
            raise OSError("unplugged")
        return super().read_nj()


def three_layers() -> Call:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2)).eval()
    return call_of(model, torch.ones(1, 4))


def test_a_meter_is_started_once_for_all_replays() -> None:
    meters = [Once(), Once()]
    unused = iter(meters)
    found = replayed(three_layers(), meter=lambda _: next(unused))
    assert found.energy is not None
    assert [meter.started for meter in meters] == [1, 1]  # for the call, and for its replays
    linear = [replay for replay in found.replays if replay.macs]
    assert len(linear) == 3
    assert all(replay.energy_nj for replay in linear)
    assert found.mac_kinds[0].energy_nj_per_mac
    assert found.notes == ()


def test_times_are_taken_before_the_meter_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter may have a thread, which takes time from the operators."""
    meter, started = Once(), []
    timed = repetitions.operator_rate

    def watched(*args: Any, **kwargs: Any) -> Any:
        started.append(meter.started)
        return timed(*args, **kwargs)

    monkeypatch.setattr(replays, "operator_rate", watched)
    monkeypatch.setattr(passes, "energy_of_call", lambda *_: EnergyUnknown("not of interest", ""))
    replayed(three_layers(), meter=lambda _: meter)
    assert started == [0] * 4
    assert meter.started == 1


def test_a_meter_that_fails_leaves_the_times_and_a_note() -> None:
    meters = [Once(), Once(readings=60)]
    unused = iter(meters)
    found = replayed(three_layers(), meter=lambda _: next(unused))
    assert len(found.replays) == 4
    assert found.mac_kinds[0].replay_ns == 3 * REPETITION_NS
    energies_nj = [replay.energy_nj for replay in found.replays if replay.macs]
    assert [energy_nj is None for energy_nj in energies_nj].count(True) == 2
    assert found.mac_kinds[0].energy_nj_per_mac is None
    (note,) = found.notes
    assert note.startswith("the energy of some replays is unknown: a meter cannot be read: OSError")
    assert "hook pytest_hiddencost_energy_meter" in note


# --- tensors of the user's own ------------------------------------------------------------------


class Wrapper(Tensor):
    """A tensor that holds another one, as quantized weights and distributed ones do."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Wrapper:
        wrapper: Wrapper = Tensor._make_wrapper_subclass(cls, held.shape, dtype=held.dtype)
        wrapper.held = held
        return wrapper

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        plain = tree_map_only(cls, lambda wrapper: wrapper.held, (args, kwargs or {}))
        found = func(*plain[0], **plain[1])
        return cls(found) if func is torch.ops.aten.detach.default else found


class Flattened(Wrapper):
    """One that torch.compile can take apart."""

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(parts: dict[str, Tensor], *_: Any) -> Flattened:
        return Flattened(parts["held"])


@pytest.mark.parametrize("kind", [Wrapper, Flattened])
def test_parameters_that_wrap_tensors_are_no_obstacle(kind: type[Wrapper]) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
    model[0].weight = nn.Parameter(kind(torch.randn(8, 4)), requires_grad=False)
    found = replayed(call_of(model, torch.ones(1, 4), grad_mode="no_grad"))
    assert not [note for note in found.notes if "cannot be recorded" in note]
    assert "aten::relu" in by_operator(found)


def test_operators_that_cannot_be_recorded_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Call) -> list[RecordedOperator]:
        raise RuntimeError("no storage")

    monkeypatch.setattr(replays, "recorded_operators", broken)
    found = replayed(three_layers())
    assert found.latency.median_ns > 0
    assert (found.replays, found.peaks) == ((), None)
    (note,) = found.notes
    assert note.endswith("not replayed, since they cannot be recorded: RuntimeError: no storage")
