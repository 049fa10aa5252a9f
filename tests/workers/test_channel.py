"""Messages between a run and its worker processes: what is sent arrives, and an end that is gone is told."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.workers.channel import Channel, Closed, Silent

PATIENCE_S = 60.0
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
contents = st.dictionaries(st.text().filter(lambda name: name not in ("kind", "self")), plain)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = pair()
    yield one, other
    one.close()
    other.close()


def pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return Channel(one.detach()), Channel(other.detach())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.text(), contents), max_size=4))
def test_what_is_sent_arrives_in_order(messages: list[tuple[str, dict[str, object]]]) -> None:
    one, other = pair()
    for kind, content in messages:
        one.send(kind, **content)
    found = [other.receive(PATIENCE_S) for _ in messages]
    assert found == [{"kind": kind, **content} for kind, content in messages]
    one.close()
    other.close()


def test_both_ends_may_speak(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.send("turn", duration_ns=10)
    assert other.receive() == {"kind": "turn", "duration_ns": 10}
    other.send("times", samples_ns=[1, 2, 2**62])
    assert one.receive(PATIENCE_S) == {"kind": "times", "samples_ns": [1, 2, 2**62]}


def test_a_message_may_be_larger_than_what_the_socket_holds(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    large = "x" * 4_000_000
    sender = threading.Thread(target=one.send, args=("profile",), kwargs={"profile": large})
    sender.start()
    assert other.receive(PATIENCE_S)["profile"] == large
    sender.join(PATIENCE_S)
    assert not sender.is_alive()


def test_an_end_that_is_gone_is_told_to_who_waits(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    other.close()
    with pytest.raises(Closed, match="the connection is closed"):
        one.receive(PATIENCE_S)
    with pytest.raises(Closed):
        one.receive()


def test_an_end_that_is_gone_is_told_to_who_speaks(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    other.close()
    with pytest.raises(Closed, match="the connection is closed"):
        one.send("turn")


def test_what_was_said_before_the_end_still_arrives(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    other.send("over", why="the test was skipped")
    other.close()
    assert one.receive(PATIENCE_S)["why"] == "the test was skipped"
    with pytest.raises(Closed):
        one.receive(PATIENCE_S)


def test_an_end_that_is_gone_in_the_middle_of_a_message() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours.detach())
    theirs.sendall(b'{"kind"')
    theirs.close()
    with pytest.raises(Closed):
        channel.receive(PATIENCE_S)
    channel.close()


def test_one_that_stops_in_the_middle_of_a_message_is_given_up_as_well() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours.detach())
    theirs.sendall(b'{"kind"')
    with pytest.raises(Silent, match="no answer within 0 s"):
        channel.receive(0.05)
    theirs.sendall(b': "done"}\n')
    assert channel.receive(PATIENCE_S) == {"kind": "done"}
    theirs.close()
    channel.close()


def test_one_that_does_not_answer_is_given_up_after_the_patience(
    ends: tuple[Channel, Channel],
) -> None:
    one, other = ends
    with pytest.raises(Silent, match="no answer within 0 s"):
        one.receive(0.05)
    other.send("done")
    assert one.receive(PATIENCE_S) == {"kind": "done"}, "it may answer later"


def test_an_end_that_was_closed_here_is_closed(ends: tuple[Channel, Channel]) -> None:
    one, _ = ends
    one.close()
    one.close()
    with pytest.raises(Closed):
        one.send("turn")
    with pytest.raises(Closed):
        one.receive(PATIENCE_S)


def test_the_descriptor_is_closed_with_the_channel() -> None:
    ours, theirs = socket.socketpair()
    descriptor = ours.detach()
    Channel(descriptor).close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    theirs.close()


@pytest.mark.parametrize("kind", [Closed, Silent])
def test_both_are_told_as_trouble_of_the_pairing(kind: type[Exception]) -> None:
    assert issubclass(kind, InterleavingError)
