"""The commit at which a baseline entry was accepted: the last that changed it in its file.

A baseline is committed with the code that it accepts. So a call is compared with the code of that
commit, whatever the working tree held at recording. An entry that only moves to another test, label
or file keeps the commit that accepted it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pytest_hiddencost.core.errors import GitError
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.system.git import NO_REPOSITORY, git, shallow_boundaries

WORKING_TREE = ""  # in the place of a commit


@dataclass(frozen=True)
class Accepted:
    """The commit that accepted an entry; the test module's path, the test and the label in it."""

    commit: str
    module: str
    test: str
    label: str


class _Place(NamedTuple):
    """The place of an entry in a commit: a file's path below the top, a test, a label."""

    path: str
    test: str
    label: str


class NoCommit(Exception):
    """No commit accepted the entry; ``reason`` has the finding and the remedy."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.found)
        self.reason = reason


class AcceptedCommits:
    """Finds the commits of the entries of one baseline file.

    ``folder`` holds the files of the device, between which entries may have moved.
    """

    def __init__(self, file: Path, folder: Path | None = None) -> None:
        self._file = file
        self._folder = folder or file.parent
        self._read: dict[tuple[str, str], dict[str, Any] | None] = {}

    def of(self, test: str, label: str) -> Accepted:
        """Return the commit that last changed the entry of a call. Raises ``NoCommit``."""
        commit, place = "HEAD", _Place(self._path, test, label)
        accepted = self._entry(WORKING_TREE, place)
        committed = None
        if accepted is not None and self._has_commits:
            committed = self._earlier(commit, WORKING_TREE, place)
        if committed is None:
            raise NoCommit(reasons.NOT_COMMITTED.filled(file=self._file.name))
        place = committed
        while True:
            last = ("rev-list", "-1", commit, "--", f":(top){place.path}")
            commit = self._git(*last).strip()
            if commit in self._boundaries:
                raise NoCommit(reasons.SHALLOW)
            for parent in self._git("rev-parse", f"{commit}^@").split():
                earlier = self._earlier(parent, commit, place)
                if earlier is not None:
                    commit, place = parent, earlier
                    break
            else:
                module = (self._document(commit, place.path) or {}).get("module")
                module = module if isinstance(module, str) else ""
                return Accepted(commit, module, place.test, place.label)

    def _earlier(self, parent: str, commit: str, place: _Place) -> _Place | None:
        """Return the place of the same entry in a commit's parent; None if it is not there."""
        accepted = self._entry(commit, place)
        same = place._replace(path=self._earlier_path(parent, commit, place.path))
        there = self._entry(parent, same)
        if there is not None:
            return same if there == accepted else None
        moved = [
            found
            for path in dict.fromkeys([same.path, *self._changed(parent, commit)])
            for found in _places(path, self._document(parent, path))
            if self._entry(parent, found) == accepted and self._entry(commit, found) != accepted
        ]
        return moved[0] if len(moved) == 1 else None

    def _changed(self, parent: str, commit: str) -> list[str]:
        """Return the device's files that differ between a commit and its parent."""
        top = self._file.parents[self._path.count("/")]
        folder = self._folder.relative_to(top).as_posix() if self._folder != top else ""
        lost = ("-r", "-z", "--name-only", "--diff-filter=DM")  # an added file has lost no entry
        where = ("--", f":(top){folder}")
        if commit != WORKING_TREE:
            listed = self._git("diff-tree", *lost, parent, commit, *where)
        else:
            listed = self._git("diff-index", *lost, parent, *where)
        return [path for path in listed.split("\0") if path]

    @cached_property
    def _path(self) -> str:
        """The file's path below the top of its repository."""
        try:
            prefix = git(self._file.parent, "rev-parse", "--show-prefix").removesuffix("\n")
        except GitError as error:
            missing = NO_REPOSITORY in str(error)
            raise NoCommit(
                reasons.NOT_IN_GIT if missing else reasons.NO_GIT.filled(why=error)
            ) from error
        return f"{prefix}{self._file.name}"

    @property
    def _has_commits(self) -> bool:
        """Whether the repository has a commit yet."""
        return bool(self._git("rev-list", "--all", "--max-count=1").strip())

    @cached_property
    def _boundaries(self) -> frozenset[str]:
        """The commits of a shallow clone whose parents are missing."""
        try:
            return shallow_boundaries(self._file.parent)
        except GitError as error:
            raise NoCommit(reasons.NO_GIT.filled(why=error)) from error

    def _earlier_path(self, parent: str, commit: str, path: str) -> str:
        """Return the file's path in the parent of a commit, which may have renamed it."""
        if commit == WORKING_TREE or self._document(parent, path) is not None:
            return path
        renamed = ("diff-tree", "-r", "-z", "-M", "--diff-filter=R", "--name-status")
        fields = self._git(*renamed, parent, commit).split("\0")
        for earlier, later in zip(fields[1::3], fields[2::3], strict=False):
            if later == path:
                return earlier
        return path

    def _entry(self, commit: str, place: _Place) -> Any:
        """Return the plain entry at a place; None if there is none."""
        entries = (self._document(commit, place.path) or {}).get("entries")
        labels = entries.get(place.test) if isinstance(entries, dict) else None
        return labels.get(place.label) if isinstance(labels, dict) else None

    def _document(self, commit: str, path: str) -> dict[str, Any] | None:
        """Return the file's contents in a commit; None if it is not there or cannot be read."""
        if (commit, path) not in self._read:
            self._read[commit, path] = _parsed(self._text(commit, path))
        return self._read[commit, path]

    def _text(self, commit: str, path: str) -> str:
        try:
            if commit != WORKING_TREE:
                return git(self._file.parent, "show", f"{commit}:{path}")
            top = self._file.parents[self._path.count("/")]
            return (top / path).read_text(encoding="utf-8")
        except (GitError, OSError, ValueError):
            return ""

    def _git(self, *arguments: str) -> str:
        try:
            return git(self._file.parent, *arguments)
        except GitError as error:
            raise NoCommit(reasons.NO_GIT.filled(why=error)) from error


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _places(path: str, document: dict[str, Any] | None) -> Iterator[_Place]:
    """Yield the places of a file's entries."""
    entries = (document or {}).get("entries")
    for test, labels in entries.items() if isinstance(entries, dict) else ():
        for label in labels if isinstance(labels, dict) else ():
            yield _Place(path, test, label)
