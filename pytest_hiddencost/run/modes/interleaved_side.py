"""The mode of one side of a pair: it measures a call when the run that asks says so."""

from __future__ import annotations

from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.run.modes.base import Measurement, Mode, Request, with_injected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.workers.interleaved_plugin import WorkerSide

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
BRIEF = Sampling(max_time_ns=1_000_000)  # for a call that the run does not ask for


class InterleavedSide(Mode):
    """Measures the call that the run asks for in turns with the other side; others only briefly."""

    def __init__(self, settings: Settings, side: WorkerSide) -> None:
        super().__init__(settings)
        self._side = side

    def budgets(self, found: tuple[Budget, ...]) -> tuple[Budget, ...]:
        """Check no budget."""
        return ()

    def measure(self, request: Request) -> Measurement:
        """Measure one call; hand its profile over if the run asks for this call."""
        pace = self._side.pace(request.test, request.label)
        if pace is None:
            from pytest_hiddencost.measure import Wanted

            return self._measured(request, BRIEF, wanted=Wanted(thop=False, checks=False))
        request = with_injected(request, pace.injection)
        measurement = self._measured(request, self._settings.sampling, pace=pace)
        pace.done(measurement.profile)
        return measurement
