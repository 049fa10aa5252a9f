"""Files that base needs and git does not have: taken along as copies, or named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.workers.carried import lacking, lfs_pointers
from pytest_hiddencost.workers.revisions import Tree, accepted_base, materialised, resolve
from tests.repositories import commit, git, write

IGNORED = "*.pt\ndata/\n_version.py\nlib*.so\n__pycache__/\n"


class Folders:
    """Stands in for the reaper: what it would remove is left to pytest."""

    def folder(self, _: Path) -> None: ...

    def worktree(self, *_: Path) -> None: ...


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits and files that git ignores or does not know."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = tmp_path / "project"
    write(found, **{"tests/test_it": "x = 1", "net/__init__": "", "mynet": "y = 1"})
    commit(found)
    (found / ".gitignore").write_text(IGNORED)
    write(found, mynet="y = 2")
    commit(found)
    for name in ("weights.pt", "tests/small.pt", "data/a/b.npy", "net/_version.py", "net/libx.so"):
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_bytes(name.encode())
    (found / "untracked.bin").write_bytes(b"untracked")
    return found


def base_of(top: Path, *carried: str, name: str = "HEAD~1") -> Tree:
    patterns = [str(top / pattern) for pattern in carried]
    return materialised(resolve(name, top, top), Folders(), (), patterns)  # type: ignore[arg-type]


# --- taken along --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["weights.pt"], ["weights.pt"]),
        (["weights.pt", "tests/*.pt"], ["weights.pt", "tests/small.pt"]),
        (["**/*.pt"], ["weights.pt", "tests/small.pt"]),
        (["data"], ["data/a/b.npy"]),
        (["data/a"], ["data/a/b.npy"]),
        (["untracked.bin"], ["untracked.bin"]),
        (["net/_version.py"], ["net/_version.py"]),
    ],
)
def test_files_that_git_does_not_have_are_taken_along(
    top: Path, patterns: Sequence[str], names: Sequence[str]
) -> None:
    tree = base_of(top, *patterns)
    for name in names:
        assert (tree.path / name).read_bytes() == (top / name).read_bytes()
    assert all("taken along as it is in this tree" in remark for remark in tree.remarks)
    assert (tree.path / "mynet.py").read_text() == "y = 1"


def test_base_has_copies_and_writes_into_no_file_of_the_user(top: Path) -> None:
    (top / "linked.pt").symlink_to("weights.pt")
    tree = base_of(top, "*.pt", "data")
    for name in ("weights.pt", "linked.pt", "data/a/b.npy"):
        (tree.path / name).write_bytes(b"base wrote this")
        assert (top / name).read_bytes() != b"base wrote this"


def test_a_link_out_of_the_tree_is_taken_along_with_its_contents(top: Path) -> None:
    stored = top.parent / "stored"
    (stored / "deep").mkdir(parents=True)
    (stored / "deep" / "net.pt").write_bytes(b"stored")
    (top / "link.pt").symlink_to(stored / "deep" / "net.pt")
    (top / "models").symlink_to(stored)
    path = base_of(top, "link.pt", "models").path
    for name in ("link.pt", "models/deep/net.pt"):
        assert (path / name).read_bytes() == b"stored"
        (path / name).write_bytes(b"base wrote this")
    assert (stored / "deep" / "net.pt").read_bytes() == b"stored"


def test_what_base_has_itself_stays(top: Path) -> None:
    tree = base_of(top, "mynet.py", "tests")
    assert (tree.path / "mynet.py").read_text() == "y = 1"
    assert (tree.path / "tests" / "small.pt").exists()
    assert tree.remarks == (
        "mynet.py stays as base has it",
        "tests is taken along as it is in this tree",
    )


def test_what_is_not_there_or_elsewhere_is_told(top: Path) -> None:
    (top.parent / "elsewhere.pt").touch()
    remarks = base_of(top, "nothing*.pt", "../elsewhere.pt").remarks
    assert len(remarks) == 2
    assert remarks[0].endswith("nothing*.pt is not there (--hiddencost-carry)")
    assert "elsewhere.pt is outside of the tree" in remarks[1]


def test_a_name_with_brackets_is_a_name(top: Path) -> None:
    (top / "net[1].pt").write_bytes(b"1")
    assert (base_of(top, "net[1].pt").path / "net[1].pt").read_bytes() == b"1"


def test_a_copy_that_fails_names_the_option(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(InterleavingError, match=r"--hiddencost-carry\): No space left on device"):
        base_of(top, "weights.pt")


# --- named when they lack -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "names"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: 'weights.pt'", ["weights.pt"]),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: '{base}/weights.pt'",
            ["weights.pt"],
        ),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'small.pt'", ["tests/small.pt"]),
        ("ValueError: The provided filename weights.pt does not exist", ["weights.pt"]),
        ('OSError: cannot open "data/a/b.npy"', ["data/a/b.npy"]),
        ("NotADirectoryError: {base}/data/a", ["data/a"]),
        ("RuntimeError: untracked.bin not found.", ["untracked.bin"]),
        ("ModuleNotFoundError: No module named 'net._version'", ["net/_version.py"]),
        ("ImportError: No module named 'net.libx'", ["net/libx.so"]),
        (
            "the test was skipped: needs the weights",
            ["net/libx.so", "tests/small.pt", "untracked.bin", "weights.pt", "data/a/b.npy"],
        ),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.pt'", []),
        ("ModuleNotFoundError: No module named 'elsewhere'", []),
        ("there is no tests/test_it.py::test_new", []),
        ("the test failed in its call: assert 1 == 2", []),
        ("tests/test_it.py could not be collected: cannot open 'weights.pt'", ["weights.pt"]),
        ("mynet.py could not be collected: ImportError: cannot import name 'x' from 'mynet'", []),
    ],
)
def test_files_that_base_lacks_are_named(top: Path, why: str, names: Sequence[str]) -> None:
    base = base_of(top).path
    folders = [top, top / "tests"]
    found = lacking(why.replace("{base}", str(base)), top, base, folders)
    assert sorted(found) == sorted(names)


def test_files_that_were_taken_along_are_not_named(top: Path) -> None:
    base = base_of(top, "weights.pt").path
    assert lacking("No such file or directory: 'weights.pt'", top, base, [top]) == ()


# --- git-lfs ------------------------------------------------------------------------------------


def pointer(data: bytes) -> str:
    sha = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(data)}\n"


@pytest.fixture
def with_lfs(top: Path) -> Path:
    """A repository in which git-lfs is not installed, but required."""
    (top / ".gitattributes").write_text("*.onnx filter=lfs diff=lfs merge=lfs -text\n")
    (top / "net.onnx").write_text(pointer(b"old"))
    (top / "plain.onnx").write_text("contents")
    commit(top)
    for key, value in (("smudge", "git-lfs-of-nobody smudge"), ("required", "true")):
        git(top, "config", f"filter.lfs.{key}", value)
    return top


def test_pointers_of_git_lfs_are_told(with_lfs: Path) -> None:
    tree = base_of(with_lfs, name="HEAD")
    assert tree.pointers == lfs_pointers(tree.path) == ("net.onnx",)
    [remark] = tree.remarks
    assert "git-lfs left pointers in the place of net.onnx" in remark
    assert "git lfs fetch" in remark
    assert "--hiddencost-carry=net.onnx" in remark


def test_contents_are_taken_along_in_the_place_of_pointers(with_lfs: Path) -> None:
    (with_lfs / "net.onnx").write_bytes(b"old")
    tree = base_of(with_lfs, "net.onnx", "plain.onnx", name="HEAD")
    assert (tree.path / "net.onnx").read_bytes() == b"old"
    assert tree.pointers == ()
    assert tree.remarks[1] == "plain.onnx stays as base has it"


# --- shallow clones -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["HEAD~1", "main~1", "origin/other", "v1", "0" * 40])
def test_a_revision_that_a_shallow_clone_lacks_is_told_apart(
    top: Path, tmp_path: Path, name: str
) -> None:
    clone = tmp_path / "clone"
    git(top, "clone", "--quiet", "--depth=1", top.as_uri(), str(clone))
    with pytest.raises(InterleavingError) as caught:
        resolve(name, clone, clone)
    assert f"{name!r} is neither a revision nor a folder: {clone} is a shallow clone" in str(
        caught.value
    )
    assert "fetch-depth: 0, or git fetch --unshallow" in str(caught.value)
    with pytest.raises(InterleavingError, match=r"shallow clone without commit 1111111111.*unshal"):
        accepted_base("1" * 40, clone)
    git(clone, "fetch", "--quiet", "--unshallow")
    with pytest.raises(InterleavingError) as caught:
        resolve("nothing", clone, clone)
    assert "a shallow clone" not in str(caught.value)
