"""Functions in the places of torch's: the user's model runs as before, and nothing is left."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.clock import clocked_shares
from pytest_hiddencost.measure.operators.torch_functions import Place, places, replaced
from pytest_hiddencost.measure.operators.tracing import root_call_sites

X = torch.randn(2, 4, 6, 6)
WHERE = places()


def seen(run: Callable[[], Any]) -> tuple[list[str], Any]:
    """Return the names of the functions that a call uses, and the call's result."""
    names: list[str] = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def note(*args: Any, **kwargs: Any) -> Any:
            names.append(function.__name__)
            return function(*args, **kwargs)

        return note

    with replaced(WHERE, [noted(getattr(*place)) for place in WHERE]):
        result = run()
    return names, result


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (lambda: torch.cat((X, X), dim=1), "cat"),
        (lambda: X.view(2, -1), "view"),
        (lambda: X + X, "__add__"),
        (lambda: X[:, 1], "__getitem__"),
        (lambda: 2 * X, "__rmul__"),
        (lambda: 1 - X, "__rsub__"),
        (lambda: X @ X, "__matmul__"),
        (lambda: functional.conv2d(X, torch.ones(4, 4, 3, 3)), "conv2d"),
        (lambda: functional.linear(X, torch.ones(4, 6)), "linear"),
        (lambda: functional.relu(X), "relu"),
        (lambda: functional.batch_norm(X, torch.zeros(4), torch.ones(4)), "batch_norm"),
        (lambda: functional.max_pool2d(X, 2), "max_pool2d"),
        (lambda: functional.adaptive_avg_pool2d(X, 1), "adaptive_avg_pool2d"),
        (lambda: torch.einsum("bchw,bdhw->bcd", X, X), "einsum"),
        (lambda: torch.linalg.norm(X), "linalg_norm"),
        (lambda: nn.LSTM(6, 2)(X[0]), "lstm"),
        (lambda: nn.GRUCell(6, 2)(X[0, 0]), "gru_cell"),
        (lambda: nn.Softmax(dim=1)(X), "softmax"),
    ],
)
def test_functions_that_run_operators_are_found(run: Callable[[], Any], name: str) -> None:
    torch.manual_seed(0)
    names, result = seen(run)
    torch.manual_seed(0)
    torch.testing.assert_close(result, run())
    assert name in names


def test_the_places_are_as_before_even_if_the_call_raises() -> None:
    def state() -> list[Any]:
        return [vars(owner).get(name) for owner, name in WHERE]

    before = state()
    with pytest.raises(IndexError):
        seen(lambda: functional.softmax(X, dim=9))
    assert state() == before
    assert torch.Tensor.__add__ is torch._C.TensorBase.__add__


def test_a_function_is_put_back_where_the_user_had_put_another() -> None:
    def own(*args: Any) -> Any:
        return args

    with replaced([Place(functional, "conv2d")], [own]):
        with replaced(WHERE, [getattr(*place) for place in WHERE]):
            pass
        assert functional.conv2d is own


def test_an_interrupt_while_functions_are_put_into_their_places_leaves_none() -> None:
    class Interrupted(type):
        def __setattr__(cls, name: str, value: object) -> None:
            if value == "stop":
                raise KeyboardInterrupt
            super().__setattr__(name, value)

    class Inherited:
        first = second = third = "theirs"

    class Owner(Inherited, metaclass=Interrupted):
        own = "own"

    where = [Place(Owner, name) for name in ("own", "first", "second", "third")]
    new: list[Any] = ["new", "new", "stop", "new"]
    with pytest.raises(KeyboardInterrupt), replaced(where, new):
        raise AssertionError("the block must not begin")
    assert [vars(Owner).get(name) for _, name in where] == ["own", None, None, None]


# --- the user's own machinery, under the clock ---------------------------------------------------


def clock(run: Callable[[torch.Tensor], Any]) -> dict[Any, float]:
    call = Call(run, (X,), {}, torch.device("cpu"), "no_grad")
    return clocked_shares(call, root_call_sites(call), 1e6)


class Noted(TorchFunctionMode):
    """A mode of the user's that notes what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


def test_a_mode_of_the_users_sees_the_same_in_every_call() -> None:
    found: set[tuple[str, ...]] = set()

    def run(x: torch.Tensor) -> torch.Tensor:
        with Noted() as mode:
            result = functional.relu(x).add(1)
        found.add(tuple(mode.names))
        return result

    assert clock(run)
    assert len(found) == 1


class Tagged(torch.Tensor):
    """A subclass of tensors."""


@pytest.mark.parametrize(
    "run",
    [
        lambda model: torch.func.vmap(model)(X[:, None]),
        lambda model: torch.func.grad(lambda x: model(x).sum())(X),
        lambda model: model(X.as_subclass(Tagged)),
        lambda model: with_autocast(model),
        lambda model: with_default_device(model),
    ],
)
def test_transforms_and_contexts_give_the_same_result(run: Callable[[nn.Module], Any]) -> None:
    layers = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
    model = nn.Sequential(*layers).eval()
    results: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clock(lambda _: results.append(run(model)))
    expected = run(model)
    for result in results:
        assert type(result) is type(expected)
        torch.testing.assert_close(result, expected)


def with_autocast(model: nn.Module) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(X)


def with_default_device(model: nn.Module) -> Any:
    with torch.device("cpu"):
        return model(X + torch.zeros(1))
