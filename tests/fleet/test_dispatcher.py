from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.errors import FleetError
from pytest_hiddencost.fleet import dispatcher
from pytest_hiddencost.fleet.device_task import DONE, NO_SOURCES, TROUBLE, DeviceAnswer, Order
from pytest_hiddencost.fleet.dispatcher import PUSHES, Dispatcher
from pytest_hiddencost.fleet.members import chosen_kinds, differences, refuse_other_versions
from pytest_hiddencost.fleet.pushing import PUSHED_AT_ONCE
from pytest_hiddencost.fleet.sources import ProjectSources
from tests.fleet.fake_client import FakeClient, FakeFuture, KilledWorker, done, member


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes on by three seconds whenever somebody looks."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += 3.0
        return now[0]

    monkeypatch.setattr(dispatcher, "monotonic", monotonic)
    monkeypatch.setattr(Dispatcher, "poll_s", 0.001)
    return now


def orders(count: int, kind: str = "board") -> list[Order]:
    return [Order(f"t{i}", kind) for i in range(count)]


def test_each_device_has_one_test_at_a_time() -> None:
    client = FakeClient(member("d1"), member("d2"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(5))
    assert [f.order.test for f in client.futures] == ["t0", "t1"]
    client.futures[1].end("finished", done(client.futures[1].order))
    assert sent.answer(("t1", "board")).status == DONE
    assert [f.order.test for f in client.futures] == ["t0", "t1", "t2"]


def test_every_order_gets_its_own_answer_in_whatever_order_devices_finish() -> None:
    client = FakeClient(member("d1"), member("d2"), member("e1", "other"))
    client.on_submit = lambda future: waiting.append(future)
    waiting: list[FakeFuture] = []
    sent = Dispatcher(client, client.devices, None)
    wanted = [*orders(4), *orders(4, "other")]
    sent.submit(wanted)

    def finish(_: str) -> None:
        if waiting:
            future = waiting.pop()
            future.end("finished", done(future.order))

    for order in wanted:
        assert sent.answer((order.test, order.kind), finish).reports == ({"test": order.test},)
    assert sent.unread() == []


def test_a_device_in_trouble_is_left_for_another_one() -> None:
    client = FakeClient(member("d1"), member("d2"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(1))
    full = DeviceAnswer(TROUBLE, "d1", "tcp://d1", reason="its disk is full")
    client.on_submit = lambda future: future.end("finished", done(future.order, "d2"))
    client.futures[0].end("finished", full)
    # The callback of the second future is added after it ended here, so it runs again.
    sent._step(5.0)
    client.futures[1].end("finished", done(client.futures[1].order, "d2"))
    assert sent.answer(("t0", "board")).device == "d2"
    assert client.futures[1].where == ["tcp://d2"]


def test_after_two_moves_a_test_is_inconclusive_with_every_reason() -> None:
    client = FakeClient(member("d1"), member("d2"), member("d3"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(1))
    for name in ("d1", "d2", "d3"):
        answer = DeviceAnswer(TROUBLE, name, f"tcp://{name}", reason="its disk is full")
        client.futures[-1].end("finished", answer)
        sent._step(5.0)
    answer = sent.answer(("t0", "board"))
    assert answer.status == TROUBLE
    assert answer.reason == "; ".join(f"{n}: its disk is full" for n in ("d1", "d2", "d3"))
    assert len(client.futures) == 3


def test_a_test_that_kills_every_device_is_inconclusive() -> None:
    client = FakeClient(member("d1"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(1))
    client.began(client.futures[0], "d1")
    client.futures[0].end("error", KilledWorker())
    assert sent.answer(("t0", "board")).reason == "the devices that ran it were lost: d1"


def test_a_third_move_by_dask_is_refused(clock: list[float]) -> None:
    client = FakeClient(member("d4"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(1))
    for name in ("d1", "d2", "d3", "d4"):
        client.began(client.futures[0], name)
    answer = sent.answer(("t0", "board"))
    assert answer.reason == "the devices that ran it were lost: d1, d2, d3"
    assert client.cancelled == client.futures


def test_a_device_that_hangs_is_left_after_the_limit(clock: list[float]) -> None:
    client = FakeClient(member("d1"), member("d2"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(1))
    client.began(client.futures[0], "d1")
    while len(client.futures) == 1:
        sent._step(0.001)
    assert client.cancelled == client.futures[:1]
    assert client.futures[1].where == ["tcp://d2"]
    client.futures[1].end("finished", done(client.futures[1].order, "d2"))
    client.futures[0].end("finished", done(client.futures[0].order, "d1"))  # it wakes up, late
    assert sent.answer(("t0", "board")).device == "d2"
    sent._step(0.001)
    assert sent.unread() == []


def test_an_answer_that_is_lost_with_its_device_is_asked_for_again() -> None:
    client = FakeClient(member("d1"), member("d2"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(1))
    client.futures[0].end("finished", None)
    sent._step(5.0)
    client.futures[1].end("finished", done(client.futures[1].order, "d2"))
    assert sent.answer(("t0", "board")).device == "d2"


def test_a_kind_without_any_device_ends_inconclusive(clock: list[float]) -> None:
    client = FakeClient(member("d1"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(3))
    client.devices.clear()
    for order in orders(3):
        assert sent.answer((order.test, "board")).reason.startswith("no device of board for ")


def test_a_device_that_comes_back_goes_on(clock: list[float]) -> None:
    client = FakeClient(member("d1"))
    sent = Dispatcher(client, client.devices, None)
    client.devices.clear()
    sent._look()
    sent.submit(orders(1))
    assert client.futures == []
    client.devices.append(member("d1"))
    sent._step(0.001)
    assert len(client.futures) == 1


def test_a_scheduler_that_is_gone_ends_every_test_inconclusive(clock: list[float]) -> None:
    client = FakeClient(member("d1"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(2))
    client.broken = True
    for order in orders(2):
        assert "the scheduler did not answer" in sent.answer((order.test, "board")).reason


def test_a_client_that_dask_closed_ends_every_test_at_once() -> None:
    client = FakeClient(member("d1"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(3))
    client.status, client.refusal = "closed", RuntimeError("Client is closed")
    client.futures[0].end("cancelled")
    sent._step(5.0)
    assert sorted(sent.unread()) == [("t0", "board"), ("t1", "board"), ("t2", "board")]
    answer = sent.answer(("t1", "board"))
    assert answer.status == TROUBLE
    assert answer.reason == dispatcher.LOST_SCHEDULER


def test_a_closed_client_ends_tests_that_are_on_their_way(clock: list[float]) -> None:
    client = FakeClient(member("d1"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(1))
    client.status, client.broken = "closed", True
    sent._look()
    assert sent.answer(("t0", "board")).reason == dispatcher.LOST_SCHEDULER


def test_an_order_that_dask_refuses_for_a_moment_is_sent_again() -> None:
    client = FakeClient(member("d1"), member("d2"))
    client.refusal = OSError("the connection was reset")
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(2))
    sent._step(0.001)
    assert client.futures == []
    client.refusal = None
    sent._step(0.001)
    assert [future.order.test for future in client.futures] == ["t0", "t1"]


def test_a_client_that_refuses_every_order_ends_them(clock: list[float]) -> None:
    client = FakeClient(member("d1"))
    client.refusal = OSError("the connection was reset")
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(2))
    for order in orders(2):
        assert "takes no tests: OSError" in sent.answer((order.test, "board")).reason


def test_a_device_without_the_sources_gets_them() -> None:
    client = FakeClient(member("d1"))
    sent = Dispatcher(client, client.devices, ProjectSources("hash", b"data", Path("/")))
    sent.submit(orders(1))
    client.futures[0].end("finished", DeviceAnswer(NO_SOURCES, "d1", "tcp://d1"))
    sent._step(5.0)
    assert client.pushed == [["tcp://d1"], ["tcp://d1"]]
    client.futures[1].end("finished", done(client.futures[1].order))
    assert sent.answer(("t0", "board")).status == DONE


def test_the_end_of_a_run_cancels_what_is_on_its_way() -> None:
    client = FakeClient(member("d1"), member("d2"))
    sent = Dispatcher(client, client.devices, None)
    sent.submit(orders(5))
    sent.close()
    assert client.cancelled == client.futures
    assert len(client.futures) == 2


def test_another_version_of_the_plugin_is_refused_in_one_line() -> None:
    with pytest.raises(FleetError, match=r"^d1 has pytest-hiddencost 0\.1, and this run has .*$"):
        refuse_other_versions([member("d1", plugin="0.1")])


def test_kinds_are_chosen_among_those_of_the_fleet() -> None:
    devices = [member("d1"), member("e1", "other")]
    assert chosen_kinds(devices, [], "") == ["board", "other"]
    assert chosen_kinds(devices, ["other"], "") == ["other"]
    with pytest.raises(FleetError, match="--k: the fleet has no device of pi; it has board, other"):
        chosen_kinds(devices, ["pi"], "--k")
    with pytest.raises(FleetError, match="no device"):
        chosen_kinds([], [], "")


def test_devices_of_one_kind_that_differ_are_named() -> None:
    devices = [member("d1"), member("d2"), member("d3"), member("e1", "other")]
    assert differences(devices) == []
    devices[2] = replace(devices[2], info=replace(devices[2].info, key="board-8c"))
    assert differences(devices) == [
        "devices of board differ: board (d1, d2), board-8c (d3); their results share a table and a "
        "run file; give each its own kind with hiddencost device --kind"
    ]


def test_many_devices_get_the_sources_some_at_once() -> None:
    client = FakeClient(*(member(f"d{i}") for i in range(PUSHED_AT_ONCE + 1)), member("e", "other"))
    sent = Dispatcher(client, client.devices, ProjectSources("hash", b"data", Path("/")))
    sent.submit(orders(1))
    assert [len(each) for each in client.pushed] == [PUSHED_AT_ONCE, 1]
    assert "tcp://e" not in client.pushed[-1]


def test_devices_that_only_lacked_the_sources_are_not_lost() -> None:
    client = FakeClient(*(member(f"d{i}") for i in range(PUSHES)))
    sent = Dispatcher(client, client.devices, ProjectSources("hash", b"data", Path("/")))
    sent.submit(orders(1))
    for i in range(PUSHES):
        client.began(client.futures[-1], f"d{i}")
        answer = DeviceAnswer(NO_SOURCES, f"d{i}", f"tcp://d{i}")
        client.futures[-1].end("finished", answer)
        sent._step(5.0)
        sent._look()
    client.futures[-1].end("finished", done(client.futures[-1].order))
    assert sent.answer(("t0", "board")).status == DONE


@pytest.mark.parametrize("refusal", ["No space left on device", OSError("it is gone")])
def test_a_device_that_cannot_keep_the_sources_is_left(refusal: str | Exception) -> None:
    client = FakeClient(member("d1"), member("d2"))
    sent = Dispatcher(client, client.devices, ProjectSources("hash", b"data", Path("/")))
    sent.submit(orders(1))
    client.refusals["tcp://d1"] = refusal
    client.futures[0].end("finished", DeviceAnswer(NO_SOURCES, "d1", "tcp://d1"))
    sent._step(5.0)
    assert client.futures[1].where == ["tcp://d2"]


ENDS: dict[str, Callable[[Order], DeviceAnswer]] = {
    "done": done,
    "no sources": lambda order: DeviceAnswer(NO_SOURCES, "d1", "tcp://d1"),
    "trouble": lambda order: DeviceAnswer(TROUBLE, "d1", "tcp://d1", reason="its disk is full"),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(ENDS)), st.integers(0, 9)), max_size=40))
def test_a_kind_never_has_more_orders_on_their_way_than_devices(
    ends: list[tuple[str, int]],
) -> None:
    client = FakeClient(member("d1"), member("d2"), member("e1", "other"))
    sent = Dispatcher(client, client.devices, ProjectSources("hash", b"data", Path("/")))
    sent.submit([*orders(6), *orders(6, "other")])
    for end, which in ends:
        flying = [f for f in client.futures if f.status == "pending"]
        if not flying:
            break
        future = flying[which % len(flying)]
        future.end("finished", ENDS[end](future.order))
        sent._step(5.0)
        kinds = [f.order.kind for f in client.futures if f.status == "pending"]
        assert kinds.count("board") <= 2
        assert kinds.count("other") <= 1
        left = sent.unread()
        assert kinds.count("other") == 1 or len([k for _, k in left if k == "other"]) == 6
