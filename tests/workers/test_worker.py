"""A worker process: how base's is started like head's, and what is made of its end."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_hiddencost.core.errors import InterleavingError, NotInBase
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers import worker
from pytest_hiddencost.workers.invocation import Invocation
from pytest_hiddencost.workers.revisions import Base, Tree
from pytest_hiddencost.workers.starting import PytestOrder, Starter
from pytest_hiddencost.workers.worker import Worker
from pytest_hiddencost.workers.worker_start import Start, base_start
from tests.workers.fake_workers import FakeReaper


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """Head's tree, with tests in a folder of it."""
    return filled(tmp_path / "project")


@pytest.fixture
def tree(tmp_path: Path, top: Path) -> Tree:
    return Tree(Base("main", top, commit="0123abc"), filled(tmp_path / "base"))


def filled(folder: Path) -> Path:
    (folder / "tests").mkdir(parents=True)
    for name in ("tests/test_it.py", "tests/test_two.py", "pytest.ini"):
        (folder / name).touch()
    return folder


def start_in(top: Path, *arguments: str, **changes: Any) -> Start:
    invocation = Invocation(top, top, top / "pytest.ini", arguments, max_time_ns=1)
    found = Start(
        invocation, frozenset({"xdist"}), sys.executable, (top / "src",), ("tests/test_it.py",),
        "this tree",
    )  # fmt: skip
    return replace(found, **changes)


# --- how base is started -----------------------------------------------------------------------


def test_base_is_started_like_head_in_its_own_tree(top: Path, tree: Tree) -> None:
    head = start_in(top, "-p", "no:randomly")
    base = base_start(head, tree, head.modules)
    own = tree.path
    assert base == Start(
        Invocation(own, own, own / "pytest.ini", ("-p", "no:randomly"), 1),
        head.plugins, sys.executable, (own / "src",), ("tests/test_it.py",), "main",
    )  # fmt: skip


def test_paths_outside_of_the_users_tree_are_shared(top: Path, tree: Tree, tmp_path: Path) -> None:
    head = start_in(top, path=(tmp_path / "shared", top))
    head = replace(head, invocation=replace(head.invocation, ini=tmp_path / "tox.ini"))
    base = base_start(head, tree, head.modules)
    assert base.path == (tmp_path / "shared", tree.path)
    assert base.invocation.ini == tmp_path / "tox.ini"


@pytest.mark.parametrize(
    ("argument", "mapped"),
    [
        ("{top}/tests", "{base}/tests"),
        ("--confcutdir={top}", "--confcutdir={base}"),
        ("--override-ini=a={top}/b", "--override-ini=a={base}/b"),
        ("--import-mode=importlib", "--import-mode=importlib"),
        ("-k=test and not {top}", "-k=test and not {top}"),
        ("relative/path", "relative/path"),
        ("/elsewhere", "/elsewhere"),
    ],
)
def test_absolute_paths_in_arguments_are_those_of_the_base(
    top: Path, tree: Tree, argument: str, mapped: str
) -> None:
    base = base_start(start_in(top, argument.format(top=top)), tree, ["tests/test_it.py"])
    assert base.invocation.arguments == (mapped.format(top=top, base=tree.path),)


def test_an_ini_file_that_base_lacks_is_heads(top: Path, tree: Tree) -> None:
    (tree.path / "pytest.ini").unlink()
    assert (
        base_start(start_in(top), tree, ["tests/test_it.py"]).invocation.ini == top / "pytest.ini"
    )


def test_a_folder_that_base_lacks_is_its_rootdir(top: Path, tree: Tree) -> None:
    (top / "new").mkdir()
    head = start_in(top)
    head = replace(head, invocation=replace(head.invocation, directory=top / "new"))
    assert base_start(head, tree, head.modules).invocation.directory == tree.path


def test_base_has_test_files_of_its_own(top: Path, tree: Tree) -> None:
    found = base_start(start_in(top), tree, ["tests/test_two.py"])
    assert found.modules == ("tests/test_two.py",)


def test_test_files_that_base_lacks_are_left_out(top: Path, tree: Tree) -> None:
    found = base_start(start_in(top), tree, ["tests/test_new.py", "tests/test_two.py"])
    assert found.modules == ("tests/test_two.py",)


def test_a_base_without_any_of_the_test_files_is_refused(top: Path, tree: Tree) -> None:
    with pytest.raises(NotInBase, match=r"^main has no tests/test_new\.py$"):
        base_start(start_in(top), tree, ["tests/test_new.py", "test_newer.py"])


def test_another_interpreter_runs_the_base(top: Path) -> None:
    other = Path("/env/bin/python")
    tree = Tree(Base("installed:/env", top, python=other), top)
    assert base_start(start_in(top), tree, ["tests/test_it.py"]).python == str(other)


# --- the process -------------------------------------------------------------------------------


@pytest.fixture
def reaper() -> FakeReaper:
    return FakeReaper()


class Starting:
    """Starts workers whose interpreter is a shell script."""

    def __init__(self, top: Path, reaper: FakeReaper) -> None:
        self.top = top
        self.starter = Starter(cast("Reaper", reaper), forks=False)
        self.started: list[Worker] = []

    def __call__(self, script: str, *, rests: bool = False, **changes: Any) -> Worker:
        python = self.top / "python"
        python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        start = start_in(self.top, python=str(python), **changes)
        made = Worker(start, self.top / "own" / "worker", self.starter, rests=rests)
        self.started.append(made)
        return made


@pytest.fixture
def starting(top: Path, reaper: FakeReaper) -> Iterator[Starting]:
    made = Starting(top, reaper)
    yield made
    for found in made.started:
        found.kill()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_process_that_ends_is_an_error_with_its_last_words(
    starting: Starting, reaper: FakeReaper
) -> None:
    made = starting("echo starting; echo No module named pytest; exit 1")
    with pytest.raises(InterleavingError) as caught:
        made.greet()
    assert str(caught.value) == (
        "this tree: the worker process ended with exit status 1: starting; No module named pytest"
    )
    assert reaper.withdrawn == reaper.pids, "another process may get its number"


def test_a_process_that_is_killed_is_an_error_with_its_signal(starting: Starting) -> None:
    made = starting("kill -9 $$")
    with pytest.raises(InterleavingError, match=r"^this tree: .* ended with exit status -9$"):
        made.greet()


def test_a_process_that_closes_its_connection_and_stays_is_killed(
    starting: Starting, reaper: FakeReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GONE_S", 0.1)
    program = "import os, time; os.closerange(3, 1000); time.sleep(600)"
    made = starting(f"exec {sys.executable} -S -c '{program}'")
    with pytest.raises(InterleavingError, match="ended with exit status unknown"):
        made.greet()
    assert all(map(gone, reaper.pids))


def test_a_process_that_hangs_is_killed_with_all_that_it_started(
    starting: Starting, reaper: FakeReaper, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "START_S", 0.05)
    child = top / "child"
    made = starting(f"sleep 600 & echo $! > {child}.new; mv {child}.new {child}; wait")
    end = time.monotonic() + 60.0
    while not child.exists():
        assert time.monotonic() < end
        time.sleep(0.005)
    with pytest.raises(InterleavingError, match="the worker process hangs: no answer within 0 s"):
        made.greet()
    assert all(map(gone, reaper.pids))
    assert ended(int(child.read_text()))


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits to be reaped by another one, after a while at most."""
    end = time.monotonic() + 60.0
    while not gone(pid):
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def test_a_worker_ends_by_itself_once_nobody_asks_any_more(
    starting: Starting, reaper: FakeReaper
) -> None:
    made = starting(
        f"""exec {sys.executable} -S -c '
import socket, sys
descriptor = [a for a in sys.argv if a.startswith("--hiddencost-interleaved=")][0]
socket.socket(fileno=int(descriptor.partition("=")[2])).recv(1)
print("took down its fixtures", flush=True)
' "$@" """
    )
    made.close()
    output = starting.top / "own" / "worker" / "output.txt"
    assert output.read_text() == "took down its fixtures\n"
    assert all(map(gone, reaper.pids))
    assert reaper.withdrawn[:1] == reaper.pids


def test_a_worker_that_does_not_end_by_itself_is_killed(
    starting: Starting, reaper: FakeReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "END_S", 0.05)
    made = starting("exec sleep 600")
    made.close()
    assert all(map(gone, reaper.pids))


def test_an_interpreter_that_cannot_be_started_is_an_error(top: Path, reaper: FakeReaper) -> None:
    start = start_in(top, python="/nowhere/python")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InterleavingError, match=r"^this tree: pytest cannot be started: .*nowhere"):
        Worker(start, top / "own", Starter(cast("Reaper", reaper), forks=False), rests=True)
    assert len(os.listdir("/proc/self/fd")) <= before, "no descriptor stays open"
    assert reaper.pids == []


def test_a_worker_is_a_pytest_of_the_sides_files_with_its_sources_first(top: Path) -> None:
    asked: list[PytestOrder] = []

    class Refusing:
        def start(self, order: PytestOrder, output: Path) -> None:
            asked.append(order)
            raise OSError("it is enough to know how")

    with pytest.raises(InterleavingError, match="pytest cannot be started: it is enough"):
        Worker(start_in(top, "-q"), top / "own", cast("Starter", Refusing()), rests=True)
    [order] = asked
    arguments = order.arguments
    assert (order.python, order.directory) == (sys.executable, top)
    assert order.path == (top / "src",)
    assert "-n0" in arguments
    assert arguments[arguments.index("pytest_hiddencost.workers.interleaved_plugin") - 1] == "-p"
    assert f"--hiddencost-interleaved={order.descriptor}" in arguments
    assert "--continue-on-collection-errors" in arguments, "another file may have the test"
    assert arguments[-1] == str(top / "tests/test_it.py")


# --- rest ----------------------------------------------------------------------------------------

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
# Answers each line with that many more messages; it starts a process of its own first.
ANSWERING = """
import json, os, socket, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
open(sys.argv[1] + ".new", "w").write(str(child.pid))
os.rename(sys.argv[1] + ".new", sys.argv[1])
descriptor = [a for a in sys.argv if a.startswith("--hiddencost-interleaved=")][0]
connection = socket.socket(fileno=int(descriptor.partition("=")[2])).makefile("rwb")
answers = {
    "RunTest": {"kind": "Ready", "torch": "2", "room": True},
    "TakeTurn": {"kind": "Times", "samples_ns": [5]},
    "prepare": {"kind": "Prepared"},
    "window": {"kind": "WindowTimes", "non_mac_ns": 1, "whole_ns": 2},
    "finish": {"kind": "Over", "why": "finished"},
}
for line in connection:
    asked = json.loads(line)
    answer = answers[asked.get("step", asked["kind"])]
    connection.write(json.dumps(answer).encode() + b"\\n")
    connection.flush()
child.kill()
"""


def state(pid: int) -> str:
    """The state of a process in the kernel's letters."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def becomes(pid: int, *states: str) -> bool:
    """Whether a process comes to one of these states, after a while at most."""
    end = time.monotonic() + 60.0
    while state(pid) not in states:
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


class Answering:
    """A worker that answers, and a process that it started."""

    def __init__(self, starting: Starting, reaper: FakeReaper, *, rests: bool) -> None:
        program, child = starting.top / "answering.py", starting.top / "child"
        program.write_text(ANSWERING, encoding="utf-8")
        self.worker = starting(f'exec {sys.executable} -S {program} {child} "$@"', rests=rests)
        end = time.monotonic() + 60.0
        while not child.exists():
            assert time.monotonic() < end
            time.sleep(0.005)
        self.pids = [reaper.pids[-1], int(child.read_text())]

    def stopped(self) -> bool:
        """Whether the worker and its child are stopped."""
        return all(becomes(pid, "T") for pid in self.pids)

    def running(self) -> bool:
        """Whether both go on."""
        return all(becomes(pid, "S", "R") for pid in self.pids)

    def questions(self) -> list[Callable[[], object]]:
        """The questions of a whole call, in order; each ends with an answer."""
        worker = self.worker

        def come() -> None:
            worker.run("test_it.py::test_a", "", whole=False)
            worker.ready()

        return [
            come, lambda: worker.turn(1, refill=0), lambda: worker.turn(1, refill=0),
            worker.prepare, worker.window, worker.window,
        ]  # fmt: skip


@pytest.fixture
def answering(starting: Starting, reaper: FakeReaper) -> Answering:
    return Answering(starting, reaper, rests=True)


@linux
def test_a_side_is_stopped_after_each_answer_and_goes_on_with_the_next_question(
    answering: Answering,
) -> None:
    for ask in answering.questions():
        ask()
        assert answering.stopped()
    answering.worker.finish()
    with pytest.raises(InterleavingError, match="finished"):
        answering.worker.profile()
    assert answering.running(), "the last answer is no turn"


@linux
@pytest.mark.parametrize("asked", range(7))
def test_a_side_that_rests_goes_on_once_nobody_asks_any_more(
    answering: Answering, reaper: FakeReaper, asked: int
) -> None:
    for ask in answering.questions()[:asked]:
        ask()
    answering.worker.close()
    assert gone(answering.pids[0])
    assert ended(answering.pids[1]), "it came to the end of its program"
    assert reaper.withdrawn[:1] == reaper.pids


@linux
def test_a_side_that_rests_can_be_killed_with_all_that_it_started(answering: Answering) -> None:
    answering.questions()[0]()
    assert answering.stopped()
    answering.worker.kill()
    assert gone(answering.pids[0])
    assert ended(answering.pids[1])


@linux
def test_a_side_that_is_killed_while_it_rests_is_an_error_at_the_next_question(
    answering: Answering,
) -> None:
    first, then, *_ = answering.questions()
    first()
    os.kill(answering.pids[0], signal.SIGKILL)
    with pytest.raises(InterleavingError, match="the worker process ended with exit status -9"):
        then()
    assert ended(answering.pids[1]), "what it started ends with it"


@linux
def test_a_side_that_waits_for_an_accelerator_is_never_stopped(
    starting: Starting, reaper: FakeReaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    made = Answering(starting, reaper, rests=False)
    killpg = os.killpg

    def noted(pid: int, number: int) -> None:
        sent.append(number)
        killpg(pid, number)

    monkeypatch.setattr(os, "killpg", noted)
    for ask in made.questions():
        ask()
    assert made.running()
    made.worker.close()
    assert signal.SIGSTOP not in sent
