"""The measurements: everything that touches torch, from one call to one ``Profile``."""

from pytest_hiddencost.measure.arguments import naming_way_out, way_out
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.device.description import (
    choose_device,
    describe_device,
    intra_op_threads,
    torch_version,
)
from pytest_hiddencost.measure.one_call import measure, profile
from pytest_hiddencost.measure.pace import Wanted

__all__ = [
    "Call",
    "Wanted",
    "choose_device",
    "describe_device",
    "intra_op_threads",
    "measure",
    "naming_way_out",
    "profile",
    "torch_version",
    "way_out",
]
