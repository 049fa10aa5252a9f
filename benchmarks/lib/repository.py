"""Git: the commit of the measured code, and projects that the benchmarks commit themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOBODY = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
# Appending results must not make the code look changed.
CODE = ("pytest_hiddencost", "benchmarks", ":!benchmarks/results", ":!benchmarks/*.md")
UNKNOWN = "unknown"


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return its output."""
    # A git hook sets variables that would lead git to another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", "-C", str(folder), *NOBODY, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit_project(folder: Path, *names: str) -> None:
    """Commit these files on ``main``, in a new repository if the folder has none."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", *names)
    git(folder, "commit", "--quiet", "--allow-empty", "--message=accepted")


def code_commit() -> tuple[str, bool]:
    """Return the last commit that changed the code, and whether the code has changed since."""
    try:
        commit = git(ROOT, "log", "-1", "--format=%h", "--", *CODE)
        return commit or UNKNOWN, bool(git(ROOT, "status", "--porcelain", "--", *CODE))
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN, False
