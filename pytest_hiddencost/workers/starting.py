"""Starts the processes that measure for a run, all alike: forks of a template, or fresh ones.

Two processes of the same code may differ by tens of percent. Either threads move between cores, or
the C library gives large blocks back after each call. So every worker keeps its memory, binds
OpenMP's threads to cores, and has the same hash seed. The user's own process stays as it is.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.system.processes import (
    Process,
    fresh_environment,
    import_first,
    kill_group,
)
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.channel import Channel, Closed, Silent
from pytest_hiddencost.workers.messages import PROTOCOL, Ended, Fork, Forked, Hello, Message

START_S = 120.0  # imports and collection, on a board
FORK_S = 10.0  # for the answer to an order
TEMPLATE_GONE_S = 2.0  # from the end of the channel to that of the template
LONGEST_S = 1e6  # a wait without a limit
LEAST_S = 0.001  # a wait of 0 is none, to a socket
GONE = -9  # the status of a fork whose template is gone
# Variables that make processes alike; one that the user has set stays as it is.
ALIKE: Mapping[str, str] = {
    "MALLOC_TRIM_THRESHOLD_": "2000000000",  # bytes; glibc keeps freed memory up to this,
    "MALLOC_MMAP_MAX_": "0",  # takes no block of its own from the system,
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # and asks for huge pages, whose place is no matter
    "OMP_PROC_BIND": "close",
    "OMP_PLACES": "cores",
}
# Without the folder that it starts in: a module there must not stand for one of base's.
TEMPLATE = """
import sys
if sys.path[0] == "":
    del sys.path[0]
from pytest_hiddencost.workers.template import be_template
be_template()
"""


@dataclass(frozen=True)
class PytestOrder:
    """A pytest to start.

    ``path`` comes first on its import path. ``descriptor`` is that of a socket which it keeps.
    """

    python: str
    arguments: tuple[str, ...]
    directory: Path
    path: tuple[Path, ...] = ()
    descriptor: int | None = None


class Starter:
    """Starts processes; ``forks`` says whether it may use templates, one for each interpreter.

    The reaper kills the templates and the processes if the run ends before them.
    """

    def __init__(self, reaper: Reaper, *, forks: bool = sys.platform == "linux") -> None:
        self.reaper = reaper
        self._forks = forks
        self._templates: dict[str, TemplateProcess | None] = {}
        self._running: set[int] = set()
        seed = str(random.SystemRandom().randrange(2**32))
        self._environment = {"PYTHONHASHSEED": seed, **ALIKE, **fresh_environment()}

    def prepare(self, python: str = sys.executable) -> None:
        """Start the template of an interpreter, without waiting for it."""
        if self._forks and python not in self._templates:
            self._templates[python] = self._template(python)

    def settle(self) -> None:
        """Wait until the templates have started, so that they disturb no measurement."""
        for template in self._templates.values():
            _ = template is None or template.ready

    def start(self, order: PytestOrder, output: Path) -> Process:
        """Start a pytest; what it prints goes to the file ``output``. Raises ``OSError``."""
        self.prepare(order.python)
        template = self._templates.get(order.python)
        with output.open("wb") as sink:
            process: Process | None = None
            if template is not None and template.ready:
                fork = Fork(
                    order.arguments,
                    str(order.directory),
                    tuple(map(str, order.path)),
                    order.descriptor,
                )
                kept = [] if order.descriptor is None else [order.descriptor]
                process = template.fork(fork, [sink.fileno(), *kept])
            if process is None:
                process = self._fresh(order, sink.fileno())
        self._started(process)
        return process

    def end(self, process: Process) -> None:
        """Kill a process, and what it started; a second time does nothing."""
        if process.pid in self._running:
            self._running.remove(process.pid)
            kill_group(process)
            self.reaper.ended(process.pid)

    def close(self) -> None:
        """End the templates, and with them the forks that still run."""
        for template in self._templates.values():
            if template is not None:
                template.close()
        self._templates.clear()

    def _started(self, process: Process) -> None:
        self._running.add(process.pid)
        self.reaper.process(process.pid)

    def _template(self, python: str) -> TemplateProcess | None:
        own, other = socket.socketpair()
        try:
            process = subprocess.Popen(
                [python, "-c", TEMPLATE, str(other.fileno())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[other.fileno()],
            )
        except OSError:  # a fresh process of this interpreter will say why
            own.close()
            return None
        finally:
            other.close()
        self._started(process)
        return TemplateProcess(Channel(own.detach()), process, self.end)

    def _fresh(self, order: PytestOrder, sink: int) -> subprocess.Popen[bytes]:
        environment = dict(self._environment)
        import_first(map(str, order.path), environment)
        return subprocess.Popen(
            [order.python, "-m", "pytest", *order.arguments],
            cwd=order.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[] if order.descriptor is None else [order.descriptor],
        )


class TemplateProcess:
    """The template of one interpreter as the run sees it: its process, and the channel to it.

    ``end`` ends its process. A template that is gone is not started anew.
    """

    def __init__(self, channel: Channel, process: Process, end: Callable[[Process], None]) -> None:
        self._channel = channel
        self._process = process
        self._end = end
        self._ended: dict[int, int] = {}
        self._ready: bool | None = None

    @property
    def gone(self) -> bool:
        """Whether it has ended, or has been closed."""
        return self._channel.fileno() < 0

    @property
    def ready(self) -> bool:
        """Whether it can fork; the first time, wait until it has started."""
        if self._ready is None:
            found = self._answer(START_S)
            self._ready = isinstance(found, Hello) and found.protocol == PROTOCOL
            if not self._ready:
                self.close()
        return self._ready and not self.gone

    def fork(self, order: Fork, descriptors: Sequence[int]) -> ForkedProcess | None:
        """Return a fork that keeps these descriptors; None if there is none."""
        try:
            self._channel.send(order, descriptors)
        except Closed:
            return None
        answer = self._answer(FORK_S)
        if answer is None:
            self.close()
        if not isinstance(answer, Forked):
            return None
        self._ended.pop(answer.pid, None)  # of an earlier fork with the same number
        return ForkedProcess(self, answer.pid)

    def status(self, pid: int, patience_s: float) -> int | None:
        """Return the exit status of a fork, if it ends within ``patience_s``."""
        end = monotonic() + patience_s
        while pid not in self._ended and not self.gone:
            if self._read(max(0.0, end - monotonic())) is None:
                break
        if pid not in self._ended and self.gone:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            return GONE
        return self._ended.get(pid)

    def close(self) -> None:
        """End it, and with it its forks."""
        self._channel.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(TEMPLATE_GONE_S)
        self._end(self._process)

    def _answer(self, patience_s: float) -> Message | None:
        """Return the next message that is not about the end of a fork; None without one."""
        end = monotonic() + patience_s
        while (found := self._read(max(0.0, end - monotonic()))) is not None:
            if not isinstance(found, Ended):
                return found
        return None

    def _read(self, patience_s: float) -> Message | None:
        """Return the next message within this time; if it is about the end of a fork, keep it."""
        try:
            found = self._channel.receive(max(LEAST_S, patience_s))
        except Silent:
            return None
        except InterleavingError:  # closed, or no message
            self._channel.close()
            return None
        if isinstance(found, Ended):
            self._ended[found.pid] = found.status
        return found


class ForkedProcess:
    """A forked process, as ``subprocess.Popen`` would have it."""

    def __init__(self, template: TemplateProcess, pid: int) -> None:
        self._template = template
        self.pid = pid

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self._template.status(self.pid, 0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended. Raises ``subprocess.TimeoutExpired``."""
        patience_s = LONGEST_S if timeout is None else timeout
        status = self._template.status(self.pid, patience_s)
        if status is None:
            raise subprocess.TimeoutExpired("pytest", patience_s)
        return status

    def kill(self) -> None:
        """Kill the process."""
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
