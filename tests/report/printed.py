"""Printed lines: a reporter that keeps them, and the figures in them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import Device, Profile
from pytest_hiddencost.core.units import Kind
from pytest_hiddencost.judge.budgets import check
from pytest_hiddencost.report.terminal import write_count, write_summary
from pytest_hiddencost.run.markers import latency_budget
from tests.profiles import DEVICE

Markup = dict[str, bool]


@dataclass
class FakeReporter:
    """Keeps lines of marked-up pieces."""

    width: int = 200
    title: str = ""
    pieces: list[list[tuple[str, Markup]]] = field(default_factory=lambda: [[]])

    def ensure_newline(self) -> None:
        if self.pieces[-1]:
            self.pieces.append([])

    def section(self, title: str) -> None:
        assert self.title == ""
        self.title = title

    def write(self, text: str, **markup: bool) -> None:
        assert "\n" not in text
        self.pieces[-1].append((text, {k: v for k, v in markup.items() if v}))

    def write_line(self, line: str, **markup: bool) -> None:
        self.write(line, **markup)
        self.pieces.append([])

    @property
    def lines(self) -> list[str]:
        assert self.pieces[-1] == []  # the last line is closed
        return ["".join(text for text, _ in line) for line in self.pieces[:-1]]

    @property
    def text(self) -> str:
        """All of it on one line, however it was wrapped."""
        return " ".join(" ".join(self.lines).split())

    def coloured(self) -> list[tuple[str, str]]:
        """Every piece in colour, with its colour."""
        return [
            (text, color)
            for line in self.pieces
            for text, markup in line
            for color in markup
            if color != "bold"
        ]


def summary(
    *profiles: Profile,
    width: int = 200,
    verbosity: int = 0,
    device: Device | None = DEVICE,
) -> FakeReporter:
    """The reporter after the summary of these profiles."""
    reporter = FakeReporter(width)
    write_summary(reporter, profiles, device, verbosity)
    return reporter


def quiet_summary(*profiles: Profile, unused: int = 0) -> FakeReporter:
    """The reporter after the line of a quiet run."""
    reporter = FakeReporter()
    write_count(reporter, profiles, unused)
    return reporter


def judged(profile: Profile, **budget: Any) -> Profile:
    """The profile with the verdicts on a budget."""
    return replace(profile, verdicts=check(profile, latency_budget(**budget)))


def value(text: str, kind: Kind) -> float:
    """A quantity as it was printed."""
    return units.parse(text, [kind], "printed", max_share=float("inf")).value


def shown(number: float) -> object:
    """A number as three significant digits show it."""
    return pytest.approx(number, rel=0.0051, abs=1e-12)
