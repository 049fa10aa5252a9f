"""Text of users: nothing in it is invisible, and nothing in it is markup."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.report.html.escaping import LONGEST_LABEL, finite, short, visible
from pytest_hiddencost.report.html.packing import packed, packed_json, script_hash
from tests.report.html.reports import unpacked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("test_it[größe 3×3-模型]", "test_it[größe 3×3-模型]"),
        ("a\nb\tc\x00\x1b[31m", r"a\nb\tc\x00\x1b[31m"),
        ("evil\u202egnp.exe", r"evil\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("half \ud800 surrogate", r"half \ud800 surrogate"),
        ("line\u2028separator", r"line\u2028separator"),
        ("👩\u200d🔬", "👩\u200d🔬"),  # one character to its reader
        ("عربي", "عربي"),
        ("", ""),
    ],
)
def test_invisible_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_long_text_loses_its_middle() -> None:
    assert visible("a" * 600 + "b" * 600) == "a" * 500 + "…" + "b" * 499
    assert len(short("x" * 500)) == LONGEST_LABEL
    assert short("x" * LONGEST_LABEL) == "x" * LONGEST_LABEL


@given(st.text())
def test_every_text_can_be_written(text: str) -> None:
    visible(text).encode("utf-8")
    assert not re.search("[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]", visible(text))


def test_numbers_that_json_cannot_hold_are_null() -> None:
    data = {"a": [1.0, float("nan"), (float("inf"), "inf")], "b": 3, "c": None}
    assert finite(data) == {"a": [1.0, None, [None, "inf"]], "b": 3, "c": None}


def test_packed_text_has_no_markup() -> None:
    text = packed_json({"name": "</script><!--"})
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", text)
    assert json.loads(unpacked(text)) == {"name": "</script><!--"}
    assert unpacked(packed("ünpacked")) == "ünpacked"


def test_the_hash_of_a_script_is_that_of_the_policy() -> None:
    # echo -n "alert('Hello, world.');" | openssl sha256 -binary | openssl base64  (W3C's example)
    assert script_hash("alert('Hello, world.');") == (
        "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    )
