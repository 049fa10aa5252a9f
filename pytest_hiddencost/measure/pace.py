"""The purpose of a measurement, and the pace at which its calls are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pytest_hiddencost.measure.energy.energy_of_call import MeterSearch
from pytest_hiddencost.measure.latency.sampler import LatencySampler
from pytest_hiddencost.measure.operators.window_pass import Windows
from pytest_hiddencost.measure.outlook import CallProgress


@dataclass(frozen=True)
class Wanted:
    """The purpose of a measurement, which decides the calls that it makes.

    ``samples`` and ``windows``: a limit depends on an interval from them. ``thop``: the count of
    thop is wanted. ``checks``: call sites are wanted, and a comparison of early and late calls.
    ``meter`` finds the energy meter; None: the energy is not wanted.
    ``replays``: each operator is wanted in a loop of its own.
    """

    samples: bool = False
    windows: bool = False
    thop: bool = True
    checks: bool = True
    meter: MeterSearch | None = None
    replays: bool = False


class Pace(Protocol):
    """The schedule of the timed calls and the windows of one measurement.

    Without ``whole`` the measurement takes times only, no call sites and no memory.
    """

    whole: bool

    def tell(self, progress: CallProgress) -> None:
        """Take in the progress before each call outside of turns and windows."""

    def latency(self, sampler: LatencySampler) -> None:
        """Take the latency samples of a call that is warm."""

    def windows(self, windows: Windows) -> None:
        """Take the profiler windows."""
