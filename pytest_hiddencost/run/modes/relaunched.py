"""The mode of a relaunch, which measures for another run and leaves its profiles in a file."""

from __future__ import annotations

from dataclasses import replace

from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.run.modes.base import (
    Ending,
    FinishedRun,
    Measurement,
    Mode,
    Request,
    with_injected,
)
from pytest_hiddencost.run.settings import RelaunchOrder, Settings
from pytest_hiddencost.workers.relaunches import RelaunchResult, write_result

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True


class Relaunched(Mode):
    """Measures each call once, and judges nothing."""

    _counts_thop = False  # a baseline does not keep it

    def __init__(self, settings: Settings, order: RelaunchOrder) -> None:
        super().__init__(settings)
        self._order = order

    def budgets(self, found: tuple[Budget, ...]) -> tuple[Budget, ...]:
        """Check no budget; keep those whose calls need their energy measured."""
        return tuple(replace(budget, limits=()) for budget in found if budget.compares_energy)

    def measure(self, request: Request) -> Measurement:
        """Measure one call, with a regression injected if the order names one."""
        return super().measure(with_injected(request, self._order.injection))

    def end(self, run: FinishedRun) -> Ending:
        """Leave the profiles to the run that asked."""
        result = RelaunchResult(tuple(run.profiles), tuple(sorted(run.failed)))
        write_result(self._order.result, result)
        return Ending()
