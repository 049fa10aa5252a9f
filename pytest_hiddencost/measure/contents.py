"""Restores plain objects that hold tensors and that a call changes, such as caches that grow.

Plain objects are containers and instances of the user's classes. Without this, later calls of the
test, and of the user, would see what the measurement left in them. Objects in which only numbers
and texts change are left alone: they count calls or keep a log.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

MOST_SEARCHED = 10_000  # objects: an argument may hold a whole data set
_NUMBERS = (int, float, complex, str, bytes, type(None))
_ATOMS = (*_NUMBERS, type, FunctionType, ModuleType)
_CONTAINERS = (dict, list, deque, set, tuple, frozenset)
_OF_TORCH = frozenset(vars(nn.Module()))  # attributes that torch keeps in every module
_PLAIN = {"abc", "builtins", "collections", "dataclasses", "enum", "types", "typing"}

Values = list[tuple[object, object]]
"""Names or positions, and the values there."""


class Contents:
    """The contents of every plain object that can be reached from the added roots.

    The search follows containers, attributes, bound methods and partials, not closures and globals.
    It does not look into modules.
    """

    def __init__(self) -> None:
        self.whole = True
        """Whether all objects were searched."""
        self._seen: dict[int, object] = {}  # keeps them alive, so that no id is used twice
        self._groups: list[list[_Part | _Array]] = []

    def add(self, root: object) -> list[torch.Tensor]:
        """Remember the contents of all objects below a root; return its tensors, no parameters."""
        group: list[_Part | _Array] = []
        self._groups.append(group)
        return self._search([root], group)

    def add_module(self, module: nn.Module) -> list[torch.Tensor]:
        """Remember the attributes of a module and their contents; return the tensors in them."""
        kind, users = type(module), _is_users(type(module))

        def read() -> Values:
            found = _attributes(module).items()
            return [(name, v) for name, v in found if users or torch.is_tensor(v)]

        def write(values: Values) -> None:
            if type(module) is kind:  # a lazy module becomes one of another class
                _fill_attributes(module, values, drop=users)

        buffers = [b for b in module._buffers.values() if b is not None and not is_lazy(b)]
        attributes = _Part(read, write, buffers)
        group: list[_Part | _Array] = [attributes]
        self._groups.append(group)
        return self._search([value for _, value in attributes.values], group)

    def restore(self) -> None:
        """Put back the contents of every root that changed in more than numbers and texts."""
        for group in self._groups:
            if any(part.changed for part in group):
                for part in group:
                    part.write(part.values)

    def _search(self, roots: Iterable[object], group: list[_Part | _Array]) -> list[torch.Tensor]:
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
            if isinstance(item, _CONTAINERS) and len(item) > MOST_SEARCHED:
                self.whole = self.whole and _only_numbers(item)
                continue
            if issubclass(kind, torch.Tensor):
                tensors += [item] if kind is torch.Tensor else []
                continue
            waiting.extend(_passed_through(item))
            parts = _parts_of(item)
            group += parts
            waiting.extend(value for part in parts for _, value in part.values)
        return tensors


@dataclass
class _Part:
    """The values of one object, how to read them, and how to put them back.

    ``tensors`` belong to it as well, such as the buffers of a module.
    """

    read: Callable[[], Values]
    write: Callable[[Values], None]
    tensors: list[torch.Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = self.read()
        held = [value for _, value in self.values if type(value) is torch.Tensor]
        self._versions = [(tensor, version_of(tensor)) for tensor in (*held, *self.tensors)]

    @property
    def changed(self) -> bool:
        """Whether something other than numbers and texts was added, removed or written to."""
        if any(version_of(tensor) != version for tensor, version in self._versions):
            return True
        then = {(name, id(value)): value for name, value in self.values}
        now = {(name, id(value)): value for name, value in self.read()}
        differing = [(then.get(key), now.get(key)) for key in then.keys() ^ now.keys()]
        return any(not isinstance(v, _NUMBERS) for values in differing for v in values)


class _Array:
    """A numpy array and its copy."""

    def __init__(self, array: Any) -> None:
        self._array, self._copy = array, array.copy()
        self.values: Values = []

    @property
    def changed(self) -> bool:
        """Whether the array has other bytes than its copy."""
        return bool(self._array.tobytes() != self._copy.tobytes())

    def write(self, values: Values) -> None:
        """Put the bytes back."""
        with suppress(ValueError):  # read-only, or of another shape
            self._array[...] = self._copy


def version_of(tensor: torch.Tensor) -> int:
    """Return a number that every write to a tensor raises; -1 if torch does not count them."""
    return -1 if tensor.is_inference() else tensor._version


def _only_numbers(item: Any) -> bool:
    """Return whether a very large container holds numbers and texts, as a vocabulary does."""
    values = item.values() if isinstance(item, dict) else item
    return all(isinstance(value, _NUMBERS) for value in islice(values, 100))


def _passed_through(item: Any) -> Iterable[object]:
    """Return the contents of an object that itself cannot change, such as a tuple."""
    if isinstance(item, (tuple, frozenset)):
        return item
    if isinstance(item, partial):
        return (item.func, item.args, item.keywords)
    return (item.__self__,) if isinstance(item, MethodType) else ()


def _parts_of(item: Any) -> list[_Part | _Array]:
    """Return the parts of an object that can change; none for others."""
    if isinstance(item, dict):
        return [_Part(lambda: list(item.items()), partial(_fill_mapping, item))]
    if isinstance(item, (list, deque)):
        return [_Part(lambda: list(enumerate(item)), partial(_fill, item))]
    if isinstance(item, set):
        return [_Part(lambda: [(value, value) for value in item], partial(_fill, item))]
    if _is_array(item):
        return [_Array(item)]
    if not _is_users(type(item)):
        return []
    slots = _Part(lambda: [(n, getattr(item, n)) for n in _slots(item)], partial(_fill_slots, item))
    if not hasattr(item, "__dict__"):
        return [slots]
    fill = partial(_fill_attributes, item, drop=True)
    return [slots, _Part(lambda: list(_attributes(item).items()), fill)]


def _is_users(kind: type) -> bool:
    """Return whether instances depend on their attributes alone.

    Objects of torch and of the standard library, such as thread pools, also have state elsewhere.
    """
    if issubclass(kind, nn.Module):
        return kind.__module__.partition(".")[0] != "torch"
    roots = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return not (roots - _PLAIN) & (sys.stdlib_module_names | {"torch"})


def _attributes(item: object) -> dict[str, object]:
    """Return the attributes of an instance, without those that torch keeps in every module."""
    attributes = getattr(item, "__dict__", None)
    if not isinstance(attributes, dict):
        return {}
    hidden = _OF_TORCH if isinstance(item, nn.Module) else frozenset[str]()
    return {name: value for name, value in attributes.items() if name not in hidden}


def _fill_attributes(item: object, values: Values, *, drop: bool) -> None:
    now, then = vars(item), {str(name): value for name, value in values}
    for name in _attributes(item).keys() - then.keys() if drop else ():
        del now[name]
    for name, value in then.items():
        if name not in now or now[name] is not value:
            now[name] = value


def _fill_mapping(item: dict[object, object], values: Values) -> None:
    # The methods of a subclass may do more than that.
    kind = OrderedDict if isinstance(item, OrderedDict) else dict
    kind.clear(item)
    kind.update(item, values)


def _fill(item: Any, values: Values) -> None:
    kind: Any = next(kind for kind in (list, deque, set) if isinstance(item, kind))
    kind.clear(item)
    (kind.update if kind is set else kind.extend)(item, [value for _, value in values])


def _fill_slots(item: object, values: Values) -> None:
    for name, value in values:
        if getattr(item, str(name), None) is not value:
            object.__setattr__(item, str(name), value)


def _slots(item: object) -> Iterator[str]:
    """Yield the filled slots of an instance."""
    for kind in type(item).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in [names] if isinstance(names, str) else names:
            if not name.startswith("__") and hasattr(item, name):
                yield name


def _is_array(item: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(item, numpy.ndarray)
