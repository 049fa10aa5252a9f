"""The fork server and the template's part of a fork, in the process of the tests."""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.workers import fork_server, template
from pytest_hiddencost.workers.channel import Channel
from pytest_hiddencost.workers.fork_server import ForkServer
from pytest_hiddencost.workers.messages import Ended, Fork, Forked, Message, Refused

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="templates are for Linux"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]
LIMIT_S = 60.0
Asking = Callable[[Channel], None]
Serve = Callable[[Asking], list[str]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves while a thread asks; a fork writes to its output and ends with status 7."""
    run, served = socket.socketpair()

    def serving(ask: Asking) -> list[str]:
        channel, errors = Channel(run.detach()), list[str]()

        def asking() -> None:
            try:
                ask(channel)
            except BaseException as error:
                errors.append(repr(error))
            finally:
                with socket.socket(fileno=os.dup(channel.fileno())) as ours:
                    ours.shutdown(socket.SHUT_RDWR)  # forks have a copy of it
                channel.close()

        tests = os.getpid()
        thread = threading.Thread(target=asking)
        thread.start()
        found = None
        try:
            found = ForkServer(Channel(served.detach())).serve()
        finally:
            if os.getpid() != tests:
                if found is not None:
                    os.write(1, f"{found[0].arguments} {os.getpid() == os.getsid(0)}".encode())
                while found is not None and found[0].arguments == ("waits",):
                    signal.pause()
                os._exit(7)
        thread.join(LIMIT_S)
        assert found is None
        return errors

    yield serving
    run.close()
    served.close()


def order(channel: Channel, output: Path, *arguments: str) -> Message:
    """Order a fork; the answer."""
    with output.open("wb") as sink:
        channel.send(Fork(arguments, "/"), [sink.fileno()])
    return channel.receive(LIMIT_S)


def test_a_fork_has_its_order_and_its_output_and_its_end_is_told(
    serve: Serve, tmp_path: Path
) -> None:
    found: list[Message] = []

    def ask(channel: Channel) -> None:
        for number in range(3):
            found.append(order(channel, tmp_path / str(number), str(number)))
            found.append(channel.receive(LIMIT_S))

    assert serve(ask) == []
    for number in range(3):
        forked, ended = found[2 * number : 2 * number + 2]
        assert isinstance(forked, Forked)
        assert ended == Ended(forked.pid, 7)
        assert (tmp_path / str(number)).read_text() == f"('{number}',) True"


def test_a_fork_that_stops_and_goes_on_does_not_wake_the_server(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take a core at each turn, just as the other side begins."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("this Python has no descriptors of processes")
    woken: list[int] = []
    waiting = select.select

    def noted(*arguments: Any) -> Any:
        found = waiting(*arguments)
        woken.append(len(found[0]))
        return found

    monkeypatch.setattr(select, "select", noted)
    counts: list[int] = []

    def ask(channel: Channel) -> None:
        answer = order(channel, tmp_path / "output", "waits")
        assert isinstance(answer, Forked)
        while not (tmp_path / "output").read_text():
            pass
        counts.append(len(woken))
        for number in (signal.SIGSTOP, signal.SIGCONT) * 3:
            os.kill(answer.pid, number)
            time.sleep(fork_server.REAP_S / 2)
        counts.append(len(woken))

    assert serve(ask) == []
    assert counts[0] == counts[1]


def test_forks_that_still_run_are_killed_once_nobody_asks_any_more(
    serve: Serve, tmp_path: Path
) -> None:
    pids: list[int] = []

    def ask(channel: Channel) -> None:
        for number in range(2):
            answer = order(channel, tmp_path / str(number), "waits")
            assert isinstance(answer, Forked)
            pids.append(answer.pid)
            while not (tmp_path / str(number)).read_text():
                pass

    assert serve(ask) == []
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_an_order_that_cannot_be_forked_is_refused_and_the_next_one_is_served(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork, found = os.fork, list[Message]()
    failing = iter([True, False])

    def scarce() -> int:
        if next(failing):
            raise OSError("no memory left")
        return fork()

    monkeypatch.setattr(os, "fork", scarce)

    def ask(channel: Channel) -> None:
        found.extend(order(channel, tmp_path / "output", "later") for _ in range(2))

    assert serve(ask) == []
    assert found[0] == Refused("no memory left")
    assert isinstance(found[1], Forked)


def test_handlers_of_signals_are_those_from_before(serve: Serve) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    assert serve(lambda _: None) == []
    assert signal.getsignal(signal.SIGCHLD) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_fork_of_the_template_runs_pytest_as_ordered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def main(arguments: list[str]) -> int:
        ran.append(arguments)
        os.write(number, b"here")
        assert os.getcwd() == str(tmp_path)
        assert sys.path[:2] == [str(tmp_path), "/first"]
        assert os.environ["PYTHONPATH"] == "/first:/before"
        assert sys.argv == ["pytest", "-q"]
        return 3

    monkeypatch.setattr(pytest, "main", main)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: ran.append(["at its end"]))
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "argv", sys.argv[:])
    monkeypatch.setenv("PYTHONPATH", "/before:/first")
    monkeypatch.chdir(tmp_path)
    reading, writing = os.pipe()
    number = os.dup(writing)
    status = template.run_pytest(Fork(("-q",), str(tmp_path), ("/first",), number), [writing])
    assert (status, ran) == (3, [["-q"], ["at its end"]])
    assert os.read(reading, 9) == b"here"
    os.close(reading)
    os.close(number)
