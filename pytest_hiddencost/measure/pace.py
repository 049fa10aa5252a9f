"""The purpose of a measurement, and the pace at which its calls are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pytest_hiddencost.measure.latency.sampler import LatencySampler
from pytest_hiddencost.measure.operators.window_pass import Windows
from pytest_hiddencost.measure.outlook import CallProgress


@dataclass(frozen=True)
class Wanted:
    """The purpose of a measurement, so that it makes no calls that nobody needs.

    ``samples`` and ``windows``: a limit depends on an interval from them. ``thop``: its count.
    ``checks``: call sites, and whether later calls do the same as the first ones.
    """

    samples: bool = False
    windows: bool = False
    thop: bool = True
    checks: bool = True


class Pace(Protocol):
    """The decision when the timed calls and the windows of one measurement run.

    Without ``whole`` only times are wanted: call sites and memory are left out.
    """

    whole: bool

    def tell(self, progress: CallProgress) -> None:
        """Take in the progress before each call outside of turns and windows."""

    def latency(self, sampler: LatencySampler) -> None:
        """Take the latency samples of a call that is warm."""

    def windows(self, windows: Windows) -> None:
        """Take the profiler windows."""
