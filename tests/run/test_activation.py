"""Unused means free; and what brings the plugin in, or keeps it out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_hiddencost import options
from tests.suites import NEIGHBOUR, SHORT, pytest_apart, run, run_here, section, suite

ENTRY = [
    "pytest_hiddencost",
    "pytest_hiddencost.hookspec",
    "pytest_hiddencost.options",
    "pytest_hiddencost.plugin",
]
HEAVY = ["numpy", "tabulate", "thop", "torch"]

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


def modules_of(folder: Path, source: str, *arguments: str, code: int = 0) -> dict[str, list[str]]:
    """The modules in memory at the end of a run: ours, and the heavy ones."""
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    (folder / "conftest.py").write_text(REPORTS_MODULES, encoding="utf-8")
    done = pytest_apart(folder, "-s", *arguments)
    assert done.code == code, done.output
    lines = [line for line in done.stdout.splitlines() if line.startswith("MODULES ")]
    names: list[str] = json.loads(lines[0].partition(" ")[2])
    return {
        "ours": [name for name in names if name.partition(".")[0] == "pytest_hiddencost"],
        "heavy": [name for name in names if name in HEAVY],
    }


def test_unused_imports_the_entry_alone(tmp_path: Path) -> None:
    found = modules_of(tmp_path, "def test_nothing(): pass")
    assert found == {"ours": ENTRY, "heavy": []}


def test_deselected_means_unused(tmp_path: Path) -> None:
    found = modules_of(tmp_path, LAZY, "-k", "plain")
    assert found == {"ours": ENTRY, "heavy": []}


def test_used_imports_more(tmp_path: Path) -> None:
    """The two tests above would not notice a list that is always the same."""
    found = modules_of(tmp_path, LAZY, SHORT)
    assert found["heavy"] == HEAVY
    assert "pytest_hiddencost.measure.passes" in found["ours"]


@pytest.mark.parametrize(
    "arguments",
    [["--collect-only"], [SHORT, "--hiddencost-strict", "-k", "plain"], ["--hiddencost-disable"]],
    ids=["collect-only", "options set", "disabled"],
)
def test_without_a_measurement_no_torch(tmp_path: Path, arguments: list[str]) -> None:
    found = modules_of(tmp_path, LAZY, *arguments)
    assert "torch" not in found["heavy"]


def test_unused_creates_no_file_and_runs_no_git(tmp_path: Path) -> None:
    tools, folder = tmp_path / "tools", tmp_path / "suite"
    tools.mkdir()
    folder.mkdir()
    git = tools / "git"
    git.write_text(f"#!/bin/sh\ntouch {tmp_path}/git-was-run\n")
    git.chmod(0o755)
    (folder / "test_it.py").write_text("def test_nothing(): pass")
    done = pytest_apart(
        folder,
        PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
        HOME=str(tmp_path),
        PYTHONDONTWRITEBYTECODE="1",
    )
    assert done.code == 0
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["git", "suite", "test_it.py", "tools"]


def test_unused_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    result = run_here(pytester)
    result.assert_outcomes(passed=1)
    assert "hidden cost" not in result.stdout.str()


def test_first_use_brings_it_in_without_any_option(pytester: pytest.Pytester) -> None:
    test = "@budget(macs=128)\ndef test_it(hiddencost): hiddencost(MODEL, X)"
    (pytester.path / "test_it.py").write_text(suite(test), encoding="utf-8")
    result = run_here(pytester)
    result.assert_outcomes(passed=1)
    assert section(result.stdout.str())


def test_fixture_asked_for_by_name_at_run_time(pytester: pytest.Pytester) -> None:
    """Collection cannot know of it; what was measured is reported all the same."""
    (pytester.path / "test_it.py").write_text(
        suite("""
        def test_dynamic(request):
            request.getfixturevalue("hiddencost")(MODEL, X)
        """),
        encoding="utf-8",
    )
    result = run_here(pytester, "--junitxml=junit.xml", "-o", "verbosity_hiddencost=0")
    result.assert_outcomes(passed=1)
    assert "test_it.py::test_dynamic" in "\n".join(section(result.stdout.str()))
    assert "hiddencost.p50_ns" in (pytester.path / "junit.xml").read_text(encoding="utf-8")


# --- switched off -------------------------------------------------------------------------------


def test_no_plugin_no_fixture_marker_option(tmp_path: Path) -> None:
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


def test_disabled_skips_what_measures_and_runs_the_rest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        LAZY
        + """
@pytest.mark.latency_budget(p50="1 s")
def test_marked_only():
    pass
"""
    )
    result = run_here(pytester, "--hiddencost-disable", "-rs")
    result.assert_outcomes(passed=2, skipped=1)
    assert "hiddencost is switched off (--hiddencost-disable)" in result.stdout.str()
    assert "hidden costs" not in result.stdout.str()


# --- what pytest says about us ------------------------------------------------------------------


def test_help_lists_every_option_and_its_ini_twin(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "--help")
    assert result.ret == 0
    text = result.stdout.str()
    for option in options.OPTIONS:
        assert f"\n  {option.argument}" in text
        assert f"\n  {option.ini} (" in text
    assert "\n  verbosity_hiddencost (" in text
    assert "%%" not in text


def test_markers_shows_the_marker_and_its_units(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "--markers")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["@pytest.mark.latency_budget(*): *each with its unit*"])


def test_strict_markers_knows_the_marker(pytester: pytest.Pytester) -> None:
    result = run(pytester, NEIGHBOUR, "--strict-markers", "--strict-config")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("option", ["--fixtures", "--setup-plan", "--setup-only"])
def test_ways_to_look_without_running(pytester: pytest.Pytester, option: str) -> None:
    result = run(pytester, NEIGHBOUR, option)
    assert result.ret == 0
    result.assert_outcomes()
    assert "hiddencost" in result.stdout.str()


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
