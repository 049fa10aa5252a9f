"""Both ends of the protocol: a connection asks, and a worker answers from a thread."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

import pytest_hiddencost
from pytest_hiddencost.core.errors import InterleavingError, NotInBase
from pytest_hiddencost.judge.interleaved.ratios import WindowTime
from pytest_hiddencost.workers import interleaved_plugin
from pytest_hiddencost.workers.channel import Channel
from pytest_hiddencost.workers.connection import Connection
from pytest_hiddencost.workers.interleaved_plugin import MOST_LABELS, NO_SUMMARY, WorkerSide
from pytest_hiddencost.workers.messages import PROTOCOL, Hello, Ready, Times
from tests.profiles import MS, network
from tests.suites import SHORT, run_here
from tests.workers.fake_workers import (
    PATIENCE_S,
    ProfilerWindows,
    Sampler,
    Serving,
    connected,
    measuring,
)

TEST, OTHER = "test_it.py::test_net", "test_it.py::test_other"
Bodies = Callable[[WorkerSide], dict[str, Callable[[], None]]]
Connecting = Callable[..., tuple[Connection, Serving]]


@pytest.fixture
def quickly_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no call look for imported files or cores."""
    monkeypatch.setattr(interleaved_plugin, "_ready", lambda _: Ready("2.13.0", room=True))


@pytest.fixture(autouse=True)
def raised(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One item for each time that the priority would rise; this process keeps its own."""
    found: list[str] = []
    monkeypatch.setattr(interleaved_plugin, "raise_priority", lambda: found.append("by plugin"))
    return found


@pytest.fixture
def connect() -> Iterator[Connecting]:
    """Connects to a worker that has these tests, and greets it."""
    made: list[tuple[Connection, Serving]] = []

    def connecting(bodies: Bodies, broken: tuple[pytest.CollectReport, ...] = ()) -> object:
        found = connected(bodies, broken)
        made.append(found)
        found[0].greet()
        return found

    yield connecting  # type: ignore[misc]  # it returns what connected returns
    for connection, serving in made:
        connection.dismiss()
        assert serving.ended(), "a worker ends once nobody asks any more"


def one_test(*labels: str) -> Bodies:
    return lambda side: {TEST: measuring(side, TEST, *labels)}


# --- a whole call ------------------------------------------------------------------------------


@pytest.mark.usefixtures("quickly_ready")
def test_a_call_is_measured_step_by_step(connect: Connecting) -> None:
    sampler, windows = Sampler(2 * MS), ProfilerWindows(300, 1000)
    profile = network(label="b", allocated_bytes=7)
    connection, _ = connect(
        lambda side: {
            TEST: measuring(side, TEST, "a", "b", sampler=sampler, windows=windows, profile=profile)
        }
    )
    connection.run(TEST, "b", whole=False)
    assert connection.ready() == Ready("2.13.0", room=True)
    assert connection.turn(3_000_000, refill=2).samples_ns == (2 * MS,) * 3
    assert connection.turn(1, refill=0).samples_ns == (2 * MS,)
    assert sampler.turns == [(3_000_000, 2), (1, 0)]
    connection.prepare()
    assert windows.prepared
    assert [connection.window() for _ in range(3)] == [WindowTime(300, 1000)] * 3
    assert windows.taken == 3
    connection.finish()
    assert connection.profile() == profile


@pytest.mark.usefixtures("quickly_ready")
def test_a_turn_tells_what_the_process_noticed_meanwhile(
    connect: Connecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([(100, 7), (130, 9), (500, 9), (501, 12)])
    monkeypatch.setattr(interleaved_plugin, "usage", lambda: next(counts))
    connection, _ = connect(one_test(""))
    connection.run(TEST, "", whole=False)
    connection.ready()
    assert connection.turn(1, refill=0) == Times((MS,), faults=30, preempted=2)
    assert connection.turn(1, refill=0) == Times((MS,), faults=1, preempted=3)


@pytest.mark.usefixtures("quickly_ready")
def test_a_worker_measures_one_call_and_then_waits_for_the_end(connect: Connecting) -> None:
    done: list[str] = []

    def bodies(side: WorkerSide) -> dict[str, Callable[[], None]]:
        return {TEST: measuring(side, TEST, ""), OTHER: lambda: done.append("other")}

    connection, serving = connect(bodies)
    never(connection, label="new")
    connection.run(OTHER, "", whole=False)
    connection.dismiss()
    assert serving.ended()
    assert done == []


def test_a_test_that_goes_on_after_its_call_ends_at_the_next_one() -> None:
    """A sub-test catches the exception that ends a test."""
    own, other = socket.socketpair()
    with own, other:
        side = WorkerSide(Channel(other.detach()))
        again: list[Callable[[], object]] = [partial(side.pace, name, "") for name in (TEST, OTHER)]
        for end in (side.end_test, *again):
            with pytest.raises(pytest.skip.Exception, match="measured for the run that asked"):
                end()


@pytest.mark.parametrize("whole", [False, True])
def test_the_pace_says_what_the_run_wants_of_the_call(whole: bool) -> None:
    own, other = socket.socketpair()
    paces = []

    def bodies(side: WorkerSide) -> dict[str, Callable[[], None]]:
        return {TEST: lambda: paces.append((side.pace(TEST, ""), side.pace(OTHER, "")))}

    serving = Serving(other.detach(), bodies)
    connection = Connection(Channel(own.detach()), "main", PATIENCE_S)
    connection.greet()
    connection.run(TEST, "", whole=whole, injection="slow")
    with pytest.raises(NotInBase):
        connection.ready()
    connection.dismiss()
    assert serving.ended()
    [(pace, none)] = paces
    assert none is None
    assert pace is not None
    assert (pace.whole, pace.injection) == (whole, "slow")


def test_a_call_that_nobody_asks_for_has_no_pace() -> None:
    own, other = socket.socketpair()
    side = WorkerSide(Channel(own.detach()))
    assert side.pace(TEST, "") is None
    other.close()


# --- greetings ---------------------------------------------------------------------------------


def test_a_worker_greets_with_its_protocol_and_its_version() -> None:
    own, other = socket.socketpair()
    serving = Serving(other.detach(), one_test(""))
    channel = Channel(own.detach())
    assert channel.receive(PATIENCE_S) == Hello(PROTOCOL, pytest_hiddencost.__version__)
    channel.close()
    assert serving.ended()


@pytest.mark.parametrize("protocol", [PROTOCOL - 1, PROTOCOL + 1])
def test_a_worker_of_another_protocol_is_refused_with_its_version(protocol: int) -> None:
    own, other = socket.socketpair()
    worker = Channel(other.detach())
    worker.send(Hello(protocol, "9.9"))
    connection = Connection(Channel(own.detach()), "main")
    with pytest.raises(InterleavingError) as caught:
        connection.greet()
    assert str(caught.value).startswith("main has pytest-hiddencost 9.9, whose messages differ ")
    assert "install the same version on both sides" in str(caught.value)
    connection.dismiss()
    worker.close()


# --- tests that never come to the call ---------------------------------------------------------


def never(connection: Connection, test: str = TEST, label: str = "") -> str:
    """Why a test did not come to its call."""
    connection.run(test, label, whole=False)
    with pytest.raises(NotInBase) as caught:
        connection.ready()
    return str(caught.value)


def test_a_test_that_was_not_collected(connect: Connecting) -> None:
    connection, _ = connect(one_test(""))
    assert never(connection, "test_it.py::test_new") == "main: there is no test_it.py::test_new"


def test_a_test_in_a_file_that_could_not_be_collected(connect: Connecting) -> None:
    broken = pytest.CollectReport(
        "test_it.py", "failed", "E   ModuleNotFoundError: No module named 'net'\n", []
    )
    connection, _ = connect(lambda _: {}, (broken,))
    assert never(connection) == (
        "main: test_it.py could not be collected: ModuleNotFoundError: No module named 'net'"
    )


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (lambda: None, "the test never calls hiddencost"),
        (raising(RuntimeError("was broken")),
         "the test failed in its call: RuntimeError: was broken"),
        (raising(pytest.skip.Exception("not today")), "the test was skipped: not today"),
    ],
)  # fmt: skip
def test_a_test_that_ends_before_its_call(
    connect: Connecting, body: Callable[[], None], why: str
) -> None:
    connection, _ = connect(lambda _: {TEST: body})
    assert never(connection) == f"main: {why}"


def test_a_call_with_another_label(connect: Connecting) -> None:
    connection, _ = connect(one_test("old", ""))
    assert never(connection, label="new") == (
        "main: the test has no hiddencost call with label 'new'; labels of its calls: 'old', ''"
    )


def test_a_long_list_of_labels_is_cut(connect: Connecting) -> None:
    connection, _ = connect(one_test(*(f"l{i}" for i in range(MOST_LABELS + 3))))
    why = never(connection)
    assert why == (
        "main: the test has no hiddencost call without a label; labels of its calls: "
        "'l0', 'l1', 'l2', 'l3', 'l4'"
    )


# --- ends in between ---------------------------------------------------------------------------


@pytest.mark.usefixtures("quickly_ready")
def test_a_test_that_fails_while_it_is_measured_is_an_error_with_its_reason(
    connect: Connecting,
) -> None:
    def out_of_memory() -> None:
        raise MemoryError("no memory left")

    sampler = Sampler(at_turn=out_of_memory)
    connection, _ = connect(lambda side: {TEST: measuring(side, TEST, "", sampler=sampler)})
    connection.run(TEST, "", whole=False)
    connection.ready()
    with pytest.raises(InterleavingError) as caught:
        connection.turn(1, refill=0)
    assert not isinstance(caught.value, NotInBase), "the call is there"
    assert str(caught.value) == "main: the test failed in its call: MemoryError: no memory left"


@pytest.mark.usefixtures("quickly_ready")
def test_a_question_out_of_order_ends_the_test(connect: Connecting) -> None:
    connection, _ = connect(one_test(""))
    connection.run(TEST, "", whole=False)
    connection.ready()
    connection.finish()
    with pytest.raises(
        InterleavingError, match=r"expected the step prepare, was asked for TakeStep.*finish"
    ):
        connection.profile()


@pytest.mark.usefixtures("quickly_ready")
def test_an_answer_out_of_order_is_an_error(connect: Connecting) -> None:
    connection, _ = connect(one_test(""))
    connection.run(TEST, "", whole=False)
    with pytest.raises(InterleavingError, match=r"^main: unexpected Ready$"):
        connection.turn(1, refill=0)


@pytest.mark.usefixtures("quickly_ready")
@pytest.mark.parametrize("steps", range(4))
def test_a_worker_ends_with_the_connection_wherever_it_is(connect: Connecting, steps: int) -> None:
    connection, serving = connect(one_test(""))
    actions: list[Callable[[], object]] = [
        lambda: connection.run(TEST, "", whole=False),
        connection.ready,
        lambda: connection.turn(1, refill=0),
        connection.prepare,
    ]
    for action in actions[: steps + 1]:
        action()
    connection.dismiss()
    assert serving.ended()


def test_a_worker_that_ends_is_an_error_for_who_asks() -> None:
    own, other = socket.socketpair()
    connection = Connection(Channel(own.detach()), "main")
    other.close()
    for ask in (connection.greet, connection.window, connection.finish):
        with pytest.raises(InterleavingError, match=r"^main: the connection is closed$"):
            ask()
    connection.dismiss()


def test_a_worker_that_does_not_answer_hangs() -> None:
    own, other = socket.socketpair()
    connection = Connection(Channel(own.detach()), "main", answer_s=0.02)
    with pytest.raises(InterleavingError) as caught:
        connection.window()
    assert str(caught.value).startswith("main: the worker process hangs: no answer within 0 s; ")
    other.close()


# --- the state of a worker ---------------------------------------------------------------------


def ready(connection: Connection, *, whole: bool) -> Ready:
    connection.run(TEST, "", whole=whole)
    return connection.ready()


@pytest.mark.parametrize(
    ("threads", "cores", "room", "oversubscribed"),
    [(1, 2, True, False), (1, 1, False, False), (2, 3, False, False), (2, 4, True, False),
     (4, 4, False, False), (5, 4, False, True), (2, 1, False, True)],
)  # fmt: skip
def test_there_is_room_if_the_cores_hold_the_threads_of_both_sides(
    connect: Connecting, monkeypatch: pytest.MonkeyPatch,
    threads: int, cores: int, room: bool, oversubscribed: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr("pytest_hiddencost.measure.intra_op_threads", lambda: threads)
    monkeypatch.setattr(interleaved_plugin, "usable_cores", lambda: set(range(cores)))
    connection, _ = connect(one_test(""))
    found = ready(connection, whole=False)
    assert (found.room, found.oversubscribed) == (room, oversubscribed)


@pytest.mark.parametrize("whole", [True, False])
def test_files_are_listed_only_if_the_run_asks_for_them(connect: Connecting, whole: bool) -> None:
    import torch

    connection, _ = connect(one_test(""))
    found = ready(connection, whole=whole)
    assert found.files.get(__name__) == (__file__ if whole else None)
    assert found.torch == torch.__version__


pinning = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="there is one core, or none to choose",
)


@pinning
def test_a_call_takes_its_turns_and_windows_on_the_core_that_it_is_given(
    connect: Connecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_hiddencost.measure.intra_op_threads", lambda: 1)
    everywhere = os.sched_getaffinity(0)
    where: list[set[int]] = []

    class Locating(ProfilerWindows):
        def prepare(self) -> None:
            super().prepare()
            where.append(os.sched_getaffinity(0))

    def note() -> None:
        where.append(os.sched_getaffinity(0))

    sampler = Sampler(at_turn=note)
    connection, _ = connect(
        lambda side: {TEST: measuring(side, TEST, "", sampler=sampler, windows=Locating())}
    )
    found = ready(connection, whole=False)
    assert found.core in everywhere
    connection.turn(1, refill=0)
    connection.core = max(everywhere)
    connection.turn(1, refill=0)
    connection.turn(1, refill=0)
    connection.prepare()
    assert where == [everywhere, *[{max(everywhere)}] * 3]


def test_the_first_of_several_threads_has_the_first_core(
    connect: Connecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenMP has bound the others to the cores after it."""
    monkeypatch.setattr("pytest_hiddencost.measure.intra_op_threads", lambda: 2)
    monkeypatch.setattr(interleaved_plugin, "usable_cores", lambda: {3, 4, 7})
    connection, _ = connect(one_test(""))
    assert ready(connection, whole=False).core == 3


# --- a real pytest -----------------------------------------------------------------------------

SUITE = """\
import pytest
import torch

@pytest.fixture(scope="session")
def model():
    return torch.nn.Linear(4, 4).eval()

def test_net(hiddencost, model):
    hiddencost(model, torch.ones(1, 4), label="a")
    hiddencost(model, torch.ones(1, 4), label="b")
    raise AssertionError("the rest of the test is skipped")

def test_fails(hiddencost):
    raise RuntimeError("was broken")
"""


Asking = Callable[[Connection], list[object]]


def asked(pytester: pytest.Pytester, ask: Asking) -> list[object]:
    """The answers of a pytest with the plugin."""
    pytester.makepyfile(test_it=SUITE, test_bad="import nowhere_to_be_found\n")
    own, other = socket.socketpair()
    connection = Connection(Channel(own.detach()), "main", PATIENCE_S)
    found: list[object] = []

    def asking() -> None:
        try:
            connection.greet()
            found.extend(ask(connection))
        except BaseException as error:
            found.append(error)
        finally:
            connection.dismiss()

    thread = threading.Thread(target=asking)
    thread.start()
    result = run_here(
        pytester, "-p", "pytest_hiddencost.workers.interleaved_plugin",
        f"--hiddencost-interleaved={other.detach()}", "--continue-on-collection-errors",
        "--hiddencost-threads=1", SHORT,
    )  # fmt: skip
    thread.join(PATIENCE_S)
    assert result.ret == NO_SUMMARY
    assert "hidden costs" not in result.stdout.str()
    return found


def test_a_pytest_with_the_plugin_measures_what_it_is_asked_for(pytester: pytest.Pytester) -> None:
    def ask(connection: Connection) -> list[object]:
        connection.run("test_it.py::test_net", "b", whole=True)
        files = connection.ready().files
        times = connection.turn(1, refill=1)
        connection.prepare()
        window = connection.window()
        connection.finish()
        profile = connection.profile()
        return [
            files["test_it"], len(times.samples_ns), times.faults >= 0, window.whole_ns > 0,
            (profile.test, profile.label, profile.model), profile.activation_peak_bytes is not None,
        ]  # fmt: skip

    assert asked(pytester, ask) == [
        str(pytester.path / "test_it.py"), 2, True, True, ("test_it.py::test_net", "b", "Linear"),
        True,
    ]  # fmt: skip


def test_a_worker_has_a_high_priority_before_code_of_the_user_runs(
    pytester: pytest.Pytester, raised: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interleaved_plugin, "seen_by_conftest", raised, raising=False)
    pytester.makeconftest(
        "from pytest_hiddencost.workers import interleaved_plugin\n"
        "interleaved_plugin.seen_by_conftest.append('conftest')\n"
    )
    asked(pytester, lambda connection: [never(connection, "test_it.py::test_fails")])
    assert raised == ["by plugin", "conftest"]


def test_a_run_that_nobody_asks_keeps_its_priority(
    pytester: pytest.Pytester, raised: list[str]
) -> None:
    pytester.makepyfile("def test_it(): pass")
    run_here(pytester, "-p", "pytest_hiddencost.workers.interleaved_plugin").assert_outcomes(
        passed=1
    )
    assert not raised


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("test_it.py::test_fails", "the test failed in its call: RuntimeError: was broken"),
        ("test_bad.py::test_any", "test_bad.py could not be collected: ModuleNotFoundError: No "
         "module named 'nowhere_to_be_found'"),
    ],
)  # fmt: skip
def test_a_pytest_with_the_plugin_says_why_there_is_no_call(
    pytester: pytest.Pytester, test: str, why: str
) -> None:
    assert asked(pytester, lambda connection: [never(connection, test)]) == [f"main: {why}"]
