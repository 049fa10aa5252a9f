"""The patience of a run: as long as calls take, and no longer for a worker that hangs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_hiddencost.core.errors import InterleavingError, WorkerHangs
from pytest_hiddencost.measure.outlook import CallProgress
from pytest_hiddencost.workers import interleaved_plugin
from pytest_hiddencost.workers.connection import ANSWER_S, Connection
from pytest_hiddencost.workers.interleaved_plugin import WorkerSide
from pytest_hiddencost.workers.invocation import SLOWER, TIMES_MAX, Invocation
from pytest_hiddencost.workers.messages import Ready
from pytest_hiddencost.workers.relaunches import EACH_S, Relaunches
from pytest_hiddencost.workers.starting import START_S
from pytest_hiddencost.workers.worker import Worker
from pytest_hiddencost.workers.worker_start import Start
from tests.profiles import S
from tests.workers import fake_workers
from tests.workers.fake_workers import Sampler, connected

TEST = "test_it.py::test_it"
SHORT_S = 0.03


def progress(number: int, longest_ns: int) -> CallProgress:
    return CallProgress(number, 0, "MACs", 0.0, longest_ns)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Make workers patient for a moment only; set at the end, so that no thread stays."""
    monkeypatch.setattr(fake_workers, "PATIENCE_S", SHORT_S)
    monkeypatch.setattr(interleaved_plugin, "_ready", lambda _: Ready("2.13.0", room=False))
    event = Event()
    yield event
    event.set()


def asked(*steps: Callable[[Any], object]) -> Connection:
    """A worker that was asked for its call, on the way to which it takes these steps."""

    def bodies(side: WorkerSide) -> dict[str, Callable[[], None]]:
        def body() -> None:
            pace = side.pace(TEST, "")
            assert pace is not None
            for step in steps:
                step(pace)
            pace.latency(Sampler())  # type: ignore[arg-type]  # a stand-in

        return {TEST: body}

    connection, _ = connected(bodies)
    connection._ready_s = SHORT_S
    connection.greet()
    connection.run(TEST, "", whole=False)
    return connection


def test_a_worker_that_makes_calls_of_seconds_is_waited_for(ended: Event) -> None:
    connection = asked(
        lambda pace: pace.tell(progress(2, 14 * S)),
        lambda _: ended.wait(4 * SHORT_S),
    )
    assert connection.ready() == Ready("2.13.0", room=False)


def test_a_turn_may_take_as_long_as_the_calls_before_it(ended: Event) -> None:
    connection = asked(lambda pace: pace.tell(progress(2, 14 * S)))
    connection.ready()
    connection._answer_s = SHORT_S / 10
    assert connection.turn(1, refill=0).samples_ns


def test_a_worker_that_hangs_after_calls_is_noticed(ended: Event) -> None:
    connection = asked(
        lambda pace: pace.tell(progress(1, 0)),
        lambda pace: pace.tell(progress(2, S // 500)),
        lambda _: ended.wait(60.0),
    )
    with pytest.raises(WorkerHangs, match=r"hangs: no answer within 0 s; if it was at work"):
        connection.ready()


def test_the_message_about_a_hanging_worker_names_the_option(ended: Event) -> None:
    with pytest.raises(InterleavingError, match="longer with --hiddencost-max-time"):
        asked(lambda _: ended.wait(60.0)).ready()


def test_short_calls_are_not_told(ended: Event) -> None:
    """A message between two short calls would disturb them."""
    sent: list[object] = []
    channel: Any = SimpleNamespace(send=sent.append)
    request: Any = SimpleNamespace(whole=True, injection="")
    pace = interleaved_plugin.SharedPace(channel, request, WorkerSide(channel).end_test)
    for number in range(1, 100):
        pace.tell(progress(number, S // 200))
    assert len(sent) == 1


# --- from what the run itself took --------------------------------------------------------------


def invocation(max_time_ns: int = 2 * S) -> Invocation:
    return Invocation(Path(), Path(), None, (), max_time_ns)


class Unstarted(Exception):
    """Ends the start of a process."""


@pytest.mark.parametrize(("startup_s", "test_s"), [(0.0, 0.0), (60.0, 0.0), (200.0, 1_500.0)])
def test_a_worker_may_be_ten_times_as_slow_as_this_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, startup_s: float, test_s: float
) -> None:
    given: dict[str, float] = {}

    def connection(*_: object, start_s: float, ready_s: float) -> None:
        given.update(start_s=start_s, ready_s=ready_s)

    monkeypatch.setattr(Connection, "__init__", connection)
    starter: Any = SimpleNamespace(start=lambda *_: None)
    start = Start(invocation(), frozenset(), sys.executable, (), (), "main", startup_s, test_s)
    Worker.__init__(object.__new__(Worker), start, tmp_path / "w", starter, rests=False)
    assert given["start_s"] == START_S + SLOWER * startup_s
    assert given["ready_s"] == ANSWER_S + TIMES_MAX * 2 + SLOWER * test_s


class Recorded:
    """Stands in for what starts processes: keeps for how long a run would wait."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.limits_s: list[float] = []
        self.hangs = hangs

    def start(self, *_: object) -> Any:
        return self

    def end(self, _: object) -> None: ...

    def wait(self, timeout: float) -> int:
        self.limits_s.append(timeout)
        if self.hangs:
            raise subprocess.TimeoutExpired("pytest", timeout)
        return 0


@pytest.mark.parametrize(
    ("startup_s", "test_s", "limit_s", "shown"),
    [
        (0.0, {}, START_S + EACH_S + 40, "relaunch 1: 1 test"),
        (60.0, {TEST: 2.0}, START_S + EACH_S + 40 + 620, "relaunch 1: 1 test"),
        (0.0, {TEST: 154.0}, START_S + EACH_S + 40 + 1_540, "relaunch 1: 1 test, about 2.6 min"),
        (0.0, {"other": 154.0}, START_S + EACH_S + 40, "relaunch 1: 1 test"),
    ],
)
def test_a_relaunch_may_take_ten_times_as_long_as_its_tests_took_here(
    startup_s: float, test_s: dict[str, float], limit_s: float, shown: str
) -> None:
    recorded, texts = Recorded(), list[str]()
    starter: Any = recorded
    relaunches = Relaunches(
        invocation(), starter, show=texts.append, startup_s=lambda: startup_s, test_s=test_s
    )
    relaunches.launch([TEST])
    assert recorded.limits_s == [limit_s]
    assert texts == [shown, ""]


def test_a_relaunch_that_hangs_names_the_option() -> None:
    starter: Any = Recorded(hangs=True)
    relaunches = Relaunches(invocation(), starter)
    assert relaunches.launch([TEST]) == {}
    assert "did not end within 220 s; if it was at work" in relaunches.trouble
    assert "--hiddencost-max-time" in relaunches.trouble
