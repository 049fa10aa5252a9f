"""Messages between a run and its worker processes: lines of JSON over a socket pair."""

from __future__ import annotations

import json
import socket

from pytest_hiddencost.core.errors import FormatError, InterleavingError
from pytest_hiddencost.workers.messages import Message, from_json, to_json

CHUNK_BYTES = 1 << 16


class Closed(InterleavingError):
    """The other end is gone."""


class Silent(InterleavingError):
    """The other end did not answer in time."""


class Channel:
    """One end; it owns ``descriptor``, the file descriptor of a connected socket."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._unread = bytearray()

    def send(self, message: Message) -> None:
        """Send a message. Raises ``Closed``."""
        data = json.dumps(to_json(message)).encode()
        try:
            self._socket.sendall(data + b"\n")
        except OSError as error:
            raise Closed("the connection is closed") from error

    def receive(self, patience_s: float | None = None) -> Message:
        """Return the next message.

        Raises ``Closed``, ``Silent`` if nothing arrives for ``patience_s`` seconds (also in the
        middle of a message), and ``InterleavingError`` for a line that is no message.
        """
        try:
            self._socket.settimeout(patience_s)
            while b"\n" not in self._unread:
                data = self._socket.recv(CHUNK_BYTES)
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

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
