"""The start of workers: as forks of a template, and afresh where there is none; and how they end.

The template of these tests has imported no torch. Its forks, and fresh processes alike, run a
program instead of pytest.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_hiddencost.system.processes import Process
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers import starting
from pytest_hiddencost.workers.channel import Channel
from pytest_hiddencost.workers.messages import (
    PROTOCOL,
    Ended,
    Fork,
    Forked,
    Hello,
    Message,
    Refused,
)
from pytest_hiddencost.workers.starting import (
    ALIKE,
    ForkedProcess,
    PytestOrder,
    Starter,
    TemplateProcess,
)
from tests.workers.fake_workers import FakeReaper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="templates are for Linux")

LIMIT_S = 60.0
LIGHT_TEMPLATE = """
import sys
import types
if sys.path[0] == "":
    del sys.path[0]
from pytest_hiddencost.workers import template

def main(arguments):
    exec(compile(arguments[0], "program", "exec"), {"__name__": "__main__"})
    return 0

sys.modules["pytest"] = types.SimpleNamespace(main=main)
template.MODULES = ()
template.be_template()
"""
WAITS = "import time; print('waits', flush=True); time.sleep(600)"
TELLS = """
import ctypes, json, os, sys
print(json.dumps({
    "pid": os.getpid(), "session": os.getsid(0), "group": os.getpgrp(), "parent": os.getppid(),
    "folder": os.getcwd(), "path": sys.path, "argv": sys.argv, "hash": hash("hiddencost"),
    "environment": dict(os.environ), "input": sys.stdin.read(),
    "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "cores": sorted(os.sched_getaffinity(0)),
}))
print("to stderr", file=sys.stderr)
"""


class Place:
    """A folder, an interpreter that runs programs for ``-m pytest``, and what was started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reaper = FakeReaper()
        self.starters: list[Starter] = []
        self.processes: list[Process] = []
        self.python = self.interpreter("python", "")

    def interpreter(self, name: str, otherwise: str) -> str:
        """An interpreter that does this instead of being a template."""
        path, real = self.folder / name, shlex.quote(sys.executable)
        path.write_text(
            f'#!/bin/sh\nif [ "$1" = -m ]; then shift 2; exec {real} -c "$@"; fi\n'
            f'{otherwise}\nexec {real} "$@"\n',
            encoding="utf-8",
        )
        path.chmod(0o755)
        return str(path)

    def starter(self, *, forks: bool = True) -> Starter:
        """A starter that is closed after the test."""
        self.starters.append(Starter(cast("Reaper", self.reaper), forks=forks))
        return self.starters[-1]

    def start(self, starter: Starter, program: str, python: str = "", **order: Any) -> Process:
        """Start a program."""
        given = {"directory": self.folder, "arguments": (program,), **order}
        found = starter.start(PytestOrder(python or self.python, **given), self.output())
        self.processes.append(found)
        return found

    def output(self) -> Path:
        """The output file of the next process."""
        return self.folder / f"output {len(self.processes)}.txt"

    def printed(self, process: Process) -> str:
        """The output of a process."""
        number = self.processes.index(process)
        return (self.folder / f"output {number}.txt").read_text()

    def told(self, starter: Starter, python: str = "", **order: Any) -> dict[str, Any]:
        """The answers of a process about itself."""
        process = self.start(starter, TELLS, python, **order)
        assert process.wait(LIMIT_S) == 0, self.printed(process)
        lines = self.printed(process).splitlines()
        assert "to stderr" in lines
        found: dict[str, Any] = json.loads(next(line for line in lines if line.startswith("{")))
        return found

    def waiting(self, starter: Starter, program: str = WAITS) -> Process:
        """A process that waits."""
        process = self.start(starter, program)
        until(lambda: "waits" in self.printed(process))
        return process


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(starting, "TEMPLATE", LIGHT_TEMPLATE)
    made = Place(tmp_path)
    yield made
    for starter in made.starters:
        for process in made.processes:
            starter.end(process)
        starter.close()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked for its status."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def template_of(place: Place) -> int:
    """The number of the only template, which was started first."""
    return place.reaper.pids[0]


both = pytest.mark.parametrize("forks", [True, False], ids=["fork", "fresh"])


# --- a process ---------------------------------------------------------------------------------


@both
def test_a_process_has_its_own_session_folder_output_and_no_input(
    place: Place, forks: bool
) -> None:
    starter = place.starter(forks=forks)
    (place.folder / "its own").mkdir()
    found = place.told(starter, directory=place.folder / "its own")
    assert found["session"] == found["group"] == found["pid"]
    assert found["folder"] == str(place.folder / "its own")
    assert found["input"] == ""
    assert found["descriptors"] == [0, 1, 2]
    assert (found["parent"] == template_of(place)) == forks


@both
def test_the_given_path_comes_before_that_of_the_user(
    place: Place, forks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = str(Path(starting.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([package, "/of/the/user", "/second"]))
    found = place.told(place.starter(forks=forks), path=(Path("/first"), Path("/second")))
    expected = ["/first", "/second", package, "/of/the/user"]
    assert [entry for entry in found["path"] if entry in expected] == expected
    assert found["environment"]["PYTHONPATH"] == os.pathsep.join(expected)


def test_a_fork_imports_from_its_folder_first_and_not_from_that_of_the_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / "run").mkdir()
    monkeypatch.chdir(place.folder / "run")
    found = place.told(place.starter(), path=(Path("/first"),))
    assert found["path"][:2] == [str(place.folder), "/first"]
    assert not {"", str(place.folder / "run")} & set(found["path"])


@both
def test_a_process_keeps_the_given_socket_under_its_number(place: Place, forks: bool) -> None:
    own, other = socket.socketpair()
    program = (
        "import socket, sys; n = int({0}); s = socket.socket(fileno=n); s.sendall(s.recv(9) * 2)"
    )
    starter = place.starter(forks=forks)
    with own, other:
        process = place.start(starter, program.format(other.fileno()), descriptor=other.fileno())
        other.close()
        own.settimeout(LIMIT_S)
        own.sendall(b"ab")
        assert own.recv(9) == b"abab"
        assert process.wait(LIMIT_S) == 0
        assert own.recv(9) == b"", "no other process has it"


def test_a_socket_of_any_number_is_kept(place: Place) -> None:
    """Also of one that is in use in the template."""
    starter = place.starter()
    for number in (*range(3, 12), 200):
        own, other = socket.socketpair()
        order = Fork((f"import os; os.write({number}, b'here')",), str(place.folder), (), number)
        starter.prepare(place.python)
        template = starter._templates[place.python]
        assert template is not None
        assert template.ready
        with place.output().open("wb") as sink:
            process = template.fork(order, [sink.fileno(), other.fileno()])
        assert process is not None
        assert process.wait(LIMIT_S) == 0
        own.settimeout(LIMIT_S)
        assert own.recv(9) == b"here"
        own.close()
        other.close()


@both
def test_the_exit_status_arrives(place: Place, forks: bool) -> None:
    starter = place.starter(forks=forks)
    for status in (0, 1, 5, 255):
        process = place.start(starter, f"import os; os._exit({status})")
        assert process.wait(LIMIT_S) == status
        assert process.poll() == status


@both
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_signal_that_kills_is_a_negative_status(
    place: Place, forks: bool, number: signal.Signals
) -> None:
    process = place.waiting(place.starter(forks=forks))
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    os.kill(process.pid, number)
    assert process.wait(LIMIT_S) == -number


@both
def test_an_error_of_a_program_is_in_its_output(place: Place, forks: bool) -> None:
    process = place.start(place.starter(forks=forks), "raise RuntimeError('what went wrong')")
    assert process.wait(LIMIT_S) == 1
    assert "RuntimeError: what went wrong" in place.printed(process)


def test_a_fork_runs_what_it_registered_for_its_end(place: Place) -> None:
    process = place.start(place.starter(), "import atexit; atexit.register(print, 'at its end')")
    assert process.wait(LIMIT_S) == 0
    assert place.printed(process) == "at its end\n"


@both
def test_several_processes_run_at_a_time(place: Place, forks: bool) -> None:
    starter = place.starter(forks=forks)
    processes = [place.waiting(starter) for _ in range(4)]
    assert [process.poll() for process in processes] == [None] * 4
    for process in (processes[2], processes[0]):
        starter.end(process)
    assert [process.poll() is None for process in processes] == [False, True, False, True]
    assert place.start(starter, "raise SystemExit(3)").wait(LIMIT_S) in (1, 3)


@both
def test_a_process_ends_with_all_that_it_started_and_the_reaper_forgets_it(
    place: Place, forks: bool
) -> None:
    starter = place.starter(forks=forks)
    child = f"import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True); {WAITS}"
    process = place.waiting(starter, child)
    assert process.pid in place.reaper.pids
    starter.end(process)
    assert process.wait(LIMIT_S) == -signal.SIGKILL
    until(lambda: gone(int(place.printed(process).split()[0])))
    starter.end(process)
    assert place.reaper.withdrawn.count(process.pid) == 1


# --- alike -------------------------------------------------------------------------------------


@both
def test_processes_have_the_same_environment_and_the_same_hash_seed(
    place: Place, forks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*ALIKE, "PYTHONHASHSEED"):
        monkeypatch.delenv(name, raising=False)
    starter = place.starter(forks=forks)
    one, two = place.told(starter), place.told(starter)
    assert one["hash"] == two["hash"]
    for name in {*one["environment"], *two["environment"]} - {"PWD", "_", "SHLVL"}:
        assert one["environment"][name] == two["environment"][name]
    assert one["environment"].items() >= ALIKE.items()
    assert one["environment"]["PYTHONHASHSEED"].isdigit()


def test_runs_have_hash_seeds_of_their_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    found = {place.told(place.starter(forks=False))["hash"] for _ in range(2)}
    assert len(found) == 2


@both
def test_variables_that_the_user_has_set_stay_as_they_are(
    place: Place, forks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {
        "OMP_PLACES": "threads", "OMP_PROC_BIND": "false", "MALLOC_MMAP_MAX_": "7",
        "MALLOC_TRIM_THRESHOLD_": "99", "GLIBC_TUNABLES": "glibc.malloc.arena_max=1",
        "PYTHONHASHSEED": "5", "OMP_WAIT_POLICY": "passive",
    }  # fmt: skip
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    found = place.told(place.starter(forks=forks))["environment"]
    assert found.items() >= own.items()
    assert "PYTEST_XDIST_WORKER" not in found


def test_the_environment_of_the_run_stays_as_it_is(place: Place) -> None:
    before = dict(os.environ)
    place.told(place.starter())
    assert dict(os.environ) == before


def test_forks_have_memory_layouts_of_their_own(place: Place) -> None:
    """Or head and base would keep one each in all pairs, and one may be slower."""
    program = "import ctypes; b = ctypes.create_string_buffer(8 << 20); print(ctypes.addressof(b))"
    starter = place.starter()
    processes = [place.start(starter, program) for _ in range(6)]
    assert {process.wait(LIMIT_S) for process in processes} == {0}
    assert len({place.printed(process) for process in processes}) == len(processes)


# --- the template ------------------------------------------------------------------------------


def test_a_template_is_started_once_for_each_interpreter(place: Place) -> None:
    starter = place.starter()
    starter.prepare(place.python)
    starter.prepare(place.python)
    starter.settle()
    assert len(place.reaper.pids) == 1
    other = place.interpreter("other", "")
    parents = [place.told(starter, python)["parent"] for python in (place.python, other)]
    assert len(set(parents)) == 2
    assert place.told(starter)["parent"] == parents[0]


def test_without_forks_there_is_no_template(place: Place) -> None:
    starter = place.starter(forks=False)
    starter.prepare(place.python)
    starter.settle()
    assert place.reaper.pids == []
    assert place.told(starter)["parent"] == os.getpid()


@pytest.mark.parametrize(
    "otherwise",
    ["echo No module named pytest_hiddencost; exit 1", "kill -9 $$", "echo noise >&$4; exit 0"],
)
def test_where_a_template_cannot_start_every_process_is_fresh(place: Place, otherwise: str) -> None:
    starter = place.starter()
    python = place.interpreter("lacking", otherwise)
    for _ in range(2):
        assert place.told(starter, python)["parent"] == os.getpid()
    starter.settle()


def test_an_interpreter_that_is_not_there_is_an_error(place: Place) -> None:
    with pytest.raises(OSError, match="nowhere"):
        place.start(place.starter(), TELLS, str(place.folder / "nowhere"))


def test_a_template_that_never_answers_is_ended(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "START_S", 0.05)
    monkeypatch.setattr(starting, "TEMPLATE_GONE_S", 0.05)
    python = place.interpreter("hanging", "exec sleep 600")
    assert place.told(place.starter(), python)["parent"] == os.getpid()
    assert gone(template_of(place))
    assert place.reaper.withdrawn[0] == template_of(place)


def test_after_the_end_of_a_template_its_forks_are_ended_and_processes_are_fresh(
    place: Place,
) -> None:
    starter = place.starter()
    forks = [place.waiting(starter) for _ in range(2)]
    os.kill(template_of(place), signal.SIGKILL)
    until(lambda: gone(template_of(place)))
    assert place.told(starter)["parent"] == os.getpid()
    for fork in forks:
        assert fork.poll() == -signal.SIGKILL
        assert fork.wait(LIMIT_S) == -signal.SIGKILL
        starter.end(fork)
        until(lambda pid=fork.pid: gone(pid))  # type: ignore[misc]


def test_closing_ends_templates_and_forks(place: Place) -> None:
    starter = place.starter()
    fork = place.waiting(starter)
    starter.close()
    assert gone(template_of(place))
    until(lambda: gone(fork.pid))
    assert fork.wait(LIMIT_S) == -signal.SIGKILL
    starter.close()


@pytest.mark.parametrize("stopped", [False, True])
def test_once_the_run_is_gone_the_template_ends_its_forks_and_itself(
    place: Place, stopped: bool
) -> None:
    """A run that is killed closes its sockets, whatever its reaper does."""
    starter = place.starter()
    forks = [place.waiting(starter) for _ in range(2)]
    if stopped:
        os.killpg(forks[0].pid, signal.SIGSTOP)
    template = starter._templates[place.python]
    assert template is not None
    template._channel.close()
    for pid in (template_of(place), *(fork.pid for fork in forks)):
        until(lambda pid=pid: gone(pid))  # type: ignore[misc]


def test_the_end_of_another_child_of_a_template_is_no_end_of_a_fork(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = "import subprocess\nsubprocess.Popen(['true'])\n"
    start = "template.be_template()\n"
    monkeypatch.setattr(starting, "TEMPLATE", LIGHT_TEMPLATE.replace(start, child + start))
    starter = place.starter()
    fork = place.waiting(starter)
    assert place.start(starter, "").wait(LIMIT_S) == 0
    assert fork.poll() is None


def test_an_order_larger_than_the_sockets_buffer_arrives(place: Place) -> None:
    starter = place.starter()
    waits = place.waiting(starter)
    assert waits.poll() is None
    process = place.start(starter, "", arguments=("print('arrived')", "x" * 2_000_000))
    assert process.wait(LIMIT_S) == 0
    assert place.printed(process) == "arrived\n"


# --- a template that is not what it should be ----------------------------------------------------


class Sleeping:
    """Stands in for the process of a template."""

    pid = 0

    def poll(self) -> int | None:
        return None

    def wait(self, timeout: float | None = None) -> int:
        raise subprocess.TimeoutExpired("template", timeout or 0.0)

    def kill(self) -> None:
        pass


@pytest.fixture
def scripted(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[TemplateProcess, Channel, list[Process]]]:
    """A template whose answers the test gives, and the processes that were ended."""
    monkeypatch.setattr(starting, "FORK_S", 0.02)
    own, other = socket.socketpair()
    ended: list[Process] = []
    channel = Channel(other.detach())
    channel.send(Hello(PROTOCOL, ""))
    template = TemplateProcess(Channel(own.detach()), Sleeping(), ended.append)
    assert template.ready
    yield template, channel, ended
    template.close()
    channel.close()


Scripted = tuple[TemplateProcess, Channel, list[Process]]


def test_a_template_of_another_protocol_is_not_used() -> None:
    """Its fresh process will say which versions differ."""
    own, other = socket.socketpair()
    ended: list[Process] = []
    with contextlib.closing(Channel(other.detach())) as channel:
        channel.send(Hello(PROTOCOL + 1, "9.9"))
        template = TemplateProcess(Channel(own.detach()), Sleeping(), ended.append)
        assert not template.ready
    assert template.gone
    assert len(ended) == 1


ORDER = Fork((), "/")


def answered(scripted: Scripted, *messages: Message) -> ForkedProcess | None:
    template, channel, _ = scripted
    for message in messages:
        channel.send(message)
    return template.fork(ORDER, [])


def test_a_refused_order_is_no_fork_and_the_template_stays(scripted: Scripted) -> None:
    assert answered(scripted, Refused("no memory left")) is None
    assert scripted[0].ready
    found = answered(scripted, Forked(4711))
    assert found is not None
    assert found.pid == 4711


def test_a_template_that_does_not_answer_an_order_is_ended(scripted: Scripted) -> None:
    template, _, ended = scripted
    assert answered(scripted) is None
    assert template.gone
    assert not template.ready
    assert len(ended) == 1
    assert template.fork(ORDER, []) is None


def test_the_end_of_a_fork_may_come_before_the_answer_to_an_order(scripted: Scripted) -> None:
    one = answered(scripted, Forked(2**22 + 1))
    two = answered(scripted, Ended(2**22 + 1, 3), Forked(2**22 + 2))
    assert one is not None
    assert two is not None
    assert (one.poll(), two.poll()) == (3, None)


def test_a_fork_with_the_number_of_an_earlier_one_has_not_ended(scripted: Scripted) -> None:
    one = answered(scripted, Forked(2**22 + 1), Ended(2**22 + 1, 3))
    assert one is not None
    assert one.wait(LIMIT_S) == 3
    two = answered(scripted, Forked(2**22 + 1))
    assert two is not None
    assert two.poll() is None
