"""A suggested marker as Python text: on one line if it fits, else formatted as black formats it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pytest_hiddencost.core.checks import OPERATORS
from pytest_hiddencost.suggest.by_function import SuggestedMarker
from pytest_hiddencost.suggest.limits import SuggestedLimit

MARKER_NAME: Final = "latency_budget"
WIDTH: Final = 88  # columns that black allows a line
TAB: Final = 4  # columns


def marker_text(
    marker: SuggestedMarker,
    mark: str = "pytest.mark",
    *,
    columns: int = 0,
    step: str = "    ",
    newline: str = "\n",
) -> str:
    """Return the marker's expression, without ``@``.

    ``mark`` is the name of ``pytest.mark`` in its file, ``columns`` how far the text will be
    indented, ``step`` one level of indentation.
    """
    entries = _entries(marker)
    head = f"{mark}.{MARKER_NAME}("
    line = f"{head}{', '.join(f'{key}={_in_one_line(value)}' for key, value in entries)})"
    if columns + len(f"@{line}") <= WIDTH:
        return line
    lines = [head]
    for key, value in entries:
        lines += _lines(key, value, step, WIDTH - columns)
    return newline.join([*lines, ")"])


def ini_lines(marker: SuggestedMarker, model: str) -> list[str]:
    """Return the lines of ``hiddencost_model_budget`` that limit a named model."""
    limits = [
        f"operators[{s.limit.check.key}] = {s.text}"
        if s.limit.check.kind == OPERATORS
        else f"{s.limit.check.key} = {s.text}"
        for s in marker.limits
    ]
    return [f"[{model}]", *limits]


def string_literal(text: str) -> str:
    """Return a string literal, in double quotes if every character can be seen."""
    if not text.isprintable():
        return ascii(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_Value = str | Sequence[tuple[str, str]]  # of an argument, or of each key of a mapping


def _entries(marker: SuggestedMarker) -> list[tuple[str, _Value]]:
    operators = [s for s in marker.limits if s.limit.check.kind == OPERATORS]
    mapping = [(string_literal(s.limit.check.key), string_literal(s.text)) for s in operators]
    entries: list[tuple[str, _Value]] = []
    for suggested in marker.limits:
        if suggested not in operators:
            entries.append((suggested.limit.check.key, _literal(suggested)))
        elif suggested is operators[0]:
            entries.append(("operators", mapping))
    return entries + ([("label", string_literal(marker.label))] if marker.label else [])


def _literal(suggested: SuggestedLimit) -> str:
    number, _, unit = suggested.text.partition(" ")
    return f"{int(number):_}" if unit == "MAC" else string_literal(suggested.text)


def _in_one_line(value: _Value) -> str:
    if isinstance(value, str):
        return value
    return f"{{{', '.join(f'{key}: {limit}' for key, limit in value)}}}"


def _lines(key: str, value: _Value, step: str, width: int) -> list[str]:
    line = f"{step}{key}={_in_one_line(value)},"
    if isinstance(value, str) or len(line.expandtabs(TAB)) <= width:
        return [line]
    inner = [f"{step}{step}{name}: {limit}," for name, limit in value]
    return [f"{step}{key}={{", *inner, f"{step}}},"]
