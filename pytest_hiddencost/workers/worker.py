"""A worker process on one side of an interleaved comparison, as the run that asks sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.system.processes import last_words
from pytest_hiddencost.workers.channel import Channel
from pytest_hiddencost.workers.connection import ANSWER_S, Connection
from pytest_hiddencost.workers.invocation import SLOWER, TIMES_MAX, absolute, pytest_arguments
from pytest_hiddencost.workers.starting import START_S, PytestOrder, Starter
from pytest_hiddencost.workers.worker_start import Start

GONE_S = 2.0  # from the end of the connection to that of the process
END_S = 10.0  # to take down its fixtures, beyond what the test took in this run


class Worker(Connection):
    """A worker in a process of its own.

    ``rests``: the process is stopped while the other side has its turn, or its threads would spin
    and take the caches meanwhile. An accelerator's worker is not stopped. The output goes to a
    file in ``folder``. Raises ``InterleavingError`` if the process cannot be started.
    """

    def __init__(self, start: Start, folder: Path, starter: Starter, *, rests: bool) -> None:
        self._starter = starter
        self._rests = rests and hasattr(signal, "SIGSTOP")
        self._stopped = False
        self._test_s = start.test_s
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "output.txt"
        own, other = socket.socketpair()
        try:
            self._process = starter.start(_order(start, folder, other.fileno()), self._output)
        except OSError as error:
            own.close()
            raise InterleavingError(f"{start.name}: pytest cannot be started: {error}") from error
        finally:
            other.close()
        answer_s = ANSWER_S + TIMES_MAX * start.invocation.max_time_ns / 1e9
        super().__init__(
            Channel(own.detach()),
            start.name,
            answer_s,
            start_s=START_S + SLOWER * start.startup_s,
            ready_s=answer_s + SLOWER * start.test_s,
        )

    def rest(self) -> None:
        """Stop the process, and those that it started."""
        if self._rests and not self._stopped:
            self._stopped = True
            self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Continue the process."""
        if self._stopped:
            self._stopped = False
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):  # it has ended, which its connection says
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """Wait until the worker has ended by itself; kill it if it does not."""
        self.dismiss()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S + self._test_s)
        self.kill()

    def kill(self) -> None:
        """End the process and everything that it started."""
        super().kill()
        self._starter.end(self._process)

    def ended(self) -> InterleavingError:
        """Return the error that says how the process ended, with the last lines it printed."""
        try:
            status = str(self._process.wait(GONE_S))
        except subprocess.TimeoutExpired:
            status = "unknown"
        self.kill()
        printed = last_words(self._output)
        return InterleavingError(
            f"{self.name}: the worker process ended with exit status {status}"
            + (f": {printed:.300}" if printed else "")
        )


def _order(start: Start, folder: Path, descriptor: int) -> PytestOrder:
    invocation = start.invocation
    arguments = (
        *pytest_arguments(invocation, start.plugins, folder),
        *("-p", "pytest_hiddencost.workers.interleaved_plugin"),
        f"--hiddencost-interleaved={descriptor}",
        "--continue-on-collection-errors",
        *(absolute(invocation.root, module) for module in start.modules),
    )
    return PytestOrder(start.python, arguments, invocation.directory, start.path, descriptor)
