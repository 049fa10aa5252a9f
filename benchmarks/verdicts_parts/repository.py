"""A project as a git repository, whoever runs this."""

from __future__ import annotations

from pathlib import Path

from pytest_hiddencost.git import git

NOBODY = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")


def commit(folder: Path, *names: str) -> None:
    """Make a repository of the folder, and commit these files on ``main``; again, if they are."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", *names)
    git(folder, *NOBODY, "commit", "--quiet", "--allow-empty", "--message=as it was")
