"""The terminal reports on the command's output, with the width and the colours of the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from pytest_hiddencost.core.printable import printable

F = TypeVar("F", bound=Callable[..., Any])
NARROWEST = 40  # a terminal that reports fewer columns does not know its width


@dataclass(frozen=True)
class EchoWriter:
    """Writes to standard output; ``color`` is None if the terminal decides."""

    color: bool | None = None

    @property
    def width(self) -> int:
        """The columns of the terminal; 80 if there is none."""
        columns = shutil.get_terminal_size((80, 24)).columns
        return columns if columns >= NARROWEST else 80

    def ensure_newline(self) -> None:
        """Do nothing: a command begins on a new line."""

    def section(self, title: str) -> None:
        """Write a line of equals signs, with the title in it."""
        self.write_line(f" {title} ".center(self.width, "="))

    def write(self, text: str, **markup: bool) -> None:
        """Write a part of a line, with escapes for characters that a terminal obeys."""
        click.echo(self._styled(printable(text), markup), nl=False, color=self.color)

    def write_line(self, line: str, **markup: bool) -> None:
        """Write the rest of a line, and end it."""
        click.echo(self._styled(printable(line), markup), color=self.color)

    def write_code(self, line: str, **markup: bool) -> None:
        """Write a line of source code, with its tabs."""
        shown = "\t".join(map(printable, line.split("\t")))
        click.echo(self._styled(shown, markup), color=self.color)

    def _styled(self, text: str, markup: dict[str, bool]) -> str:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        shown = text.encode(encoding, "backslashreplace").decode(encoding)
        names = [name for name, on in markup.items() if on]
        color = next((name for name in names if name != "bold"), None)
        if not names:
            return shown
        return click.style(shown, fg=color, bold="bold" in names or None)


def color_option(command: F) -> F:
    """Add ``--color`` to a command, as pytest has it."""
    return click.option(
        "--color",
        type=click.Choice(["auto", "yes", "no"]),
        default="auto",
        help="Colour the output (default: if it is a terminal).",
    )(command)


def echo_writer(color: str) -> EchoWriter:
    """Return the writer for ``--color``; ``auto`` follows NO_COLOR and FORCE_COLOR."""
    if color != "auto":
        return EchoWriter(color == "yes")
    if os.environ.get("NO_COLOR"):
        return EchoWriter(False)
    return EchoWriter(True if os.environ.get("FORCE_COLOR") else None)
