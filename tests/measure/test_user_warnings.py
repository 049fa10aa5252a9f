"""Warnings of a measured call: the user's reach the user once, and none is ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from pytest_hiddencost import Sampling, profile

BRIEF = Sampling(max_time_ns=1_000_000)
X = torch.ones(1, 4)


class Compiled(nn.Linear):
    """Warns like a compiled module where there are hooks on all modules."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        if torch.nn.modules.module._has_any_global_hook():
            warnings.warn(
                "Using `torch.compile(module)` when there are global hooks on modules", stacklevel=2
            )
        return super().__call__(*args, **kwargs)


def compiled() -> nn.Module:
    return Compiled(4, 4).eval()


def inside_a_module() -> nn.Module:
    return nn.Sequential(compiled(), nn.ReLU()).eval()


def behind_a_function() -> Callable[..., object]:
    found = {"model": compiled()}
    return lambda x: found["model"](x)


def warning(text: str = "mine", category: type[Warning] = UserWarning) -> Callable[..., object]:
    model = nn.Linear(4, 4).eval()

    def call(x: torch.Tensor) -> object:
        warnings.warn(text, category, stacklevel=1)
        return model(x)

    return call


def seen(call: Callable[..., object], action: str) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter(action)  # type: ignore[arg-type]  # one of its literals
        profile(call, X, sampling=BRIEF)
    return [str(warning.message) for warning in found]


@pytest.mark.parametrize("model", [compiled, inside_a_module, behind_a_function])
def test_a_compiled_model_does_not_warn_of_hooks_that_are_ours(
    model: Callable[[], Callable[..., object]],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert profile(model(), X, sampling=BRIEF).notes == ()
    assert seen(model(), "always") == []


def test_the_compiler_does_not_warn_of_marks_that_are_ours() -> None:
    what = "Dynamo does not know how to trace the builtin `<unknown module>.{}.__new__.`"
    assert seen(warning(what.format("RecordFunctionFast")), "default") == []
    assert len(seen(warning(what.format("Other")), "default")) == 1


@pytest.fixture
def hook_of_the_user() -> Iterator[None]:
    with register_module_forward_hook(lambda module, args, output: None):
        yield


@pytest.mark.usefixtures("hook_of_the_user")
def test_a_compiled_model_warns_of_hooks_of_the_user() -> None:
    assert len(seen(compiled(), "always")) == 1


def test_a_model_that_is_compiled_in_place_never_runs_under_hooks() -> None:
    """The compiler would compile it once with them, and once more without."""
    inner, hooked = nn.Linear(4, 4).eval(), []

    def compiled_call(x: torch.Tensor) -> torch.Tensor:
        hooked.append(bool(torch.nn.modules.module._has_any_global_hook()))
        return nn.functional.linear(x, inner.weight, inner.bias)

    inner._compiled_call_impl = compiled_call
    for model in (inner, nn.Sequential(inner).eval(), lambda x: inner(x)):
        assert profile(model, X, sampling=BRIEF).notes == ()
    assert set(hooked) == {False}


@pytest.mark.parametrize("category", [UserWarning, DeprecationWarning, RuntimeWarning])
@pytest.mark.parametrize("action", ["always", "default", "module", "once"])
def test_a_warning_of_the_model_is_seen_once(action: str, category: type[Warning]) -> None:
    assert seen(warning(category=category), action) == ["mine"]


def test_warnings_that_differ_are_each_seen() -> None:
    first, second = warning("one"), warning("two")
    assert seen(lambda x: (first(x), second(x)), "always") == ["one", "two"]


def test_a_warning_that_the_user_ignores_stays_ignored() -> None:
    assert seen(warning(), "ignore") == []


def test_a_warning_that_the_user_makes_an_error_is_one() -> None:
    with pytest.raises(UserWarning, match="mine"):
        seen(warning(), "error")


def test_a_warning_before_an_error_is_seen() -> None:
    model = warning()

    def failing(x: torch.Tensor) -> None:
        model(x)
        raise ZeroDivisionError

    with pytest.warns(UserWarning, match="mine"), pytest.raises(ZeroDivisionError):
        profile(failing, X, sampling=BRIEF)


def test_a_warning_that_points_at_the_caller_is_seen_once() -> None:
    """The caller is a line of the plugin, another one in each pass."""

    def call(x: torch.Tensor) -> object:
        warnings.warn("look there", stacklevel=2)
        return x + 1

    assert seen(call, "always") == ["look there"]


@pytest.mark.filterwarnings("ignore:gone")
def test_the_filters_of_the_user_are_restored() -> None:
    before = list(warnings.filters)
    profile(warning("gone", DeprecationWarning), X, sampling=BRIEF)
    assert list(warnings.filters) == before
