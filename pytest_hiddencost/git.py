"""Asking git, which must neither wait for a person nor be led elsewhere by its environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pytest_hiddencost.errors import GitError

CHECKOUT_S = 600.0  # on a board


def git(
    place: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    limit_s: float = CHECKOUT_S,
) -> str:
    """Run git there; what it printed. ``environment`` is added. Raises ``GitError``."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(place), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
            env={**outside_hooks(), **(environment or {})},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git could not be run: {error}") from error
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        words = " ".join(arguments[:4])
        raise GitError(f"git {words}: {told[-1] if told else f'exit {done.returncode}'}")
    return done.stdout.decode(errors="surrogateescape")


def outside_hooks() -> dict[str, str]:
    """The environment less what a git hook sets: it would lead git to the index it works on."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
