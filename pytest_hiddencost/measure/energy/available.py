"""The energy meter of a device: the first of its sources that can be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.device import health
from pytest_hiddencost.measure.energy.meter import EnergyMeter
from pytest_hiddencost.measure.energy.powercap import Powercap

if TYPE_CHECKING:
    import torch

OWN_METER = "give a meter of your own by the hook pytest_hiddencost_energy_meter"


def energy_meter(device: torch.device, root: Path | None = None) -> EnergyMeter:
    """Return the meter of a device; ``root`` is the folder of ``/sys``.

    Raises ``EnergyError`` with each source that was tried, and with what would make it readable.
    """
    tried: list[EnergyError] = []
    for source in _sources(device, root or health.ROOT):
        try:
            return source()
        except EnergyError as error:  # noqa: PERF203  # the next source may do
            tried.append(error)
    found = [error.reason for error in tried] or [f"none is known for {device.type}"]
    remedies = [error.remedy for error in tried if error.remedy]
    raise EnergyError(
        f"no energy meter found: {'; '.join(found)}", ", or ".join([*remedies, OWN_METER])
    )


def _sources(device: torch.device, root: Path) -> Sequence[Callable[[], EnergyMeter]]:
    if device.type == "cpu":
        return [partial(Powercap, root)]
    return []
