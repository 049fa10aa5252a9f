"""README's examples run, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from pytest_hiddencost.options import OPTIONS
from tests.suites import BRIEF, JSON, profiles, run_here, section

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/**/*.md")))]
# A name in the mark is that of the file: <!-- example: conftest.py -->
MARKED = re.compile(r"<!-- example(?:: (\S+))? -->\n```python\n(.*?)```", re.DOTALL)
EXAMPLES = [match.groups() for page in PAGES for match in MARKED.finditer(page)]
USES_IT = """
import torch

def test_uses_it(hiddencost):
    hiddencost(torch.relu, torch.ones(3))
"""


def test_the_first_example_is_measured_and_judged(pytester: pytest.Pytester) -> None:
    first = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert first is not None
    pytester.makepyfile(test_first=first[1])
    result = run_here(pytester, BRIEF, JSON)
    # Which limits hold depends on the machine; that they are checked does not.
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    found = profiles(pytester)
    assert found
    lines = section(result.stdout.str())
    for entry in found.values():
        assert entry["verdicts"]
        assert any(line.startswith(entry["test"]) for line in lines)


@pytest.mark.parametrize(("name", "code"), EXAMPLES)
def test_every_marked_example_runs(pytester: pytest.Pytester, name: str | None, code: str) -> None:
    if name:
        (pytester.path / name).write_text(code, encoding="utf-8")
    if not name or not name.startswith("test_"):
        test = USES_IT if name else f"def test_it():\n{indent(code, '    ')}"
        pytester.makepyfile(test_other=code if "def test_" in code else test)
    result = run_here(pytester, BRIEF)
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes().keys() <= {"passed", "warnings"}


def test_there_are_examples() -> None:
    """The test above would run none if the marks were written otherwise."""
    assert EXAMPLES
    marks = sum(len(re.findall("<!-- example", page)) for page in PAGES)
    assert len(EXAMPLES) == marks


def test_output_blocks_are_filled() -> None:
    for page in PAGES:
        outputs = re.findall(r"<!-- output: \w+ -->\n```console\n(.*?)```", page, re.DOTALL)
        assert len(outputs) == len(re.findall("<!-- output", page))
        assert all(output.strip() for output in outputs)


def test_every_option_is_documented_and_every_documented_option_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"--hiddencost-[a-z][a-z-]*[a-z]", page)}
    assert named == {option.argument for option in OPTIONS}


def test_every_environment_that_is_named_exists() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    texts = [*PAGES, script, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")]
    named = {name for text in texts for name in re.findall(r"tox run -e (\w+)", text)}
    assert "py" in named
    assert {name for name in named if f"[testenv:{name}]" not in tox} == set()


def test_what_must_pass_runs_the_tests_as_they_are_documented() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line for page in PAGES for line in page.splitlines() if "tox run -e py" in line]
    for command in commands:
        assert [part for part in map(str.strip, command.split("&&")) if part not in script] == []
    assert "tox run -e py" in script
