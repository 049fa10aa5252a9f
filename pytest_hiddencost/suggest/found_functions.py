"""Test functions in the syntax tree of their file, and the markers that they already have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import libcst as cst

from pytest_hiddencost.core.errors import SuggestionError
from pytest_hiddencost.suggest.marker_text import MARKER_NAME

Names = tuple[str, ...]
"""A function's name after those of the classes around it."""


@dataclass(frozen=True)
class FoundFunction:
    """A test function, the classes around it, and its statement's number in the module."""

    node: cst.FunctionDef
    classes: tuple[cst.ClassDef, ...]
    statement: int


@dataclass
class FunctionsOfModule:
    """The functions of one module by name, and the names of its markers."""

    module: cst.Module
    functions: dict[Names, list[FoundFunction]] = field(default_factory=dict)
    aliases: set[str] = field(default_factory=lambda: {MARKER_NAME})
    _marked: set[Names] = field(default_factory=set)  # classes, () for the module, by pytestmark

    @classmethod
    def of(cls, module: cst.Module) -> FunctionsOfModule:
        """Return the functions of a module."""
        found = cls(module)
        while _grew(found.aliases, lambda: module.visit(_Aliases(found.aliases))):
            pass
        for number, statement in enumerate(module.body):
            statement.visit(_Definitions(found, number))
        return found

    def unmarked(self, names: Names) -> FoundFunction:
        """Return the one function of this name. Raises ``SuggestionError`` if it has a marker."""
        found = self.functions.get(names, [])
        if not found:
            raise SuggestionError(
                "no such function in the file: renamed, inherited from a class, or generated"
            )
        if len(found) > 1:
            raise SuggestionError(f"the file defines it {len(found)} times")
        if where := self._marker_of(names, found[0]):
            raise SuggestionError(f"{where} has a {MARKER_NAME} marker already")
        return found[0]

    def _marker_of(self, names: Names, function: FoundFunction) -> str:
        """Return the function, class or module that has a marker; empty if none has."""
        if any(self.mentions_marker(decorator) for decorator in function.node.decorators):
            return "it"
        for depth, node in reversed(list(enumerate(function.classes, 1))):
            marked = names[:depth] in self._marked
            if marked or any(self.mentions_marker(each) for each in node.decorators):
                return f"class {node.name.value}"
        return "the module's pytestmark" if () in self._marked else ""

    def mentions_marker(self, node: cst.CSTNode) -> bool:
        """Return whether a decorator, value or statement names the marker."""
        return _names_in(node, self.aliases)

    def add_marks(self, classes: Names, statement: cst.SimpleStatementLine) -> None:
        """Note that a statement puts the marker on a class or the module through pytestmark."""
        if _names_in(statement, {"pytestmark"}) and self.mentions_marker(statement):
            self._marked.add(classes)


def _grew(names: set[str], change: Callable[[], object]) -> bool:
    before = len(names)
    change()
    return len(names) > before


def _names_in(node: cst.CSTNode, names: set[str]) -> bool:
    visitor = _Mentions(names)
    node.visit(visitor)
    return visitor.found


class _Mentions(cst.CSTVisitor):
    """Looks for names, alone or as attributes."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self._names = names
        self.found = False

    def visit_Name(self, node: cst.Name) -> None:
        self.found = self.found or node.value in self._names


class _OutsideFunctions(cst.CSTVisitor):
    """Visits the code that runs when the module is imported."""

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool | None:
        return False

    def visit_Lambda(self, node: cst.Lambda) -> bool | None:
        return False


class _Aliases(_OutsideFunctions):
    """Adds the names that stand for the marker: ``budget = pytest.mark.latency_budget``."""

    def __init__(self, aliases: set[str]) -> None:
        super().__init__()
        self._aliases = aliases

    def visit_Assign(self, node: cst.Assign) -> None:
        self._add([target.target for target in node.targets], node.value)

    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
        if node.value is not None:
            self._add([node.target], node.value)

    def visit_ImportAlias(self, node: cst.ImportAlias) -> None:
        if node.asname is not None and _names_in(node.name, self._aliases):
            self._add([node.asname.name], node.name)

    def _add(self, targets: Sequence[cst.BaseExpression], value: cst.CSTNode) -> None:
        if _names_in(value, self._aliases):
            names = [target.value for target in targets if isinstance(target, cst.Name)]
            self._aliases.update(name for name in names if name != "pytestmark")


class _Definitions(_OutsideFunctions):
    """Collects the functions of one statement of the module, and pytestmark of its classes."""

    def __init__(self, found: FunctionsOfModule, statement: int) -> None:
        super().__init__()
        self._found = found
        self._statement = statement
        self._classes: list[cst.ClassDef] = []

    @property
    def _names(self) -> Names:
        return tuple(node.name.value for node in self._classes)

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._classes.append(node)

    def leave_ClassDef(self, original_node: cst.ClassDef) -> None:
        self._classes.pop()

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool | None:
        function = FoundFunction(node, tuple(self._classes), self._statement)
        names = (*self._names, node.name.value)
        self._found.functions.setdefault(names, []).append(function)
        return False

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        self._found.add_marks(self._names, node)
