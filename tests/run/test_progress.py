"""The progress of a run on a terminal: one text, rewritten and erased."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from _pytest.terminal import TerminalReporter

from pytest_hiddencost.measure import outlook
from pytest_hiddencost.run.progress import ERASE, Progress
from tests.suites import run


class Terminal:
    """A terminal of so many columns, on whose line pytest has written some characters."""

    def __init__(
        self, *, isatty: bool = True, width: int = 80, written: int = 0, capture: str = "fd"
    ) -> None:
        self.file = io.StringIO()
        writer = SimpleNamespace(fullwidth=width, width_of_current_line=written, _file=self.file)
        reporter = SimpleNamespace(isatty=isatty, _tw=writer)
        plugins = {"terminalreporter": reporter}
        config = SimpleNamespace(
            pluginmanager=SimpleNamespace(get_plugin=plugins.get),
            option=SimpleNamespace(capture=capture),
        )
        self.progress = Progress(cast(pytest.Config, config))

    def show(self, *texts: str) -> str:
        """Show these texts, one after the other; return what was written."""
        for text in texts:
            self.progress.show(text)
        return self.file.getvalue()


def test_nothing_is_shown_where_the_output_is_redirected() -> None:
    assert Terminal(isatty=False).show("measuring test_net", "") == ""


def test_nothing_is_shown_without_a_reporter() -> None:
    config = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=lambda _: None))
    Progress(cast(pytest.Config, config)).show("measuring test_net")


def test_nothing_is_shown_where_the_test_prints_to_the_same_line() -> None:
    assert Terminal(capture="no").show("measuring test_net", "") == ""


def test_a_text_takes_the_place_of_the_last_one() -> None:
    expected = "first" + ERASE + "\b" * 5 + "next" + ERASE
    assert Terminal().show("first", "next") == expected


def test_an_empty_text_erases_the_last_one() -> None:
    assert Terminal().show("first", "") == "first" + ERASE + "\b" * 5 + ERASE


def test_there_is_nothing_to_erase_at_first_or_twice() -> None:
    assert Terminal().show("", "") == ""
    assert Terminal().show("first", "", "") == Terminal().show("first", "")


@pytest.mark.parametrize("written", [0, 40, 60, 75, 78, 80])
def test_a_text_never_needs_a_second_line(written: int) -> None:
    terminal = Terminal(width=80, written=written)
    shown = terminal.show("x" * 30).removesuffix(ERASE)
    assert len(shown) <= max(0, 80 - written - 1)
    assert shown.strip("x") == ""
    terminal.show("")
    assert terminal.file.getvalue().count("\b") == len(shown)


def test_a_text_of_which_little_would_be_left_is_not_shown() -> None:
    assert Terminal(width=80, written=70).show("measuring test_net").strip(ERASE) == ""


ENDINGS = """
def test_passes(hiddencost): hiddencost(MODEL, X)

def test_fails_after_measuring(hiddencost):
    hiddencost(MODEL, X)
    assert False

def test_skips_after_measuring(hiddencost):
    hiddencost(MODEL, X)
    pytest.skip("enough")

@pytest.fixture
def measured(hiddencost):
    hiddencost(MODEL, X)
    raise RuntimeError

def test_breaks_in_its_fixture(measured): ...
"""


def test_the_text_is_gone_before_pytest_writes_how_a_test_ended(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the letter of the test would be erased with it."""
    shown: list[str] = []
    at_report: list[str] = []
    report_of: Callable[..., Any] = TerminalReporter.pytest_runtest_logreport

    def logged(self: TerminalReporter, report: pytest.TestReport) -> None:
        at_report.extend(shown[-1:])
        report_of(self, report=report)

    monkeypatch.setattr(Progress, "show", lambda _, text: shown.append(text))
    monkeypatch.setattr(TerminalReporter, "pytest_runtest_logreport", logged)
    run(pytester, ENDINGS).assert_outcomes(passed=1, failed=1, skipped=1, errors=1)
    assert "measuring test_passes" in shown
    assert set(at_report) == {""}


@pytest.mark.parametrize(("lengthy_ns", "told"), [(1, True), (10**12, False)])
def test_a_call_of_seconds_is_shown_call_by_call(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, lengthy_ns: int, told: bool
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Progress, "show", lambda _, text: shown.append(text))
    monkeypatch.setattr(outlook, "LENGTHY_CALL_NS", lengthy_ns)
    run(pytester, "def test_net(hiddencost): hiddencost(MODEL, X)").assert_outcomes(passed=1)
    timed = [text for text in shown if re.search(r"call \d+ of \d+ \(timed\), about", text)]
    assert bool(timed) == told
    assert all(text.startswith("measuring test_net: call ") for text in timed)
