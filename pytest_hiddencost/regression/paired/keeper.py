"""A process that outlives the run to tidy up after it, also when the run is killed.

It is told over its standard input what to tidy up; when that is closed, by whatever end of the
run, it kills the processes named, removes the worktrees and folders named, and ends.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PROCESS, WORKTREE, FOLDER, END = "process", "worktree", "folder", "end"
LOOK_S = 1.0  # between two looks whether the run is still there
PATIENCE_S = 60.0


class Keeper:
    """Starts the process; ``close`` waits until everything is tidy."""

    def __init__(self) -> None:
        from pytest_hiddencost.git import outside_hooks  # the process has this file only

        self._process = subprocess.Popen(
            # Isolated, and in a session of its own: what stops the run must not stop this.
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=outside_hooks(),
        )

    def process(self, pid: int) -> None:
        """Kill this group of processes at the end."""
        self._tell(PROCESS, b"%d" % pid)

    def ended(self, pid: int) -> None:
        """It has ended: the number may be another's by the end."""
        self._tell(PROCESS, b"-%d" % pid)

    def folder(self, path: Path) -> None:
        """Remove this folder at the end."""
        self._tell(FOLDER, os.fsencode(path))

    def worktree(self, repository: Path, path: Path) -> None:
        """Remove this worktree of the repository at the end."""
        self._tell(WORKTREE, os.fsencode(repository) + b"\0" + os.fsencode(path))

    def _tell(self, kind: str, what: bytes = b"") -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        with suppress(OSError):  # it was killed
            stdin.write(f"{kind} {what.hex()}\n".encode())
            stdin.flush()

    def close(self) -> None:
        """Tidy up now."""
        # Said, since a process forked meanwhile may hold the pipe open.
        self._tell(END)
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=PATIENCE_S)


def main(lines: Iterable[bytes]) -> None:
    """Read what to tidy up until the end of ``lines``, then do it."""
    tasks: list[tuple[str, bytes]] = []
    for line in lines:
        kind, _, code = line.decode().partition(" ")
        if not code.endswith("\n"):  # cut off: it would name something else
            continue
        what = bytes.fromhex(code)
        if kind == PROCESS and what.startswith(b"-"):
            tasks = [task for task in tasks if task != (PROCESS, what[1:])]
        else:
            tasks.append((kind, what))
    # Whatever still runs there first, and what was made last first.
    for _, pid in [task for task in tasks if task[0] == PROCESS]:
        _kill(int(pid))
    for kind, what in reversed(tasks):
        if kind == WORKTREE:
            repository, _, path = what.partition(b"\0")
            _remove_worktree(repository, path)
        elif kind == FOLDER:
            shutil.rmtree(what, ignore_errors=True)


def _kill(pid: int) -> None:
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _remove_worktree(repository: bytes, path: bytes) -> None:
    # Not ``prune``: it would take worktrees of the user's with it.
    command = [b"git", b"-C", repository, b"worktree", b"remove", b"--force", b"--force", path]
    with suppress(OSError):
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    shutil.rmtree(path, ignore_errors=True)


def _lines(descriptor: int, run: int) -> Iterator[bytes]:
    """Lines until the end is said, or the pipe is closed, or the run (a process id) is gone."""
    rest = b""
    while True:
        alone = os.getppid() != run  # what it said before is still to be read
        ready, _, _ = select.select([descriptor], [], [], 0.0 if alone else LOOK_S)
        if not ready:
            if alone:
                return
            continue
        data = os.read(descriptor, 65536)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(END.encode()):
                return
            yield line + b"\n"
        if not data:
            return


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    main(_lines(sys.stdin.fileno(), int(sys.argv[1])))
