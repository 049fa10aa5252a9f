"""The output for reviewers: on GitHub by itself, and in files that options ask for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.report.ci.pull_request import COMMENT_MARK
from tests.report.ci.rendered import WorkflowCommand, commands_in, rendered
from tests.repositories import commit
from tests.suites import BRIEF, GIVEN, NO_BASELINES, run_here, stand_in, write_suite

SUMMARY = "summary.md"
CALLED = "from tests.report.ci.reviewed import called\n"
BROKEN = """
@budget(operators={"aten::cat": "3 calls"})
def test_net(hiddencost): hiddencost(given(called()), X)
"""
SLOW = '@budget(p50="1 ms")\ndef test_slow(hiddencost): hiddencost(given(called()), X)'
WITHIN = '@budget(p50="1 s")\ndef test_within(hiddencost): hiddencost(given(called()), X)'
UNMEASURED = '@budget(p50="1 s")\ndef test_unmeasured(hiddencost): pass'
FAILS = "def test_fails(hiddencost): hiddencost(given(called()), X); assert 1 == 2"
XFAILS = f"@pytest.mark.xfail\n{SLOW}"
HOSTILE = """
@budget(p50="1 ms")
@pytest.mark.parametrize("x", ["\\n::error::a", "::set-output name=x::y", "<b>|`@me"])
def test_hostile(hiddencost, x):
    hiddencost(given(called()), X, label=x + "\\r\\n::add-mask::z ##[error]q")
"""

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def _given(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def on_github(
    pytester: pytest.Pytester, tests: str, *arguments: str, **others: str
) -> pytest.RunResult:
    """Run a suite of these tests as GitHub Actions does, with a summary file."""
    write_suite(pytester, [GIVEN, CALLED, tests])
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(pytester.path / SUMMARY)}
    return run_here(pytester, BRIEF, NO_BASELINES, *arguments, variables=variables | others)


def commands(result: pytest.RunResult) -> list[WorkflowCommand]:
    """The commands that the runner finds in the output of a run."""
    return commands_in("\n".join(result.outlines + result.errlines))


def summary(pytester: pytest.Pytester) -> str:
    path = pytester.path / SUMMARY
    return path.read_text(encoding="utf-8") if path.exists() else ""


def test_line(pytester: pytest.Pytester, name: str) -> str:
    lines = (pytester.path / "test_it.py").read_text(encoding="utf-8").splitlines()
    return str(next(i for i, line in enumerate(lines, 1) if f"def {name}(" in line))


test_line.__test__ = False  # type: ignore[attr-defined]


# --- GitHub Actions -----------------------------------------------------------------------------


@needs_git
@pytest.mark.parametrize("flags", [(), ("-q",), ("-v", "--color=yes"), ("--capture=no",)])
def test_a_broken_limit_is_annotated_on_the_line_that_costs_it(
    pytester: pytest.Pytester, flags: tuple[str, ...]
) -> None:
    net = pytester.path / "src" / "pkg" / "net.py"
    net.parent.mkdir(parents=True)
    net.write_text("\n" * 20)
    commit(pytester.path)
    result = on_github(pytester, BROKEN, *flags)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    [found] = commands(result)
    assert found == WorkflowCommand(
        "error",
        {
            "file": "src/pkg/net.py",
            "line": "12",
            "title": "hiddencost: operators[aten::cat] 12 calls, at most 3 calls",
        },
        "test_it.py::test_net: operators[aten::cat] 12 calls, at most 3 calls\n"
        "12 x aten::cat from blocks.1, pkg/net.py:12 (1 ms)",
    )


@needs_git
def test_in_a_monorepo_paths_are_relative_to_its_top(pytester: pytest.Pytester) -> None:
    inner = pytester.mkdir("services")
    (inner / "pytest.ini").write_text("[pytest]\n")
    write_suite(pytester, [GIVEN, CALLED, SLOW])
    (pytester.path / "test_it.py").rename(inner / "test_it.py")
    commit(pytester.path)
    variables = {"GITHUB_ACTIONS": "true"}
    result = run_here(pytester, BRIEF, NO_BASELINES, "services", variables=variables)
    [found] = commands(result)
    assert found.properties["file"] == "services/test_it.py"


def test_a_limit_without_a_call_site_is_annotated_on_the_test(pytester: pytest.Pytester) -> None:
    [found] = commands(on_github(pytester, SLOW))
    assert found.properties["file"] == "test_it.py"
    assert int(found.properties["line"]) in (
        int(test_line(pytester, "test_slow")) - 1,
        int(test_line(pytester, "test_slow")),
    )


def test_the_summary_of_the_job_is_added_to(pytester: pytest.Pytester) -> None:
    (pytester.path / SUMMARY).write_text("# Another tool\n", encoding="utf-8")
    on_github(pytester, SLOW)
    found = rendered(summary(pytester))
    assert found.of("h1") == ["Another tool"]
    assert found.of("h3") == ["❌ hiddencost: 1 of 1 call fails"]
    assert summary(pytester).startswith("# Another tool\n")


def test_a_run_that_passes_has_a_summary_and_no_annotation(pytester: pytest.Pytester) -> None:
    result = on_github(pytester, WITHIN)
    assert result.ret == 0
    assert commands(result) == []
    assert rendered(summary(pytester)).of("h3") == ["✅ hiddencost: 1 of 1 call passes"]


def test_a_marked_test_that_measured_nothing_is_annotated(pytester: pytest.Pytester) -> None:
    [found] = commands(on_github(pytester, UNMEASURED))
    assert "is marked latency_budget but measured nothing" in found.message
    assert "1 test failed, and no limit is broken" in summary(pytester)


def test_a_test_that_measured_and_failed_otherwise_is_annotated(pytester: pytest.Pytester) -> None:
    [found] = commands(on_github(pytester, FAILS))
    assert found.message == "test_it.py::test_fails: assert 1 == 2"


def test_a_test_that_was_expected_to_fail_is_not(pytester: pytest.Pytester) -> None:
    assert commands(on_github(pytester, XFAILS)) == []
    assert "expected to fail" in summary(pytester)


@pytest.mark.parametrize(
    "tests",
    ["def test_it(): pass", "def test_it(): assert 0", "def test_it(hiddencost): pass"],
    ids=["without the plugin", "fails without the plugin", "measures nothing"],
)
def test_a_run_that_measured_nothing_says_nothing(pytester: pytest.Pytester, tests: str) -> None:
    result = on_github(pytester, tests, "--hiddencost-github=auto")
    assert commands(result) == []
    assert not (pytester.path / SUMMARY).exists()


def test_it_can_be_switched_off(pytester: pytest.Pytester) -> None:
    assert commands(on_github(pytester, SLOW, "--hiddencost-github=off")) == []
    pytester.makeini("[pytest]\nhiddencost_github = off\n")
    assert commands(on_github(pytester, SLOW)) == []
    assert not (pytester.path / SUMMARY).exists()


def test_elsewhere_it_says_nothing_unless_it_is_switched_on(pytester: pytest.Pytester) -> None:
    assert commands(on_github(pytester, SLOW, GITHUB_ACTIONS="")) == []
    assert not (pytester.path / SUMMARY).exists()
    result = on_github(
        pytester, SLOW, "--hiddencost-github=on", GITHUB_ACTIONS="", GITHUB_STEP_SUMMARY=""
    )
    assert len(commands(result)) == 1
    result.stdout.fnmatch_lines(["*no job summary was written: GITHUB_STEP_SUMMARY is not set*"])


def test_another_word_is_refused(pytester: pytest.Pytester) -> None:
    result = on_github(pytester, SLOW, "--hiddencost-github=yes")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--hiddencost-github: expected auto, off or on, got 'yes'*"])


def test_a_summary_that_cannot_be_written_is_a_warning(pytester: pytest.Pytester) -> None:
    result = on_github(pytester, WITHIN, GITHUB_STEP_SUMMARY=str(pytester.path))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["hiddencost: the job summary was not written: *"])
    assert "--hiddencost-github=off" in result.stdout.str()  # on the next line, if the path is long


@pytest.mark.parametrize(("size", "fits"), [(999_000, False), (980_000, True)])
def test_a_full_summary_is_left_as_it_is(pytester: pytest.Pytester, size: int, fits: bool) -> None:
    (pytester.path / SUMMARY).write_text("x" * size, encoding="utf-8")
    result = on_github(pytester, WITHIN, "-q")
    assert result.ret == 0
    assert (len(summary(pytester).encode()) > size) == fits
    assert len(summary(pytester).encode()) <= 1_000_000
    assert ("the job summary was not written" in result.stdout.str()) != fits


def test_more_than_ten_lines_are_counted(pytester: pytest.Pytester) -> None:
    tests = "\n".join(SLOW.replace("test_slow", f"test_slow_{n}") for n in range(12))
    result = on_github(pytester, tests, "-q")
    assert len(commands(result)) == 10
    result.stdout.fnmatch_lines(["hiddencost: 2 more lines have findings: see the job summary"])


def test_hostile_names_inject_no_command(pytester: pytest.Pytester) -> None:
    result = on_github(pytester, HOSTILE, "-vv", "-rA")
    [found] = commands(result)
    assert found.name == "error"
    assert found.properties["file"] == "test_it.py"
    page = rendered(summary(pytester))
    assert not {"b", "a", "img", "script"} & page.names
    assert len(page.tables[0]) == 4


# --- files --------------------------------------------------------------------------------------


def files(pytester: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    write_suite(pytester, [GIVEN, CALLED, tests])
    return run_here(pytester, BRIEF, NO_BASELINES, *arguments)


def test_the_markdown_of_a_comment_is_written(pytester: pytest.Pytester) -> None:
    result = files(pytester, SLOW + "\n" + WITHIN, "--hiddencost-markdown=comment.md")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert commands(result) == []
    text = (pytester.path / "comment.md").read_text(encoding="utf-8")
    assert text.startswith(f"{COMMENT_MARK}\n")
    found = rendered(text)
    assert found.of("h3") == ["❌ hiddencost: 1 of 2 calls fails"]
    assert [row[1] for row in found.tables[1][1:]] == [
        "test_it.py::test_slow",
        "test_it.py::test_within",
    ]


def test_a_comment_says_that_nothing_was_measured(pytester: pytest.Pytester) -> None:
    """Or the comment on an earlier commit would stand."""
    files(pytester, "def test_it(): pass", "--hiddencost-markdown=comment.md")
    text = (pytester.path / "comment.md").read_text(encoding="utf-8")
    assert rendered(text).of("h3") == ["⚠️ hiddencost: no call was measured"]


def issues(pytester: pytest.Pytester, tests: str) -> list[Mapping[str, Any]]:
    files(pytester, tests, "--hiddencost-codequality=quality.json")
    found: list[Mapping[str, Any]] = json.loads((pytester.path / "quality.json").read_text())
    return found


def test_the_code_quality_is_written(pytester: pytest.Pytester) -> None:
    [issue] = issues(pytester, SLOW)
    assert issue["check_name"] == "hiddencost/p50"
    assert issue["location"]["path"] == "test_it.py"
    assert issues(pytester, SLOW)[0]["fingerprint"] == issue["fingerprint"]
    assert issues(pytester, WITHIN) == []


def test_the_ini_file_names_files_too(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\nhiddencost_markdown = comment.md\nhiddencost_codequality = quality.json\n"
    )
    files(pytester, WITHIN)
    assert (pytester.path / "comment.md").exists()
    assert (pytester.path / "quality.json").read_text() == "[]\n"


@pytest.mark.parametrize("option", ["markdown", "codequality"])
def test_a_path_that_cannot_be_written_is_refused_before_any_test(
    pytester: pytest.Pytester, option: str
) -> None:
    result = files(pytester, WITHIN, f"--hiddencost-{option}=missing/file")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--hiddencost-{option}=*missing/file: the folder*"])


def test_a_file_that_cannot_be_written_at_the_end_fails_the_run(
    pytester: pytest.Pytester,
) -> None:
    tests = f"{WITHIN}\n    import os; os.mkdir('comment.md')"
    tests = tests.replace("def test_within(hiddencost): ", "def test_within(hiddencost):\n    ")
    result = files(pytester, tests, "--hiddencost-markdown=comment.md")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["hiddencost: the Markdown summary was not written: *"])
    assert result.stderr.str() == ""


# With --no-summary, pytest 9 still lets plugins write their summaries; earlier versions do not.
NO_SUMMARY = pytest.mark.parametrize("option", ["--no-summary", "-pno:terminal"])


@NO_SUMMARY
def test_without_a_summary_a_run_says_why_it_fails(pytester: pytest.Pytester, option: str) -> None:
    tests = f"{WITHIN}\n    import os; os.mkdir('comment.md')"
    tests = tests.replace("def test_within(hiddencost): ", "def test_within(hiddencost):\n    ")
    result = files(pytester, tests, "--hiddencost-markdown=comment.md", option)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    [line] = [line for line in result.outlines + result.errlines if "was not written" in line]
    assert line.startswith("hiddencost: the Markdown summary was not written: ")
    assert line.endswith("; choose another path (--hiddencost-markdown)")


@NO_SUMMARY
def test_without_a_summary_the_annotations_are_there(
    pytester: pytest.Pytester, option: str
) -> None:
    result = on_github(pytester, BROKEN, option)
    assert [found.name for found in commands(result)] == ["error"]


def test_files_that_exist_are_replaced(pytester: pytest.Pytester) -> None:
    Path(pytester.path, "comment.md").write_text("old" * 10_000, encoding="utf-8")
    files(pytester, WITHIN, "--hiddencost-markdown=comment.md")
    assert "old" not in Path(pytester.path, "comment.md").read_text(encoding="utf-8")
