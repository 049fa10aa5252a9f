"""Worker processes without processes: a thread serves the worker's end of the protocol.

The asking end and the answering end are the real ones, over a real socket pair. Only pytest, which
runs a test for the worker, and the measurements in it are stand-ins.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.interleaved.ratios import WindowTime
from pytest_hiddencost.workers.channel import Channel
from pytest_hiddencost.workers.connection import Connection
from pytest_hiddencost.workers.interleaved_plugin import WorkerSide
from pytest_hiddencost.workers.messages import Ready, Times
from pytest_hiddencost.workers.worker import Worker
from pytest_hiddencost.workers.worker_start import Start
from tests.profiles import MS, network

if TYPE_CHECKING:
    from pytest_hiddencost.measure.latency.sampler import LatencySampler
    from pytest_hiddencost.measure.operators.window_pass import Windows
    from pytest_hiddencost.workers.starting import Starter

PATIENCE_S = 60.0


class Sampler:
    """Stands in for the latency sampler: every call takes the same time."""

    def __init__(self, call_ns: int = MS, at_turn: Callable[[], None] | None = None) -> None:
        self._call_ns = call_ns
        self._at_turn = at_turn
        self.turns: list[tuple[int, int]] = []

    def turn(self, duration_ns: int, *, refill: int = 0) -> tuple[int, ...]:
        self.turns.append((duration_ns, refill))
        if self._at_turn is not None:
            self._at_turn()
        return (self._call_ns,) * (refill + 1)


class ProfilerWindows:
    """Stands in for profiler windows: each takes the same time."""

    def __init__(self, non_mac_ns: int = 400_000, whole_ns: int = MS) -> None:
        self._times = non_mac_ns, whole_ns
        self.taken = 0
        self.prepared = False

    def prepare(self) -> None:
        self.prepared = True

    def add(self) -> tuple[int, int]:
        assert self.prepared
        self.taken += 1
        return self._times


def measuring(
    side: WorkerSide,
    test: str,
    *labels: str,
    sampler: Sampler | None = None,
    windows: ProfilerWindows | None = None,
    profile: Profile | None = None,
) -> Callable[[], None]:
    """The body of a test that calls the fixture with these labels, one call after the other."""

    def body() -> None:
        for label in labels:
            pace = side.pace(test, label)
            if pace is not None:
                pace.latency(cast("LatencySampler", sampler or Sampler()))
                pace.windows(cast("Windows", windows or ProfilerWindows()))
                pace.done(profile or network(test=test, label=label))

    return body


class FakePytest:
    """Stands in for pytest in a worker: runs the bodies of its tests, and reports how they end."""

    def __init__(self, side: WorkerSide, bodies: dict[str, Callable[[], None]]) -> None:
        self._side = side
        self._bodies = bodies
        config = SimpleNamespace(hook=self)
        self.items = [SimpleNamespace(nodeid=test, config=config, session=self) for test in bodies]

    def pytest_runtest_protocol(self, *, item: Any, nextitem: object) -> None:
        """Run a test as pytest's hook of this name does."""
        assert nextitem is None, "a worker runs one test"
        outcome, reason = self._outcome(self._bodies[item.nodeid])
        location = (item.nodeid, 0, item.nodeid)
        report = pytest.TestReport(item.nodeid, location, {}, outcome, reason, "call")
        self._side.pytest_runtest_logreport(report)

    def _outcome(self, body: Callable[[], None]) -> tuple[Any, Any]:
        try:
            body()
        except pytest.skip.Exception as skipped:
            return "skipped", ("test_it.py", 1, f"Skipped: {skipped.msg}")
        except Exception as error:
            return "failed", f"E   {type(error).__name__}: {error}"
        return "passed", None


class Serving:
    """A worker's end, served in a thread; ``bodies`` makes the tests that pytest collected."""

    def __init__(
        self,
        descriptor: int,
        bodies: Callable[[WorkerSide], dict[str, Callable[[], None]]],
        broken: Iterable[pytest.CollectReport] = (),
    ) -> None:
        side = WorkerSide(Channel(descriptor))
        for report in broken:
            side.pytest_collectreport(report)
        session = FakePytest(side, bodies(side))
        self.thread = threading.Thread(
            target=side.serve, args=(cast("pytest.Session", session),), daemon=True
        )
        self.thread.start()

    def ended(self) -> bool:
        """Wait for the end of the thread."""
        self.thread.join(PATIENCE_S)
        return not self.thread.is_alive()


def connected(
    bodies: Callable[[WorkerSide], dict[str, Callable[[], None]]],
    broken: Iterable[pytest.CollectReport] = (),
) -> tuple[Connection, Serving]:
    """A connection, and the worker at its other end."""
    own, other = socket.socketpair()
    serving = Serving(other.detach(), bodies, broken)
    return Connection(Channel(own.detach()), "main", PATIENCE_S), serving


class FakeReaper:
    """Keeps what it is to kill and to remove."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self.withdrawn: list[int] = []
        self.folders: list[Path] = []

    def process(self, pid: int) -> None:
        self.pids.append(pid)

    def ended(self, pid: int) -> None:
        self.withdrawn.append(pid)

    def folder(self, path: Path) -> None:
        self.folders.append(path)


# --- whole workers, for pairs ------------------------------------------------------------------


@dataclass
class Log:
    """The actions of a test's workers, in order, and the orders to them.

    Workers are numbered as they start. By the name of a side: ``call_ns`` is what a call takes,
    ``lacking`` are tests that it does not have, ``files`` what it imports. ``dying``: the steps at
    which a worker is killed. ``room``, ``oversubscribed`` and ``core_of`` are what workers answer
    once they are warm.
    """

    done: list[tuple[int, str]] = field(default_factory=list)
    workers: list[ThreadWorker] = field(default_factory=list)
    call_ns: dict[str, int] = field(default_factory=dict)
    lacking: dict[str, set[str]] = field(default_factory=dict)
    files: dict[str, dict[str, Path]] = field(default_factory=dict)
    dying: set[tuple[int, str]] = field(default_factory=set)
    unstartable: bool = False
    device: str = "cpu"
    injections: dict[int, str] = field(default_factory=dict)
    room: bool = False
    oversubscribed: bool = False
    core_of: Callable[[int], int | None] = lambda _: None

    def steps(self, *kinds: str) -> list[tuple[int, str]]:
        """The steps of these kinds, in order."""
        return [(number, step) for number, step in self.done if step in kinds]

    def started(self) -> list[str]:
        """The names of the sides that were started, in order."""
        return [worker.name for worker in self.workers]

    def alive(self) -> list[int]:
        """The numbers of the workers that run."""
        return [worker.number for worker in self.workers if worker.alive]


class ThreadWorker(Worker):
    """A worker whose process is a thread, for the tests of one project with two sides."""

    def __init__(
        self, start: Start, folder: Path, starter: Starter, log: Log, *, rests: bool
    ) -> None:
        # Not the parent's: it starts a process.
        own, other = socket.socketpair()
        Connection.__init__(self, Channel(own.detach()), start.name, PATIENCE_S)
        self.start, self.folder, self.log, self.rests = start, folder, log, rests
        self.number = len(log.workers)
        log.workers.append(self)
        log.done.append((self.number, "start"))
        self._gone = False
        self._serving = Serving(other.detach(), self._bodies)

    def _bodies(self, side: WorkerSide) -> dict[str, Callable[[], None]]:
        tests = [f"{module}::test_{name}" for module in self.start.modules for name in "abc"]
        lacking = self.log.lacking.get(self.name, set())
        profile = network(device=self.log.device)
        sampler = Sampler(self.log.call_ns.get(self.name, MS))
        return {
            test: measuring(side, test, "", sampler=sampler, profile=profile)
            for test in tests
            if test not in lacking
        }

    def _step(self, kind: str) -> None:
        self.log.done.append((self.number, kind))
        if (self.number, kind) in self.log.dying:
            self.kill()

    def greet(self) -> None:
        self._step("greet")
        super().greet()

    def run(self, test: str, label: str, *, whole: bool, injection: str = "") -> None:
        self._step("run whole" if whole else "run")
        self.log.injections[self.number] = injection
        super().run(test, label, whole=whole, injection=injection)

    def ready(self) -> Ready:
        self._step("ready")
        found = super().ready()
        files = {name: str(path) for name, path in self.log.files[self.name].items()}
        return replace(
            found, torch=f"2.{self.number}", room=self.log.room,
            oversubscribed=self.log.oversubscribed, core=self.log.core_of(self.number), files=files,
        )  # fmt: skip

    def turn(self, duration_ns: int, *, refill: int) -> Times:
        self._step("turn")
        return super().turn(duration_ns, refill=refill)

    def window(self) -> WindowTime:
        self._step("window")
        return super().window()

    def finish(self) -> None:
        self._step("finish")
        super().finish()

    def rest(self) -> None:
        self.log.done.append((self.number, "rest"))

    def wake(self) -> None:
        self.log.done.append((self.number, "wake"))

    def dismiss(self) -> None:
        self.log.done.append((self.number, "dismiss"))
        Connection.dismiss(self)

    def close(self) -> None:
        self.log.done.append((self.number, "close"))
        assert self._serving.ended()
        self._gone = True

    def kill(self) -> None:
        self._gone = True
        Connection.dismiss(self)

    def ended(self) -> InterleavingError:
        self.kill()
        return InterleavingError(f"{self.name}: the worker process ended with exit status -9")

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return not self._gone
