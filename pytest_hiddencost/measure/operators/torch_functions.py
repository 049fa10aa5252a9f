"""The functions of torch that Python code calls, and others in their places for a while.

A torch-function mode would see more, but it takes 10 us a function, fills the caches, and switches
fast paths of modules off. A function in the place of torch's takes half a microsecond.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, WrapperDescriptorType
from typing import Any, NamedTuple

import torch
from torch.nn import functional

METHODS = (FunctionType, MethodDescriptorType, WrapperDescriptorType)
SYMBOLS = {name for name in vars(operator) if name.startswith("__")}
_MISSING: Any = object()


class Place(NamedTuple):
    """The module or class, and the name, that Python code reads a function from."""

    owner: Any
    name: str


def places() -> list[Place]:
    """Return the places of functions that may run operators, methods of tensors included."""
    variable = dir(torch._C._VariableFunctions)
    modules = [(torch, variable), (torch._VF, variable)]
    others = (functional, torch._C._nn, torch.linalg, torch.fft, torch.special)
    modules += [(module, dir(module)) for module in others]
    return [
        *(
            Place(module, name)
            for module, names in modules
            for name in names
            if not name.startswith("__")
            and isinstance(getattr(module, name, None), BuiltinFunctionType)
            and not name.startswith("has_torch_function")
        ),
        *(
            Place(torch.Tensor, name)
            for name in dir(torch.Tensor)
            if isinstance(getattr(torch.Tensor, name, None), METHODS) and _is_operation(name)
        ),
    ]


def _is_operation(name: str) -> bool:
    """Return whether a method is an operation, not a part of Python's own protocols."""
    in_place = name.replace("__r", "__", 1)  # __radd__: an operand on the right
    return not name.startswith("__") or name in SYMBOLS or in_place in SYMBOLS


@contextmanager
def replaced(where: Sequence[Place], replacements: Sequence[Callable[..., Any]]) -> Iterator[None]:
    """Put functions into these places in the block."""
    # Python numbers the versions of a class, some only 1,000: read all, then write all.
    before = [vars(owner).get(name, _MISSING) for owner, name in where]
    try:
        for (owner, name), replacement in zip(where, replacements, strict=True):
            setattr(owner, name, replacement)
        yield
    finally:
        for (owner, name), function in zip(where, before, strict=True):
            if function is not _MISSING:
                setattr(owner, name, function)
            elif name in vars(owner):  # an interrupt may have come before it was written
                delattr(owner, name)
