"""Small files of the kernel, each with one line of text."""

from __future__ import annotations

from pathlib import Path


def word_in(path: Path) -> str:
    """Return the one line of a file, such as a label; empty if it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip("\0 \n")
    except OSError:
        return ""
