"""Files that base needs and git does not have: taken along, or named when base lacks them."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pytest_hiddencost.core.errors import GitError, InterleavingError
from pytest_hiddencost.system.git import git

OPTION = "--hiddencost-carry"
POINTER = b"version https://git-lfs.github.com/spec/"
MOST_FILES_NAMED = 8
# Kinds of files that models are made of, and that repositories seldom hold.
DATA = (
    *("pt", "pth", "ckpt", "bin", "onnx", "safetensors", "npy", "npz", "pkl", "pickle", "h5"),
    *("tflite", "engine", "so", "pyd", "csv", "parquet"),
)
MISSING = re.compile(
    "No such file|does ?n[o']t exist|not found|cannot find|can't find|No module named|"
    "weights|checkpoint|pretrained|cannot open|unable to (open|load|find)|is not a local folder|"
    "FileNotFound",
    re.IGNORECASE,
)
QUOTED = re.compile(r"""'([^'\n]+)'|"([^"\n]+)"|([^\s'"(),;]+)""")
MODULE = re.compile(r"No module named '([\w.]+)'")
SKIPPED = frozenset({".git", "__pycache__"})  # of a folder that is carried
FOREIGN = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})


def carry(patterns: Sequence[str], top: Path, path: Path, pointers: Iterable[str]) -> list[str]:
    """Copy files and folders of the tree ``top`` to the worktree ``path``; return remarks.

    ``patterns`` are absolute paths or globs. A file that base has itself stays, unless it is one of
    ``pointers``, those of git-lfs. Base gets copies, so that it cannot write into the user's files.
    Raises ``InterleavingError``.
    """
    remarks = []
    for pattern in patterns:
        found = matching(pattern)
        inside = within(top, found)
        if not inside:
            why = "outside of the tree, where base reads it as it is" if found else "not there"
            remarks.append(f"{pattern} is {why} ({OPTION})")
        for name, source in inside.items():
            copied = _copied(source, path / name, frozenset(path / each for each in pointers))
            remarks.append(
                f"{name} is taken along as it is in this tree"
                if copied
                else f"{name} stays as base has it"
            )
    return remarks


def matching(pattern: str) -> list[Path]:
    """Return the files and folders that an absolute path or glob names."""
    found = sorted(glob.glob(pattern, recursive=True))
    if not found and os.path.lexists(pattern):  # a name with brackets
        found = [pattern]
    return [Path(path) for path in found]


def within(top: Path, paths: Sequence[Path]) -> dict[str, Path]:
    """Return those of the files and folders that lie below ``top``, by their path there."""
    return {name: source for source in paths if (name := _inside(source, top))}


def _inside(source: Path, top: Path) -> str:
    """Return a path below ``top``, which may be a link; empty for others and git's own folder."""
    real = source.parent.resolve() / source.name
    name = real.relative_to(top).as_posix() if real.is_relative_to(top) else ""
    return "" if name == "." or name.split("/")[0] == ".git" else name


def _copied(source: Path, target: Path, pointers: frozenset[Path]) -> bool:
    """Copy what is not there yet; return whether anything was."""
    try:
        if source.is_dir():
            inner = [item for item in source.iterdir() if item.name not in SKIPPED]
            target.mkdir(parents=True, exist_ok=True)
            return any([_copied(item, target / item.name, pointers) for item in sorted(inner)])
        if os.path.lexists(target) and target not in pointers:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(source, target)
    except OSError as error:
        raise InterleavingError(
            f"{source} could not be copied for base ({OPTION}): {error.strerror or error}"
        ) from error
    return True


def lfs_pointers(path: Path) -> tuple[str, ...]:
    """Return the files of a worktree that git-lfs left as pointers to their contents."""
    try:
        listed = git(path, "ls-files", "-z", "--", ":(attr:filter=lfs)")
    except GitError:
        return ()
    return tuple(name for name in listed.split("\0") if name and _is_pointer(path / name))


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(POINTER)) == POINTER
    except OSError:
        return False


def lacking(why: str, top: Path, path: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    """Return files of the tree ``top`` that git does not know and that base at ``path`` misses.

    ``why`` is base's error: the files are those that it names. If it names none and speaks of a
    missing file, they are all data files. Relative names are relative to one of ``folders``.
    """
    found = list(dict.fromkeys(_named(why, top, path, folders)))
    try:
        found = [name for name in found if not _known(top, name)]
        # If the error names a file, head lacks this file too, and other files would not help.
        if not found and MISSING.search(why) and not _names_a_path(why):
            found = _data_files(top)
    except GitError:
        return ()
    return tuple(name for name in found if not (path / name).exists())


def _names_a_path(why: str) -> bool:
    """Return whether an error names a data file or a module."""
    return any(f".{kind}" in why for kind in DATA) or "No module named" in why


def _known(top: Path, name: str) -> bool:
    """Return whether git has a file, or any file of a folder."""
    return bool(git(top, "ls-files", "-z", "--", f":(top,literal){name}"))


def _named(why: str, top: Path, path: Path, folders: Sequence[Path]) -> Iterator[str]:
    """Yield paths below ``top`` of files that the text names and head has."""
    for match in MODULE.finditer(why):
        inner = match[1].replace(".", "/")
        for folder in (*folders, top / "src", top):
            found = [*folder.glob(f"{inner}.*"), folder / inner / "__init__.py"]
            yield from (_below(file, top) for file in found if file.is_file())
    for match in QUOTED.finditer(why):
        text = next(filter(None, match.groups())).rstrip(".:")
        if len(text) > 1000 or "\0" in text:
            continue
        given = Path(text)
        if given.is_absolute():
            real = Path(os.path.realpath(given))
            tries = [top / real.relative_to(path)] if real.is_relative_to(path) else []
        else:
            tries = [folder / given for folder in folders]
        for candidate in tries:
            if candidate.is_relative_to(top) and candidate != top and os.path.lexists(candidate):
                if ".." not in candidate.parts and (candidate.suffix or "/" in text):
                    yield _below(candidate, top)
                break


def _below(file: Path, top: Path) -> str:
    return file.relative_to(top).as_posix()


def _data_files(top: Path) -> list[str]:
    """Return the data files that git does not know, without those of environments."""
    kinds = [f"*.{kind}" for kind in DATA]
    listed = git(top, "ls-files", "--others", "-z", "--", *kinds).split("\0")
    return [
        name
        for name in filter(None, listed)
        if FOREIGN.isdisjoint(name.split("/")) and not name.startswith(".")
    ]


def named(files: Sequence[str]) -> str:
    """Return the files, at most a few of them, as the option takes them."""
    return ",".join(files[:MOST_FILES_NAMED])
