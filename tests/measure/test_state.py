"""The state after a measurement: the user's modules and tensors as they were, or a note."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from pytest_hiddencost import Profile, Sampling, profile

BRIEF = Sampling(max_time_ns=1_000_000)
ROWS = torch.ones(3, 4)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())


def measured(model: Callable[..., object], *args: object, grad_mode: str = "inference") -> Profile:
    return profile(model, *args, grad_mode=grad_mode, sampling=BRIEF)


def copied(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def unchanged(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(before[name], t) for name, t in model.state_dict().items())


# --- modules that are not plain -----------------------------------------------------------------


class Around(nn.Module):
    """An eager parent of any module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x)


def loaded(module: nn.Module) -> Any:
    file = io.BytesIO()
    torch.jit.save(module, file)
    file.seek(0)
    return torch.jit.load(file)


SCRIPTS: dict[str, Callable[[nn.Module], Any]] = {
    "scripted": torch.jit.script,
    "traced": lambda m: torch.jit.trace(m, ROWS, check_trace=False),
    "loaded": lambda m: loaded(torch.jit.script(m)),
    "frozen": lambda m: torch.jit.freeze(torch.jit.script(m)),
    "frozen in a parent": lambda m: Around(torch.jit.freeze(torch.jit.script(m))).eval(),
    "traced in a parent": lambda m: Around(torch.jit.trace(m, ROWS)).eval(),
}


@pytest.fixture(autouse=True)
def _script_is_deprecated() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.mark.parametrize("way", SCRIPTS)
def test_a_script_module_is_measured_like_the_module_it_was_made_of(way: str) -> None:
    found = measured(SCRIPTS[way](net().eval()), ROWS)
    assert (found.macs, found.notes) == (3 * 4 * 4, ())


@pytest.mark.parametrize("way", ["scripted", "traced", "loaded"])
def test_batch_statistics_and_modes_of_a_script_module_are_restored(way: str) -> None:
    model = SCRIPTS[way](net().train())
    before = copied(model)
    measured(model, ROWS)
    assert unchanged(model, before)
    assert model.training


def test_a_buffer_that_a_script_module_replaces_is_restored() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: torch.Tensor
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = self.seen + 1
            return x * self.seen

    model = torch.jit.script(Counts())
    measured(model, ROWS)
    assert model.seen.item() == 0


# --- modules inside functions -------------------------------------------------------------------

MODEL = net()


class Runner:
    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: torch.Tensor) -> Any:
        return self.model(x)

    def run(self, x: torch.Tensor) -> Any:
        return self.model.forward(x)


class Slotted:
    __slots__ = ("model",)

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def run(self, x: torch.Tensor) -> Any:
        return self.model(x)


WRAPPED: dict[str, Callable[[nn.Module], Callable[..., object]]] = {
    "lambda": lambda m: lambda x: m(x),
    "partial": partial,
    "method": lambda m: m.forward,
    "forward in a lambda": lambda m: lambda x: m.forward(x),
    "object": Runner,
    "method of an object": lambda m: Runner(m).run,
    "list": lambda m: partial(lambda models, x: models[0](x), [m]),
    "default": lambda m: lambda x, model=m: model(x),
    "slots": lambda m: Slotted(m).run,
}


@pytest.mark.parametrize("way", WRAPPED)
def test_a_model_inside_a_function_is_restored_and_its_training_mode_is_told(way: str) -> None:
    model = net()
    before = copied(model)
    found = measured(WRAPPED[way](model), ROWS)
    assert unchanged(model, before)
    assert ["in training mode" in note for note in found.notes] == [True]


def test_a_global_model_is_restored() -> None:
    before = copied(MODEL)
    measured(lambda x: MODEL(x), ROWS)
    assert unchanged(MODEL, before)


def test_a_training_step_leaves_modes_and_gradients_and_tells_of_the_weights() -> None:
    model = net().eval()
    gradient = model[0].weight.grad = torch.ones(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        model(ROWS).sum().backward()
        optimizer.step()

    found = measured(step, grad_mode="grad")
    assert not model.training
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient, torch.ones(4, 4))
    assert any(
        "parameters in place (0.weight, 0.bias, 1.weight and 1 more)" in n for n in found.notes
    )


def test_a_tensor_that_a_function_changes_is_told() -> None:
    total = torch.zeros(4)
    found = measured(lambda x: total.add_(x), torch.ones(4), grad_mode="no_grad")
    assert "the call changes 1 of the tensors that its function holds in place" in found.notes[0]


def test_tensor_attributes_of_a_module_are_restored() -> None:
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.state, self.total = torch.zeros(4), torch.zeros(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.state = self.state + x
            self.total += 1
            return self.state

    model = Stateful()
    state = model.state
    measured(model.eval(), torch.ones(4))
    assert model.state is state
    assert not model.total.any()


def test_a_compiled_model_is_compiled_once_and_restored() -> None:
    graphs = []

    def backend(graph: Any, _inputs: object) -> Any:
        graphs.append(graph)
        return graph.forward

    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = copied(model)
    compiled = torch.compile(lambda x: model(x), backend=backend)
    found = measured(compiled, ROWS)
    assert len(graphs) == 1
    assert unchanged(model, before)
    assert "in training mode" in found.notes[0]


# --- training after inference mode --------------------------------------------------------------


class Cached(nn.Module):
    """Keeps what it computed in its first call."""

    def __init__(self, keep: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.kept: Any = None
        self._keep = keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kept is None:
            self.kept = self._keep(torch.arange(4.0).cos())
        kept = self.kept
        while not isinstance(kept, torch.Tensor):
            kept = kept["cos"] if isinstance(kept, dict) else kept[0]
        scaled: torch.Tensor = self.linear(x) * kept
        return scaled


@pytest.mark.parametrize("keep", [lambda t: t, lambda t: {"cos": t}, lambda t: (t,), lambda t: [t]])
def test_a_model_that_keeps_tensors_of_its_first_call_can_be_trained(keep: Any) -> None:
    model = Cached(keep).eval()
    found = measured(model, ROWS)
    model.train()(ROWS).sum().backward()
    assert found.notes == ()
    assert model.linear.weight.grad is not None


def test_a_lazy_model_can_be_trained_after_its_measurement() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()).eval()
    measured(model, ROWS)
    model.train()(ROWS).sum().backward()
    assert isinstance(model[0].weight, nn.Parameter)
    assert model[0].weight.grad is not None


def test_views_of_a_kept_tensor_share_its_memory_as_before() -> None:
    kept: list[torch.Tensor] = []

    def model(x: torch.Tensor) -> torch.Tensor:
        if not kept:
            whole = x + 1
            kept.extend([whole, whole[0]])
        return kept[1] + 1

    measured(model, ROWS)
    kept[1].zero_()
    assert not kept[0][0].any()
    assert not any(tensor.is_inference() for tensor in kept)


def test_an_inference_tensor_of_the_users_own_stays_one() -> None:
    with torch.inference_mode():
        own = torch.ones(3, 4)
    measured(torch.relu, own)
    assert own.is_inference()


def test_a_kept_tensor_that_cannot_be_converted_is_told() -> None:
    kept: list[torch.Tensor] = []

    def model(x: torch.Tensor) -> torch.Tensor:
        kept[:] = kept or [x.to_sparse()]
        return x + 1

    found = measured(model, ROWS)
    assert "tensors that the call keeps stay inference tensors" in found.notes[0]
    assert 'measure with grad_mode="no_grad"' in found.notes[0]
