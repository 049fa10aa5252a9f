"""The user's model, torch's global state and the process are as they were."""

from __future__ import annotations

import gc
import os
import random
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch._C._autograd import _profiler_enabled

from tests.run.everything import Everything, changed, everything, process_state, state_of
from tests.run.fixtures import hidden_cost
from tests.suites import run

X = torch.ones(1, 8)
GRAD_MODES = pytest.mark.parametrize("grad_mode", ["inference", "no_grad", "grad"])


@pytest.fixture(autouse=True)
def _warnings_kept(recwarn: pytest.WarningsRecorder) -> None:
    """Warnings about the models below are no business of these tests."""


# --- the model ----------------------------------------------------------------------------------


@GRAD_MODES
def test_model(grad_mode: str) -> None:
    """Keys, identities and values of parameters and buffers; modes; hooks; versions; grads."""
    model, image = everything()
    before, copy = state_of(model), image.clone()
    hidden_cost()(model, image, grad_mode=grad_mode)
    assert changed(before, state_of(model)) == []
    assert torch.equal(image, copy)
    assert model.counter.item() == 0


def test_modes_of_frozen_submodules() -> None:
    hiddencost = hidden_cost()
    model, image = everything()
    parts = (model, model.norm, model.drop, model.frozen)
    hiddencost(model, image)
    assert [part.training for part in parts] == [True, True, True, False]
    model.eval()
    model.drop.train()
    hiddencost(model, image, label="eval")
    assert [part.training for part in parts] == [False, False, True, False]


def test_running_statistics_in_training_mode() -> None:
    norm = nn.BatchNorm1d(4).train()
    norm(torch.randn(3, 4))
    before = state_of(norm)
    hidden_cost()(norm, torch.randn(3, 4) + 7)
    assert norm.num_batches_tracked is not None
    assert norm.num_batches_tracked.item() == 1
    assert changed(before, state_of(norm)) == []


@GRAD_MODES
def test_model_can_be_trained_afterwards(grad_mode: str) -> None:
    """No inference tensor and no graph is left in it."""
    model, image = everything()
    hidden_cost()(model, image, grad_mode=grad_mode)
    model(image).sum().backward()
    assert model.conv.weight.grad is not None
    assert model.conv.bias is not None
    assert model.conv.bias.grad is None
    assert not any(t.is_inference() for t in model.state_dict().values())


def test_gradients_that_were_there() -> None:
    model, image = everything()
    image.requires_grad_()
    model(image).sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    values = {name: grad.clone() for name, grad in grads.items() if grad is not None}
    assert image.grad is not None
    of_image = image.grad.clone()
    hidden_cost()(model, image, grad_mode="grad")
    for name, p in model.named_parameters():
        assert p.grad is grads[name], name
        assert p.grad is None or torch.equal(p.grad, values[name]), name
    assert values
    assert torch.equal(image.grad, of_image)
    assert image.requires_grad


def test_gradients_of_a_model_that_runs_backward_itself() -> None:
    """A training step: every call adds to ``grad``."""

    class Step(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            loss = super().forward(x).sum()
            loss.backward()
            return loss

    hiddencost, step = hidden_cost(), Step(4, 4)
    hiddencost(step, torch.ones(2, 4), grad_mode="grad")
    assert [p.grad for p in step.parameters()] == [None, None]
    nn.Linear.forward(step, torch.ones(2, 4)).sum().backward()
    assert step.weight.grad is not None
    before = step.weight.grad.clone()
    hiddencost(step, torch.ones(2, 4), grad_mode="grad", label="again")
    assert torch.equal(step.weight.grad, before)


def test_inputs_changed_in_place() -> None:
    """At any depth, of any kind; the values that were there are there again."""

    class Greedy(nn.Module):
        def forward(
            self,
            x: torch.Tensor,
            nested: dict[str, list[torch.Tensor]],
            *,
            flag: torch.Tensor,
            table: torch.Tensor,
        ) -> torch.Tensor:
            x.mul_(2)
            nested["a"][0].fill_(float("nan"))
            flag.logical_not_()
            table.t_().zero_()
            return x + 1

    x, y = torch.ones(2, 3), torch.full((2,), float("inf"))
    flag, table = torch.tensor(True), torch.arange(6).reshape(2, 3)
    hidden_cost()(Greedy().eval(), x, {"a": [y]}, flag=flag, table=table)
    assert torch.equal(x, torch.ones(2, 3))
    assert torch.equal(y, torch.full((2,), float("inf")))
    assert flag.item() is True
    assert torch.equal(table, torch.arange(6).reshape(2, 3))


def test_input_that_is_a_buffer_and_shared_twice() -> None:
    class Adding(nn.Module):
        total: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("total", torch.zeros(2))
            self.twin = self.total

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x += 1
            self.total += x
            return self.total

    model = Adding().eval()
    hidden_cost()(model, model.total)
    assert model.total.tolist() == [0, 0]
    assert model.twin is model.total


def test_user_hooks_are_called_and_stay() -> None:
    model, image = everything()
    calls: list[int] = []
    handle = model.drop.register_forward_hook(lambda *rest: calls.append(1))
    hidden_cost()(model, image)
    assert calls
    count = len(calls)
    model(image)
    assert len(calls) == count + 1
    handle.remove()
    model(image)
    assert len(calls) == count + 1


# --- the process --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grad_mode", "threads"), [("inference", 1), ("no_grad", 1), ("grad", 1), ("inference", 3)]
)
def test_global_state(grad_mode: str, threads: int) -> None:
    model, image = everything()
    before = process_state()
    hidden_cost(threads=threads)(model, image, grad_mode=grad_mode)
    assert changed(before, process_state()) == []


def anomaly() -> None:
    torch.autograd.set_detect_anomaly(True)


SETTINGS: dict[str, Callable[[], object]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "grad": lambda: torch.set_grad_enabled(False),
    "threads": lambda: torch.set_num_threads(3),
    "collector": gc.disable,
    "anomaly": anomaly,
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "fastpath": lambda: torch.backends.mha.set_fastpath_enabled(False),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "environment": lambda: os.environ.__setitem__("KINETO_LOG_LEVEL", "3"),
    "filters": lambda: warnings.simplefilter("error", ResourceWarning),
    "random": lambda: random.seed(5),
    "numpy": lambda: np.random.seed(5),
}


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of a test must not reach the next."""
    monkeypatch.delenv("KINETO_LOG_LEVEL", raising=False)
    was = process_state()
    yield
    torch.set_default_dtype(was["dtype"])
    torch.set_grad_enabled(True)
    torch.set_num_threads(was["threads"][0])
    gc.enable()
    torch.autograd.set_detect_anomaly(False)
    torch.use_deterministic_algorithms(False)
    torch.backends.mha.set_fastpath_enabled(True)
    torch.set_float32_matmul_precision(was["precision"])
    os.environ.pop("KINETO_LOG_LEVEL", None)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("setting", SETTINGS)
def test_what_the_user_has_set_stays_set(setting: str) -> None:
    image, model = torch.randn(2, 3, 8, 8), nn.Conv2d(3, 4, 3).eval()
    if setting == "default dtype":
        image, model = image.double(), model.double()
    SETTINGS[setting]()
    before = process_state()
    hidden_cost()(model, image)
    assert changed(before, process_state()) == []


def test_random_numbers_go_on_where_they_were() -> None:
    def draw() -> tuple[list[float], float, float]:
        return torch.rand(3).tolist(), random.random(), np.random.rand()

    def seed() -> None:
        torch.manual_seed(7)
        random.seed(7)
        np.random.seed(7)

    model, image = everything()
    seed()
    expected = draw(), draw()
    seed()
    first = draw()
    hidden_cost()(model, image)
    assert (first, draw()) == expected


def test_collector_off_while_timing_on_afterwards() -> None:
    seen: set[bool] = set()

    def function(x: torch.Tensor) -> torch.Tensor:
        seen.add(gc.isenabled())
        return x + 1

    assert gc.isenabled()
    hidden_cost()(function, X)
    assert seen == {False}
    assert gc.isenabled()


def test_inside_the_users_contexts() -> None:
    model, image = everything()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        before = process_state()
        hidden_cost()(model, image)
        after = process_state()
    assert changed(before, after) == []


# --- a forward that raises ----------------------------------------------------------------------


class Raising(Everything):
    """Raises in one of its calls, or in one of those under the profiler."""

    nth_call = nth_profiled = calls = profiled = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.profiled += _profiler_enabled()
        result = super().forward(x)
        x.add_(1)
        if self.calls == self.nth_call or self.profiled == self.nth_profiled != 0:
            raise KeyError("their own")
        return result


@GRAD_MODES
@pytest.mark.parametrize("call", [1, 2, 3, 12])
def test_forward_that_raises(call: int, grad_mode: str) -> None:
    """At once, while MACs are counted, while memory is, while it is timed."""
    raises(call, 0, grad_mode)


@pytest.mark.parametrize("profiled", [1, 2, 5])
def test_forward_that_raises_under_the_profiler(profiled: int) -> None:
    raises(0, profiled, "inference")


def raises(call: int, profiled: int, grad_mode: str) -> None:
    model, image = everything(Raising)
    assert isinstance(model, Raising)
    model.calls = model.profiled = 0
    model.nth_call, model.nth_profiled = call, profiled
    hiddencost = hidden_cost()
    before, outside, copy = state_of(model), process_state(), image.clone()
    with pytest.raises(KeyError, match="their own"):
        hiddencost(model, image, grad_mode=grad_mode)
    assert changed(before, state_of(model)) == []
    assert changed(outside, process_state()) == []
    assert torch.equal(image, copy)
    assert hiddencost.measurements == []
    model.nth_call = model.nth_profiled = -1
    assert hiddencost(model, image).operators


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_interrupted_forward(error: BaseException) -> None:
    def interrupted(x: torch.Tensor) -> torch.Tensor:
        if _profiler_enabled():
            raise error
        return x + 1

    before = process_state()
    with pytest.raises(type(error)):
        hidden_cost()(interrupted, X)
    assert changed(before, process_state()) == []


# --- warnings -----------------------------------------------------------------------------------


def test_warnings_are_the_users_alone(pytester: pytest.Pytester) -> None:
    """With every warning an error: nothing that we import or call may give one."""
    result = run(pytester, "def test_it(hiddencost): hiddencost(Net().eval(), IMAGE)", "-Werror")
    result.assert_outcomes(passed=1)


def test_warnings_of_the_model_reach_the_user(recwarn: pytest.WarningsRecorder) -> None:
    def warning(x: torch.Tensor) -> torch.Tensor:
        warnings.warn("theirs", UserWarning, stacklevel=1)
        return x + 1

    hidden_cost()(warning, X)
    assert {str(w.message) for w in recwarn.list} == {"theirs"}
