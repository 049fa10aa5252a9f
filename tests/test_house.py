"""The rules of the source tree that linters do not check."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pytest_hiddencost"
MODULES = sorted(PACKAGE.rglob("*.py"))
RETIRED = re.compile(
    r"\b(seat|keeper|paces|crowded|plants?|peers?|replicas?|fitness)\b", re.IGNORECASE
)
# One thing on two sides: a comparison with a baseline, or with a base; results of a run, or
# of the study.
TWICE = {"comparison", "results"}
MOST_LINES = 40  # of a function
PLUGIN_HOOKS = {"pytest_addoption", "pytest_configure"}

pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="no source tree around the tests")


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in MODULES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_retired_words_are_gone() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in MODULES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        # Keys of the run file's format 1 keep their names.
        if RETIRED.search(re.sub(r'"key": "\w+"', "", line))
    ]
    assert found == []


def test_no_function_is_long() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES
    ]
    assert found == []


def test_the_session_only_translates_hooks() -> None:
    assert len((PACKAGE / "run/session.py").read_text(encoding="utf-8").splitlines()) <= 200


def test_a_module_has_one_name() -> None:
    paths = defaultdict(list)
    for path in MODULES:
        if path.stem not in ("__init__", "conftest"):
            paths[path.stem].append(path)
    assert {name for name, found in paths.items() if len(found) > 1} <= TWICE


def test_a_public_name_has_one_meaning() -> None:
    homes: dict[str, set[Path]] = defaultdict(set)
    for path, tree in trees():
        for name in defined(tree):
            if not name.startswith("_") and len(name) > 1:
                homes[name].add(path)
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert twice.keys() - PLUGIN_HOOKS == set()


def defined(tree: ast.Module) -> Iterator[str]:
    """The names that a module defines at its top level."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_the_mode_is_chosen_in_one_place() -> None:
    """Only the choice of the mode reads a process's purpose from the settings."""
    pattern = re.compile(r"settings\.(worker|against|baseline_dir)\b(?!_)")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if pattern.search(path.read_text(encoding="utf-8"))
    }
    assert found <= {
        "run/modes/__init__.py",
        "run/modes/against_baseline.py",  # its folder
        "run/modes/against_revision.py",  # its base
        "run/modes/on_fleet.py",  # sent on to the devices
    }


def test_the_contributors_tree_has_every_folder() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in MODULES} - {"pytest_hiddencost", "models"}
    assert {name for name in folders if f"{name}/" not in text} == set()


def test_the_glossary_is_short() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    glossary = text[text.index("## Glossary") : text.index("## Where would I change")]
    terms = [line for line in glossary.splitlines() if line.startswith("| ")][1:]
    assert 10 < len(terms) <= 25
