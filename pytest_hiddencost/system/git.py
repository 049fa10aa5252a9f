"""Runs git without input from a person and without the environment of a git hook."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pytest_hiddencost.core.errors import GitError

NO_REPOSITORY = "not a git repository"  # in git's words
FETCH_ALL = "fetch-depth: 0, or git fetch --unshallow"  # in CI, or by hand
STATUS_S = 30.0  # enough for a large working tree
CHECKOUT_S = 600.0  # enough for a checkout on a board
# Variables of one repository (``git rev-parse --local-env-vars``), which a hook sets. Without those
# of the configuration: git keeps them itself for other repositories (safe.directory).
OF_A_REPOSITORY = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR",
        "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
    }
)  # fmt: skip


def git(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    limit_s: float = CHECKOUT_S,
) -> str:
    """Run git in ``folder`` and return its standard output.

    ``environment`` is added to the process's. Raises ``GitError`` if git cannot be run, takes
    longer than ``limit_s`` or fails.
    """
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
            env={**outside_hooks(), "LC_ALL": "C", **(environment or {})},  # untranslated words
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git could not be run: {error}") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        words = " ".join(arguments[:4])
        raise GitError(f"git {words}: {lines[-1] if lines else f'exit {done.returncode}'}")
    return done.stdout.decode(errors="surrogateescape")


def outside_hooks() -> dict[str, str]:
    """Return the environment without the variables of one repository; git asks no person.

    With them, git would use the hook's repository and index instead of those of the folder. Those
    on pathspecs go as well: they would change the meaning of ours.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in OF_A_REPOSITORY and not name.endswith("_PATHSPECS")
    }
    return {**kept, "GIT_TERMINAL_PROMPT": "0"}


def shallow_boundaries(folder: Path) -> frozenset[str]:
    """Return the commits of a shallow clone whose parents are missing; none in a whole clone.

    Raises ``GitError``.
    """
    path = Path(folder, git(folder, "rev-parse", "--git-path", "shallow").removesuffix("\n"))
    return frozenset(path.read_text(encoding="ascii").split() if path.exists() else ())


def is_shallow(folder: Path) -> bool:
    """Return whether a folder lies in a shallow clone; False outside a repository."""
    try:
        return bool(shallow_boundaries(folder))
    except GitError:
        return False


def checked_out_commit(root: Path) -> dict[str, object] | None:
    """Return ``{"id", "dirty"}`` of the checked-out commit; None outside a repository."""
    try:
        commit = git(root, "rev-parse", "HEAD", limit_s=STATUS_S).strip()
        status = git(root, "status", "--porcelain", limit_s=STATUS_S)
        return {"id": commit, "dirty": bool(status.strip())}
    except GitError:
        return None


def checked_out_branch(root: Path) -> str:
    """Return the branch that is checked out; empty for a detached commit or no repository."""
    try:
        return git(root, "branch", "--show-current", limit_s=STATUS_S).strip()
    except GitError:
        return ""


def commit_line(root: Path) -> str:
    """Return the commit as ``1a2b3c4d5e6f with changes``; empty outside a repository."""
    commit = checked_out_commit(root)
    if commit is None:
        return ""
    return str(commit["id"])[:12] + (" with changes" if commit["dirty"] else "")


def top_folder(folder: Path) -> Path:
    """Return the top of the working tree around a folder. Raises ``GitError`` without one."""
    top = git(folder, "rev-parse", "--show-toplevel", limit_s=STATUS_S)
    return Path(top.removesuffix("\n"))


def tracked_files(folder: Path, pattern: str) -> frozenset[str]:
    """Return the tracked files of the whole repository that match, relative to its top.

    ``pattern`` is a pathspec such as ``*.py``, which matches in every folder. Raises ``GitError``.
    """
    listed = git(folder, "ls-files", "-z", "--full-name", f":(top){pattern}", limit_s=STATUS_S)
    return frozenset(filter(None, listed.split("\0")))
