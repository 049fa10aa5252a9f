"""The messages between a run and the processes that measure for it, or fork such processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import Profile

PROTOCOL = 10


@dataclass(frozen=True)
class Fork:
    """Fork a process; with the message come the descriptors of its output and of a socket, if any.

    ``arguments`` are pytest's. ``path`` comes first on the import path. The socket gets the number
    ``descriptor``.
    """

    arguments: tuple[str, ...]
    directory: str
    path: tuple[str, ...] = ()
    descriptor: int | None = None


@dataclass(frozen=True)
class Forked:
    """The process that was forked."""

    pid: int


@dataclass(frozen=True)
class Refused:
    """No process could be forked."""

    why: str


@dataclass(frozen=True)
class Ended:
    """A forked process has ended, with the negative number of the signal that killed it."""

    pid: int
    status: int


@dataclass(frozen=True)
class RunTest:
    """Run a test as far as its call with this label; a worker is asked for one call.

    ``whole``: the run also wants the call's profile and the imported files. Otherwise it only times
    the call, and the worker leaves out what takes longer. ``injection`` names a regression to
    inject.
    """

    test: str
    label: str
    whole: bool
    injection: str = ""


@dataclass(frozen=True)
class TakeTurn:
    """Time calls for ``duration_ns``, after ``refill`` that do not count, on one core if given."""

    duration_ns: int
    refill: int
    core: int | None


@dataclass(frozen=True)
class TakeStep:
    """Take a step with the warm call.

    ``prepare``: take the profiler windows that do not count. ``window``: take one. ``finish``:
    assemble the profile.
    """

    step: Literal["prepare", "window", "finish"]


@dataclass(frozen=True)
class Hello:
    """The worker has collected its tests, or the template its modules.

    Every protocol has these two fields.
    """

    protocol: int
    version: str


@dataclass(frozen=True)
class Working:
    """The worker makes a call and is not hanging; ``longest_ns`` is its longest call so far."""

    longest_ns: int


@dataclass(frozen=True)
class Ready:
    """The call is warm.

    ``files``: those of imported modules, by module name. ``room``: there is a core for each thread
    of both sides. ``oversubscribed``: the call has more threads than there are cores. ``core``: the
    core for its first thread. ``code``: the name of the file with a named model's code.
    """

    torch: str
    room: bool
    oversubscribed: bool = False
    core: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    code: str = ""


@dataclass(frozen=True)
class Times:
    """The times of a turn's calls, in ns.

    ``faults``: pages that these calls took anew from the system. ``preempted``: how often another
    process took the core.
    """

    samples_ns: tuple[int, ...]
    faults: int = 0
    preempted: int = 0


@dataclass(frozen=True)
class Prepared:
    """The next profiler window counts."""


@dataclass(frozen=True)
class WindowTimes:
    """One profiler window: its non-MAC time, and all of its time, in ns."""

    non_mac_ns: int
    whole_ns: int


@dataclass(frozen=True)
class Measured:
    """The profile of the call."""

    profile: Profile


@dataclass(frozen=True)
class Over:
    """The test has ended; ``why`` says why its call was not measured."""

    why: str


Message: TypeAlias = (
    Fork | Forked | Refused | Ended | RunTest | TakeTurn | TakeStep | Hello | Working | Ready
    | Times | Prepared | WindowTimes | Measured | Over
)  # fmt: skip

_CLASSES: dict[str, type[Message]] = {cls.__name__: cls for cls in get_args(Message)}


def to_json(message: Message) -> dict[str, Any]:
    """Return a message as plain JSON data."""
    return {"kind": type(message).__name__, **encode(message)}


def from_json(data: Any) -> Message:
    """Return the message that :func:`to_json` wrote. Raises ``FormatError`` for other data."""
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise FormatError(f"message: unknown kind {kind!r:.60}")
    return decode(_CLASSES[kind], data, "message")
