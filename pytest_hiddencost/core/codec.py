"""Frozen dataclasses to plain JSON data and back, by their type annotations.

Readers tolerate unknown keys (a newer writer) and refuse missing ones. JSON has no infinity and
no NaN: a record holds ``None`` where a number is not known.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pytest_hiddencost.core.errors import FormatError

T = TypeVar("T")
_Reader = Callable[[Any], Any]
"""Returns the value of one type from JSON data. Raises ``_Problem``."""


class _Problem(Exception):
    """Data of the wrong form; the place, innermost part first, is filled in on the way out.

    A run file has a value in 10,000 places: nobody pays for the name of one that is right.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.place: list[str] = []

    def at(self, part: str) -> _Problem:
        self.place.append(part)
        return self


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
    try:
        found: T = _record(cls, data)
    except _Problem as problem:
        place = "".join(reversed(problem.place))
        raise FormatError(f"{where}{place}: {problem}") from problem
    return found


def _wrong(expected: str, data: object) -> _Problem:
    return _Problem(f"expected {expected}, got {data!r:.60}")


def _record(cls: Any, data: Any) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong(f"an object for {cls.__name__}", data)
    values: dict[str, Any] = {}
    for key, name, read, required in _fields(cls):
        if key in data:
            try:
                values[name] = read(data[key])
            except _Problem as problem:
                raise problem.at(f".{key}") from None
        elif required:
            raise _Problem(f"{cls.__name__} lacks the key {key!r}")
    return cls(**values)


@cache
def _fields(cls: Any) -> tuple[tuple[str, str, _Reader, bool], ...]:
    """Return key, attribute, reader of each field, and whether its key must be there."""
    hints = get_type_hints(cls)
    missing = dataclasses.MISSING
    return tuple(
        (
            key_of(field),
            field.name,
            _reader(hints[field.name]),
            field.default is missing and field.default_factory is missing,
        )
        for field in dataclasses.fields(cls)
        if field.init
    )


@cache
def _reader(hint: Any) -> _Reader:
    """Return the reader of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _or_none(_reader(next(a for a in arguments if a is not types.NoneType)))
    if origin is Literal:
        return _one_of(arguments)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return _sequence(arguments[0])
    if origin is tuple:
        return _fixed(arguments)
    if origin in (Mapping, dict):
        return _mapping(_reader(arguments[1]))
    if dataclasses.is_dataclass(hint):
        return lambda data: _record(hint, data)
    return _float if hint is float else _plain(hint)


def _or_none(read: _Reader) -> _Reader:
    return lambda data: None if data is None else read(data)


def _one_of(accepted: tuple[Any, ...]) -> _Reader:
    def read(data: Any) -> Any:
        if data not in accepted:
            raise _wrong(f"one of {accepted}", data)
        return data

    return read


def _plain(expected: type) -> _Reader:
    def read(data: Any) -> Any:
        if type(data) is not expected:
            raise _wrong(expected.__name__, data)
        return data

    return read


def _float(data: Any) -> float:
    if type(data) is int:
        try:
            return float(data)
        except OverflowError as error:
            raise _Problem("expected a float, got a larger number") from error
    if type(data) is not float:
        raise _wrong("float", data)
    return data


def _sequence(hint: Any) -> _Reader:
    read_item = _reader(hint)

    def read(data: Any) -> tuple[Any, ...]:
        if not isinstance(data, (list, tuple)):
            raise _wrong("a list", data)
        if set(map(type, data)) <= {hint}:  # thousands of samples, at once
            return tuple(data)
        found: list[Any] = []
        try:
            for item in data:
                found.append(read_item(item))  # noqa: PERF401  # its length is the place
        except _Problem as problem:
            raise problem.at(f"[{len(found)}]") from None
        return tuple(found)

    return read


def _fixed(hints: tuple[Any, ...]) -> _Reader:
    readers = [_reader(hint) for hint in hints]

    def read(data: Any) -> tuple[Any, ...]:
        if not isinstance(data, (list, tuple)):
            raise _wrong("a list", data)
        if len(data) != len(readers):
            raise _Problem(f"expected {len(readers)} values, got {len(data)}")
        return tuple(read_item(item) for read_item, item in zip(readers, data, strict=True))

    return read


def _mapping(read_item: _Reader) -> _Reader:
    def read(data: Any) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            raise _wrong("an object", data)
        found = {}
        for key, item in data.items():
            if type(key) is not str:
                raise _wrong("text as a key", key)
            try:
                found[key] = read_item(item)
            except _Problem as problem:
                raise problem.at(f"[{key!r:.200}]") from None
        return found

    return read
