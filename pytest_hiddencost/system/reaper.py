"""The reaper: a process that outlives the run and tidies up after it, even if the run is killed.

The run names processes, worktrees and folders over the reaper's standard input. When the run ends,
in whatever way, its end of the pipe closes. Then the reaper kills the processes, removes the
worktrees and the folders, and ends.
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
POLL_S = 1.0  # between two checks whether the run is alive
CLOSE_S = 60.0  # for the reaper to finish


class Reaper:
    """The run's side of the reaper: starts its process and sends it tasks."""

    def __init__(self) -> None:
        # Here, not on top: the process runs this file alone, without the package.
        from pytest_hiddencost.system.git import outside_hooks

        self._process = subprocess.Popen(
            # In a session of its own, so that a signal that stops the run does not stop the reaper.
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=outside_hooks(),
        )

    def process(self, pid: int) -> None:
        """Let the reaper kill the process group ``pid`` at the end."""
        self._tell(PROCESS, b"%d" % pid)

    def ended(self, pid: int) -> None:
        """Withdraw process group ``pid``, which has ended: another may get its number."""
        self._tell(PROCESS, b"-%d" % pid)

    def folder(self, path: Path) -> None:
        """Let the reaper remove the folder ``path`` at the end."""
        self._tell(FOLDER, os.fsencode(path))

    def worktree(self, repository: Path, path: Path) -> None:
        """Let the reaper remove the worktree ``path`` of ``repository`` at the end."""
        self._tell(WORKTREE, os.fsencode(repository) + b"\0" + os.fsencode(path))

    def _tell(self, kind: str, what: bytes = b"") -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        with suppress(OSError):  # somebody killed the reaper
            stdin.write(f"{kind} {what.hex()}\n".encode())
            stdin.flush()

    def close(self) -> None:
        """Tidy up now; wait until the reaper has finished, but no longer than ``CLOSE_S``."""
        # A process forked from the run may hold the pipe open, so closing it is not enough.
        self._tell(END)
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=CLOSE_S)


def tidy_up(lines: Iterable[bytes]) -> None:
    """Read tasks until ``lines`` end, then kill the processes and remove the rest, last first.

    A line is ``kind code``; the code is the hexadecimal form of a process id or a path.
    """
    tasks: list[tuple[str, bytes]] = []
    for line in lines:
        kind, _, code = line.decode().partition(" ")
        if not code.endswith("\n"):  # a line that was cut off names another process or path
            continue
        what = bytes.fromhex(code)
        if kind == PROCESS and what.startswith(b"-"):
            tasks = [task for task in tasks if task != (PROCESS, what[1:])]
        else:
            tasks.append((kind, what))
    # First the processes, which may still write to the folders.
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
    # Not ``prune``, which would remove entries of the user's worktrees too.
    command = [b"git", b"-C", repository, b"worktree", b"remove", b"--force", b"--force", path]
    with suppress(OSError):
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    shutil.rmtree(path, ignore_errors=True)


def _lines(descriptor: int, run: int) -> Iterator[bytes]:
    """Yield lines until ``END`` comes, the pipe closes, or the process ``run`` is gone."""
    rest = b""
    while True:
        orphaned = os.getppid() != run  # its last lines may still be in the pipe
        ready, _, _ = select.select([descriptor], [], [], 0.0 if orphaned else POLL_S)
        if not ready:
            if orphaned:
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
    tidy_up(_lines(sys.stdin.fileno(), int(sys.argv[1])))
