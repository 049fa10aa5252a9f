"""Messages between a run and its peers: JSON over a socket that both ends were born with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_hiddencost.errors import PairingError

PROTOCOL = 2
# What a peer is asked for.
RUN, TURN, WINDOWS, WINDOW, FINISH = "run", "turn", "windows", "window", "finish"
LEAVE = "leave"  # a call that is not measured after all
# What it answers.
HELLO, READY, TIMES, DONE, PROFILE, OVER = "hello", "ready", "times", "done", "profile", "over"

Message = Mapping[str, Any]


class Closed(PairingError):
    """The other end is gone."""


class Silent(PairingError):
    """The other end did not answer in time."""


class Channel:
    """One end; ``descriptor`` is the file descriptor of a connected socket, owned from here on."""

    def __init__(self, descriptor: int) -> None:
        from multiprocessing.connection import Connection  # late: 20 ms, and seldom needed

        self._connection = Connection(descriptor)

    def send(self, kind: str, **content: object) -> None:
        """Send a message. Raises ``Closed``."""
        data = json.dumps({"kind": kind, **content}).encode()
        try:
            self._connection.send_bytes(data)
        except OSError as error:
            raise Closed("the connection is closed") from error

    def receive(self, patience_s: float | None = None) -> Message:
        """The next message. Raises ``Closed``, and ``Silent`` after so many seconds."""
        try:
            if not self._connection.poll(patience_s):
                raise Silent(f"no answer within {patience_s:.0f} s")
            message: Message = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise Closed("the connection is closed") from error
        return message

    def close(self) -> None:
        """Close this end."""
        self._connection.close()
