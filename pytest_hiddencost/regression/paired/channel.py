"""Messages between a run and its peers: lines of JSON over a socket both ends were born with."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

from pytest_hiddencost.errors import PairingError

PROTOCOL = 6
# What a peer is asked for.
RUN, TURN, WINDOWS, WINDOW, FINISH = "run", "turn", "windows", "window", "finish"
LEAVE = "leave"  # a call that is not measured after all
# What it answers.
HELLO, READY, TIMES, DONE, PROFILE, OVER = "hello", "ready", "times", "done", "profile", "over"

CHUNK_BYTES = 1 << 16

Message = Mapping[str, Any]


class Closed(PairingError):
    """The other end is gone."""


class Silent(PairingError):
    """The other end did not answer in time."""


class Channel:
    """One end; ``descriptor`` is the file descriptor of a connected socket, owned from here on."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._unread = bytearray()

    def send(self, kind: str, **content: object) -> None:
        """Send a message. Raises ``Closed``."""
        data = json.dumps({"kind": kind, **content}).encode()
        try:
            self._socket.sendall(data + b"\n")
        except OSError as error:
            raise Closed("the connection is closed") from error

    def receive(self, patience_s: float | None = None) -> Message:
        """The next message. Raises ``Closed``, and ``Silent`` where so many seconds bring nothing.

        Nothing more, that is: who stops in the middle of a message is given up as well.
        """
        self._await_line(patience_s)
        line, _, self._unread = self._unread.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def _await_line(self, patience_s: float | None) -> None:
        looked = 0
        try:
            self._socket.settimeout(patience_s)
            while b"\n" not in self._unread[looked:]:
                looked = len(self._unread)
                data = self._socket.recv(CHUNK_BYTES)
                if not data:
                    raise Closed("the connection is closed")
                self._unread += data
        except TimeoutError as error:
            raise Silent(f"no answer within {patience_s:.0f} s") from error
        except OSError as error:
            raise Closed("the connection is closed") from error

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
