"""One meter for many operators, each of which needs its energy only if the meter works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.energy.energy_pass import energy_by_running
from pytest_hiddencost.measure.energy.meter import EnergyMeter, running


class SharedMeter:
    """A meter that runs while this is entered, and is left alone after its first failure.

    ``failure`` is that error; None as long as the meter works.
    """

    def __init__(self, meter: EnergyMeter) -> None:
        self.failure: EnergyError | None = None
        self._meter = meter
        self._stack = ExitStack()

    def __enter__(self) -> SharedMeter:
        try:
            self._stack.enter_context(running(self._meter))
        except EnergyError as error:
            self.failure = error
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._stack.__exit__(*exception)  # type: ignore[arg-type]
        except EnergyError as error:
            self.failure = self.failure or error

    def energy_nj(self, action: Callable[[], object]) -> float | None:
        """Return the energy of an action that is warm; None once the meter has failed.

        Raises the errors of the action.
        """
        if self.failure is not None:
            return None
        try:
            return energy_by_running(action, self._meter, max_time_ns=0).energy_nj
        except EnergyError as error:
            self.failure = error
            return None
