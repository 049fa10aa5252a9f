"""Frozen dataclasses to plain JSON data and back, by their type annotations.

Readers tolerate unknown keys (a newer writer) and refuse missing ones. JSON has no infinity and
no NaN: a record holds ``None`` where a number is not known.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pytest_hiddencost.core.errors import FormatError

T = TypeVar("T")
_hints = cache(get_type_hints)


def key_of(field: dataclasses.Field[Any]) -> str:
    """Return the field's key in JSON: its name, unless ``metadata={"key": ...}`` gives another."""
    return str(field.metadata.get("key", field.name))


def encode(value: object) -> Any:
    """Return ``value`` as JSON data; dataclass fields keep their order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key_of(f): encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encode(item) for item in value]
    return value


def decode(cls: type[T], data: object, where: str = "record") -> T:
    """Return the record ``cls`` from JSON data; ``FormatError`` names the key that is wrong."""
    if not isinstance(data, Mapping):
        raise _wrong(where, f"an object for {cls.__name__}", data)
    hints = _hints(cls)  # type: ignore[arg-type]  # classes are hashable
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # T is a dataclass here
        key = key_of(field)
        if not field.init:
            continue
        if key in data:
            values[field.name] = _value(hints[field.name], data[key], f"{where}.{key}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise FormatError(f"{where}: {cls.__name__} lacks the key {key!r}")
    return cls(**values)


def _wrong(where: str, expected: str, data: object) -> FormatError:
    return FormatError(f"{where}: expected {expected}, got {data!r:.60}")


def _value(hint: Any, data: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        return _value(next(a for a in arguments if a is not type(None)), data, where)
    if origin is Literal and data not in arguments:
        raise _wrong(where, f"one of {arguments}", data)
    if origin is tuple:
        return _tuple(arguments, data, where)
    if origin in (Mapping, dict):
        return _mapping(arguments[1], data, where)
    if dataclasses.is_dataclass(hint):
        return decode(hint, data, where)  # type: ignore[arg-type]  # a type, by its annotation
    if hint is float and type(data) is int:
        try:
            return float(data)
        except OverflowError as error:
            raise FormatError(f"{where}: expected a float, got a larger number") from error
    if isinstance(hint, type) and type(data) is not hint:
        raise _wrong(where, hint.__name__, data)
    return data


def _tuple(arguments: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise _wrong(where, "a list", data)
    if arguments[1:] == (Ellipsis,):
        return tuple(_value(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(data) != len(arguments):
        raise FormatError(f"{where}: expected {len(arguments)} values, got {len(data)}")
    return tuple(_value(h, d, where) for h, d in zip(arguments, data, strict=True))


def _mapping(hint: Any, data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise _wrong(where, "an object", data)
    for key in data:
        if type(key) is not str:
            raise _wrong(where, "text as a key", key)
    return {key: _value(hint, item, f"{where}[{key!r:.200}]") for key, item in data.items()}
