"""A worker process on one side of an interleaved comparison, as the run that asks sees it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.interleaved.ratios import WindowTime
from pytest_hiddencost.system.memory import resident_bytes
from pytest_hiddencost.system.processes import fresh_environment, kill_group, last_words
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers import messages
from pytest_hiddencost.workers.channel import Channel, Closed, Silent
from pytest_hiddencost.workers.invocation import (
    START_S,
    TIMES_MAX,
    Invocation,
    pytest_command,
    start_process,
)
from pytest_hiddencost.workers.messages import Message
from pytest_hiddencost.workers.revisions import Tree

ANSWER_S = 60.0  # for fixtures, warm-up, structure, or a turn; beyond TIMES_MAX max-times
GONE_S = 2.0  # from the end of the connection to that of the process
END_S = 10.0  # to take down its fixtures

Answer = TypeVar("Answer", bound=Message)


class NotInBase(InterleavingError):
    """A side has no such test or call, or could not run it: there is nothing to compare."""


@dataclass(frozen=True)
class Start:
    """How to start a worker: what to run, where, with which interpreter and import path.

    ``modules`` are test files relative to the rootdir; ``name`` is the side in messages.
    """

    invocation: Invocation
    plugins: frozenset[str]
    python: str
    path: tuple[Path, ...]
    modules: tuple[str, ...]
    name: str


def base_start(start: Start, tree: Tree) -> Start:
    """Return how to start the base's counterpart of a worker that runs in the user's tree.

    Raises ``NotInBase`` if the base's tree has none of the test files.
    """
    invocation = start.invocation
    root = tree.counterpart(invocation.root)
    modules = tuple(module for module in start.modules if (root / module).is_file())
    name = tree.base.name
    if not modules:
        raise NotInBase(f"{name} has no {start.modules[0]}" if start.modules else "no tests")
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
        start, invocation=mapped, python=tree.python, path=path, modules=modules, name=name
    )


def _counterpart(tree: Tree, argument: str) -> str:
    """Return the argument; an absolute path in it becomes its counterpart in the base's tree."""
    option, equals, value = argument.rpartition("=") if "=" in argument else ("", "", argument)
    if not os.path.isabs(value):
        return argument
    return f"{option}{equals}{tree.counterpart(Path(value))}"


class Connection:
    """The asking end of one worker: a question at a time, and its answer.

    ``core`` is the core on which the worker takes its turns; None leaves that to the system. Every
    method raises ``InterleavingError`` if the worker ends, hangs, or answers something else.
    """

    def __init__(self, channel: Channel, name: str, answer_s: float = ANSWER_S) -> None:
        self.name = name
        self.core: int | None = None
        self._channel = channel
        self._answer_s = answer_s
        self._number = 0

    def greet(self) -> None:
        """Wait until the worker has started and collected its tests."""
        hello = self._expect(messages.Hello, START_S)
        if hello.protocol != messages.PROTOCOL:
            raise InterleavingError(
                f"{self.name} has pytest-hiddencost {hello.version}, whose messages differ from "
                "this version's; install the same version on both sides"
            )

    def run(self, test: str, label: str, *, tell_files: bool) -> None:
        """Start the test, which then runs as far as its call with this label."""
        self._number += 1
        self._send(messages.RunTest(test, label, self._number, tell_files))

    def ready(self) -> messages.Ready:
        """Wait until the call is warm. Raises ``NotInBase`` if the test never comes to the call."""
        while True:
            found = self._receive(self._answer_s)
            if isinstance(found, messages.Ready) and found.number == self._number:
                return found
            if isinstance(found, messages.Over) and found.number == self._number:
                raise NotInBase(f"{self.name}: {found.why}")

    def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
        """Return the times in ns of ``refill`` calls, and of further ones for ``duration_ns``."""
        self._send(messages.TakeTurn(duration_ns, refill, self.core))
        return self._expect(messages.Times).samples_ns

    def prepare(self) -> None:
        """Get ready for profiler windows."""
        self._send(messages.TakeStep("prepare"))
        self._expect(messages.Prepared)

    def window(self) -> WindowTime:
        """Take one profiler window."""
        self._send(messages.TakeStep("window"))
        found = self._expect(messages.WindowTimes)
        return WindowTime(found.non_mac_ns, found.whole_ns)

    def leave(self) -> None:
        """Let the worker go on without measuring the call."""
        self._send(messages.TakeStep("leave"))

    def finish(self) -> None:
        """Let the worker assemble the profile."""
        self._send(messages.TakeStep("finish"))

    def profile(self) -> Profile:
        """Wait for the profile of the call and return it."""
        return self._expect(messages.Measured).profile

    def dismiss(self) -> None:
        """Close the connection, so that the worker ends by itself."""
        self._channel.close()

    def kill(self) -> None:
        """End the worker now."""
        self.dismiss()

    def ended(self) -> InterleavingError:
        """Return the error that says that the worker is gone."""
        return InterleavingError(f"{self.name}: the connection is closed")

    def _expect(self, kind: type[Answer], patience_s: float | None = None) -> Answer:
        found = self._receive(self._answer_s if patience_s is None else patience_s)
        if isinstance(found, kind):
            return found
        why = found.why if isinstance(found, messages.Over) else ""
        raise InterleavingError(f"{self.name}: {why or f'unexpected {type(found).__name__}'}")

    def _send(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except Closed as error:
            raise self.ended() from error

    def _receive(self, patience_s: float) -> Message:
        try:
            return self._channel.receive(patience_s)
        except Silent as error:
            self.kill()
            raise InterleavingError(f"{self.name}: the worker process hangs: {error}") from error
        except Closed as error:
            raise self.ended() from error


class Worker(Connection):
    """A worker in a process of its own, which the reaper kills if this run ends before it.

    The output of the process goes to a file in ``folder``. Raises ``InterleavingError`` if the
    process cannot be started.
    """

    def __init__(self, start: Start, folder: Path, reaper: Reaper) -> None:
        self._reaper = reaper
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "output.txt"
        own, other = socket.socketpair()
        try:
            self._process = start_process(
                _command(start, folder, other.fileno()),
                start.invocation.directory,
                self._output,
                _environment(start),
                pass_fds=[other.fileno()],
            )
        except OSError as error:
            own.close()
            raise InterleavingError(f"{start.name}: pytest cannot be started: {error}") from error
        finally:
            other.close()
        reaper.process(self._process.pid)
        answer_s = ANSWER_S + TIMES_MAX * start.invocation.max_time_ns / 1e9
        super().__init__(Channel(own.detach()), start.name, answer_s)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def resident_bytes(self) -> int:
        """Return the memory that the process holds."""
        return resident_bytes(self._process.pid)

    def close(self) -> None:
        """Wait until the worker has ended by itself; kill it if it does not."""
        self.dismiss()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self.kill()

    def kill(self) -> None:
        """End the process and everything that it started."""
        kill_group(self._process)
        self._reaper.ended(self._process.pid)
        super().kill()

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


def _command(start: Start, folder: Path, descriptor: int) -> list[str]:
    invocation = start.invocation
    return [
        *pytest_command(invocation, start.plugins, folder, start.python),
        *("-p", "pytest_hiddencost.workers.interleaved_plugin"),
        f"--hiddencost-interleaved={descriptor}",
        "--continue-on-collection-errors",
        *(str(invocation.root / module) for module in start.modules),
    ]


def _environment(start: Start) -> dict[str, str]:
    """Return this run's environment, with the side's own sources first on the import path."""
    environment = fresh_environment()
    path = [str(entry) for entry in start.path]
    path += [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    return environment
