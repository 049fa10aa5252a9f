"""The name of ``pytest.mark`` in a test file, and ``import pytest`` for a file without one."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import libcst as cst
from libcst.helpers import get_full_name_for_node

_FIRST_LINES = re.compile(r"#!|#.*coding[:=]")  # comments that must stay first
_BLANK = cst.EmptyLine(indent=False)
_Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement


def name_of_mark(statements: Sequence[_Statement]) -> str:
    """Return the name of ``pytest.mark`` after these statements; empty if it has none."""
    found = ""
    for small in _imports(statements):
        aliases = () if isinstance(small.names, cst.ImportStar) else small.names
        for alias in aliases:
            name = alias.evaluated_alias or alias.evaluated_name
            if isinstance(small, cst.Import) and alias.evaluated_name == "pytest":
                return f"{name}.mark"
            if alias.evaluated_name == "mark" and _module_of(small) == "pytest":
                found = name
    return found


def with_import(module: cst.Module) -> cst.Module:
    """Return the module with ``import pytest`` among its first imports, sorted as isort sorts."""
    body = list(module.body)
    first = 0  # after docstring and __future__
    while first < len(body) and _is_prologue(body[first], first):
        first += 1
    end = first
    while end < len(body) and any(_imports([body[end]])):
        end += 1
    if first == end:
        return _with_first_import(module, first)
    at = next((i for i in range(first, end) if _sorts_later(body[i])), end)
    if at == end:
        new_group = _module_of(next(_imports([body[end - 1]]))) in sys.stdlib_module_names
        leading = [_BLANK] if new_group else []
    else:
        leading, rest = _split_blanks(body[at].leading_lines)
        body[at] = body[at].with_changes(leading_lines=rest)
    return module.with_changes(body=[*body[:at], _import_pytest(leading), *body[at:]])


def _with_first_import(module: cst.Module, at: int) -> cst.Module:
    """Return the module with ``import pytest`` in front of its first statement to run."""
    body, header = list(module.body), list(module.header)
    leading, comments = _split_blanks(body[at].leading_lines)
    if at == 0:
        kept = _lines_that_stay(header)
        header, leading, comments = header[:kept], [], [*header[kept:], *comments]
        above = [] if kept == 0 or _is_blank(header[-1]) else [_BLANK]
    else:
        above = leading[:1] or [_BLANK]
    below = [*leading[1:], _BLANK, _BLANK][: max(2, len(leading) - 1)]
    body[at] = body[at].with_changes(leading_lines=[*below, *comments])
    new = _import_pytest(above)
    return module.with_changes(header=header, body=[*body[:at], new, *body[at:]])


def _lines_that_stay(header: Sequence[cst.EmptyLine]) -> int:
    """Return the number of lines that stay first: all but comments right above the statement."""
    blanks = [i + 1 for i, line in enumerate(header) if _is_blank(line)]
    marks = [
        i + 1
        for i, line in enumerate(header[:2])
        if line.comment is not None and _FIRST_LINES.match(line.comment.value)
    ]
    return max([0, *blanks, *marks])


def _split_blanks(
    lines: Sequence[cst.EmptyLine],
) -> tuple[list[cst.EmptyLine], list[cst.EmptyLine]]:
    """Return the blank lines that come first, and the rest."""
    blanks = next((i for i, line in enumerate(lines) if not _is_blank(line)), len(lines))
    return list(lines[:blanks]), list(lines[blanks:])


def _is_blank(line: cst.EmptyLine) -> bool:
    return line.comment is None


def _import_pytest(leading: Sequence[cst.EmptyLine]) -> cst.SimpleStatementLine:
    pytest = cst.Import([cst.ImportAlias(cst.Name("pytest"))])
    return cst.SimpleStatementLine([pytest], leading_lines=leading)


def _is_prologue(statement: _Statement, number: int) -> bool:
    if not isinstance(statement, cst.SimpleStatementLine):
        return False
    small = statement.body[0]
    if isinstance(small, cst.ImportFrom):
        return _module_of(small) == "__future__"
    texts = (cst.SimpleString, cst.ConcatenatedString)
    return number == 0 and isinstance(small, cst.Expr) and isinstance(small.value, texts)


def _sorts_later(statement: _Statement) -> bool:
    """Return whether isort puts this import behind ``import pytest``."""
    small = next(_imports([statement]))
    name = _module_of(small)
    if name.partition(".")[0] in sys.stdlib_module_names:
        return False
    return isinstance(small, cst.ImportFrom) or name > "pytest"


def _imports(statements: Sequence[_Statement]) -> Iterator[cst.Import | cst.ImportFrom]:
    for statement in statements:
        if isinstance(statement, cst.SimpleStatementLine):
            for small in statement.body:
                if isinstance(small, (cst.Import, cst.ImportFrom)):
                    yield small


def _module_of(small: cst.Import | cst.ImportFrom) -> str:
    """Return the module that is imported, the first of several; with dots if it is relative."""
    if isinstance(small, cst.Import):
        return get_full_name_for_node(small.names[0].name) or ""
    name = "" if small.module is None else get_full_name_for_node(small.module) or ""
    return "." * len(small.relative) + name
