"""Puts back what a call changes in plain objects: caches, counters, lists.

Plain objects are containers and instances of the user's classes. A growing cache is one; without
this, later calls of the test, and of the user, would see what the measurement left in it.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

MOST_SEARCHED = 10_000  # that are searched: an argument may hold a whole data set
_ATOMS = (int, float, complex, str, bytes, type(None), type, FunctionType, ModuleType)
_OF_TORCH = frozenset(vars(nn.Module()))  # attributes that torch keeps in every module
_PLAIN = {"abc", "builtins", "collections", "dataclasses", "enum", "types", "typing"}


class Contents:
    """The contents of every plain object that can be reached from the added roots.

    The search follows containers, attributes, bound methods and partials, not closures and globals.
    It does not look into modules.
    """

    def __init__(self) -> None:
        self.whole = True
        """Whether all objects were searched."""
        self._seen: dict[int, object] = {}  # keeps them alive, so that no id is used twice
        self._restores: list[Callable[[], None]] = []

    def add(self, roots: Iterable[object]) -> list[torch.Tensor]:
        """Remember the contents of what the roots reach; return its tensors, no parameters."""
        waiting, tensors = deque(roots), list[torch.Tensor]()
        while waiting:
            item: Any = waiting.popleft()
            kind = type(item)  # isinstance would run properties of proxies
            if issubclass(kind, (*_ATOMS, nn.Module)) or id(item) in self._seen:
                continue
            if len(self._seen) == MOST_SEARCHED:
                self.whole = False
                break
            self._seen[id(item)] = item
            if issubclass(kind, torch.Tensor):
                tensors += [item] if kind is torch.Tensor else []
            else:
                waiting.extend(self._entered(item))
        return tensors

    def add_attributes(self, module: nn.Module) -> list[torch.Tensor]:
        """Remember the attributes of a module and their contents; return the tensors in them."""
        kind, users = type(module), _is_users(type(module))
        values = {n: v for n, v in _attributes(module).items() if users or torch.is_tensor(v)}

        def restore() -> None:
            if type(module) is kind:  # a lazy module becomes one of another class
                _fill_attributes(module, values, drop=users)

        self._restores.append(restore)
        return self.add(values.values())

    def restore(self) -> None:
        """Put the contents back."""
        for restore in self._restores:
            restore()

    def _entered(self, item: Any) -> Iterable[object]:
        """Remember the contents of an object and return them."""
        if isinstance(item, (tuple, frozenset)):
            return item
        if isinstance(item, partial):
            return (item.func, item.args, item.keywords)
        if isinstance(item, MethodType):
            return (item.__self__,)
        if isinstance(item, dict):
            pairs = list(item.items())
            self._restores.append(partial(_fill_mapping, item, pairs))
            return [value for _, value in pairs]
        if isinstance(item, (list, deque, set)):
            values = list(item)
            self._restores.append(partial(_fill, item, values))
            return values
        if _is_array(item):
            self._restores.append(partial(_fill_array, item, item.copy()))
            return ()
        return self._entered_instance(item)

    def _entered_instance(self, item: object) -> Iterable[object]:
        if not _is_users(type(item)):
            return ()
        attributes = _attributes(item)
        self._restores.append(partial(_fill_attributes, item, attributes, drop=True))
        slots = {name: getattr(item, name) for name in _slots(item)}
        self._restores += [partial(_set, item, name, value) for name, value in slots.items()]
        return [*attributes.values(), *slots.values()]


def _is_users(kind: type) -> bool:
    """Return whether instances depend on their attributes alone.

    Objects of torch and of the standard library, such as thread pools, also have state elsewhere.
    """
    roots = {base.__module__.partition(".")[0] for base in kind.__mro__}
    if issubclass(kind, nn.Module):
        return kind.__module__.partition(".")[0] != "torch"
    return not (roots - _PLAIN) & (sys.stdlib_module_names | {"torch"})


def _attributes(item: object) -> dict[str, object]:
    """Return the attributes of an instance, without those that torch keeps in every module."""
    attributes = getattr(item, "__dict__", None)
    if not isinstance(attributes, dict):
        return {}
    hidden = _OF_TORCH if isinstance(item, nn.Module) else frozenset[str]()
    return {name: value for name, value in attributes.items() if name not in hidden}


def _fill_attributes(item: object, values: dict[str, object], *, drop: bool) -> None:
    now = _attributes(item)
    for name in now.keys() - values.keys() if drop else ():
        del vars(item)[name]
    for name, value in values.items():
        if name not in now or now[name] is not value:
            vars(item)[name] = value


def _fill_mapping(item: dict[object, object], pairs: list[tuple[object, object]]) -> None:
    if not _same([*item, *item.values()], [*(k for k, _ in pairs), *(v for _, v in pairs)]):
        # The methods of a subclass may do more than that.
        kind = OrderedDict if isinstance(item, OrderedDict) else dict
        kind.clear(item)
        kind.update(item, pairs)


def _fill(item: Any, values: list[object]) -> None:
    if _same(list(item), values):
        return
    kind: Any = next(kind for kind in (list, deque, set) if isinstance(item, kind))
    kind.clear(item)
    (kind.update if kind is set else kind.extend)(item, values)


def _same(now: list[object], then: list[object]) -> bool:
    return len(now) == len(then) and all(a is b for a, b in zip(now, then, strict=True))


def _is_array(item: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(item, numpy.ndarray)


def _fill_array(item: Any, copy: Any) -> None:
    with suppress(ValueError):  # read-only, or of another shape
        item[...] = copy


def _slots(item: object) -> Iterator[str]:
    """Yield the filled slots of an instance."""
    for kind in type(item).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in [names] if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__") and not name.startswith("__"):
                with suppress(AttributeError):
                    getattr(item, name)
                    yield name


def _set(item: object, name: str, value: object) -> None:
    with suppress(AttributeError):  # a frozen data class has no setter, and does not change
        if getattr(item, name, None) is not value:
            object.__setattr__(item, name, value)
