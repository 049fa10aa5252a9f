"""Text that no terminal obeys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.printable import printable


def test_ordinary_text_stays_as_it_is() -> None:
    text = "tests/test_a.py::test_ü[größer-日本] <b> \\ '\""
    assert printable(text) == text


def test_a_terminal_gets_escapes() -> None:
    assert printable("a\nb\x1b[2J\t\x9b\u202e\ud800") == "a\\nb\\x1b[2J\\t\\x9b\\u202e\\ud800"


@given(st.text(st.characters()))
def test_it_is_one_line_that_can_be_encoded(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown
