"""Where the time of a call goes: profiler windows of one call each, folded as they come.

Only the cells of a window are kept, never its events. Before and after each window the call is
timed without the profiler, so that what the profiler cost is known in the same seconds; unless it
is said what the call takes, where windows are worth more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from torch._C._profiler import _RecordFunctionFast

from pytest_hiddencost.errors import MeasurementError
from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.device_nodes import device_nodes
from pytest_hiddencost.profiling.folding import Node, Site, Window, fold, is_operator
from pytest_hiddencost.profiling.kineto import profiled
from pytest_hiddencost.profiling.latency import timed_calls
from pytest_hiddencost.profiling.macs import MacCall
from pytest_hiddencost.profiling.perturbation import Excess, control_ns
from pytest_hiddencost.taxonomy import Taxonomy

MARK = "hiddencost call"  # the event around the measured call


class OperatorWindows:
    """Profiles one call window by window; ``kept`` are those that were not disturbed.

    ``plain_ns``: what the call takes without the profiler, if it is not to be timed for windows.
    """

    COLD = 2  # the first windows pay for set-up of the profiler, a millisecond or two
    SHORT_NS = 50_000_000  # a call longer than this notices neither set-up nor cold caches
    OUTLIER = 1.5  # a window this much slower than the median of them was disturbed
    PLAIN_NS = 3_000_000  # plain calls between two windows: as many as this takes,
    PLAIN_CALLS = 5  # but no more

    def __init__(
        self,
        call: Call,
        mac_calls: Sequence[MacCall],
        taxonomy: Taxonomy,
        sites: Sequence[tuple[str, Site]] = (),
        plain_ns: float | None = None,
    ) -> None:
        self._call = call
        self._mac_calls = mac_calls
        self._taxonomy = taxonomy
        self._sites = sites
        self._short = True  # until timed
        self._known_plain_ns = plain_ns
        self._plain_before_ns: float | None = None
        self.windows: list[Window] = []

    def discard_cold(self) -> None:
        """Run the cold windows; what they saw is not kept."""
        self._plain_ns()
        for _ in range(self.COLD if self._short else 0):
            self._session()

    def add(self) -> Window:
        """One more window."""
        before_ns = self._plain_before_ns or self._plain_ns()
        speed_ns = control_ns()
        if len(self.windows) % 2:  # a model that does something else every other call shows it
            self._one_more()
        window = self._session()
        after_ns = self._plain_before_ns = self._plain_ns()
        last = self.windows[-1].structure if self.windows else None
        self.windows.append(
            replace(
                window,
                structure=last if last == window.structure else window.structure,
                plain_ns=(before_ns + after_ns) / 2,
                control_ns=speed_ns,
            )
        )
        return self.windows[-1]

    def outside_and_whole_ns(self, window: Window) -> tuple[int, int]:
        """What a window spent outside MAC kernels, and in all; with the profiler's own cost."""
        on_host = self._call.device.type == "cpu"
        whole_ns = window.wall_ns if on_host else round(window.plain_ns)
        return whole_ns - sum(cell[1] for key, cell in window.cells() if key.is_mac), whole_ns

    def _one_more(self) -> None:
        with self._call.gradients():
            self._call.run_synchronized()

    def _session(self) -> Window:
        mark, roots = marked_call(self._call, warm=self._short)
        return fold(roots, self._mac_calls, mark.duration_time_ns, self._taxonomy, self._sites)

    def _plain_ns(self) -> float:
        """The median of a few plain calls, after as many as refill the caches.

        Reading the events of a session empties them, and a profiled call comes after others too.
        """
        if self._known_plain_ns is not None:
            self._short = self._known_plain_ns < self.SHORT_NS
            return self._known_plain_ns
        with timed_calls(self._call) as time_one:
            self._short = time_one() < self.SHORT_NS
            if not self._short:
                return time_one()
            time_one()
            durations = [time_one(), time_one()]
            while sum(durations) < self.PLAIN_NS and len(durations) < self.PLAIN_CALLS:
                durations.append(time_one())
            return median(durations)

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

    def excesses(self) -> list[Excess]:
        """What the profiler cost each kept window."""
        return [
            Excess(
                window.wall_ns - window.plain_ns, seen.events, seen.root_events, window.control_ns
            )
            for window in self.kept
            for seen in [window.structure]
        ]

    @property
    def structure_varies(self) -> bool:
        """Whether two windows saw different calls."""
        if not self.windows:
            return False
        first, *others = [window.structure for window in self.windows]
        calls = first.calls_by_root()
        return any(other is not first and other.calls_by_root() != calls for other in others)


def marked_call(
    call: Call, *, warm: bool, run: Callable[[], object] | None = None
) -> tuple[Node, Sequence[Node]]:
    """One profiled call: the event around it, and the event tree below that.

    ``warm``: after another in the same session, which finds the profiler's caches cold. ``run``
    is run instead of the call itself, if given.
    """
    run = run or call.run_synchronized

    def session() -> object:
        if warm:
            run()
        with _RecordFunctionFast(MARK):
            return run()  # freed after the event is closed

    with call.gradients():
        result = profiled(session, device_type=call.device.type).result
    mark = _mark_in(result.experimental_event_tree())
    if mark is None:
        raise MeasurementError("the profiler saw nothing of the call: another one took its place")
    if call.device.type == "cpu":
        return mark, mark.children
    return mark, device_nodes(result.events(), mark.start_time_ns, mark.end_time_ns)


def _mark_in(nodes: Sequence[Any]) -> Any:
    """The event around the measured call; the last, and perhaps in an annotation left open."""
    for node in reversed(nodes):
        if node.name == MARK:
            return node
        if not is_operator(node.name) and (found := _mark_in(node.children)):
            return found
    return None
