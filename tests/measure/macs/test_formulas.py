"""Formulas: their arguments, and those of kernels that this machine may not run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pytest_hiddencost.measure.macs import formula_table
from pytest_hiddencost.measure.macs.formula_table import formula_named
from tests.measure.macs.closed_forms import recurrent


def test_formulas_read_only_arguments_of_their_operators() -> None:
    tensor = torch.zeros(4, 4, 4, 4)
    checked = 0
    for name in formula_table._FORMULAS:
        for schema in torch._C._jit_get_schemas_for_operator(name):
            arguments = {a.name: placeholder(str(a.type), tensor) for a in schema.arguments}
            formula = formula_named(name)
            assert formula is not None
            formula(arguments, tensor)
            checked += 1
    assert checked > 60


def placeholder(schema_type: str, tensor: torch.Tensor) -> Any:
    if schema_type.startswith("Optional"):
        return None
    if schema_type == "Tensor":
        return tensor
    return (
        [0]
        if schema_type == "List[int]"
        else [tensor]
        if "[" in schema_type or "__torch__" in schema_type
        else 1
    )


def macs_of(operator: str, *, result: tuple[int, ...] = (), **arguments: Any) -> int:
    formula = formula_named(operator)
    assert formula is not None
    tensors = {
        name: torch.empty(value, device="meta") if isinstance(value, tuple) else value
        for name, value in arguments.items()
    }
    return formula(tensors, torch.empty(result, device="meta"))[1]


def test_attention_kernels_of_a_gpu_have_formulas() -> None:
    flash = "aten::_flash_attention_forward"
    dense: dict[str, Any] = {"query": (2, 5, 4, 8), "key": (2, 7, 2, 8), "value": (2, 7, 2, 12)}
    assert macs_of(flash, **dense, cum_seq_q=None) == 2 * 4 * 5 * 7 * (8 + 12)
    starts: dict[str, Any] = {
        "cum_seq_q": torch.tensor([0, 5, 8]),
        "cum_seq_k": torch.tensor([0, 7, 9]),
    }
    joined: dict[str, Any] = {"query": (8, 4, 8), "key": (9, 4, 8), "value": (9, 4, 8)}
    assert macs_of(flash, **joined, **starts) == (5 * 7 + 3 * 2) * 4 * 16


@pytest.mark.parametrize("kernel", ["flash", "efficient", "cudnn"])
def test_gradients_of_attention_on_a_gpu_cost_five_products(kernel: str) -> None:
    dense: dict[str, Any] = {"query": (2, 4, 5, 8), "key": (2, 2, 7, 8), "value": (2, 2, 7, 12)}
    backward = f"aten::_scaled_dot_product_{kernel}_attention_backward"
    assert macs_of(backward, **dense) == 2 * 4 * 5 * 7 * (3 * 8 + 2 * 12)


def test_gradients_of_packed_sequences_on_a_gpu_have_a_formula() -> None:
    joined: dict[str, Any] = {"query": (8, 4, 8), "key": (9, 4, 8), "value": (9, 4, 12)}
    starts: dict[str, Any] = {
        "cum_seq_q": torch.tensor([0, 5, 8]),
        "cum_seq_k": torch.tensor([0, 7, 9]),
    }
    flash = "aten::_flash_attention_backward"
    assert macs_of(flash, **joined, **starts) == (5 * 7 + 3 * 2) * 4 * (3 * 8 + 2 * 12)
    dense: dict[str, Any] = {"query": (2, 5, 4, 8), "key": (2, 7, 4, 8), "value": (2, 7, 4, 12)}
    no_starts: dict[str, Any] = {"cum_seq_q": torch.tensor([]), "cum_seq_k": torch.tensor([])}
    assert macs_of(flash, **dense, **no_starts) == 2 * 4 * 5 * 7 * (3 * 8 + 2 * 12)


@pytest.mark.parametrize(("weights_too", "products"), [(True, 2), (False, 1)])
def test_gradients_of_recurrent_kernels_of_a_gpu_have_a_formula(
    weights_too: bool, products: int
) -> None:
    weight = [torch.empty(shape, device="meta") for shape in [(24, 8), (24, 6), (24,), (24,)]]
    mask = [True, True, True, weights_too]
    found = macs_of("aten::_cudnn_rnn_backward", input=(5, 2, 8), weight=weight, output_mask=mask)
    assert found == products * recurrent(4, 10)


@pytest.mark.parametrize("mask", [(True, True, True), (True, False, True), (False, True, False)])
def test_gradients_of_layers_on_other_devices_have_a_formula(mask: tuple[bool, ...]) -> None:
    grouped: dict[str, Any] = {"self": (2, 4, 9, 9), "weight": (6, 2, 3, 3), "groups": 2}
    found = macs_of(
        "aten::mps_convolution_backward",
        grad_output=(2, 6, 7, 7),
        output_mask=list(mask),
        **grouped,
    )
    assert found == sum(mask[:2]) * 2 * 49 * 6 * 2 * 9
    linear = macs_of(
        "aten::linear_backward", grad_output=(2, 3, 5), weight=(5, 8), output_mask=list(mask)
    )
    assert linear == sum(mask[:2]) * 6 * 5 * 8


def test_recurrent_kernels_of_a_gpu_have_formulas() -> None:
    shapes = [(24, 8), (24, 3), (24,), (24,), (3, 6)]  # lstm, 8 inputs, 6 hidden, 3 projected
    weight = [torch.empty(shape, device="meta") for shape in shapes]
    assert macs_of("aten::_cudnn_rnn", input=(5, 2, 8), weight=weight) == recurrent(4, 10, proj=3)


def test_convolution_kernels_of_a_gpu_have_formulas() -> None:
    kernel = "aten::cudnn_convolution"
    arguments = {"self": (2, 4, 9, 9), "groups": 2}
    expected = 2 * 49 * 6 * 2 * 9
    assert macs_of(kernel, **arguments, weight=(6, 2, 3, 3), result=(2, 6, 7, 7)) == expected
    expected = 2 * 81 * 4 * 3 * 9
    kernel = "aten::cudnn_convolution_transpose"
    assert macs_of(kernel, **arguments, weight=(4, 3, 3, 3), result=(2, 6, 11, 11)) == expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((10, 8), (3, 8, 5), 10 * 8 * 5),  # rows in 3 groups
        ((3, 4, 8), (8, 10), 4 * 8 * 10),  # columns in 3 groups
        ((4, 10), (10, 5), 4 * 10 * 5),  # the summed dimension in 3 groups
        ((3, 4, 8), (3, 8, 5), 3 * 4 * 8 * 5),
    ],
)
def test_grouped_products_have_a_formula(
    left: tuple[int, ...], right: tuple[int, ...], expected: int
) -> None:
    assert macs_of("aten::_grouped_mm", self=left, mat2=right) == expected
