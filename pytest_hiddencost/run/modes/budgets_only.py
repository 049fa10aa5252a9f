"""The mode of a run that checks budgets and compares with nothing."""

from __future__ import annotations

from pytest_hiddencost.core.records import Device, Profile, Sampling
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.run.modes.base import (
    Ending,
    FinishedRun,
    Judgement,
    Measurement,
    Request,
    measured,
    with_limits,
    xdist_objection,
)
from pytest_hiddencost.run.settings import Settings

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True


class BudgetsOnly:
    """Measures each call in this process, and checks its budget. The other modes build on it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._device: Device | None = None

    def budgets(self, found: tuple[Budget, ...]) -> tuple[Budget, ...]:
        """Check every budget."""
        return found

    def measure(self, request: Request) -> Measurement:
        """Measure one call, and longer while its budget is undecided."""
        decide = self._decides(request)
        profile = measured(request, self._settings, self._sampling(decide=decide), decide=decide)
        return self._measurement(request, profile)

    def judge(self, measurement: Measurement) -> Judgement:
        """Check the limits of the budget."""
        return Judgement(with_limits(measurement))

    def for_xdist_workers(self) -> dict[str, object] | None:
        """Give workers nothing: each measures by itself."""
        return None

    def end(self, run: FinishedRun) -> Ending:
        """Add nothing to the summary."""
        return Ending()

    def close(self) -> None:
        """Nothing is held."""

    def _decides(self, request: Request) -> bool:
        """Whether a timed limit depends on this measurement."""
        budget = request.budget
        return budget is not None and budget.timed and not xdist_objection(self._settings)

    def _sampling(self, *, decide: bool) -> Sampling:
        return self._settings.sampling

    def _measurement(
        self, request: Request, profile: Profile, injected: dict[str, Profile] | None = None
    ) -> Measurement:
        from pytest_hiddencost.measure import describe_device

        if self._device is None:
            self._device = describe_device(request.call.device, self._settings.threads)
        return Measurement(profile, self._device, request.taxonomy, request.budget, injected or {})
