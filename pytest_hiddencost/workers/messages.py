"""The messages between a run and a worker process that measures interleaved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import Profile

PROTOCOL = 7


@dataclass(frozen=True)
class RunTest:
    """Run a test as far as its call with this label.

    The answer repeats ``number``; with ``tell_files`` it lists the imported files.
    """

    test: str
    label: str
    number: int
    tell_files: bool


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
    assemble the profile. ``leave``: go on without measuring, since the other side has no such call.
    """

    step: Literal["prepare", "window", "finish", "leave"]


@dataclass(frozen=True)
class Hello:
    """The worker has collected its tests. Every protocol has these two fields."""

    protocol: int
    version: str


@dataclass(frozen=True)
class Ready:
    """The call is warm.

    ``files``: those of imported modules, by module name. ``room``: there is a core for each thread
    of both sides. ``core``: the core that a single-threaded call ran on last.
    """

    number: int
    torch: str
    room: bool
    core: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Times:
    """The times of a turn's calls, in ns."""

    samples_ns: tuple[int, ...]


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

    number: int
    why: str


Message: TypeAlias = (
    RunTest | TakeTurn | TakeStep | Hello | Ready | Times | Prepared | WindowTimes | Measured | Over
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
