from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_hiddencost.core.errors import FleetError
from pytest_hiddencost.fleet import sources
from pytest_hiddencost.fleet.sources import ProjectSources, pack_sources
from pytest_hiddencost.fleet.unpacking import KEPT, SourcesCache
from pytest_hiddencost.system.git import git
from tests.repositories import commit


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "tracked.py").write_text("1")
    (folder / "gone.py").write_text("1")
    (folder / "tool.sh").write_text("#!/bin/sh")
    (folder / "tool.sh").chmod(0o755)
    (folder / "link").symlink_to("sub/tracked.py")
    commit(folder)
    (folder / "sub" / "tracked.py").write_text("2")
    (folder / "gone.py").unlink()
    (folder / "new ü.py").write_text("3")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "ignored.pyc").write_text("4")
    return folder


def unpacked(packed: ProjectSources, folder: Path) -> Path:
    cache = SourcesCache(folder)
    cache.add(packed.name, packed.data)
    return cache.tree(packed.name)


def test_tracked_and_uncommitted_files_travel_as_they_are(project: Path, tmp_path: Path) -> None:
    tree = unpacked(pack_sources(project / "sub"), tmp_path / "cache")
    files = {p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file()}
    assert files == {".gitignore", "link", "new ü.py", "sub/tracked.py", "tool.sh"}
    assert (tree / "sub" / "tracked.py").read_text() == "2"
    assert (tree / "tool.sh").stat().st_mode & 0o100
    assert (tree / "link").is_symlink()


def test_equal_sources_have_an_equal_name(project: Path) -> None:
    first = pack_sources(project)
    (project / "tool.sh").touch()
    assert pack_sources(project).name == first.name
    (project / "tool.sh").write_text("")
    assert pack_sources(project).name != first.name


def test_the_history_travels_if_comparisons_need_it(project: Path, tmp_path: Path) -> None:
    first = git(project, "rev-parse", "HEAD").strip()
    second = commit(project)
    git(project, "checkout", "--quiet", "--detach", first)
    (project / "tool.sh").write_text("uncommitted")
    tree = unpacked(pack_sources(project, ["HEAD", second]), tmp_path / "cache")
    assert git(tree, "rev-parse", "HEAD").strip() == first
    assert git(tree, "cat-file", "-t", second).strip() == "commit"
    assert git(tree, "status", "--porcelain").split() == ["M", "tool.sh"]


def test_a_shallow_clone_says_that_devices_cannot_compare(project: Path, tmp_path: Path) -> None:
    commit(project)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{project}", "shallow")
    packed = pack_sources(tmp_path / "shallow", ["HEAD"])
    assert packed.remark == "shallow is a shallow clone: devices cannot compare with other commits"


def test_sources_that_are_too_large_name_the_largest_files(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 1000)
    (project / "large.bin").write_bytes(b"x" * 1001)
    with pytest.raises(FleetError, match=r"large\.bin .*let git ignore large files"):
        pack_sources(project)


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="a fleet needs a git repository"):
        pack_sources(tmp_path)


def test_a_tree_that_was_not_given_back_is_made_again(project: Path, tmp_path: Path) -> None:
    packed = pack_sources(project)
    cache = SourcesCache(tmp_path / "cache")
    tree = unpacked(packed, tmp_path / "cache")
    (tree / "left").touch()
    cache.give_back(packed.name)
    assert (cache.tree(packed.name) / "left").exists()
    assert not (cache.tree(packed.name) / "left").exists()


def test_the_cache_keeps_few_sources(tmp_path: Path) -> None:
    cache = SourcesCache(tmp_path)
    for i in range(9):
        cache.add(f"hash{i}", b"data")
    assert len(list(tmp_path.iterdir())) == 4
    assert cache.has("hash8")


def test_the_sources_of_a_running_test_stay(project: Path, tmp_path: Path) -> None:
    packed, cache = pack_sources(project), SourcesCache(tmp_path / "cache")
    cache.add(packed.name, packed.data)
    tree = cache.tree(packed.name)

    def add_newer() -> None:
        os.utime(tmp_path / "cache" / packed.name, (0, 0))
        for i in range(9):
            cache.add(f"hash{i}", b"data")

    add_newer()
    assert (tree / "tool.sh").exists()
    cache.give_back(packed.name)
    add_newer()
    assert not cache.has(packed.name)


def test_a_folder_that_is_no_source_stays_and_does_not_count(tmp_path: Path) -> None:
    """Dask keeps its own files in the cache of a device."""
    (tmp_path / "dask").mkdir()
    os.utime(tmp_path / "dask", (0, 0))
    cache = SourcesCache(tmp_path)
    for i in range(9):
        cache.add(f"hash{i}", b"data")
    assert (tmp_path / "dask").is_dir()
    assert sum(cache.has(f"hash{i}") for i in range(9)) == KEPT


def test_files_that_git_ignores_travel_if_the_user_names_them(
    project: Path, tmp_path: Path
) -> None:
    (project / ".gitignore").write_text("weights\n*.pt\n__pycache__\n")
    outside = tmp_path / "large.bin"
    outside.write_text("contents")
    (project / "weights" / "__pycache__").mkdir(parents=True)
    (project / "weights" / "__pycache__" / "a.pyc").touch()
    (project / "weights" / "net.bin").symlink_to(outside)
    (project / "a.pt").write_text("a")
    (project / "b.pt").write_text("b")
    assert pack_sources(project).name != pack_sources(project, carried=[f"{project}/*.pt"]).name
    packed = pack_sources(project, carried=[f"{project}/weights", f"{project}/a.*"])
    tree = unpacked(packed, tmp_path / "cache")
    assert (tree / "weights" / "net.bin").read_text() == "contents"
    assert not (tree / "weights" / "net.bin").is_symlink()
    assert (tree / "a.pt").exists()
    assert not (tree / "b.pt").exists()
    assert not (tree / "weights" / "__pycache__").exists()


@pytest.mark.parametrize("name", ["project/gone.pt", "outside.pt"])
def test_a_named_file_that_cannot_travel_is_refused(
    project: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "outside.pt").touch()
    with pytest.raises(FleetError, match=f"{name} names no file below {project}"):
        pack_sources(project, carried=[str(tmp_path / name)])
