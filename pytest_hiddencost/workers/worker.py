"""A worker process on one side of an interleaved comparison, as the run that asks sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.interleaved.ratios import WindowTime
from pytest_hiddencost.options import model_of
from pytest_hiddencost.system.processes import last_words
from pytest_hiddencost.workers import messages
from pytest_hiddencost.workers.channel import Channel, Closed, Silent
from pytest_hiddencost.workers.invocation import (
    SLOWER,
    TIMES_MAX,
    Invocation,
    absolute,
    pytest_arguments,
)
from pytest_hiddencost.workers.messages import Message, Times
from pytest_hiddencost.workers.revisions import Tree
from pytest_hiddencost.workers.starting import START_S, PytestOrder, Starter

ANSWER_S = 60.0  # for fixtures, warm-up, structure, or a turn; beyond TIMES_MAX max-times
GONE_S = 2.0  # from the end of the connection to that of the process
END_S = 10.0  # to take down its fixtures, beyond what the test took in this run

Answer = TypeVar("Answer", bound=Message)


class NotInBase(InterleavingError):
    """A side has no such test or call, or could not run it: there is nothing to compare."""


class LacksFiles(NotInBase):
    """Base could not run the call, likely since it lacks ``files`` that git does not have.

    ``pointers``: git-lfs has them, and left pointers in their place.
    """

    def __init__(self, why: str, files: Sequence[str], *, pointers: bool) -> None:
        super().__init__(why)
        self.files = tuple(files)
        self.pointers = pointers


@dataclass(frozen=True)
class Start:
    """The data to start a worker with: its tests, folder, interpreter and import path.

    ``modules`` are test files relative to the rootdir, or ids of named models; ``name`` is the side
    in messages. In this run it took ``startup_s`` seconds to collect its tests, and ``test_s`` to
    come through the call.
    """

    invocation: Invocation
    plugins: frozenset[str]
    python: str
    path: tuple[Path, ...]
    modules: tuple[str, ...]
    name: str
    startup_s: float = 0.0
    test_s: float = 0.0


def base_start(start: Start, tree: Tree, modules: Sequence[str]) -> Start:
    """Return how to start the base's counterpart of a worker that runs in the user's tree.

    ``modules`` are its test files. Raises ``NotInBase`` if the base's tree has none of them.
    """
    invocation = start.invocation
    root = tree.counterpart(invocation.root)
    found = tuple(m for m in modules if model_of(m) is not None or (root / m).is_file())
    name = tree.base.name
    if not found:
        raise NotInBase(f"{name} has no {modules[0]}")
    directory = tree.counterpart(invocation.directory)
    ini = invocation.ini
    if ini is not None and tree.counterpart(ini).is_file():
        ini = tree.counterpart(ini)
    mapped = replace(
        invocation,
        directory=directory if directory.is_dir() else root,
        root=root,
        ini=ini,
        arguments=tuple(_counterpart(tree, argument) for argument in invocation.arguments),
    )
    path = tuple(tree.counterpart(entry) for entry in start.path)
    return replace(
        start, invocation=mapped, python=tree.python, path=path, modules=found, name=name
    )


def _counterpart(tree: Tree, argument: str) -> str:
    """Return the argument; an absolute path in it becomes its counterpart in the base's tree."""
    option, equals, value = argument.rpartition("=") if "=" in argument else ("", "", argument)
    if not os.path.isabs(value):
        return argument
    return f"{option}{equals}{tree.counterpart(Path(value))}"


class Connection:
    """The asking end of one worker: it asks one question at a time and takes the answer.

    ``core`` is the core for the call's first thread; None leaves that to the system. Every method
    raises ``InterleavingError`` if the worker ends, hangs, or answers something else.

    A worker hangs if it sends nothing for ``start_s`` at its start, ``ready_s`` until its call
    begins, or ``answer_s`` from then on. A long call adds ``SLOWER`` times the longest one so far.
    """

    def __init__(
        self,
        channel: Channel,
        name: str,
        answer_s: float = ANSWER_S,
        *,
        start_s: float = START_S,
        ready_s: float = ANSWER_S,
    ) -> None:
        self.name = name
        self.core: int | None = None
        self._channel = channel
        self._answer_s = answer_s
        self._start_s = start_s
        self._ready_s = ready_s
        self._longest_s = 0.0  # a call, as the worker says

    def greet(self) -> None:
        """Wait until the worker has started and collected its tests."""
        hello = self._expect(messages.Hello, self._start_s)
        if hello.protocol != messages.PROTOCOL:
            raise InterleavingError(
                f"{self.name} has pytest-hiddencost {hello.version}, whose messages differ from "
                "this version's; install the same version on both sides"
            )

    def run(self, test: str, label: str, *, whole: bool, injection: str = "") -> None:
        """Start the test, which then runs as far as its call with this label."""
        self._send(messages.RunTest(test, label, whole, injection))

    def ready(self) -> messages.Ready:
        """Wait until the call is warm. Raises ``NotInBase`` if the test never comes to the call."""
        found = self._receive(self._ready_s)
        if isinstance(found, messages.Over):
            raise NotInBase(f"{self.name}: {found.why}")
        self.rest()
        return self._checked(found, messages.Ready)

    def turn(self, duration_ns: int, *, refill: int) -> Times:
        """Return the times of ``refill`` calls, and of further ones for ``duration_ns``."""
        self._send(messages.TakeTurn(duration_ns, refill, self.core))
        found = self._expect(messages.Times)
        self.rest()
        return found

    def prepare(self) -> None:
        """Get ready for profiler windows."""
        self._send(messages.TakeStep("prepare"))
        self._expect(messages.Prepared)
        self.rest()

    def window(self) -> WindowTime:
        """Take one profiler window."""
        self._send(messages.TakeStep("window"))
        found = self._expect(messages.WindowTimes)
        self.rest()
        return WindowTime(found.non_mac_ns, found.whole_ns)

    def finish(self) -> None:
        """Let the worker assemble the profile."""
        self._send(messages.TakeStep("finish"))

    def profile(self) -> Profile:
        """Wait for the profile of the call and return it."""
        return self._expect(messages.Measured).profile

    def rest(self) -> None:
        """Let the worker do nothing until it is asked again."""

    def wake(self) -> None:
        """Let the worker go on."""

    def dismiss(self) -> None:
        """Close the connection, so that the worker ends by itself."""
        self._channel.close()
        self.wake()

    def kill(self) -> None:
        """End the worker now."""
        self.dismiss()

    def ended(self) -> InterleavingError:
        """Return the error that says that the worker is gone."""
        return InterleavingError(f"{self.name}: the connection is closed")

    def _expect(self, kind: type[Answer], patience_s: float | None = None) -> Answer:
        return self._checked(
            self._receive(self._answer_s if patience_s is None else patience_s), kind
        )

    def _checked(self, found: Message, kind: type[Answer]) -> Answer:
        if isinstance(found, kind):
            return found
        why = found.why if isinstance(found, messages.Over) else ""
        raise InterleavingError(f"{self.name}: {why or f'unexpected {type(found).__name__}'}")

    def _send(self, message: Message) -> None:
        self.wake()
        try:
            self._channel.send(message)
        except Closed as error:
            raise self.ended() from error

    def _receive(self, patience_s: float) -> Message:
        try:
            while True:
                if self._longest_s:
                    patience_s = max(patience_s, self._answer_s + SLOWER * self._longest_s)
                found = self._channel.receive(patience_s)
                if not isinstance(found, messages.Working):
                    return found
                self._longest_s = max(self._longest_s, found.longest_ns / 1e9)
        except Silent as error:
            self.kill()
            raise InterleavingError(
                f"{self.name}: the worker process hangs: {error}; if it was at work, let it take "
                "longer with --hiddencost-max-time"
            ) from error
        except Closed as error:
            raise self.ended() from error


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
