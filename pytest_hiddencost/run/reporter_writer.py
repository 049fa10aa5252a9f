"""pytest's terminal reporter, as the terminal reports write to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class ReporterWriter:
    """Writes through pytest's reporter, so that ``--color``, ``-q`` and redirects work."""

    reporter: pytest.TerminalReporter

    @property
    def width(self) -> int:
        """The reporter's own width: ``--color``, ``COLUMNS`` and tests agree."""
        return self.reporter._tw.fullwidth

    def ensure_newline(self) -> None:
        """End the line of pytest's progress."""
        self.reporter.ensure_newline()

    def section(self, title: str) -> None:
        """Write a line of equals signs, with the title in it."""
        self.reporter.section(title, sep="=")

    def write(self, text: str, **markup: bool) -> None:
        """Write a part of a line."""
        self.reporter.write(text, **markup)

    def write_line(self, line: str, **markup: bool) -> None:
        """Write the rest of a line, and end it."""
        self.reporter.write_line(line, **markup)
