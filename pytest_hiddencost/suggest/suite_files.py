"""Test files of a suite: found by node id below the root folder, and written in one step."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from pytest_hiddencost.core.errors import SuggestionError
from pytest_hiddencost.options import MODELS
from pytest_hiddencost.suggest.by_function import FunctionSuggestion
from pytest_hiddencost.system.replacing import replacing


@dataclass(frozen=True)
class FileChange:
    """A test file before and after markers were put in; ``name`` is its path in node ids."""

    name: str
    path: Path
    before: bytes
    after: bytes
    encoding: str
    functions: tuple[str, ...]

    def diff(self) -> str:
        """Return the change as a unified diff."""
        before, after = (
            source.decode(self.encoding).replace("\r\n", "\n").removesuffix("\n").split("\n")
            for source in (self.before, self.after)
        )
        names = f"a/{self.name}", f"b/{self.name}"
        return "\n".join(unified_diff(before, after, *names, lineterm=""))

    def write(self) -> None:
        """Replace the file, unless it changed meanwhile. Raises ``SuggestionError``."""
        try:
            if self.path.read_bytes() != self.before:
                raise SuggestionError(f"{self.name}: changed meanwhile, so nothing was written")
            with replacing(self.path, stat.S_IMODE(self.path.stat().st_mode)) as file:
                file.write(self.after)
        except OSError as error:
            raise SuggestionError(f"{self.name}: {_why(error)}") from error


@dataclass(frozen=True)
class Plan:
    """The changes of all files, and a line on each function that gets no marker."""

    changes: tuple[FileChange, ...]
    left_alone: tuple[str, ...]


def plan_changes(root: Path, functions: Sequence[FunctionSuggestion]) -> Plan:
    """Return how to put the markers of these functions into the files below ``root``."""
    by_file: dict[str, list[FunctionSuggestion]] = {}
    for function in functions:
        by_file.setdefault(function.id.partition("::")[0], []).append(function)
    changes, left_alone = [], list[str]()
    for name, of_file in by_file.items():
        try:
            change = _change(root, name, of_file, left_alone)
        except (SuggestionError, RecursionError) as error:
            deep = isinstance(error, RecursionError)
            why = "its expressions are nested too deeply" if deep else str(error)
            left_alone += [f"{function.id}: {why}" for function in of_file]
            continue
        if change is not None:
            changes.append(change)
    return Plan(tuple(changes), tuple(left_alone))


def _change(
    root: Path, name: str, functions: Sequence[FunctionSuggestion], left_alone: list[str]
) -> FileChange | None:
    """Return the change of one file; functions that get no marker go to ``left_alone``."""
    from pytest_hiddencost.suggest.marker_insertion import SourceFile

    path = _located(root, name)
    before = _read(path)
    source = SourceFile(before)
    wanted, written = [], list[str]()
    for function in functions:
        try:
            found = source.unmarked(tuple(function.id.split("::")[1:]))
            if function.limited_in_run:
                raise SuggestionError(
                    "a marker limited it when it was measured, and none is in this file; measure "
                    "again if it was removed"
                )
            if not function.markers:
                raise SuggestionError("no limit on it can be decided")
        except SuggestionError as error:
            left_alone.append(f"{function.id}: {error}")
            continue
        wanted.append((found, function.markers))
        written.append(function.id)
    if not wanted:
        return None
    after = source.with_markers(wanted)
    return FileChange(name, path, before, after, source.encoding, tuple(written))


def _located(root: Path, name: str) -> Path:
    """Return the path of a test file that may be written. Raises ``SuggestionError``."""
    if name == MODELS:
        raise SuggestionError("is a model without a test file; put its lines into the ini file")
    if not name.endswith(".py"):
        raise SuggestionError("is no test function in a Python file")
    try:
        base, path = root.resolve(), (root / name).resolve()
        exists = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise SuggestionError(f"its path cannot be used: {_why(error)}") from error
    if not path.is_relative_to(base):
        raise SuggestionError(f"its file is not below {base}; name pytest's rootdir with --root")
    if not exists:
        raise SuggestionError(f"no file {name} in {base}; name pytest's rootdir with --root")
    if "site-packages" in path.parts:
        raise SuggestionError("its file belongs to an installed package")
    return path


def _read(path: Path) -> bytes:
    try:
        # Root may write any file: the permission says what the owner wants.
        if not (path.stat().st_mode & 0o222 and os.access(path, os.W_OK)):
            raise SuggestionError("its file is read-only")
        return path.read_bytes()
    except OSError as error:
        raise SuggestionError(f"its file cannot be read: {_why(error)}") from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
