"""The operator pass of one call, and the number of its profiler windows."""

from __future__ import annotations

from time import perf_counter_ns

from pytest_hiddencost.core.lengthy import ENOUGH_NS
from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.measure.operators.windows import OperatorWindows

FEWEST_WINDOWS = 3
FEWEST_LENGTHY_WINDOWS = 2  # if they take many seconds
USUAL_WINDOWS = 8  # the fewest that give a 99 % interval of a median


class Windows:
    """The operator pass of one call, one profiler window at a time.

    Its ``max_time`` includes the time to read the events of a window. ``fewest`` windows are taken
    in any case, or ``fewest_lengthy`` if they take many seconds.
    """

    def __init__(
        self, windows: OperatorWindows, sampling: Sampling, fewest: int, fewest_lengthy: int
    ) -> None:
        self.windows = windows
        self._spent_ns = 0
        self._max_time_ns = sampling.max_time_ns
        self._fewest, self._fewest_lengthy = fewest, fewest_lengthy

    @property
    def time_left(self) -> bool:
        """Whether ``max_time`` allows more windows."""
        return self._spent_ns < self._max_time_ns

    @property
    def wanted(self) -> int:
        """Number of windows still to take."""
        taken, kept = len(self.windows.windows), len(self.windows.kept)
        floor = self._fewest if self._spent_ns < ENOUGH_NS else self._fewest_lengthy
        if not self.time_left and kept >= floor:
            return 0
        # Replacing disturbed windows ends: at least half of all windows are kept.
        usual = max(USUAL_WINDOWS, floor) - (kept if self.time_left else taken)
        return max(0, usual, floor - kept)

    def prepare(self) -> None:
        """Run the warm-up windows; they do not count."""
        self.windows.discard_cold()

    def take_all(self) -> None:
        """Take windows until no more are wanted."""
        self.prepare()
        while self.wanted:
            self.add()

    def add(self) -> tuple[int, int]:
        """Take one window; return its time outside MAC kernels and its whole time, in ns.

        Both times include the profiler's overhead.
        """
        start = perf_counter_ns()
        window = self.windows.add()
        self._spent_ns += perf_counter_ns() - start
        return self.windows.outside_and_whole_ns(window)

    def add_more(self, last_ns: int) -> None:
        """Take a quarter more windows, within ``max_time`` and until ``last_ns`` on the clock."""
        for _ in range(max(1, len(self.windows.windows) // 4)):
            if self.time_left and perf_counter_ns() < last_ns:
                self.add()
