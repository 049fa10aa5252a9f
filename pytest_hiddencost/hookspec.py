"""Hooks of pytest-hiddencost that a conftest.py or plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from pytest_hiddencost.measure.energy.meter import EnergyMeter


def pytest_hiddencost_taxonomy(config: pytest.Config) -> Mapping[str, str] | None:
    """Return groups of operators: ``{"mylib::norm": "normalization", "mylib::*gemm*": "mac"}``.

    Keys are operator names as the profiler shows them, or globs; values are group names. Your
    entries win over the built-in table; if several plugins answer, the one called first wins.
    For a group that does not exist, the plugin reports an error that lists the groups.
    """


@pytest.hookspec(firstresult=True)
def pytest_hiddencost_energy_meter(device: torch.device) -> EnergyMeter | None:
    """Return an energy meter of your own for a device: a fuel gauge, a bench meter, a smart plug.

    The plugin uses it instead of those that it finds. It has the texts ``name`` and ``domain``,
    the part of the device that it covers, such as ``board``. Its method ``read_nj()`` returns the
    energy in nJ since any fixed moment. If it is a context manager too, the plugin enters it before
    the first reading and leaves it after the last one. For a sensor that only knows
    power, return ``pytest_hiddencost.SampledPower(name, domain, power_w)``. If the meter fails, the
    energy is unknown, and the summary gives the reason. If several plugins answer, the one called
    first wins.
    """
