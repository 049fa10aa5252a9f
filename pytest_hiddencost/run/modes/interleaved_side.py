"""The mode of one side of a pair: it measures a call when the run that asks says so."""

from __future__ import annotations

from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.run.modes.base import Measurement, Request, measured
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.workers.interleaved_plugin import WorkerSide

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
BRIEF = Sampling(max_time_ns=1_000_000)  # a call that is not asked for


class InterleavedSide(BudgetsOnly):
    """Measures the call that is asked for in turns with the other side, all others shortly."""

    def __init__(self, settings: Settings, side: WorkerSide) -> None:
        super().__init__(settings)
        self._side = side

    def budgets(self, found: tuple[Budget, ...]) -> tuple[Budget, ...]:
        """Check no budget."""
        return ()

    def measure(self, request: Request) -> Measurement:
        """Measure one call; hand the profile over if this call is asked for."""
        pace = self._side.pace(request.test, request.label)
        sampling = BRIEF if pace is None else self._settings.sampling
        profile = measured(request, self._settings, sampling, pace=pace)
        if pace is not None:
            pace.done(profile)
        return self._measurement(request, profile)
