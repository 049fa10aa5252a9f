"""The pass over one call that measures its energy, or finds the reason why it is unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from pytest_hiddencost.core.energy_records import EnergyUnknown, EnergyUse
from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.energy.energy_pass import energy_of
from pytest_hiddencost.measure.energy.meter import EnergyMeter
from pytest_hiddencost.measure.latency.tracers import untraced

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True

MeterSearch: TypeAlias = Callable[[torch.device], EnergyMeter]
"""Finds the meter of a device. Raises ``EnergyError``."""


@untraced
def energy_of_call(
    call: Call, find_meter: MeterSearch, sampling: Sampling
) -> EnergyUse | EnergyUnknown:
    """Measure the energy of a call that is warm. Raises the errors of the model."""
    try:
        if call.setup is not None:
            raise EnergyError(
                "setup= runs between the calls, and its energy cannot be told from theirs",
                "give the call arguments that it can take again, without setup=",
            )
        meter = find_meter(call.device)
        with call.gradients():
            return energy_of(
                _action(call),
                meter,
                confidence=sampling.confidence,
                max_time_ns=sampling.max_time_ns,
            )
    except EnergyError as error:
        return EnergyUnknown(error.reason, error.remedy)


def _action(call: Call) -> Callable[[], object]:
    """Return a function that makes one call, with as little as possible around it."""
    if call.synchronize is not None:
        return call.run_synchronized
    count, run = call.tally.count, call.run

    def action() -> None:
        count()
        run()

    return action
