"""Answers as text: a table for people, CSV and JSON for programs, with times in ns."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from io import StringIO
from typing import Any

from tabulate import tabulate

from pytest_hiddencost.core import units
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.history.questions import QueryTable

MOST_SAMPLES = 3  # of a list in a cell


def answer_as_table(answer: QueryTable) -> str:
    """Return aligned columns, each in one unit that reads well."""
    columns = [
        _column(name, [row[i] for row in answer.rows]) for i, name in enumerate(answer.headers)
    ]
    if not columns:
        return ""
    headers = [header for header, _, _ in columns]
    align = ["right" if number else "left" for _, _, number in columns]
    rows = list(zip(*(cells for _, cells, _ in columns), strict=True))
    return tabulate(rows, headers, disable_numparse=True, colalign=align if rows else None)


def _column(name: str, values: Sequence[Any]) -> tuple[str, list[str], bool]:
    """Return header and cells of a column, and whether it holds numbers."""
    known = [value for value in values if isinstance(value, int | float)]
    kind: units.Kind | None = None
    if name.endswith("_ns"):
        kind = "duration"
    elif name.endswith("_bytes"):
        kind = "bytes"
    elif name == "macs":
        kind = "macs"
    elif name.endswith("_nj"):
        kind = "energy"
    if kind is None or len(known) + values.count(None) < len(values):
        number = bool(known) and not isinstance(known[0], bool)
        return printable(name.replace("_", " ")), [_cell(value) for value in values], number
    unit = units.column_unit(kind, known)
    header = name.removesuffix("_ns").removesuffix("_bytes").removesuffix("_nj").replace("_", " ")
    header = header.replace("non mac", "non-MAC").replace("mac ", "MAC ")
    cells = ["-" if v is None else units.format_number(kind, v, unit) for v in values]
    return printable(f"{header} {unit}" if kind != "macs" else unit), cells, True


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        more = f", {len(value) - MOST_SAMPLES} more" if len(value) > MOST_SAMPLES else ""
        return printable(", ".join(map(str, value[:MOST_SAMPLES])) + more)
    return printable(str(value))


def answer_as_csv(answer: QueryTable) -> str:
    """Return comma-separated values with a header; lists are JSON, missing values are empty."""
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answer.headers)
    for row in answer.rows:
        writer.writerow([json.dumps(v) if isinstance(v, list) else _plain(v) for v in row])
    return file.getvalue().rstrip("\n")


def answer_as_json(answer: QueryTable) -> str:
    """Return a list of objects."""
    found = [
        {name: _plain(value) for name, value in zip(answer.headers, row, strict=True)}
        for row in answer.rows
    ]
    return json.dumps(found, indent=1, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='seconds').removesuffix('+00:00')}Z"
    return value.isoformat() if isinstance(value, date) else value


FORMATS: dict[str, Callable[[QueryTable], str]] = {
    "table": answer_as_table,
    "csv": answer_as_csv,
    "json": answer_as_json,
}
