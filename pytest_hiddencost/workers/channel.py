"""Messages between a run and its worker processes: lines of JSON over a socket pair."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence

from pytest_hiddencost.core.errors import FormatError, InterleavingError
from pytest_hiddencost.workers.messages import Message, from_json, to_json

CHUNK_BYTES = 1 << 16
MOST_DESCRIPTORS = 2  # with one message


class Closed(InterleavingError):
    """The other end is gone."""


class Silent(InterleavingError):
    """The other end did not answer in time."""


class Channel:
    """One end; it owns ``descriptor``, the file descriptor of a connected socket."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._unread = bytearray()
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        """Return the file descriptor, which is negative once the channel is closed."""
        return self._socket.fileno()

    @property
    def waiting(self) -> bool:
        """Whether a whole message was read and not yet received."""
        return b"\n" in self._unread

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message, and copies of these file descriptors with it. Raises ``Closed``."""
        data = json.dumps(to_json(message)).encode() + b"\n"
        try:
            self._socket.settimeout(None)  # not the patience of the last answer
            if descriptors:
                sent = socket.send_fds(self._socket, [data], list(descriptors))
                data = data[sent:]
            self._socket.sendall(data)
        except OSError as error:
            raise Closed("the connection is closed") from error

    def descriptors(self) -> list[int]:
        """Return the file descriptors that came with the messages since the last time."""
        found, self._descriptors = self._descriptors, []
        return found

    def receive(self, patience_s: float | None = None) -> Message:
        """Return the next message.

        Raises ``Closed``, ``Silent`` if nothing arrives for ``patience_s`` seconds (also in the
        middle of a message), and ``InterleavingError`` for a line that is no message.
        """
        try:
            self._socket.settimeout(patience_s)
            while b"\n" not in self._unread:
                data = self._more()
                if not data:
                    raise Closed("the connection is closed")
                self._unread += data
        except TimeoutError as error:
            raise Silent(f"no answer within {patience_s:.0f} s") from error
        except OSError as error:
            raise Closed("the connection is closed") from error
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            return from_json(json.loads(line))
        except (ValueError, FormatError) as error:
            raise InterleavingError(f"the answer cannot be read: {error}") from error

    def _more(self) -> bytes:
        if not hasattr(socket, "recv_fds"):
            return self._socket.recv(CHUNK_BYTES)
        data, found, _, _ = socket.recv_fds(self._socket, CHUNK_BYTES, MOST_DESCRIPTORS)
        self._descriptors += found
        return data

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
