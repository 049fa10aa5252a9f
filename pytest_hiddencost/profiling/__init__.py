"""Everything that touches torch: one call in, one ``Profile`` out."""

from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.devices import choose_device, describe_device
from pytest_hiddencost.profiling.measure import measure, profile

__all__ = ["Call", "choose_device", "describe_device", "measure", "profile"]
