"""Annotations of GitHub Actions: few, on the line that costs it, and never another command."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.report.ci.annotations import annotations_on, command
from pytest_hiddencost.report.ci.findings import Finding
from pytest_hiddencost.report.ci.source_lines import SourceLine
from pytest_hiddencost.report.wording import inert
from tests.report.ci.rendered import WorkflowCommand, commands_in
from tests.report.ci.reviewed import called, copied, found_in, run_of
from tests.report.printed import judged


def finding(number: int = 0, **changes: object) -> Finding:
    made = Finding("error", f"test_{number}", "", "p50", "p50 2 ms", "", None, (str(number),))
    return replace(made, **changes)  # type: ignore[arg-type]


def read(found: list[Finding]) -> list[WorkflowCommand]:
    """The annotations as the runner reads them."""
    commands, _ = annotations_on(found)
    read = [each for text in commands for each in commands_in(text)]
    assert len(read) == len(commands), "one line is one command"
    return read


def test_an_annotation_is_on_the_line_that_costs_it() -> None:
    [found] = read(found_in(run_of(judged(called(), operators={"aten::cat": "3 calls"}))))
    assert found == WorkflowCommand(
        "error",
        {
            "file": "src/pkg/net.py",
            "line": "12",
            "title": "hiddencost: operators[aten::cat] 12 calls, at most 3 calls",
        },
        "test_models.py::test_it: operators[aten::cat] 12 calls, at most 3 calls\n"
        "12 x aten::cat from blocks.1, pkg/net.py:12 (1 ms)",
    )


def test_without_a_line_there_is_no_file() -> None:
    [found] = read([finding()])
    assert found.properties == {"title": "hiddencost: p50 2 ms"}


def test_findings_on_one_line_share_an_annotation() -> None:
    line = SourceLine("net.py", 3)
    [found] = read([finding(number, source=line) for number in range(3)])
    assert found.properties["title"] == "hiddencost: p50 2 ms and 2 more"
    assert found.message.splitlines() == [f"test_{number}: p50 2 ms" for number in range(3)]
    [many] = read([finding(number, source=line) for number in range(30)])
    assert many.message.endswith("\nand 22 more on this line")
    levels = [
        each.name
        for each in read([finding(0, source=line), finding(1, source=line, level="warning")])
    ]
    assert levels == ["error", "warning"]


def test_tests_without_a_line_share_none() -> None:
    assert len(read([finding(0), finding(1)])) == 2


def test_there_are_at_most_ten_and_the_rest_is_counted() -> None:
    found = [finding(number) for number in range(13)]
    commands, left_out = annotations_on(found)
    assert (len(commands), left_out) == (10, 3)
    assert [each.message for each in read(found)] == [f"test_{n}: p50 2 ms" for n in range(10)]
    assert annotations_on(found[:10])[1] == 0
    assert annotations_on([]) == ([], 0)


def test_few_are_warnings() -> None:
    """On an unfit device, every timed check is open."""
    found = [finding(number, level="warning") for number in range(12)]
    commands, left_out = annotations_on([finding(99), *found])
    assert [each.name for text in commands for each in commands_in(text)] == [
        "error", "warning", "warning", "warning",
    ]  # fmt: skip
    assert left_out == 9


def test_each_added_line_has_its_own() -> None:
    assert [each.properties["line"] for each in read(found_in(run_of(copied())))] == [
        "12",
        "30",
        "7",
    ]


def test_long_texts_are_cut() -> None:
    [found] = read([finding(test="t" * 5000, headline="h" * 5000, cause="c" * 5000)])
    assert len(found.properties["title"]) <= 140
    assert len(found.message) <= 1300


# --- hostile text -------------------------------------------------------------------------------

HOSTILE = [
    "a\n::set-output name=x::y",
    "a\r\n::add-mask::secret",
    "a\r::stop-commands::token",
    "::error file=x,line=1::boom",
    "x,file=/etc/passwd",
    "a::b",
    "100% %0A%3A%2C",
    "##[add-mask]secret",
    "naïve 模型 🚀",
    "<script>",
    "\x1b[31m",
    "\u2028::debug::x",
]
texts = st.sampled_from(HOSTILE) | st.text("\r\n:,% ab=#[]") | st.text(max_size=20)


@settings(deadline=None, max_examples=50)
@given(texts, texts, texts)
def test_a_command_holds_any_text(name: str, title: str, message: str) -> None:
    # A title ends in a sign of ours: the runner trims the last property.
    text = command("error", {"file": name, "title": f"{title}."}, message)
    assert not {"\r", "\n"} & set(text)
    [found] = commands_in(text)
    given_file = {"file": name} if name else {}
    assert found == WorkflowCommand("error", {**given_file, "title": f"{title}."}, message)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_test_id_injects_no_command(text: str) -> None:
    found = finding(test=text, label=text, headline=text, cause=text, source=SourceLine(text, 1))
    [one] = read([found])
    assert one.name == "error"
    assert one.properties["file"] == text
    assert one.properties["line"] == "1"


@settings(deadline=None, max_examples=50)
@given(texts)
def test_no_line_of_the_plugins_own_text_is_a_command(text: str) -> None:
    assert commands_in(inert(text)) == []


def test_text_without_a_command_stays_as_it_is() -> None:
    text = "test_it.py::test_net[a]: aten::cat\n  12 x aten::cat"
    assert inert(text) == text
