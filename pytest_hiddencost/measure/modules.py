"""Finds the modules of a call: those that its callable holds, and those that run."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from pytest_hiddencost.measure.calls import Call

MOST_OBJECTS = 1000  # that are searched: a callable may hold a whole data set


@dataclass
class Held:
    """Modules and tensors that a callable holds; ``compiled``: torch.compile made a part of it."""

    modules: list[nn.Module] = field(default_factory=list)
    tensors: list[torch.Tensor] = field(default_factory=list)
    compiled: bool = False


def held_by(call: Call) -> Held:
    """Return the modules and tensors that a callable and its arguments hold.

    The search follows closures, the globals that a function names, defaults, bound methods,
    partials, containers and attributes. It does not look into modules.
    """
    held = Held()
    waiting: deque[object] = deque([call.model, call.args, call.kwargs])
    seen: set[int] = set()
    while waiting and len(seen) < MOST_OBJECTS:
        item = waiting.popleft()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if issubclass(type(item), nn.Module):  # isinstance would run properties of proxies
            held.modules.append(item)  # type: ignore[arg-type]
        elif issubclass(type(item), torch.Tensor):
            held.tensors.append(item)  # type: ignore[arg-type]
        else:
            held.compiled = held.compiled or "_torchdynamo_orig_callable" in _attributes(item)
            waiting.extend(_held(item))
    inner = (module for top in held.modules for module in top.modules())
    held.compiled = held.compiled or any(map(_is_compiled, inner))
    return held


def _is_compiled(module: nn.Module) -> bool:
    return before_compilation(module) is not module or _compiled_in_place(module)


def before_compilation(module: nn.Module) -> nn.Module:
    """Return the module that ``torch.compile`` wrapped; one that it did not wrap is returned."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    if compiler is None or not isinstance(module, compiler.OptimizedModule):
        return module
    original: nn.Module = module._orig_mod
    return original


def compiled_in_place(call: Call) -> bool:
    """Return whether a module of the call was compiled by its method ``compile``.

    The compiler makes hooks a part of such a module, and compiles it again without them.
    """
    return any(_compiled_in_place(m) for top in held_by(call).modules for m in top.modules())


def _compiled_in_place(module: nn.Module) -> bool:
    return _attributes(module).get("_compiled_call_impl") is not None


def _attributes(item: object) -> dict[str, object]:
    return getattr(item, "__dict__", {})


def _held(item: Any) -> Iterable[object]:
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, (list, tuple, set, frozenset, deque)):
        return item
    if isinstance(item, partial):
        return (item.func, item.args, item.keywords)
    if isinstance(item, MethodType):
        return (item.__self__, item.__func__)
    if isinstance(item, FunctionType):
        return _held_by_function(item)
    if isinstance(item, type):
        return ()
    return list(_attributes(item).values())


def _held_by_function(function: FunctionType) -> Iterator[object]:
    if (function.__module__ or "").partition(".")[0] == "torch":
        return
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # not filled yet
            yield cell.cell_contents
    yield from (function.__defaults__, function.__kwdefaults__)
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if not isinstance(value, type(torch)):  # a Python module holds everything
            yield value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


@contextmanager
def watched_modules(enter: Callable[[nn.Module], None]) -> Iterator[None]:
    """Call ``enter`` with every module in the block just before it runs, in any thread."""

    def hook(module: nn.Module, _args: object) -> None:
        if not torch.compiler.is_compiling():  # torch.compile would make the hook part of the model
            enter(module)

    with register_module_forward_pre_hook(hook):
        yield
