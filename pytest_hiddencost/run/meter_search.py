"""The search for an energy meter: one from a conftest.py or plugin first, then the device's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_hiddencost.core.errors import EnergyError

if TYPE_CHECKING:
    import pytest
    import torch

    from pytest_hiddencost.measure.energy.energy_of_call import MeterSearch
    from pytest_hiddencost.measure.energy.meter import EnergyMeter

HOOK = "pytest_hiddencost_energy_meter"


def meter_search(config: pytest.Config) -> MeterSearch:
    """Return the function that finds the energy meter of a device in this run."""

    def find(device: torch.device) -> EnergyMeter:
        from pytest_hiddencost.measure.energy.available import energy_meter

        try:
            own = config.hook.pytest_hiddencost_energy_meter(device=device)
        except EnergyError:
            raise
        except Exception as error:  # of the user's code, which must not end the measurement
            why = f"{type(error).__name__}: {error}"
            raise EnergyError(f"the hook {HOOK} raised {why:.200}", "mend the hook") from error
        return energy_meter(device) if own is None else _checked(own)

    return find


def _checked(own: Any) -> EnergyMeter:
    """Return a user's meter if it has what a meter needs. Raises ``EnergyError``."""
    texts = (getattr(own, name, None) for name in ("name", "domain"))
    if all(isinstance(text, str) for text in texts) and callable(getattr(own, "read_nj", None)):
        found: EnergyMeter = own
        return found
    raise EnergyError(
        f"the hook {HOOK} returned {own!r:.80}, which is no meter",
        "return an object with the texts name and domain, and the method read_nj()",
    )
