"""README and the site: their blocks run, their tables come from the code, their prose is plain."""

from __future__ import annotations

import ast
import io
import re
import shlex
import tokenize
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import jsonschema
import pytest

from docs import schema
from docs.blocks import ROOT, Project, Ran, blocks_of, pages, refreshed, unmarked
from pytest_hiddencost.core.taxonomy import DEFAULT, GROUPS
from pytest_hiddencost.options import OPTIONS
from tests.suites import BRIEF, JSON, run_file, run_here

DOCS = ROOT / "docs"
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in pages()}
README = TEXTS["README.md"]
PAGE = pytest.mark.parametrize("name", TEXTS)
TUTORIALS = [name for name in TEXTS if "/tutorial/" in name]
EXAMPLES = [
    pytest.param(block.rest, block.text, id=f"{name}-{number}")
    for name, text in TEXTS.items()
    for number, block in enumerate(blocks_of(text))
    if block.kind == "example"
]
USES_IT = """
import torch

def test_uses_it(hiddencost):
    hiddencost(torch.relu, torch.ones(3))
"""
QUICK = (
    "--hiddencost-max-time=20ms",
    "--hiddencost-threads=1",
    "--hiddencost-tolerance=1000%",
    "-pno:cacheprovider",
)
MENU = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONGEST, MEAN = 35, 18  # words of a sentence


# --- what the pages show ------------------------------------------------------------------------


@PAGE
def test_every_code_block_is_run_or_marked_as_not_run(name: str) -> None:
    assert unmarked(TEXTS[name]) == []


@PAGE
def test_every_command_that_runs_has_its_output(name: str) -> None:
    for block in blocks_of(TEXTS[name]):
        quiet = all(c.startswith(("git ", "sed ")) for c in block.commands)
        assert block.kind != "run" or quiet or len(block.text.splitlines()) > len(block.commands)


@pytest.mark.parametrize(("name", "code"), EXAMPLES)
def test_every_example_runs(pytester: pytest.Pytester, name: str, code: str) -> None:
    if name:
        (pytester.path / name).write_text(code, encoding="utf-8")
    if not name.startswith("test_"):
        test = USES_IT if name else f"def test_it():\n{indent(code, '    ')}"
        pytester.makepyfile(test_other=code if "def test_" in code else test)
    result = run_here(pytester, BRIEF)
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes().keys() <= {"passed", "warnings"}


def test_there_are_examples() -> None:
    """The test above would run none if the marks were written otherwise."""
    assert len(EXAMPLES) >= 5


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ["README.md", *TUTORIALS])
def test_the_commands_of_a_tutorial_end_as_they_are_shown(
    name: str, pytester: pytest.Pytester
) -> None:
    project = Project(pytester.path)
    for block in blocks_of(TEXTS[name]):
        if block.kind == "file":
            project.write(block)
        for command in block.commands if block.kind == "run" else ():
            if command.startswith("pytest"):
                arguments = [one for one in shlex.split(command)[1:] if one not in QUICK]
                result = run_here(pytester, *arguments, *QUICK)
                failed = "FAIL" in block.text
                assert result.parseoutcomes() == {"failed" if failed else "passed": 1}
            else:
                assert project.run(command).status == 0, command


def test_a_refreshed_page_shows_the_part_of_the_output_that_its_mark_asks_for(
    tmp_path: Path,
) -> None:
    page = (
        "<!-- file: a.txt -->\n```text\none\ntwo\nthree\n```\n\n"
        "<!-- run: from ^two to ^two -->\n```console\n$ cat a.txt\nold\n```\n"
    )
    commands: list[str] = []
    new = refreshed(page, Project(tmp_path), commands.append)
    assert new == page.replace("old", "two")
    assert commands == ["  $ cat a.txt"]
    with pytest.raises(LookupError, match="no line of the output matches"):
        refreshed(page.replace("^two ", "^four "), Project(tmp_path), commands.append)


def test_a_command_of_a_page_sees_its_files_and_its_interpreter(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(blocks_of("<!-- file: a/b.py -->\n```python\nprint(1)\n```")[0])
    assert project.run("python a/b.py") == Ran(0, "1\n")
    assert project.run("python -c 'import pytest_hiddencost'").status == 0
    assert project.run("exit 3") == Ran(3, "")


# --- what they name exists ----------------------------------------------------------------------


def test_every_page_is_in_the_menu() -> None:
    listed = [
        path.parent / f"{entry}.md"
        for path in DOCS.glob("**/*.md")
        for menu in MENU.findall(path.read_text(encoding="utf-8"))
        for entry in re.findall(r"^[\w/-]+$", menu, re.MULTILINE)
    ]
    assert sorted(listed) == sorted(set(DOCS.glob("**/*.md")) - {DOCS / "index.md"})


@PAGE
def test_every_page_begins_with_its_title(name: str) -> None:
    text = TEXTS[name]
    assert re.match(r"# \S", text)
    assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)) == 1


@PAGE
def test_every_link_within_leads_to_a_file(name: str) -> None:
    prose = re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (ROOT / name).parent.joinpath(target).exists(), target


def test_the_examples_of_each_group_are_in_it() -> None:
    source = (DOCS / "tables.py").read_text(encoding="utf-8")
    examples = re.findall(r'^    "(\w+)": "((?:aten::|cpp_)[^"]+)",$', source, re.MULTILINE)
    shown = dict(examples)
    assert set(shown) == set(GROUPS) - {"unclassified"}
    for group, names in shown.items():
        assert {DEFAULT.group(name) for name in names.split()} == {group}


def test_every_documented_option_exists() -> None:
    """Those that exist are all documented: their table comes from the code."""
    texts = TEXTS.values()
    named = {name for text in texts for name in re.findall(r"--hiddencost-[a-z][a-z-]*[a-z]", text)}
    assert named <= {option.argument for option in OPTIONS}
    assert "--hiddencost-against" in named


def test_every_environment_that_is_named_exists() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    texts = [*TEXTS.values(), script, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")]
    named = {name for text in texts for name in re.findall(r"tox run -e (\w+)", text)}
    assert "py" in named
    assert {name for name in named if f"[testenv:{name}]" not in tox} == set()


def test_what_must_pass_runs_the_tests_as_they_are_documented() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (command,) = [line for line in README.splitlines() if "tox run -e py" in line]
    assert [part for part in map(str.strip, command.split("&&")) if part not in script] == []
    assert "tox run -e py" in script


# --- the run file's schema ----------------------------------------------------------------------


def test_the_published_schema_is_that_of_the_records() -> None:
    assert schema.PATH.read_text(encoding="utf-8") == schema.text()


def test_a_written_run_file_follows_the_published_schema(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=USES_IT)
    run_here(pytester, BRIEF, JSON)
    found = run_file(pytester.path)
    rules = schema.run_file_schema()
    jsonschema.validate(found, rules)
    found["profiles"][0]["latency"]["median_ns"] = "fast"
    with pytest.raises(jsonschema.ValidationError, match="'fast' is not of type 'number'"):
        jsonschema.validate(found, rules)


# --- plain English ------------------------------------------------------------------------------


def sentences(text: str) -> list[str]:
    """The sentences of a page's prose: no code, no tables, no headings, no menus."""
    prose = re.sub(r"^```.*?^```|<!--.*?-->|^\|.*?$|^#.*?$", "\n", text, flags=re.M | re.S)
    prose = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "code", prose))
    parts = re.split(r"\n\s*\n|\n\s*(?:-|\d+\.)\s|(?<=[.!?:;])\s+", prose)
    return [part for part in map(str.strip, parts) if part]


@PAGE
def test_no_sentence_is_long(name: str) -> None:
    long = [s for s in sentences(TEXTS[name]) if len(s.split()) > LONGEST]
    assert long == []


def test_sentences_are_short_on_average() -> None:
    counts = [len(s.split()) for text in TEXTS.values() for s in sentences(text)]
    assert len(counts) > 300
    assert sum(counts) / len(counts) <= MEAN


def test_readme_is_a_screen_or_two() -> None:
    assert len(README.splitlines()) <= 150


# --- plain English in the code -----------------------------------------------------------------

SOURCES = [
    path
    for name in ("pytest_hiddencost", "benchmarks", "docs", "tests")
    for path in (ROOT / name).rglob("*.py")
]
RIDDLE = re.compile(
    r"(?:^|[.!?:] )(?:Of |What |By how much)|\b(?:is|are) (?:said|told|held to)\b|\bnothing but\b",
    re.MULTILINE,
)


def prose_of(source: str) -> Iterator[str]:
    """Yield the docstrings, those of attributes as well, and the comments of a module."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(ast.Constant(str(text))):
                yield text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")


def is_riddle(text: str) -> bool:
    lines = "\n".join(map(str.strip, text.splitlines()))
    return bool(RIDDLE.search(lines)) or text.startswith("The same")


@pytest.mark.parametrize(
    "code",
    [
        'def f():\n    """The same, for windows."""',
        '"""What a growth may look like."""',
        'A = 1\n"""Of a device, its key."""',
        'def f():\n    """Return a share.\n\n    By how much it may grow.\n    """',
        'def f():\n    """Return a share. What is left is noise."""',
        "a = 1  # of a side; the other side is told",
        "# A limit is held to a share.",
    ],
)
def test_a_riddle_is_found(code: str) -> None:
    assert any(map(is_riddle, prose_of(code)))


def test_no_docstring_and_no_comment_is_a_riddle() -> None:
    assert len(SOURCES) > 150
    found = [
        f"{path.relative_to(ROOT)}: {text.strip()}"
        for path in SOURCES
        for text in prose_of(path.read_text(encoding="utf-8"))
        if is_riddle(text)
    ]
    assert found == []


def test_no_docstring_and_no_comment_has_a_long_sentence() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {sentence}"
        for path in SOURCES
        for text in prose_of(path.read_text(encoding="utf-8"))
        for sentence in sentences(text)
        if len(sentence.split()) > LONGEST
    ]
    assert found == []
