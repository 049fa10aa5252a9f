"""Parts of the site that come from the code: tables of options and reasons, help of commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

import click
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pytest_hiddencost.cli.main import command_line
from pytest_hiddencost.core.taxonomy import GROUPS
from pytest_hiddencost.history.store_tables import STORE_TABLES
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.options import OPTIONS

CODE = re.compile(
    r"--[a-z][\w={}-]*|regression=\{\{.*?\}\}|-n0|fetch-depth: 0|git fetch --unshallow"
)
EXAMPLES = {
    "mac": "aten::mkldnn_convolution aten::addmm aten::bmm",
    "normalization": "aten::native_batch_norm aten::native_layer_norm",
    "activation": "aten::relu aten::gelu aten::silu",
    "pooling": "aten::max_pool2d_with_indices aten::avg_pool2d",
    "elementwise": "aten::add aten::mul",
    "concatenation": "aten::cat aten::stack",
    "data_movement": "aten::copy_ aten::contiguous aten::clone",
    "view": "aten::view aten::slice aten::narrow aten::as_strided",
    "allocation": "aten::empty aten::zeros",
    "reduction": "aten::mean aten::sum",
    "indexing": "aten::index_select aten::gather",
    "fused": "cpp_fused_add_relu_3 triton_poi_fused_gelu_0",
    "wrapper": "aten::conv2d aten::linear aten::convolution",
}
Rows = Iterable[Sequence[str]]


def options() -> Rows:
    """Return the rows of the options: argument, ini name, meaning."""
    yield "option", "ini file", "meaning"
    for option in OPTIONS:
        shown = option.argument if option.flag else f"{option.argument}={option.metavar}"
        yield f"`{shown}`", f"`{option.ini}`", option.help


def groups() -> Rows:
    """Return the groups of operators, with the first ones of each."""
    yield "group", "operators"
    for group in GROUPS:
        found = (f"`{name}`" for name in EXAMPLES.get(group, "").split())
        yield f"`{group}`", ", ".join(found) or "those that the plugin does not know"


def all_reasons() -> Rows:
    """Return the reasons of open verdicts, and what to do."""
    yield "the summary says", "what to do"
    for name, reason in vars(reasons).items():
        if isinstance(reason, Reason) and name.isupper() and not reason.found.startswith("{"):
            yield _plain(reason.found), _plain(reason.remedy)


def columns_of(table: str) -> Rows:
    """Return the columns of a table of the store of runs."""
    yield "column", "type", "meaning"
    for column in STORE_TABLES[table]:
        yield f"`{column.name}`", column.kind, column.meaning


def _plain(text: str) -> str:
    """Return a text with its options and arguments as code, and its placeholders as words."""
    shown = CODE.sub(r"`\g<0>`", text)
    return shown.replace("{{", "{").replace("}}", "}").replace("|", "\\|")


TABLES: dict[str, Callable[[], Rows]] = {
    "options": options,
    "groups": groups,
    "reasons": all_reasons,
    **{table: partial(columns_of, table) for table in STORE_TABLES},
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


class HelpOf(SphinxDirective):
    """``{help-of} NAME``: the help of a subcommand, as the command prints it."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """Return the help as a block of text."""
        name = self.arguments[0]
        parent = click.Context(
            command_line, info_name="hiddencost", **command_line.context_settings
        )
        command = command_line.get_command(parent, name)
        if command is None:
            raise self.error(f"hiddencost has no command {name!r}")
        context = click.Context(command, info_name=name, parent=parent, terminal_width=80)
        return [nodes.literal_block(text=command.get_help(context), language="text")]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("table-of", TableOf)
    app.add_directive("help-of", HelpOf)
    return {"parallel_read_safe": True}
