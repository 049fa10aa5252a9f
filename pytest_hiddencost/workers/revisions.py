"""The base of a comparison: a git revision, a folder, or another interpreter.

git checks a revision out into a temporary worktree outside the user's tree. It touches no index,
branch, stash or working tree of the user, and runs no hooks.
"""

from __future__ import annotations

import difflib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.core.errors import GitError, InterleavingError
from pytest_hiddencost.system.git import FETCH_ALL, NO_REPOSITORY, git, is_shallow
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.carried import carry, lfs_pointers, named

INTERPRETER = "installed:"
ACCEPTED = "the accepted commit"
GITLINK = "160000"  # the mode of a submodule in a tree


@dataclass(frozen=True)
class Base:
    """The base, resolved; ``name`` is what the user wrote.

    A revision has a ``commit``, a folder a ``folder``, another interpreter a ``python``; the other
    two are empty. ``top`` is the folder of the user's tree that the base stands for.
    """

    name: str
    top: Path
    commit: str = ""
    folder: Path | None = None
    python: Path | None = None


@dataclass(frozen=True)
class Tree:
    """The files of the base; ``remarks`` say which files were added, and which are missing.

    ``pointers`` are files that git-lfs left without their contents.
    """

    base: Base
    path: Path
    remarks: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        """The interpreter that runs the base."""
        return str(self.base.python or sys.executable)

    def counterpart(self, path: Path) -> Path:
        """Return the same path in the base's tree; the path itself if it is outside the user's."""
        top, real = self.base.top, path.resolve()
        return self.path / real.relative_to(top) if real.is_relative_to(top) else path


def resolve(name: str, root: Path, directory: Path) -> Base:
    """Return the base that ``name`` stands for.

    ``root`` is pytest's rootdir; ``directory`` is where pytest was started, and paths are relative
    to it. Raises ``InterleavingError`` that says which names are accepted.
    """
    root = root.resolve()
    top, why = _top_of(root)
    if name.startswith(INTERPRETER):
        python = directory / name.removeprefix(INTERPRETER)
        if not python.is_file():
            raise InterleavingError(
                f"no interpreter at {python}; give the path of a Python after {INTERPRETER}"
            )
        return Base(name, top or root, python=python)
    commit = "" if top is None else _commit_of(name, top)
    if top is not None and commit:
        return Base(name, top, commit=commit)
    folder = Path(os.path.realpath(directory / name))
    if os.path.isdir(folder):  # Path.is_dir raises for names that are too long
        if folder == (top or root):
            raise InterleavingError(
                f"{name} is the tree that the tests run in; compare with another revision or folder"
            )
        return Base(name, top or root, folder=folder)
    where = f"no revision of {top}" if top else why
    if top is not None and is_shallow(top):
        raise InterleavingError(
            f"{name!r} is neither a revision nor a folder: {top} is a shallow clone, which lacks "
            f"a part of the history; fetch the whole history ({FETCH_ALL}), and that branch (git "
            "fetch origin BRANCH)"
        )
    raise InterleavingError(
        f"{name!r} is neither a revision nor a folder ({where}); {_hint(name, top)}give a revision "
        f"such as main, a folder, or {INTERPRETER}PYTHON for another interpreter"
    )


def _hint(name: str, top: Path | None) -> str:
    """Return a branch or tag that may be meant, as a question; empty if none is close."""
    if top is None:
        return ""
    names = git(top, "for-each-ref", "--format=%(refname:short)").split()
    close = difflib.get_close_matches(name.removeprefix("origin/"), names, 1)
    return f"did you mean {close[0]}? " if close else ""


def accepted_base(commit: str, root: Path) -> Base:
    """Return the commit that accepted a baseline, as a base; ``root`` is pytest's rootdir.

    Raises ``InterleavingError`` if the tests' repository does not have it.
    """
    top, why = _top_of(root.resolve())
    if top is None or not _commit_of(commit, top):
        if top is not None and is_shallow(top):
            why = f"{top} is a shallow clone without commit {commit[:10]}; fetch the whole history"
            raise InterleavingError(f"{why} ({FETCH_ALL})")
        raise InterleavingError(why or f"{top} has no commit {commit[:10]}")
    return Base(ACCEPTED, top, commit=commit)


def materialised(
    base: Base, reaper: Reaper, conftests: Iterable[Path] = (), carried: Sequence[str] = ()
) -> Tree:
    """Return the tree of the base, a worktree for a revision; the reaper removes it at the end.

    ``conftests`` are the conftest.py files of this run: those that git does not know are copied
    into the worktree, and so are the files that ``carried`` names. A worktree that cannot be filled
    is removed at once. Raises ``GitError`` and ``InterleavingError``.
    """
    if not base.commit:
        return Tree(base, base.folder or base.top)
    folder = temporary_folder("hiddencost-against-", reaper)
    path = folder / (base.top.name or "tree")
    reaper.worktree(base.top, path)
    try:
        return _filled(base, path, conftests, carried)
    except OSError as error:
        _remove(base, path)
        raise InterleavingError(f"the files of {base.name} cannot be written: {error}") from error
    except (GitError, InterleavingError):
        _remove(base, path)
        raise


def temporary_folder(prefix: str, reaper: Reaper) -> Path:
    """Make a folder that the reaper removes at the end. Raises ``InterleavingError``."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    except OSError as error:
        raise InterleavingError(f"no temporary folder can be made: {error}") from error
    reaper.folder(folder)
    return folder


def _remove(base: Base, path: Path) -> None:
    """Remove a worktree and the folder around it."""
    with suppress(GitError):  # git may not know it yet
        git(base.top, "worktree", "remove", "--force", "--force", str(path))
    shutil.rmtree(path.parent, ignore_errors=True)


def _filled(base: Base, path: Path, conftests: Iterable[Path], carried: Sequence[str]) -> Tree:
    """Check the base out into a worktree, and fill in what git does not have."""
    _check_out(base, path)
    remarks = _submodules(base.top, base.commit, path) + _taken_along(base, path, conftests)
    remarks += carry(carried, base.top, path, lfs_pointers(path))
    pointers = lfs_pointers(path)
    if pointers:
        remarks.append(
            f"git-lfs left pointers in the place of {named(pointers)}: fetch them (git lfs fetch "
            f"origin {base.commit[:10]}), or take yours along with "
            f"--hiddencost-carry={named(pointers)}"
        )
    return Tree(base, path, tuple(remarks), pointers)


def _check_out(base: Base, path: Path) -> None:
    """Make the worktree; without git-lfs if it fails, so that its files stay pointers."""
    add = ("worktree", "add", "--quiet", "--detach", str(path), base.commit)
    no_hooks = ("-c", "core.hooksPath=/dev/null")
    no_lfs = [f"filter.lfs.{key}" for key in ("smudge=", "process=", "required=false")]
    try:
        git(base.top, *no_hooks, *add)
    except GitError as error:
        if "lfs" not in str(error):
            raise
        git(base.top, *no_hooks, *(part for each in no_lfs for part in ("-c", each)), *add)


def _top_of(root: Path) -> tuple[Path | None, str]:
    """Return the top of the repository around this folder, or None and why there is none."""
    try:
        return Path(git(root, "rev-parse", "--show-toplevel").removesuffix("\n")), ""
    except GitError as error:
        why = str(error)
        return None, f"{root} is not in a git repository" if NO_REPOSITORY in why else why


def _commit_of(name: str, top: Path) -> str:
    if name.startswith("-"):
        return ""
    try:
        return git(top, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    except GitError:
        return ""


def _submodules(repository: Path, commit: str, path: Path, prefix: str = "") -> list[str]:
    """Fill in the submodules from the user's checkouts of them, without asking a server."""
    listing = git(repository, "ls-tree", "-r", "-z", commit)
    remarks = []
    for line in filter(None, listing.split("\0")):
        described, _, name = line.partition("\t")
        mode, _, of_module = described.split()[:3]
        if mode != GITLINK:
            continue
        module, target = repository / name, path / name
        try:
            _export(module, of_module, target)
        except GitError:
            why = f"{of_module[:10]} is not checked out here"
            if _top_of(module)[0] == module.resolve() and is_shallow(module):
                why = f"its shallow clone lacks {of_module[:10]} (git fetch --unshallow in it)"
            remarks.append(f"submodule {prefix}{name} is left empty: {why}")
        else:
            remarks.append(f"submodule {prefix}{name} is taken at {of_module[:10]}")
            remarks += _submodules(module, of_module, target, f"{prefix}{name}/")
    return remarks


def _export(repository: Path, commit: str, target: Path) -> None:
    """Write the files of a commit to ``target``, without touching the repository's own index."""
    if _top_of(repository)[0] != repository.resolve():
        raise GitError(f"{repository} is not checked out")
    with tempfile.TemporaryDirectory(prefix="hiddencost-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git(repository, "read-tree", commit, environment=index)
        git(repository, "checkout-index", "--all", f"--prefix={target}/", environment=index)


def _taken_along(base: Base, path: Path, conftests: Iterable[Path]) -> list[str]:
    """Copy the conftest.py files that git does not know: tests may not run without them."""
    remarks = []
    known = set(git(base.top, "ls-files", "-z").split("\0"))
    for conftest in sorted(path.resolve() for path in conftests):
        if not conftest.is_relative_to(base.top):
            continue
        name = conftest.relative_to(base.top).as_posix()
        target = path / name
        if name in known or target.exists() or not target.parent.is_dir():
            continue
        target.write_bytes(conftest.read_bytes())
        remarks.append(f"{name} is not committed: taken along as it is")
    return remarks
