"""The channel: messages arrive whole and in order, and an end that is gone is an error."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.workers.channel import Channel, Closed, Silent
from pytest_hiddencost.workers.messages import Message, Over, Prepared, TakeStep, TakeTurn, Times
from tests.profiles import patient

PATIENCE_S = 60.0


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = pair()
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def raw() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the bare socket at its other end."""
    own, other = socket.socketpair()
    channel = Channel(own.detach())
    yield channel, other
    channel.close()
    other.close()


def pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return Channel(one.detach()), Channel(other.detach())


some_messages = st.lists(
    st.builds(Over, why=st.text())
    | st.builds(Times, samples_ns=st.lists(st.integers(0, 2**62), max_size=5).map(tuple))
    | st.builds(TakeTurn, st.integers(0), st.integers(0), st.none() | st.integers(0, 9)),
    max_size=5,
)


@settings(patient, max_examples=50)
@given(some_messages)
def test_messages_arrive_in_order(messages: list[Message]) -> None:
    one, other = pair()
    for message in messages:
        one.send(message)
    assert [other.receive(PATIENCE_S) for _ in messages] == messages
    one.close()
    other.close()


def test_both_ends_may_send(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.send(TakeTurn(10, 0, None))
    assert other.receive() == TakeTurn(10, 0, None)
    other.send(Times((1, 2, 2**62)))
    assert one.receive(PATIENCE_S) == Times((1, 2, 2**62))


def test_a_message_may_be_larger_than_the_sockets_buffer(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    large = Over("x" * 4_000_000)
    sender = threading.Thread(target=one.send, args=(large,))
    sender.start()
    assert other.receive(PATIENCE_S) == large
    sender.join(PATIENCE_S)
    assert not sender.is_alive()


def test_a_message_may_arrive_in_pieces(raw: tuple[Channel, socket.socket]) -> None:
    channel, other = raw
    data = b'{"kind": "Over", "why": "gr\xc3\xb6\xc3\x9fer"}\n'

    def send() -> None:
        for byte in data:
            other.sendall(bytes([byte]))

    sender = threading.Thread(target=send)
    sender.start()
    assert channel.receive(PATIENCE_S) == Over("größer")
    sender.join(PATIENCE_S)


def test_several_messages_may_arrive_at_once(raw: tuple[Channel, socket.socket]) -> None:
    channel, other = raw
    other.sendall(b'{"kind": "Prepared"}\n{"kind": "TakeStep", "step": "finish"}\n{"kind": "Prep')
    assert [channel.receive(PATIENCE_S) for _ in range(2)] == [Prepared(), TakeStep("finish")]
    other.sendall(b'ared"}\n')
    assert channel.receive(PATIENCE_S) == Prepared()


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"5", b'"Over"', b"[]", b"\xff", b'{"kind": "Unheard"}', b'{"kind": "Over"}'],
)
def test_a_line_that_is_no_message_is_an_error(
    raw: tuple[Channel, socket.socket], line: bytes
) -> None:
    channel, other = raw
    other.sendall(line + b'\n{"kind": "Prepared"}\n')
    with pytest.raises(InterleavingError, match=r"^the answer cannot be read: "):
        channel.receive(PATIENCE_S)
    assert channel.receive(PATIENCE_S) == Prepared(), "the next line is read all the same"


def test_receiving_from_an_end_that_is_gone_is_an_error(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    other.close()
    with pytest.raises(Closed, match="the connection is closed"):
        one.receive(PATIENCE_S)
    with pytest.raises(Closed):
        one.receive()


def test_sending_to_an_end_that_is_gone_is_an_error(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    other.close()
    with pytest.raises(Closed, match="the connection is closed"):
        one.send(TakeStep("finish"))


def test_messages_sent_before_the_end_still_arrive(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    other.send(Over("the test was skipped"))
    other.close()
    assert one.receive(PATIENCE_S) == Over("the test was skipped")
    with pytest.raises(Closed):
        one.receive(PATIENCE_S)


def test_an_end_that_is_gone_in_the_middle_of_a_message_is_an_error(
    raw: tuple[Channel, socket.socket],
) -> None:
    channel, other = raw
    other.sendall(b'{"kind"')
    other.close()
    with pytest.raises(Closed):
        channel.receive(PATIENCE_S)


def test_an_end_that_stops_in_the_middle_of_a_message_is_silent(
    raw: tuple[Channel, socket.socket],
) -> None:
    channel, other = raw
    other.sendall(b'{"kind"')
    with pytest.raises(Silent, match="no answer within 0 s"):
        channel.receive(0.02)
    other.sendall(b': "Prepared"}\n')
    assert channel.receive(PATIENCE_S) == Prepared()


def test_an_end_that_does_not_answer_in_time_is_silent(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    with pytest.raises(Silent, match="no answer within 0 s"):
        one.receive(0.02)
    other.send(TakeStep("finish"))
    assert one.receive(PATIENCE_S) == TakeStep("finish"), "it may answer later"


def test_a_closed_channel_neither_sends_nor_receives(ends: tuple[Channel, Channel]) -> None:
    one, _ = ends
    one.close()
    one.close()
    with pytest.raises(Closed):
        one.send(TakeStep("finish"))
    with pytest.raises(Closed):
        one.receive(PATIENCE_S)


def test_the_descriptor_is_closed_with_the_channel() -> None:
    own, other = socket.socketpair()
    descriptor = own.detach()
    Channel(descriptor).close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    other.close()


@pytest.mark.parametrize("kind", [Closed, Silent])
def test_both_errors_are_errors_of_interleaving(kind: type[Exception]) -> None:
    assert issubclass(kind, InterleavingError)


# --- descriptors -------------------------------------------------------------------------------


def test_copies_of_descriptors_come_with_a_message(
    ends: tuple[Channel, Channel], tmp_path: Path
) -> None:
    one, other = ends
    reading, writing = os.pipe()
    with (tmp_path / "output").open("wb") as output:
        one.send(Prepared(), [output.fileno(), writing])
        os.close(writing)
    assert other.receive(PATIENCE_S) == Prepared()
    to_file, to_pipe = other.descriptors()
    os.write(to_file, b"to the file")
    os.write(to_pipe, b"to the pipe")
    assert (tmp_path / "output").read_bytes() == b"to the file"
    assert os.read(reading, 99) == b"to the pipe"
    for descriptor in (to_file, to_pipe, reading):
        os.close(descriptor)


def test_each_message_has_its_own_descriptors(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    pipes = [os.pipe() for _ in range(3)]
    for _, writing in pipes:
        one.send(Prepared(), [writing])
    one.send(Prepared())
    for reading, writing in pipes:
        other.receive(PATIENCE_S)
        [got] = other.descriptors()
        os.write(got, b"x")
        assert os.read(reading, 9) == b"x"
        for descriptor in (got, reading, writing):
            os.close(descriptor)
    other.receive(PATIENCE_S)
    assert other.descriptors() == []


def test_a_message_with_descriptors_may_be_larger_than_the_sockets_buffer(
    ends: tuple[Channel, Channel],
) -> None:
    one, other = ends
    reading, writing = os.pipe()
    with pytest.raises(Silent):
        one.receive(0.001)  # how long an answer may take is no limit to what is sent next
    large = Over("x" * 4_000_000)
    sender = threading.Thread(target=one.send, args=(large, [writing]))
    sender.start()
    sender.join(0.05)
    assert sender.is_alive(), "nobody has read yet"
    assert other.receive(PATIENCE_S) == large
    sender.join(PATIENCE_S)
    assert not sender.is_alive()
    [got] = other.descriptors()
    os.write(got, b"x")
    assert os.read(reading, 9) == b"x"
    for descriptor in (got, reading, writing):
        os.close(descriptor)


def test_a_message_that_was_read_with_another_is_waiting(
    raw: tuple[Channel, socket.socket],
) -> None:
    channel, other = raw
    other.sendall(b'{"kind": "Prepared"}\n{"kind": "Prepared"}\n')
    found = [channel.waiting]
    for _ in range(2):
        channel.receive(PATIENCE_S)
        found.append(channel.waiting)
    assert found == [False, True, False]
