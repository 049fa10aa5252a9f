"""The value of one option, from the command line or the ini file: read and checked."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_hiddencost.core import units
from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.core.tolerances import MOST_GROWTH
from pytest_hiddencost.options import Option, raw_value

if TYPE_CHECKING:
    import pytest

LONGEST_TIME_NS = 86_400_000_000_000
MOST_CONFIDENT = 0.999999

T = TypeVar("T")


class OptionValue:
    """One option: ``raw`` is its value, None if it is not set; ``where`` names it in messages.

    Methods read the value, or return the default; they raise ``SettingError`` or ``UnitError``.
    """

    def __init__(self, config: pytest.Config, option: Option) -> None:
        raw = raw_value(config, option)
        self.raw = None if raw == "" else raw
        self.on_command_line = config.getoption(option.ini) is not None
        self.where = option.argument if self.on_command_line else f"{option.ini} in the ini file"

    def text(self) -> str | None:
        """Return the text; None if nobody set it."""
        return None if self.raw is None else str(self.raw)

    def texts(self) -> list[str]:
        """Return the texts of an option that may be given several times."""
        found = self.raw if isinstance(self.raw, list) else [self.raw]
        return [str(text) for text in found if text is not None]

    def lines(self) -> str:
        """Return the texts of an option that may be given several times, each on a line."""
        return "\n".join(self.texts())

    def parts(self) -> list[str]:
        """Return the parts of those texts that commas and line ends separate."""
        parts = re.split(r"[,\n]", self.lines())
        return [part.strip() for part in parts if part.strip()]

    def folder(self, config: pytest.Config) -> Path:
        """Return the folder that the paths of this option are relative to."""
        if self.on_command_line:
            return config.invocation_params.dir
        return config.inipath.parent if config.inipath else config.rootpath

    def path(self, config: pytest.Config) -> Path | None:
        """Return a path relative to where pytest was started, or to where the ini file lies."""
        if self.raw is None:
            return None
        return self.folder(config) / str(self.raw)

    def paths(self, config: pytest.Config) -> tuple[str, ...]:
        """Return several paths or globs, relative to the same folders as one path."""
        base = self.folder(config)
        parts = re.split(r"[,\n]", self.text() or "")
        return tuple(str(base / part.strip()) for part in parts if part.strip())

    def count(self, default: T) -> int | T:
        """Return a whole number of at least 1."""
        if self.raw is None:
            return default
        text = str(self.raw).strip()
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise SettingError(f"{self.where}: expected a whole number of at least 1, got {text!r}")
        return int(text)

    def duration_ns(self, default: int) -> int:
        """Return a time in ns."""
        if self.raw is None:
            return default
        duration_ns = units.parse(self.raw, ["duration"], self.where).value
        if not 0 < duration_ns <= LONGEST_TIME_NS:
            raise SettingError(
                f"{self.where}: expected a time above 0 and up to 86400 s, got {self.raw!r}"
            )
        return round(duration_ns)

    def confidence(self, default: float) -> float:
        """Return a confidence, as a share."""
        if self.raw is None:
            return default
        text = str(self.raw).strip()
        try:
            share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            share = math.nan
        if not 0.5 <= share <= MOST_CONFIDENT:  # also false for NaN
            raise SettingError(
                f"{self.where}: expected a share from 50% to {MOST_CONFIDENT:.4%} such as 99% or "
                f"0.99, got {text!r}"
            )
        return share

    def choice(self, choices: tuple[T, ...]) -> T:
        """Return one of these words; the first is the default."""
        for choice in choices:
            if self.raw in (None, choice):
                return choice
        *others, last = map(str, choices)
        raise SettingError(
            f"{self.where}: expected {', '.join(others)} or {last}, got {str(self.raw)!r}"
        )

    def share(self, default: float) -> float:
        """Return a share of growth."""
        if self.raw is None:
            return default
        return float(units.parse(self.raw, ["share"], self.where, max_share=MOST_GROWTH).value)
