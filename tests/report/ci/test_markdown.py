"""Text in Markdown stays text, whatever it holds, and a document keeps to its size."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.report.ci.markdown import (
    CLOSED,
    Part,
    code,
    fenced,
    fitted,
    head,
    in_summary,
    opened,
    prose,
    row,
    size_of,
)
from tests.report.ci.rendered import rendered

HOSTILE = [
    "a|b",
    "a\\|b",
    "a\\",
    "`",
    "``x`",
    "`a`",
    " padded ",
    "<script>alert(1)</script>",
    "<!-- ",
    "-->",
    "</code></details>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; &#36;",
    "@octocat and @org/team",
    "see #12 and org/repo#3 and !4",
    "[click](https://example.org)",
    "![x](https://example.org/x.png)",
    "https://example.org www.example.org",
    "mail me@example.org",
    "*bold* _it_ __b__ ~~gone~~ ~x~",
    "# heading",
    "> quote",
    "- item",
    "+ item",
    "12. item",
    "12) item",
    "---",
    "===",
    "$x^2$ $$y$$",
    "one\ntwo",
    "one\r\n\r\n| three |",
    "tab\there",
    "\x1b[31mred",
    "\u202etxet",
    "naïve ünïcode 模型 🚀",
    "test_it.py::test[x-::add-mask::secret]",
    "%0A%25",
    "",
]
few = settings(deadline=None, max_examples=40)  # each renders a page
texts = (
    st.text(st.characters(codec="utf-8"))
    | st.text("|\\`<>&@#*_~[]()!-+=.1 a\n$:/")
    | (st.sampled_from(HOSTILE))
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("write", [code, prose])
def test_hostile_text_reads_as_it_stands(write: object, text: str) -> None:
    assert callable(write)
    page = rendered(f"before {write(text)} after")
    assert page.text.replace("\u200b", "").strip() == f"before {printable(text)} after".strip()
    assert page.names <= {"p", "code"}
    assert page.comments == []


@pytest.mark.parametrize("text", HOSTILE)
def test_prose_at_the_beginning_of_a_line_is_no_list_and_no_heading(text: str) -> None:
    page = rendered(prose(text))
    assert page.text.replace("\u200b", "").strip() == printable(text).strip()
    assert page.names <= {"p"}


@few
@given(texts, texts, texts)
def test_a_cell_holds_any_text(first: str, second: str, third: str) -> None:
    table = head(["a", "b", "c"], ["left", "right", "left"])
    table += row([code(first), prose(second), code(third)])
    page = rendered(table)
    [[_, cells]] = page.tables
    assert [cell.replace("\u200b", "").strip() for cell in cells] == [
        printable(text).strip() for text in (first, second, third)
    ]
    assert page.names <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


def test_the_columns_of_a_table_are_aligned() -> None:
    page = rendered(head(["a", "b"], ["left", "right"]) + row(["x", "1"]))
    styles = [attributes["style"] for name, attributes in page.tags if name == "td"]
    assert styles == ["text-align:left", "text-align:right"]


@few
@given(texts)
def test_a_block_of_code_cannot_be_left(text: str) -> None:
    page = rendered(fenced(text) + "\nafter\n")
    assert page.names == {"pre", "code", "p"}
    assert page.of("p") == ["after"]
    assert "".join(page.of("code")) == "\n".join(map(printable, text.split("\n"))) + "\n"


@few
@given(texts)
def test_details_hold_any_name(text: str) -> None:
    page = rendered(opened(f"Details of {in_summary(text)}") + "inside\n" + CLOSED + "after\n")
    assert page.names <= {"details", "summary", "code", "p"}
    assert "".join(page.of("code")) == printable(text)
    assert page.of("p") == ["inside", "after"]


def test_nobody_is_mentioned_and_nothing_is_referred_to() -> None:
    text = "@octocat, #12, a@b, !3 and aten::cat: x"
    assert not re.search(r"[@#!]\w|:\w+:", rendered(prose(text)).text)
    page = rendered(code(text))
    assert not re.search(r"[@#!]\w|:\w+:", page.outside_code)


def test_half_a_character_is_written_as_an_escape() -> None:
    assert code("a\udc80") == "`a\\udc80`"


# --- the size -----------------------------------------------------------------------------------


def parts(count: int, size: int = 100) -> list[Part]:
    return [
        Part("# head\n"),
        *(Part("x" * (size - 1) + "\n", 2, "row", "rows") for _ in range(count)),
        *(Part("y" * (size - 1) + "\n", 1, "reason", "reasons") for _ in range(count)),
    ]


def test_a_small_document_is_whole() -> None:
    found = parts(3)
    text = "".join(part.text for part in found)
    assert fitted(found, size_of(text), "look there") == text


def test_a_large_document_says_what_was_left_out_and_where_it_is() -> None:
    text = fitted(parts(10), 1400, "look there")
    assert text.startswith("# head\nx")
    assert text.count("y" * 99) == 10, "what matters more is kept"
    assert text.count("x" * 99) == 3
    assert text.endswith("\nLeft out to stay below 1 kB: 7 rows; look there\n")


@few
@given(st.integers(0, 5000), st.integers(0, 30))
def test_no_document_is_larger_than_its_limit(limit: int, count: int) -> None:
    text = fitted(parts(count), limit, "look there")
    assert size_of(text) <= limit
    whole = "".join(part.text for part in parts(count))
    assert (text == whole) or "Left out" in text or text == ""


def test_where_not_even_the_beginning_fits_there_is_no_document() -> None:
    assert fitted(parts(1), 50, "look there") == ""


def test_sizes_are_in_bytes() -> None:
    assert size_of("模型") == 6
    assert fitted([Part("模" * 10), Part("型" * 100, 1, "row", "rows")], 100, "").startswith("模")
