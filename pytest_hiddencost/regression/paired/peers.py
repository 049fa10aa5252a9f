"""A pytest of its own on one side of a comparison, which measures when it is told to."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_hiddencost.errors import FormatError, PairingError
from pytest_hiddencost.memory_left import resident_bytes
from pytest_hiddencost.records import Profile
from pytest_hiddencost.regression.baselines import split_node_id
from pytest_hiddencost.regression.paired import channel
from pytest_hiddencost.regression.paired.channel import Channel, Closed, Message, Silent
from pytest_hiddencost.regression.paired.keeper import Keeper
from pytest_hiddencost.regression.paired.revisions import Tree
from pytest_hiddencost.regression.paired.turns import Window
from pytest_hiddencost.regression.replicas import (
    START_S,
    TIMES_MAX,
    Invocation,
    fresh_environment,
    kill_group,
    last_words,
    pytest_command,
)

PLUGIN = "pytest_hiddencost.peer"
ANSWER_S = 60.0  # for fixtures, warm-up, structure, or a turn; beyond TIMES_MAX max-times
GONE_S = 2.0  # from the end of the connection to that of the process
END_S = 10.0  # to take down its fixtures


class NotThere(PairingError):
    """The other side has no such test or call, or could not run it: there is nothing to compare."""


@dataclass(frozen=True)
class Start:
    """How to start a peer: what to run, where, with which interpreter and import path."""

    invocation: Invocation
    plugins: frozenset[str]
    python: str
    path: tuple[Path, ...]
    modules: tuple[str, ...]  # test files, relative to the rootdir
    name: str  # in messages


def here(
    invocation: Invocation, plugins: frozenset[str], path: Sequence[Path], modules: Iterable[str]
) -> Start:
    """A peer in the user's tree."""
    return Start(invocation, plugins, sys.executable, tuple(path), tuple(modules), "this tree")


def there(start: Start, tree: Tree) -> Start:
    """The same on the other side. Raises ``NotThere`` where it has none of the test files."""
    invocation = start.invocation
    root = tree.counterpart(invocation.root)
    modules = tuple(module for module in start.modules if (root / module).is_file())
    name = tree.reference.name
    if not modules:
        raise NotThere(f"{name} has no {start.modules[0]}" if start.modules else "no tests")
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
    """An argument of the command line with a path into the user's tree led to the other side."""
    option, equals, value = argument.rpartition("=") if "=" in argument else ("", "", argument)
    if not os.path.isabs(value):
        return argument
    return f"{option}{equals}{tree.counterpart(Path(value))}"


class Peer:
    """One such process. What it prints goes to a file; it ends with this object, or this run."""

    def __init__(self, start: Start, folder: Path, keeper: Keeper, max_time_ns: int) -> None:
        self.name = start.name
        self._keeper = keeper
        self._answer_s = ANSWER_S + TIMES_MAX * max_time_ns / 1e9
        self._number = 0
        self.core: int | None = None  # where its turns are to be, if only one will do
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "output.txt"
        ours, theirs = socket.socketpair()
        command = pytest_command(start.invocation, start.plugins, folder, start.python)
        command += ["-p", PLUGIN, f"--hiddencost-peer={theirs.fileno()}"]
        command += ["--continue-on-collection-errors"]
        root = start.invocation.root
        try:
            with self._output.open("wb") as sink:
                self._process = subprocess.Popen(
                    [*command, *(str(root / module) for module in start.modules)],
                    cwd=start.invocation.directory,
                    env=_environment(start),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[theirs.fileno()],
                )
        except OSError as error:
            ours.close()
            raise PairingError(f"{self.name}: pytest could not be started: {error}") from error
        finally:
            theirs.close()
        keeper.process(self._process.pid)
        self._channel = Channel(ours.detach())

    def greet(self) -> None:
        """Wait until it has started and found its tests. Raises ``PairingError``."""
        hello = self._receive(START_S)
        if hello["protocol"] != channel.PROTOCOL:
            raise PairingError(
                f"{self.name} has pytest-hiddencost {hello['version']}, which measures in another "
                "way: install the same version on both sides"
            )

    def run(self, test: str, label: str, *, tell_files: bool) -> None:
        """Start this test, as far as the call with this label. Raises ``PairingError``.

        ``tell_files``: what it imports is to be said when it is ready.
        """
        self._number += 1
        self._send(channel.RUN, test=test, label=label, number=self._number, tell_files=tell_files)

    def ready(self) -> Message:
        """Wait until the call is warm; what the peer says of itself.

        Raises ``NotThere`` where it does not come to that, and ``PairingError``.
        """
        while True:
            message = self._receive(self._answer_s)
            if message.get("number") == self._number:
                break
        if message["kind"] == channel.OVER:
            raise NotThere(f"{self.name}: {message['why']}")
        return message

    def turn(self, duration_ns: int, *, refill: int) -> Sequence[int]:
        """Timed calls for about so long, in ns, after ``refill`` more that do not count."""
        times = self._asked(
            channel.TURN, channel.TIMES, duration_ns=duration_ns, refill=refill, core=self.core
        )
        found: list[int] = times["samples_ns"]
        return found

    def prepare(self) -> None:
        """Get ready for profiler windows."""
        self._asked(channel.WINDOWS, channel.DONE)

    def window(self) -> Window:
        """Take one profiler window."""
        times = self._asked(channel.WINDOW, channel.TIMES)
        return int(times["non_mac_ns"]), int(times["whole_ns"])

    def leave(self) -> None:
        """Nothing more is asked about this call."""
        self._send(channel.LEAVE)

    def finish(self) -> None:
        """Let it put together what was measured."""
        self._send(channel.FINISH)

    def profile(self) -> Profile:
        """What was measured in all."""
        message = self._answer(channel.PROFILE)
        try:
            return Profile.from_dict(message["profile"])
        except (FormatError, KeyError) as error:
            raise PairingError(f"{self.name}: {error}") from error

    def _asked(self, kind: str, expected: str, **content: object) -> Message:
        self._send(kind, **content)
        return self._answer(expected)

    def _answer(self, expected: str) -> Message:
        message = self._receive(self._answer_s)
        if message["kind"] != expected:
            raise PairingError(f"{self.name}: {message.get('why', message['kind'])}")
        return message

    def _send(self, kind: str, **content: object) -> None:
        try:
            self._channel.send(kind, **content)
        except Closed as error:
            raise self._ended() from error

    def _receive(self, patience_s: float) -> Message:
        try:
            return self._channel.receive(patience_s)
        except Silent as error:
            self.kill()
            raise PairingError(f"{self.name}: the peer hangs: {error}") from error
        except Closed as error:
            raise self._ended() from error

    def _ended(self) -> PairingError:
        try:
            status = str(self._process.wait(GONE_S))
        except subprocess.TimeoutExpired:
            status = "unknown"
        self.kill()
        said = last_words(self._output)
        return PairingError(
            f"{self.name}: the peer ended with exit status {status}"
            + (f": {said:.300}" if said else "")
        )

    @property
    def alive(self) -> bool:
        """Whether it can be asked for another test."""
        return self._process.poll() is None

    def resident_bytes(self) -> int:
        """The memory that it holds."""
        return resident_bytes(self._process.pid)

    def dismiss(self) -> None:
        """Nothing more is asked: it ends by itself."""
        self._channel.close()

    def close(self) -> None:
        """Wait until it has ended by itself; kill it if it does not."""
        self.dismiss()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self.kill()

    def kill(self) -> None:
        """End it now."""
        kill_group(self._process)
        self._keeper.ended(self._process.pid)
        self._channel.close()


def _environment(start: Start) -> dict[str, str]:
    """That of this run, with the side's own sources first on the path."""
    environment = fresh_environment()
    path = [str(entry) for entry in start.path]
    path += [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    return environment


def modules_of(tests: Iterable[str]) -> list[str]:
    """The test files of these tests."""
    return list(dict.fromkeys(split_node_id(test)[0] for test in tests))
