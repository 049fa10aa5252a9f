"""The contents of a baseline file, in a form that a person can review in a diff."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.judge.baseline.entries import Entry, checked

_FORMAT = 1
_MAX_DIGITS = 30  # of a whole number: far above 2**64, and quick to convert

# Raw newlines never occur inside JSON strings: a bracket before one is a list's.
_NUMBERS = re.compile(r"\[\n\s*([-+.\deE]+(?:,\n\s*[-+.\deE]+)*)\n\s*\]")
_BETWEEN = re.compile(r",\n\s*")

Plain = dict[str, dict[str, Any]]
"""Entries as JSON data, by test name and label."""


class NewerFormatError(FormatError):
    """A file of a format that only a newer version knows."""


@dataclass(frozen=True)
class Document:
    """The contents of a file: entries by test name and label."""

    format: int
    device: Device
    module: str
    entries: Mapping[str, Mapping[str, Entry]]


def render(device: Device, module: str, entries: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the file for these entries (plain data), whose order does not matter.

    Raises ``ValueError`` for a number that JSON does not have.
    """
    document = {"format": _FORMAT, "device": encode(device), "module": module, "entries": entries}
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    text = _NUMBERS.sub(lambda found: f"[{_BETWEEN.sub(', ', found[1])}]", text)
    # UTF-8 cannot hold half a surrogate pair; JSON's escape for it can.
    return f"{text}\n".encode(errors="backslashreplace")


def parse_document(data: bytes, key: str, module: str) -> tuple[Document, Plain]:
    """Return the checked contents of the file of ``module`` and device ``key``.

    The plain entries keep the keys that a newer writer added. Raises ``FormatError``.
    """
    document = _loaded(data)
    _check_format(document)
    found = decode(Document, document, "baseline")
    for test, labels in found.entries.items():
        for label, entry in labels.items():
            checked(entry, f"baseline.entries[{test!r:.200}][{label!r:.200}]")
    if found.device.key != key:
        raise FormatError(f"device {found.device.key!r:.200} in the folder of device {key!r}")
    if found.module != module:
        raise FormatError(f"module {found.module!r:.200} in the file of module {module!r}")
    return found, document["entries"]


def _check_format(document: object) -> None:
    if not isinstance(document, dict):
        raise FormatError(f"not a baseline: expected an object, got {document!r:.60}")
    number = document.get("format")
    if type(number) is int and number > _FORMAT:
        raise NewerFormatError(f"written by a newer version, format {number}")
    if type(number) is not int or number != _FORMAT:
        raise FormatError(f"format {number!r:.60}, and this version reads format {_FORMAT}")


def _loaded(data: bytes) -> Any:
    try:
        return json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
            object_pairs_hook=_unique,
        )
    except RecursionError as error:
        raise FormatError("cannot be read as JSON: nested too deeply") from error
    except ValueError as error:
        merge = " (a merge left its conflict markers in it)" if b"\n<<<<<<< " in data else ""
        raise FormatError(f"cannot be read as JSON: {error}{merge}") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.60} is too large for a number")
    return number


def _bounded(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"{text:.20}... is a number of {len(text)} digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A merge by hand often leaves a key twice, and JSON readers would ignore the first one.
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r:.200} is there twice")
    return found
