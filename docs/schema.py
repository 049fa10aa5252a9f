"""The JSON Schema of the run file, from the records that the plugin writes."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pytest_hiddencost.core.codec import key_of
from pytest_hiddencost.core.operator_rates import DeviceKinds
from pytest_hiddencost.core.records import Device, Profile
from pytest_hiddencost.report.run_file import FORMAT

PATH = Path(__file__).parent / "reference" / "run-file.schema.json"
PLAIN = {int: "integer", float: "number", str: "string", bool: "boolean", types.NoneType: "null"}

Schema = dict[str, Any]


def run_file_schema() -> Schema:
    """Return the schema of the whole file; readers tolerate keys that it does not name."""
    records: dict[str, Schema] = {}
    properties = {
        "format": {"const": FORMAT},
        "created": {"type": "string", "description": "UTC, as 2026-01-31T12:00:00Z"},
        "commit": {"type": ["string", "null"], "description": "that was checked out"},
        "device": _schema(Device, records),
        "profiles": {"type": "array", "items": _schema(Profile, records)},
        "kinds": _schema(DeviceKinds | None, records),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Run file of pytest-hiddencost",
        "description": "Times are in ns of one call, energies in nJ, sizes in bytes, shares 0..1.",
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "$defs": dict(sorted(records.items())),
    }


def _schema(hint: Any, records: dict[str, Schema]) -> Schema:
    """Return the schema of a type; add the records that it refers to."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return {"type": PLAIN[hint]}
    if dataclasses.is_dataclass(hint):
        return _reference(hint, records)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument, records) for argument in arguments]}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _schema(arguments[0], records)}
    if origin is tuple:
        items = [_schema(argument, records) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], records)}
    raise TypeError(f"no schema for {hint!r}")


def _reference(record: Any, records: dict[str, Schema]) -> Schema:
    name = record.__name__
    if name not in records:
        records[name] = {}  # a record may refer to itself
        hints = get_type_hints(record)
        fields = dataclasses.fields(record)
        records[name] = {
            "type": "object",
            "description": " ".join((record.__doc__ or "").partition("\n\n")[0].split()),
            "required": [key_of(field) for field in fields],
            "properties": {key_of(f): _schema(hints[f.name], records) for f in fields},
        }
    return {"$ref": f"#/$defs/{name}"}


def text() -> str:
    """Return the file's text."""
    return json.dumps(run_file_schema(), indent=1) + "\n"


def write() -> None:
    """Write the schema where the site publishes it."""
    PATH.write_text(text(), encoding="utf-8")
