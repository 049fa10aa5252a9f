"""The output of the terminal reports: pytest's reporter, or the output of the command."""

from __future__ import annotations

from typing import Protocol


class Writer(Protocol):
    """A terminal of some width; ``markup`` are names of colours, and ``bold``."""

    @property
    def width(self) -> int:
        """The columns of a line."""
        ...

    def ensure_newline(self) -> None:
        """End the line that another writer began."""

    def section(self, title: str) -> None:
        """Write a line across the terminal, with the title in it."""

    def write(self, text: str, **markup: bool) -> None:
        """Write a part of a line."""

    def write_line(self, line: str, **markup: bool) -> None:
        """Write the rest of a line, and end it."""
