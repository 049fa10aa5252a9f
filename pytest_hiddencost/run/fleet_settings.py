"""The settings of a run on a fleet of devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_hiddencost.run.option_values import OptionValue

if TYPE_CHECKING:
    import pytest

LIMIT_NS = 900_000_000_000
ON_DEVICE = "hiddencost_on_device"  # set by the plugin of a test's process on a device


@dataclass(frozen=True)
class FleetSettings:
    """The scheduler, the kinds to run on (none: all), the time limit of a test.

    ``where`` and ``kinds_option`` say which settings named them.
    """

    address: str
    where: str
    kinds: tuple[str, ...] = ()
    kinds_option: str = ""
    limit_s: float = 900.0


def on_device(config: pytest.Config) -> bool:
    """Return whether this process runs one test for a fleet."""
    return bool(getattr(config.option, ON_DEVICE, False))


def fleet_settings(
    values: Mapping[str, OptionValue], config: pytest.Config
) -> FleetSettings | None:
    """Return the fleet that the options name. Raises ``SettingError``."""
    fleet, kinds = values["fleet"], values["fleet-kinds"]
    limit_s = values["fleet-limit"].duration_ns(LIMIT_NS) / 1e9
    if fleet.raw is None:
        return None
    from pytest_hiddencost.fleet.addresses import refuse_open_network, scheduler_address

    address = scheduler_address(str(fleet.raw), fleet.folder(config), fleet.where)
    insecure = bool(values["fleet-insecure"].raw)
    option = "--hiddencost-fleet-insecure"
    refuse_open_network(address, fleet.where, insecure=insecure, option=option)
    return FleetSettings(address, fleet.where, tuple(kinds.parts()), kinds.where, limit_s)
