"""The calls of one measurement: their number, their times, and the time of those to come.

Calls of seconds take most of the time of a measurement. So it makes as few of them as its intervals
need, and shows its progress.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns

from pytest_hiddencost.core.lengthy import LENGTHY_CALL_NS, format_wait
from pytest_hiddencost.measure.calls import Tally


@dataclass(frozen=True)
class CallProgress:
    """The next call: its number, the number of all calls (0: not known), and its pass.

    ``longest_ns`` is the time of the longest call so far, and ``left_ns`` that of all to come.
    """

    number: int
    of: int
    pass_name: str
    left_ns: float
    longest_ns: int

    @property
    def lengthy(self) -> bool:
        """Whether a call took seconds, so that a person may want to know."""
        return self.longest_ns >= LENGTHY_CALL_NS

    def __str__(self) -> str:
        if self.of:
            left = f"about {format_wait(self.left_ns / 1e9)} left"
            return f"call {self.number} of {self.of} ({self.pass_name}), {left}"
        longest = format_wait(self.longest_ns / 1e9)
        return f"call {self.number} ({self.pass_name}), the longest so far took {longest}"


class Outlook:
    """Watches the calls of one measurement; ``tell`` gets the progress before each call.

    It does not watch while short calls are timed.
    """

    def __init__(self, tally: Tally, tell: Callable[[CallProgress], None] | None) -> None:
        self._tally = tally
        self._tell = tell
        self._pass_name = ""
        self._of = 0
        self._times_ns: list[int] = []
        self._began_ns: int | None = None
        tally.before = self._call_begins

    @property
    def lengthy(self) -> bool:
        """Whether every call so far took a second or more, its setup included."""
        return self.shortest_ns >= LENGTHY_CALL_NS

    @property
    def shortest_ns(self) -> int:
        """The time of the shortest call so far in ns, its setup included; 0 before the first."""
        return min(self._times_ns, default=0)

    def begins(self, pass_name: str) -> None:
        """Enter a pass, and watch its calls."""
        self._call_ended()
        self._pass_name = pass_name
        self._tally.before = self._call_begins

    def foresee(self, calls: int) -> None:
        """Set the number of calls to come, those of the current pass included."""
        self._of = self._tally.calls + calls

    def rests(self) -> None:
        """Watch no calls until the next pass, since short calls are timed."""
        self._call_ended()
        self._tally.before = None

    def _call_begins(self) -> None:
        self._call_ended()
        number = self._tally.calls + 1
        of = max(self._of, number) if self._of else 0
        if self._tell is not None:
            longest_ns = max(self._times_ns, default=0)
            left_ns = (of - number + 1) * self.shortest_ns
            self._tell(CallProgress(number, of, self._pass_name, left_ns, longest_ns))
        self._began_ns = perf_counter_ns()

    def _call_ended(self) -> None:
        if self._began_ns is not None:
            self._times_ns.append(perf_counter_ns() - self._began_ns)
            self._began_ns = None
