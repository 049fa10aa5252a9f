"""The bytes that an operator must move, from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from pytest_hiddencost.measure.kinds.traffic import moved_bytes, shapes_text, tensor_bytes

aten: Any = torch.ops.aten
X = torch.ones(10, 20)  # 800 bytes
ROW = torch.ones(20)  # 80 bytes
INDEX = torch.tensor([1, 3, 5])  # 24 bytes


def moved(func: Any, *args: object, **kwargs: object) -> int:
    return moved_bytes(func, args, kwargs, func(*args, **kwargs))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: moved(aten.add.Tensor, X, X), 3 * 800),
        (lambda: moved(aten.add.Tensor, X, 1.0), 2 * 800),
        (lambda: moved(aten.relu_.default, X.clone()), 2 * 800),
        (lambda: moved(aten.add_.Tensor, X.clone(), X), 3 * 800),
        (lambda: moved(aten.copy_.default, X.clone(), X), 2 * 800),
        (lambda: moved(aten.fill_.Scalar, X.clone(), 1.0), 800),
        (lambda: moved(aten.mul.out, X, X, out=torch.empty(10, 20)), 3 * 800),
        (lambda: moved(aten.cat.default, [X, X], 1), 4 * 800),
        (lambda: moved(aten.mm.default, X, torch.ones(20, 30)), 4 * (200 + 600 + 300)),
        (lambda: moved(aten.embedding.default, X, INDEX), 24 + 2 * 3 * 80),
        (lambda: moved(aten.index_select.default, X, 0, INDEX), 24 + 2 * 3 * 80),
        (lambda: moved(aten.index_copy_.default, X.clone(), 0, INDEX, X[:3]), 24 + 2 * 3 * 80),
        (lambda: moved(aten.argmax.default, X, 1), 800 + 10 * 8),
    ],
)  # fmt: skip
def test_inputs_weights_and_outputs_move_once(call: Callable[[], int], expected: int) -> None:
    assert call() == expected


def test_repeated_elements_of_an_expanded_tensor_move_once() -> None:
    assert tensor_bytes([ROW.expand(1000, 20)]) == 80
    assert tensor_bytes([torch.ones(0, 5), torch.ones(())]) == 4
    assert tensor_bytes([X.to_sparse()]) == 800
    assert tensor_bytes([X.half(), X.bool()]) == 400 + 200


def test_shapes_are_text() -> None:
    assert shapes_text([X, ROW, torch.ones(())]) == "10x20 20 scalar"
