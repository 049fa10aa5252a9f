"""Where the time of a call goes: profiler windows of one call each, folded as they come.

Only per-operator sums of a window are kept, never its events, so memory does not grow with the
number of windows times the number of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from torch._C._autograd import DeviceType

from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.folding import Event, Window, fold
from pytest_hiddencost.profiling.kineto import Session, profiled
from pytest_hiddencost.profiling.macs import MacCall
from pytest_hiddencost.taxonomy import Taxonomy


class OperatorWindows:
    """Profiles one call window by window; ``kept`` are those that were not disturbed."""

    COLD = 2  # the first windows pay for set-up of the profiler, a millisecond or two
    COLD_MATTERS_NS = 50_000_000  # in a call longer than this, one of them is enough
    OUTLIER = 1.5  # a window this much slower than the median of them was disturbed

    def __init__(self, call: Call, mac_calls: Sequence[MacCall], taxonomy: Taxonomy) -> None:
        self._call = call
        self._mac_calls = mac_calls
        self._taxonomy = taxonomy
        self.windows: list[Window] = []

    def discard_cold(self) -> None:
        """Run the cold windows; their events are never read."""
        for _ in range(self.COLD):
            if self._session().wall_ns > self.COLD_MATTERS_NS:
                return

    def add(self) -> None:
        """One more window."""
        session = self._session()
        on_device = self._call.device.type != "cpu"
        read = device_events if on_device else host_events
        window = fold(
            read(session.result.events()),
            self._mac_calls,
            session.wall_ns,
            self._taxonomy,
            inclusive=not on_device,
        )
        self.windows.append(window)

    def _session(self) -> Session:
        with self._call.gradients():
            return profiled(self._call.run_synchronized, device_type=self._call.device.type)

    @property
    def kept(self) -> list[Window]:
        """The windows that were not disturbed; at least one once there are any."""
        if not self.windows:
            return []
        slowest_ns = self.OUTLIER * median(window.wall_ns for window in self.windows)
        return [window for window in self.windows if window.wall_ns <= slowest_ns]

    @property
    def disturbed(self) -> list[Window]:
        """The others."""
        kept = {id(window) for window in self.kept}
        return [window for window in self.windows if id(window) not in kept]

    @property
    def structure_varies(self) -> bool:
        """Whether two windows saw different calls."""
        first, *others = [window.structure() for window in self.windows]
        return any(other != first for other in others)


def host_events(raw: Sequence[Any]) -> list[Event]:
    """Operators of the calling thread, sorted by start; annotations and memory events left out."""
    return _sorted(
        [
            (name, start := e.start_ns(), start + (duration := e.duration_ns()), duration)
            for e in raw
            if "::" in (name := e.name())
        ]
    )


def device_events(raw: Sequence[Any]) -> list[Event]:
    """The same, each charged with the kernels it launched itself (linked by correlation id)."""
    launched: dict[int, int] = {}
    for e in raw:
        if e.device_type() != DeviceType.CPU and e.linked_correlation_id() > 0:
            key = e.linked_correlation_id()
            launched[key] = launched.get(key, 0) + e.duration_ns()
    return _sorted(
        [
            (
                name,
                start := e.start_ns(),
                start + e.duration_ns(),
                launched.get(e.correlation_id(), 0),
            )
            for e in raw
            if "::" in (name := e.name()) and e.device_type() == DeviceType.CPU
        ]
    )


def _sorted(events: list[Event]) -> list[Event]:
    if any(later[1] < earlier[1] for earlier, later in pairwise(events)):
        events.sort(key=lambda event: (event[1], -event[2]))
    return events
