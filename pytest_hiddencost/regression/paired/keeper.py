"""A process that outlives the run to tidy up after it, also when the run is killed.

It is told over its standard input what to tidy up; when that is closed, by whatever end of the
run, it kills the processes named, removes the worktrees and folders named, and ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PROCESS, WORKTREE, FOLDER = "process", "worktree", "folder"
PATIENCE_S = 60.0


class Keeper:
    """Starts the process; a context that waits until everything is tidy."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # Isolated, and in a session of its own: what stops the run must not stop this.
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def process(self, pid: int) -> None:
        """Kill this group of processes at the end."""
        self._tell(PROCESS, str(pid))

    def ended(self, pid: int) -> None:
        """It has ended: the number may be another's by the end."""
        self._tell(PROCESS, f"-{pid}")

    def folder(self, path: Path) -> None:
        """Remove this folder at the end."""
        self._tell(FOLDER, str(path))

    def worktree(self, repository: Path, path: Path) -> None:
        """Remove this worktree of the repository at the end."""
        self._tell(WORKTREE, f"{repository}\0{path}")

    def _tell(self, kind: str, what: str) -> None:
        if self._process.stdin is None or self._process.poll() is not None:
            return
        self._process.stdin.write(f"{kind} {what.encode().hex()}\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Tidy up now."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.wait(timeout=PATIENCE_S)


def main(lines: Iterable[str]) -> None:
    """Read what to tidy up until the end of ``lines``, then do it."""
    tasks: list[tuple[str, str]] = []
    for line in lines:
        kind, _, code = line.strip().partition(" ")
        what = bytes.fromhex(code).decode()
        if kind == PROCESS and what.startswith("-"):
            tasks = [task for task in tasks if task != (PROCESS, what[1:])]
        else:
            tasks.append((kind, what))
    # Whatever still runs there first, and what was made last first.
    for _, pid in [task for task in tasks if task[0] == PROCESS]:
        _kill(int(pid))
    for kind, what in reversed(tasks):
        if kind == WORKTREE:
            repository, _, path = what.partition("\0")
            _remove_worktree(repository, path)
        elif kind == FOLDER:
            shutil.rmtree(what, ignore_errors=True)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _remove_worktree(repository: str, path: str) -> None:
    # Not ``prune``: it would take worktrees of the user's with it.
    command = ["git", "-C", repository, "worktree", "remove", "--force", "--force", path]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment
    )
    shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    main(sys.stdin)
