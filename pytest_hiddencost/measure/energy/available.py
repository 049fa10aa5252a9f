"""The energy meter of a device: the first of its sources that can be read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.device import health
from pytest_hiddencost.measure.energy.hwmon import hwmon_counters, hwmon_power
from pytest_hiddencost.measure.energy.jetson import is_jetson, jetson_power
from pytest_hiddencost.measure.energy.meter import EnergyMeter
from pytest_hiddencost.measure.energy.powercap import Powercap
from pytest_hiddencost.measure.energy.zeus_meters import apple_counter, gpu_counter

if TYPE_CHECKING:
    import torch

MeterSource: TypeAlias = Callable[[], EnergyMeter]
"""Opens one source of a device. Raises ``EnergyError``."""

OWN_METER = "give a meter of your own by the hook pytest_hiddencost_energy_meter"


def energy_meter(device: torch.device, root: Path | None = None) -> EnergyMeter:
    """Return the meter of a device; ``root`` is the folder of ``/proc`` and ``/sys``.

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


def _sources(device: torch.device, root: Path) -> Sequence[MeterSource]:
    """Return the sources of a device, counters before sensors that have to be sampled."""
    of_jetson: list[MeterSource] = [partial(jetson_power, root)] if is_jetson(root) else []
    of_apple = partial(apple_counter, device)
    if device.type == "cuda":
        return [partial(gpu_counter, device), *of_jetson]  # on a Jetson both share the board
    if device.type == "mps":
        return [of_apple]
    if device.type != "cpu":
        return []
    if sys.platform == "darwin":
        return [of_apple]
    counters: list[MeterSource] = [partial(Powercap, root), partial(hwmon_counters, root)]
    return [*counters, *of_jetson, partial(hwmon_power, root)]
