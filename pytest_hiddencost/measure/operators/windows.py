"""Profiler windows: single profiled calls, each folded at once.

A window keeps its cells, never its events. Before and after each window the call is timed without
the profiler, so that the overhead is known for the same seconds. In turns with another process
these plain calls are left out, because windows are worth more there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, NamedTuple

from torch._C._profiler import _RecordFunctionFast

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.taxonomy import Taxonomy
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.latency.sampler import LONG_CALL_NS, timed_calls
from pytest_hiddencost.measure.latency.tracers import untraced
from pytest_hiddencost.measure.macs.counting import MacCall
from pytest_hiddencost.measure.operators.device_kernels import device_nodes
from pytest_hiddencost.measure.operators.device_timeline import DeviceTimeline, device_timeline
from pytest_hiddencost.measure.operators.folding import CallSite, Node, Window, fold, is_operator
from pytest_hiddencost.measure.operators.overhead import Excess, probe_ns
from pytest_hiddencost.measure.operators.profiler import profiled

MARK = "hiddencost call"  # name of the event around the measured call


class OperatorWindows:
    """The profiler windows of one call.

    ``mac_calls`` and ``call_sites`` are those of the call, as ``fold`` takes them. ``plain_ns`` is
    the time of the call without the profiler; with None, plain calls are timed between windows.
    ``cold``: the warm-up windows of a short call.
    """

    COLD = 2  # warm-up windows: the first ones pay a millisecond or two for the profiler's set-up
    OUTLIER = 1.5  # times the median: a window slower than this was disturbed
    PLAIN_NS = 3_000_000  # of plain calls between two windows
    PLAIN_CALLS = 5  # at most, between two windows

    def __init__(
        self,
        call: Call,
        mac_calls: Sequence[MacCall],
        taxonomy: Taxonomy,
        call_sites: Sequence[tuple[str, CallSite]] = (),
        plain_ns: float | None = None,
        cold: int = COLD,
    ) -> None:
        self._cold = cold
        self._call = call
        self._mac_calls = mac_calls
        self._taxonomy = taxonomy
        self._call_sites = call_sites
        self._short = True
        self._known_plain_ns = plain_ns
        self._plain_before_ns: float | None = None
        self.windows: list[Window] = []

    def discard_cold(self) -> None:
        """Run the warm-up windows; their events are neither read nor kept."""
        self._plain_ns()
        for _ in range(self._cold if self._short else 0):
            marked_call(self._call, warm=self._short)

    def add(self) -> Window:
        """Take one window and return it."""
        before_ns = self._plain_before_ns or self._plain_ns()
        now_ns = probe_ns()
        # A model may alternate between two kinds of calls. An extra call shows the other kind too.
        if len(self.windows) % 2 and (self._short or self._known_plain_ns is None):
            with self._call.gradients():
                self._call.run_synchronized()
        window = self._session()
        after_ns = self._plain_before_ns = self._plain_ns()
        structure = window.structure
        if self.windows and self.windows[-1].structure == structure:
            structure = self.windows[-1].structure  # shared, so that a window takes a few bytes
        plain_ns = (before_ns + after_ns) / 2
        window = replace(window, structure=structure, plain_ns=plain_ns, probe_ns=now_ns)
        self.windows.append(window)
        return window

    def outside_and_whole_ns(self, window: Window) -> tuple[int, int]:
        """Return a window's time outside MAC kernels and its whole time in ns, with overhead."""
        on_host = self._call.device.type == "cpu"
        whole_ns = window.wall_ns if on_host else round(window.plain_ns)
        return whole_ns - sum(cell[1] for key, cell in window.cells() if key.is_mac), whole_ns

    def _session(self) -> Window:
        mark, roots, timeline = marked_call(self._call, warm=self._short)
        wall_ns = mark.duration_time_ns
        window = fold(roots, self._mac_calls, wall_ns, self._taxonomy, self._call_sites)
        return replace(window, timeline=timeline)

    @untraced
    def _plain_ns(self) -> float:
        """Return the median of a few plain calls in ns, timed after two calls that do not count.

        Reading the events of a session leaves the caches cold, and a profiled call is warm.
        """
        if self._known_plain_ns is not None:
            self._short = self._known_plain_ns < LONG_CALL_NS
            return self._known_plain_ns
        with timed_calls(self._call) as time_one:
            self._short = time_one() < LONG_CALL_NS
            if not self._short:
                return time_one()
            time_one()
            durations = [time_one(), time_one()]
            while sum(durations) < self.PLAIN_NS and len(durations) < self.PLAIN_CALLS:
                durations.append(time_one())
            return median(durations)

    @property
    def kept(self) -> list[Window]:
        """The windows that were not disturbed: at least half of them."""
        if not self.windows:
            return []
        slowest_ns = self.OUTLIER * median(window.wall_ns for window in self.windows)
        return [window for window in self.windows if window.wall_ns <= slowest_ns]

    @property
    def disturbed(self) -> list[Window]:
        """The windows that were disturbed; their calls count, their times do not."""
        kept = {id(window) for window in self.kept}
        return [window for window in self.windows if id(window) not in kept]

    def excesses(self) -> list[Excess]:
        """Return the excess of every kept window."""
        return [
            Excess(w.wall_ns - w.plain_ns, w.structure.events, w.structure.root_events, w.probe_ns)
            for w in self.kept
        ]

    @property
    def structure_varies(self) -> bool:
        """Whether two windows differ in their calls."""
        if not self.windows:
            return False
        first, *others = [window.structure for window in self.windows]
        calls = first.calls_by_root()
        return any(other is not first and other.calls_by_root() != calls for other in others)


class MarkedCall(NamedTuple):
    """A profiled call: the event around it, the tree below, and the accelerator's timeline."""

    mark: Any
    roots: Sequence[Node]
    timeline: DeviceTimeline | None


def marked_call(
    call: Call, *, warm: bool, within: Callable[[Callable[[], object]], object] | None = None
) -> MarkedCall:
    """Profile one call and return its events.

    ``warm`` makes another call first in the same session, because the first call finds the
    profiler's caches cold. ``within`` is given the call and makes it. Raises ``MeasurementError``
    if another profiler took the session's place.
    """

    def session() -> object:
        if warm:
            call.run_synchronized()
        run = call.prepared()
        with _RecordFunctionFast(MARK):  # the output is freed after the event has ended
            return run() if within is None else within(run)

    with call.gradients():
        result = profiled(untraced(session), device_type=call.device.type).result
    mark = _mark_in(result.experimental_event_tree())
    if mark is None:
        raise MeasurementError(
            "the profiler recorded no event of the call, because another profiler replaced it; "
            "measure without any other profiler"
        )
    if call.device.type == "cpu":
        return MarkedCall(mark, mark.children, None)
    events, bounds = result.events(), (mark.start_time_ns, mark.end_time_ns)
    return MarkedCall(mark, device_nodes(events, *bounds), device_timeline(events, *bounds))


def _mark_in(nodes: Sequence[Any]) -> Any:
    """Return the last event around a measured call; an annotation left open may enclose it."""
    for node in reversed(nodes):
        if node.name == MARK:
            return node
        if not is_operator(node.name) and (found := _mark_in(node.children)):
            return found
    return None
