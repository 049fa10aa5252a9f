"""pytest-hiddencost: latency regression testing of PyTorch models on the device they run on.

PYTEST_DONT_REWRITE: workers are forked from a process that has imported this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_hiddencost.core.errors import HiddenCostError as HiddenCostError
    from pytest_hiddencost.core.records import Profile as Profile
    from pytest_hiddencost.core.records import Sampling as Sampling
    from pytest_hiddencost.measure import profile as profile
    from pytest_hiddencost.measure.energy.sampled_power import SampledPower as SampledPower
    from pytest_hiddencost.run.markers import latency_budget as latency_budget

__version__ = "0.2.0"
__all__ = ["HiddenCostError", "Profile", "SampledPower", "Sampling", "latency_budget", "profile"]

_HOMES = {
    "HiddenCostError": "pytest_hiddencost.core.errors",
    "Profile": "pytest_hiddencost.core.records",
    "SampledPower": "pytest_hiddencost.measure.energy.sampled_power",
    "Sampling": "pytest_hiddencost.core.records",
    "latency_budget": "pytest_hiddencost.run.markers",
    "profile": "pytest_hiddencost.measure",
}


def __getattr__(name: str) -> Any:
    # Lazy: pytest imports this package at every start, used or not.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
