"""The messages between a run and a worker process that measures interleaved: dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import Profile

PROTOCOL = 7

# --- what a worker is asked for ---------------------------------------------------------------


@dataclass(frozen=True)
class RunTest:
    """Run a test as far as its call with this label.

    ``number`` comes back with the answer. ``tell_files``: say which files are imported.
    """

    test: str
    label: str
    number: int
    tell_files: bool


@dataclass(frozen=True)
class TakeTurn:
    """Time calls for about so long, after ``refill`` calls that do not count, on one core."""

    duration_ns: int
    refill: int
    core: int | None


@dataclass(frozen=True)
class PrepareWindows:
    """Run the profiler windows that do not count."""


@dataclass(frozen=True)
class TakeWindow:
    """Take one profiler window."""


@dataclass(frozen=True)
class Finish:
    """Assemble the profile."""


@dataclass(frozen=True)
class Leave:
    """Go on without measuring: the other side has no such call."""


# --- what it answers --------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """The worker has collected its tests. These two fields stay in every protocol."""

    protocol: int
    version: str


@dataclass(frozen=True)
class Ready:
    """The call is warm.

    ``files`` are those of imported modules by name. ``room``: the cores hold the threads of both
    sides at once. ``core`` is where a single-threaded call ran last.
    """

    number: int
    torch: str
    room: bool
    core: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Times:
    """The timed calls of a turn, in ns."""

    samples_ns: tuple[int, ...]


@dataclass(frozen=True)
class Prepared:
    """The next profiler window counts."""


@dataclass(frozen=True)
class WindowTimes:
    """One profiler window: the time outside MAC kernels, and all of it, in ns."""

    non_mac_ns: int
    whole_ns: int


@dataclass(frozen=True)
class Measured:
    """The profile of the call."""

    profile: Profile


@dataclass(frozen=True)
class Over:
    """The test has ended; ``why`` says why it never came to the call, if it did not."""

    number: int
    why: str = ""


Message: TypeAlias = (
    RunTest | TakeTurn | PrepareWindows | TakeWindow | Finish | Leave
    | Hello | Ready | Times | Prepared | WindowTimes | Measured | Over
)  # fmt: skip

_CLASSES: Mapping[str, type[Message]] = MappingProxyType(
    {
        cls.__name__: cls
        for cls in (
            RunTest, TakeTurn, PrepareWindows, TakeWindow, Finish, Leave,
            Hello, Ready, Times, Prepared, WindowTimes, Measured, Over,
        )
    }
)  # fmt: skip


def to_json(message: Message) -> dict[str, Any]:
    """Return a message as plain JSON data."""
    return {"kind": type(message).__name__, **encode(message)}


def from_json(data: Any) -> Message:
    """Return the message that :func:`to_json` wrote; ``FormatError`` if there is none such."""
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise FormatError(f"message: unknown kind {kind!r:.60}")
    return decode(_CLASSES[kind], data, "message")
