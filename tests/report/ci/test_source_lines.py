"""Lines of the repository: call sites found among the tracked files, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_hiddencost.report.ci.source_lines import SourceLine, SourceTree, source_tree
from tests.repositories import commit


def tree(*tracked: str, folders: tuple[str, ...] = ("",)) -> SourceTree:
    return SourceTree(Path("/repository"), folders, frozenset(tracked))


# --- call sites ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "tracked", "expected"),
    [
        ("net.py:12", ["net.py"], "net.py"),
        ("pkg/net.py:12", ["src/pkg/__init__.py", "src/pkg/net.py"], "src/pkg/net.py"),
        ("net.py:12", ["lib/deep/net.py"], "lib/deep/net.py"),
        ("tests/test_net.py:12", ["tests/test_net.py", "tests/__init__.py"], "tests/test_net.py"),
    ],
)
def test_a_layout_with_sources_below_is_looked_through(
    shown: str, tracked: list[str], expected: str
) -> None:
    assert tree(*tracked).of_call_site(shown) == SourceLine(expected, 12)


@pytest.mark.parametrize(
    ("shown", "tracked"),
    [
        ("torchvision/models/resnet.py:90", ["net.py", "models/resnet.py"]),  # installed
        ("net.py:12", ["a/net.py", "b/net.py"]),  # either
        ("net.py:12", ["mynet.py"]),  # another name that ends alike
        ("helpers.py:3", ["pkg/__init__.py", "pkg/helpers.py"]),  # would be pkg/helpers.py
        ("net.py", ["net.py"]),  # no line
        ("", ["net.py"]),
        (":12", ["net.py"]),
        ("net.py:last", ["net.py"]),
    ],
)
def test_where_the_file_is_not_known_for_sure_there_is_no_line(
    shown: str, tracked: list[str]
) -> None:
    assert tree(*tracked).of_call_site(shown) is None


def test_the_working_folder_is_preferred() -> None:
    files = ["a/src/pkg/net.py", "b/src/pkg/net.py", "ab/src/pkg/net.py"]
    found = tree(*files, folders=("a",)).of_call_site("pkg/net.py:1")
    assert found == SourceLine("a/src/pkg/net.py", 1)
    assert tree(*files, folders=("c",)).of_call_site("pkg/net.py:1") is None


def test_in_the_working_folder_the_file_of_this_very_path_is_preferred() -> None:
    files = ["a/net.py", "a/vendored/net.py", "b/net.py"]
    assert tree(*files, folders=("a",)).of_call_site("net.py:1") == SourceLine("a/net.py", 1)
    assert tree(*files, folders=("a/vendored", "a")).of_call_site("net.py:1") == SourceLine(
        "a/vendored/net.py", 1
    )


def test_a_package_at_the_top_is_found_by_its_own_path() -> None:
    assert tree("__init__.py", "net.py").of_call_site("net.py:1") == SourceLine("net.py", 1)


# --- the repository -----------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two projects, with sources below ``src``, and a file that git ignores."""
    for name in ("a/src/pkg/net.py", "a/tests/test_it.py", "b/src/pkg/net.py", "naïve dir/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    commit(tmp_path)
    (tmp_path / "a" / "new.py").write_text("")
    return tmp_path


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@needs_git
def test_paths_are_relative_to_the_top_of_the_repository(repository: Path) -> None:
    found = source_tree([repository / "a"])
    assert found.of_call_site("pkg/net.py:3") == SourceLine("a/src/pkg/net.py", 3)
    assert found.of_call_site("x.py:1") == SourceLine("naïve dir/x.py", 1)
    assert found.of_call_site("new.py:1") is None, "not tracked"
    test = found.of_file(repository / "a/tests/test_it.py", 7)
    assert test == SourceLine("a/tests/test_it.py", 7)


@needs_git
def test_a_checkout_below_the_workspace_is_its_own_top(repository: Path) -> None:
    found = source_tree([repository / "a"], repository.parent)
    assert found.of_file(repository / "a/new.py", 1) == SourceLine("a/new.py", 1)


def test_without_git_the_top_is_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose user does not own the checkout."""
    monkeypatch.setenv("PATH", "")
    for name in ("a/src/pkg/net.py", "a/tests/test_it.py", "b/src/pkg/other.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = source_tree([tmp_path / "a"], tmp_path)
    assert found.tracked is None
    assert found.of_call_site("pkg/net.py:3") == SourceLine("a/src/pkg/net.py", 3)
    assert found.of_call_site("tests/test_it.py:3") == SourceLine("a/tests/test_it.py", 3)
    assert found.of_call_site("pkg/other.py:3") is None, "b is not where the tests run"
    alone = source_tree([tmp_path / "a"], tmp_path / "b")
    assert alone.of_file(tmp_path / "a/tests/test_it.py", 1) == SourceLine("tests/test_it.py", 1)
    assert alone.of_call_site("pkg/net.py:3") == SourceLine("src/pkg/net.py", 3)


def test_a_file_outside_the_repository_has_no_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "test_it.py").write_text("")
    inside = SourceTree(tmp_path / "a", ("",), frozenset())
    assert inside.of_file(tmp_path / "test_it.py", 1) is None
    assert inside.of_file(tmp_path / "a" / "missing.py", 1) is None


def test_a_checkout_behind_a_link_is_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "test_it.py").write_text("")
    (tmp_path / "link").symlink_to("real")
    inside = SourceTree(tmp_path / "real", ("",), frozenset())
    assert inside.of_file(tmp_path / "link" / "test_it.py", 2) == SourceLine("test_it.py", 2)
