"""The bytes that an operator must move: its inputs, weights and outputs, each once.

They follow from shapes. Caches, workspaces and copies within a kernel do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any

import torch

from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.calls import tensors_in

_REPLACES_ITSELF = {"aten::copy_", "aten::fill_", "aten::zero_"}
"""Operators that write a tensor which they do not read."""


def tensor_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of tensors; elements that an expanded tensor repeats count once."""
    return sum(_elements(tensor) * tensor.element_size() for tensor in tensors)


def shapes_text(tensors: Iterable[torch.Tensor]) -> str:
    """Return the shapes as text: ``1x64x56x56 64x64x3x3``."""
    return " ".join("x".join(map(str, tensor.shape)) or "scalar" for tensor in tensors)


def moved_bytes(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """Return the bytes that one call of an operator moves."""
    written = written_tensors(func, args, kwargs)
    given, outputs = tensors_in((args, kwargs)), tensors_in(result)
    name = func._schema.name
    if name in _REPLACES_ITSELF or any(tensor is kwargs.get("out") for tensor in written):
        given = [tensor for tensor in given if id(tensor) not in set(map(id, written))]
    if DEFAULT.group(name) == "indexing":
        return _indexed_bytes(given, outputs, written)
    return tensor_bytes([*given, *outputs])


def _indexed_bytes(
    given: list[torch.Tensor], outputs: list[torch.Tensor], written: list[torch.Tensor]
) -> int:
    """Return the bytes of an operator that reads, or writes, only the elements at an index."""
    tables = set(map(id, written or [t for t in given if t.is_floating_point()]))
    rest = [tensor for tensor in given if id(tensor) not in tables]
    if written:
        return tensor_bytes([*rest, *(t for t in rest if t.is_floating_point())])
    return tensor_bytes([*rest, *outputs, *outputs])


def written_tensors(func: Any, args: Any, kwargs: Any) -> list[torch.Tensor]:
    """Return the arguments that an operator writes to, such as those of ``add_``."""
    named = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
    aliased = ((a.name, a.alias_info) for a in func._schema.arguments)
    names = [name for name, alias in aliased if alias is not None and alias.is_write]
    return tensors_in([named.get(name) for name in names])


def _elements(tensor: torch.Tensor) -> int:
    if tensor.layout is not torch.strided or tensor.is_nested:
        return tensor.numel()
    sized = zip(tensor.shape, tensor.stride(), strict=True)
    return prod(size for size, stride in sized if stride or not size)
