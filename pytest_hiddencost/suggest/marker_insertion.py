"""Markers put into the source of a test file, with every other line left as it is."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping, Sequence

import libcst as cst

from pytest_hiddencost.core.errors import SuggestionError
from pytest_hiddencost.suggest.by_function import SuggestedMarker
from pytest_hiddencost.suggest.found_functions import FoundFunction, FunctionsOfModule, Names
from pytest_hiddencost.suggest.marker_text import TAB, marker_text
from pytest_hiddencost.suggest.pytest_import import name_of_mark, with_import


class SourceFile:
    """The source of a test file. Raises ``SuggestionError`` if it cannot be read or kept."""

    def __init__(self, source: bytes) -> None:
        self._module = _parsed(source)
        if self._module.bytes != source:
            raise SuggestionError("its line ends or form feeds would not be kept")
        self._source = source
        self._functions = FunctionsOfModule.of(self._module)

    @property
    def encoding(self) -> str:
        """The encoding of the file, as its byte order mark or its first lines say."""
        return self._module.encoding

    def unmarked(self, names: Names) -> FoundFunction:
        """Return the function of this name. Raises ``SuggestionError`` if it has a marker."""
        return self._functions.unmarked(names)

    def with_markers(
        self, wanted: Sequence[tuple[FoundFunction, Sequence[SuggestedMarker]]]
    ) -> bytes:
        """Return the source with markers above functions, and ``import pytest`` if it is missing.

        Raises ``SuggestionError`` if another line would change.
        """
        before = min(function.statement for function, _ in wanted)
        mark = name_of_mark(self._module.body[:before])
        insertion = _Insertion(
            self._module,
            {function.node: markers for function, markers in wanted},
            mark or "pytest.mark",
        )
        changed = self._module.visit(insertion)
        if not mark:
            changed = with_import(changed)
        try:
            result = changed.bytes
        except UnicodeEncodeError as error:
            why = f"its encoding, {changed.encoding}, lacks characters of the marker"
            raise SuggestionError(why) from error
        lines: Iterator[bytes] = iter(result.splitlines(keepends=True))
        if not all(line in lines for line in self._source.splitlines(keepends=True)):
            raise SuggestionError("other lines of it would change")
        return result


def _parsed(source: bytes) -> cst.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)  # first: libcst ends the process for what is nested too deeply
        return cst.parse_module(source)
    except SyntaxError as error:
        line = f" in line {error.lineno}" if error.lineno else ""
        raise SuggestionError(f"a syntax error{line}: {error.msg}") from error
    except cst.ParserSyntaxError as error:
        raise SuggestionError(f"libcst cannot read line {error.raw_line}") from error
    except (ValueError, MemoryError) as error:
        raise SuggestionError(f"its source cannot be read: {error}") from error


class _Insertion(cst.CSTTransformer):
    """Puts markers above functions, in front of their other decorators."""

    def __init__(
        self,
        module: cst.Module,
        wanted: Mapping[cst.FunctionDef, Sequence[SuggestedMarker]],
        mark: str,
    ) -> None:
        super().__init__()
        self._module = module
        self._wanted = wanted
        self._mark = mark
        self._indents: list[str] = []

    def visit_IndentedBlock(self, node: cst.IndentedBlock) -> None:
        self._indents.append(self._module.default_indent if node.indent is None else node.indent)

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        self._indents.pop()
        return updated_node

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        markers = self._wanted.get(original_node, ())
        added = [cst.Decorator(self._expression(marker)) for marker in markers]
        return updated_node.with_changes(decorators=[*added, *updated_node.decorators])

    def _expression(self, marker: SuggestedMarker) -> cst.BaseExpression:
        module = self._module
        text = marker_text(
            marker,
            self._mark,
            columns=len("".join(self._indents).expandtabs(TAB)),
            step=module.default_indent,
            newline=module.default_newline,
        )
        return cst.parse_expression(text, module.config_for_parsing)
