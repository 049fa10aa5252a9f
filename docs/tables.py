"""Tables of the site that come from the code: options, limits, groups, reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pytest_hiddencost.core.taxonomy import GROUPS
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.options import OPTIONS

Rows = Iterable[Sequence[str]]


def options() -> Rows:
    """Return the rows of the options: argument, ini name, meaning."""
    yield "option", "ini file", "meaning"
    for option in OPTIONS:
        shown = option.argument if option.flag else f"{option.argument}={option.metavar}"
        yield f"`{shown}`", f"`{option.ini}`", option.help


def groups() -> Rows:
    """Return the groups of operators."""
    yield ("group",)
    for group in GROUPS:
        yield (f"`{group}`",)


def all_reasons() -> Rows:
    """Return the reasons of open verdicts, and what to do."""
    yield "the summary says", "what to do"
    for name, reason in vars(reasons).items():
        if isinstance(reason, Reason) and name.isupper() and not reason.found.startswith("{"):
            yield _plain(reason.found), _plain(reason.remedy)


def _plain(text: str) -> str:
    """Return a text whose placeholders are shown as words."""
    return text.replace("{{", "{").replace("}}", "}").replace("|", "\\|")


TABLES: dict[str, Callable[[], Rows]] = {
    "options": options,
    "groups": groups,
    "reasons": all_reasons,
}


class TableOf(SphinxDirective):
    """``{table-of} NAME``: one of the tables above."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """Return the table, parsed as MyST."""
        head, *rows = TABLES[self.arguments[0]]()
        lines = [_line(head), _line(["---"] * len(head)), *map(_line, rows)]
        parent = nodes.container()
        self.state.nested_parse(StringList(lines, "the code"), self.content_offset, parent)
        return parent.children


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("table-of", TableOf)
    return {"parallel_read_safe": True}
