"""The commit at which a baseline entry was accepted: the last that changed it in its file.

A baseline is committed with the code that it accepts. So the code of that commit is what a call is
compared with, whatever the working tree held when the entry was recorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.errors import GitError
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.system.git import NO_REPOSITORY, git


@dataclass(frozen=True)
class Accepted:
    """The commit that accepted an entry, and the test module's path in it."""

    commit: str
    module: str


class NoCommit(Exception):
    """There is no such commit; ``reason`` says why, and what to do."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.found)
        self.reason = reason


class AcceptedCommits:
    """Finds the commits of the entries of one baseline file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read: dict[tuple[str, str], dict[str, Any] | None] = {}

    def of(self, test: str, label: str) -> Accepted:
        """Return the commit that last changed the entry of a call. Raises ``NoCommit``."""
        commit, path = "HEAD", self._path
        accepted = self._entry(commit, path, test, label)
        current = _entry_in(self._parsed(self._file.read_text(encoding="utf-8")), test, label)
        if accepted is None or accepted != current:
            raise NoCommit(reasons.NOT_COMMITTED.filled(file=self._file.name))
        while True:
            commit = self._git("log", "-1", "--format=%H", commit, "--", f":(top){path}").strip()
            if commit in self._boundaries:
                raise NoCommit(reasons.SHALLOW)
            for parent in self._git("rev-parse", f"{commit}^@").split():
                earlier = self._earlier_path(parent, commit, path)
                if self._entry(parent, earlier, test, label) == accepted:
                    commit, path = parent, earlier
                    break
            else:
                return self._accepted(commit, path)

    def _accepted(self, commit: str, path: str) -> Accepted:
        module = (self._document(commit, path) or {}).get("module")
        return Accepted(commit, module if isinstance(module, str) else "")

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

    @cached_property
    def _boundaries(self) -> frozenset[str]:
        """The commits of a shallow clone whose parents are missing."""
        path = Path(self._file.parent, self._git("rev-parse", "--git-path", "shallow").strip())
        return frozenset(path.read_text(encoding="ascii").split() if path.exists() else ())

    def _earlier_path(self, parent: str, commit: str, path: str) -> str:
        """Return the file's path in the parent of a commit, which may have renamed it."""
        if self._document(parent, path) is not None:
            return path
        renamed = ("diff-tree", "-r", "-z", "-M", "--diff-filter=R", "--name-status")
        fields = self._git(*renamed, parent, commit).split("\0")
        for earlier, later in zip(fields[1::3], fields[2::3], strict=False):
            if later == path:
                return earlier
        return path

    def _entry(self, commit: str, path: str, test: str, label: str) -> Any:
        return _entry_in(self._document(commit, path), test, label)

    def _document(self, commit: str, path: str) -> dict[str, Any] | None:
        """Return the file's contents in a commit; None if it is not there or cannot be read."""
        if (commit, path) not in self._read:
            try:
                text = git(self._file.parent, "show", f"{commit}:{path}")
            except GitError:
                text = ""
            self._read[commit, path] = self._parsed(text)
        return self._read[commit, path]

    def _parsed(self, text: str) -> dict[str, Any] | None:
        try:
            found = json.loads(text)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def _git(self, *arguments: str) -> str:
        try:
            return git(self._file.parent, *arguments)
        except GitError as error:
            raise NoCommit(reasons.NO_GIT.filled(why=error)) from error


def _entry_in(document: dict[str, Any] | None, test: str, label: str) -> Any:
    """Return the plain entry of a call; None if there is none."""
    entries = (document or {}).get("entries")
    labels = entries.get(test) if isinstance(entries, dict) else None
    return labels.get(label) if isinstance(labels, dict) else None
