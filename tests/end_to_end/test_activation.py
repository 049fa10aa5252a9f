"""Unused means free: what a fresh process has imported, written and run at its end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.suites import BRIEF, pytest_apart

pytestmark = pytest.mark.end_to_end

ENTRY = [
    "pytest_hiddencost",
    "pytest_hiddencost.hookspec",
    "pytest_hiddencost.options",
    "pytest_hiddencost.plugin",
]
HEAVY = ["numpy", "scipy", "tabulate", "thop", "torch"]
UNUSED = "def test_nothing(): pass"
# Imports torch in the tests alone, so that collecting them does not.
LAZY = """
import pytest

def test_plain():
    pass

@pytest.mark.latency_budget(p50="10 s")
def test_measured(hiddencost):
    import torch
    hiddencost(torch.nn.Linear(2, 2).eval(), torch.ones(1, 2))
"""

REPORTS_MODULES = """
import json, sys

def pytest_unconfigure(config):
    names = sorted(sys.modules)
    print("\\nMODULES " + json.dumps(names))
"""


def modules_of(folder: Path, source: str, *arguments: str) -> dict[str, list[str]]:
    """The modules in memory at the end of a run: ours, and the heavy ones."""
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    (folder / "conftest.py").write_text(REPORTS_MODULES, encoding="utf-8")
    done = pytest_apart(folder, "-s", *arguments)
    assert done.code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith("MODULES ")]
    names: list[str] = json.loads(lines[0].partition(" ")[2])
    return {
        "ours": [name for name in names if name.partition(".")[0] == "pytest_hiddencost"],
        "heavy": [name for name in names if name in HEAVY],
    }


@pytest.mark.parametrize(
    ("source", "arguments"),
    [(UNUSED, []), (LAZY, ["-k", "plain"])],
    ids=["unused", "deselected"],
)
def test_unused_imports_the_entry_alone(tmp_path: Path, source: str, arguments: list[str]) -> None:
    assert modules_of(tmp_path, source, *arguments) == {"ours": ENTRY, "heavy": []}


def test_used_imports_more(tmp_path: Path) -> None:
    """The test above would not notice a list that is always the same."""
    found = modules_of(tmp_path, LAZY, BRIEF, "--hiddencost-baseline-dir=off")
    assert {*found["heavy"]} >= {"numpy", "tabulate", "thop", "torch"}
    assert "pytest_hiddencost.measure.passes" in found["ours"]


@pytest.mark.parametrize(
    "arguments",
    [["--collect-only"], [BRIEF, "--hiddencost-strict", "-k", "plain"], ["--hiddencost-disable"]],
    ids=["collect-only", "options set", "disabled"],
)
def test_without_a_measurement_no_torch(tmp_path: Path, arguments: list[str]) -> None:
    assert "torch" not in modules_of(tmp_path, LAZY, *arguments)["heavy"]


def test_unused_creates_no_file_and_runs_no_git(tmp_path: Path) -> None:
    tools, folder = tmp_path / "tools", tmp_path / "suite"
    tools.mkdir()
    folder.mkdir()
    git = tools / "git"
    git.write_text(f"#!/bin/sh\ntouch {tmp_path}/git-was-run\n")
    git.chmod(0o755)
    (folder / "test_it.py").write_text(UNUSED)
    done = pytest_apart(
        folder,
        *("-p", "no:benchmark"),  # pytest-benchmark makes a folder
        PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
        HOME=str(tmp_path),
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert done.code == 0
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["git", "suite", "test_it.py", "tools"]


def test_no_plugin_no_fixture_marker_option(tmp_path: Path) -> None:
    """A process that had the plugin once knows the marker for good."""
    (tmp_path / "test_it.py").write_text(LAZY, encoding="utf-8")
    off = ("-p", "no:hiddencost")
    done = pytest_apart(tmp_path, *off)
    assert done.code == pytest.ExitCode.TESTS_FAILED
    assert "fixture 'hiddencost' not found" in done.stdout
    assert "Unknown pytest.mark.latency_budget" in done.stdout
    done = pytest_apart(tmp_path, *off, "--strict-markers")
    assert "'latency_budget' not found in `markers`" in done.stdout
    done = pytest_apart(tmp_path, *off, "--hiddencost-strict")
    assert done.code == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --hiddencost-strict" in done.stderr


def test_public_names_come_lazily(pytester: pytest.Pytester) -> None:
    script = pytester.makepyfile(
        """
        import sys
        import pytest_hiddencost
        assert "torch" not in sys.modules
        for name in pytest_hiddencost.__all__:
            assert getattr(pytest_hiddencost, name).__name__ == name
            assert name in dir(pytest_hiddencost)
        try:
            pytest_hiddencost.nonsense
        except AttributeError as error:
            print(error)
        """
    )
    result = pytester.runpython(script)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*'pytest_hiddencost' has no attribute 'nonsense'"])
