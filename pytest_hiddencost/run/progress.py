"""Progress of a long run: a text behind pytest's own line, rewritten as the run goes on."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ERASE = "\x1b[K"  # to the end of the line


class Progress:
    """Shows a text on a terminal; nothing where the output is redirected."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._shown = 0  # characters

    def show(self, text: str) -> None:
        """Show a text in place of the last one; an empty one erases it."""
        plugins = self._config.pluginmanager
        reporter = plugins.get_plugin("terminalreporter")
        if reporter is None or not reporter.isatty or not (text or self._shown):
            return
        if self._config.option.capture == "no":  # the test prints to the same line
            return
        writer = reporter._tw
        room = writer.fullwidth - writer.width_of_current_line - 2
        text = text[:room] if room > len(text) // 2 else ""
        capture = plugins.get_plugin("capturemanager")
        with nullcontext() if capture is None else capture.global_and_fixture_disabled():
            # Not through the writer, which counts the characters of its line.
            writer._file.write("\b" * self._shown + text + ERASE)
            writer._file.flush()
        self._shown = len(text)
