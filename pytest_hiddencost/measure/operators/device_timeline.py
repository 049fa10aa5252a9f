"""The timeline of an accelerator during one call: when it was busy, when it waited for the host."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch._C._autograd import DeviceType

_RUNTIME = re.compile(r"(?:cuda|cu|hip)[A-Z]\w*$")  # kineto's names for functions of the runtime


@dataclass(frozen=True)
class DeviceTimeline:
    """Times of an accelerator during one call, all streams together.

    It is busy while any stream runs a kernel, a copy or a fill. It waits for the host while it is
    idle and the host has not launched the work that ends the pause. Pauses between launched work,
    such as those inside a captured graph, are not the host's.
    """

    busy_ns: int
    waiting_ns: int


def is_runtime_call(name: str) -> bool:
    """Return whether an event on the host is a call of the accelerator's runtime."""
    return _RUNTIME.match(name) is not None


def is_device_work(event: Any) -> bool:
    """Return whether an event is work of an accelerator, not the shadow of an annotation."""
    annotated = getattr(event, "is_user_annotation", bool)()  # torch before 2.5 cannot tell
    return event.device_type() != DeviceType.CPU and not annotated


def device_timeline(raw: Iterable[Any], start_ns: int, end_ns: int) -> DeviceTimeline | None:
    """Return the timeline between two times; ``None`` if some work has no known launch.

    ``raw`` are the events of a profiler session. Work and the call of the runtime that launched it
    have the same correlation id.
    """
    launched_ns: dict[int, int] = {}
    work: list[tuple[int, int, int]] = []
    for event in raw:
        if is_device_work(event):
            if start_ns <= event.start_ns() < end_ns:
                ends_ns = event.start_ns() + event.duration_ns()
                work.append((event.start_ns(), ends_ns, event.correlation_id()))
        elif is_runtime_call(event.name()):
            launched_ns[event.correlation_id()] = event.start_ns() + event.duration_ns()
    if any(correlation not in launched_ns for _, _, correlation in work):
        return None
    busy_ns, waiting_ns, free_ns = 0, 0, start_ns
    for begins_ns, ends_ns, correlation in sorted(work):
        waiting_ns += max(0, min(begins_ns, launched_ns[correlation]) - free_ns)
        busy_ns += max(0, ends_ns - max(free_ns, begins_ns))
        free_ns = max(free_ns, ends_ns)
    return DeviceTimeline(busy_ns, waiting_ns)
