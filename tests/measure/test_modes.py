"""Notes on training mode have advice that can be followed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from pytest_hiddencost.measure.modes import training_notes

ROWS = torch.ones(3, 4)
EVAL = "in training mode: dropout and batch statistics are measured; call .eval()"
AGAIN = "in training mode: dropout and batch statistics are measured; export or trace it in eval"


@pytest.fixture(autouse=True)
def _script_is_deprecated() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())


def notes(*modules: nn.Module, model: nn.Module | None = None) -> list[str]:
    return training_notes([(m, getattr(m, "training", False)) for m in modules], model)


def exported(model: nn.Module) -> nn.Module:
    return torch.export.export(model, (ROWS,)).module()


def compiled_model(model: nn.Module) -> nn.Module:
    wrapper = torch.compile(model, backend="eager")
    assert isinstance(wrapper, nn.Module)
    return wrapper


def test_a_module_is_told_and_its_parts_are_not() -> None:
    model = net()
    assert [EVAL in note for note in notes(model, *model)] == [True]


def test_a_part_in_training_mode_of_a_model_in_eval_mode_is_told() -> None:
    model = net().eval()
    model[1].train()
    assert notes(model, *model) == [f"BatchNorm1d is {EVAL} to measure inference"]


def test_a_layer_whose_code_ignores_the_mode_is_not_told_unless_it_is_the_model() -> None:
    activation = nn.Softmax(-1)  # made in forward, as functions are
    assert notes(activation) == []
    assert EVAL in notes(activation, model=activation)[0]


def test_many_modules_are_told_in_one_sentence() -> None:
    parts = [nn.Dropout(), nn.BatchNorm1d(4), nn.Dropout1d(), nn.AlphaDropout()]
    assert notes(*parts)[0].startswith("Dropout, BatchNorm1d, Dropout1d and 1 more are in training")


def test_a_model_exported_in_eval_mode_is_not_told() -> None:
    model = exported(net().eval())
    assert model.training  # which says nothing
    assert notes(model, model=model) == []


def test_a_compiled_model_is_told_what_its_model_would_be() -> None:
    inference, training = exported(net().eval()), exported(net())
    compiled = compiled_model(inference)
    with pytest.raises(NotImplementedError):
        compiled.eval()
    assert notes(compiled, model=compiled) == []
    assert AGAIN in notes(compiled_model(training))[0]
    plain = compiled_model(net())
    assert EVAL in notes(plain, model=plain)[0]
    assert notes(plain.eval(), model=plain) == []


def test_a_model_exported_in_training_mode_is_told_to_be_exported_again() -> None:
    assert AGAIN in notes(exported(net()))[0]


def test_a_parent_of_an_exported_model_is_not_told_to_call_eval() -> None:
    inner = exported(net().eval())
    parent = nn.Sequential(inner)
    with pytest.raises(NotImplementedError):
        parent.eval()
    assert notes(parent, inner, model=parent) == []
    mixed = nn.Sequential(inner, nn.Dropout())
    assert (
        "call .eval() on its modules that are not exported" in notes(mixed, inner, model=mixed)[0]
    )


def test_a_model_traced_in_training_mode_is_told_whatever_its_attribute_says() -> None:
    model = torch.jit.trace(net(), ROWS, check_trace=False).eval()
    assert AGAIN in notes(model, model=model)[0]


def test_a_model_traced_in_eval_mode_is_not_told() -> None:
    model = torch.jit.trace(net().eval(), ROWS).train()
    assert notes(model, model=model) == []


def test_a_scripted_model_is_told_by_its_attribute() -> None:
    model = torch.jit.script(net())
    assert EVAL in notes(model)[0]
    assert notes(model.eval(), torch.jit.freeze(model)) == []
