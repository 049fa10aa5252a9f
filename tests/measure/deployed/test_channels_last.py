"""The memory format changes no MACs; conversions between formats are data movement."""

from __future__ import annotations

import torch
from torch import nn

from tests.measure.deployed.models import deployable, measured, unclassified


def test_channels_last_changes_no_macs() -> None:
    given = deployable("residual")
    model = given.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = measured(model, given.x.to(memory_format=torch.channels_last))
    assert (found.macs, found.uncosted) == (given.macs, ())
    assert unclassified(found) == []
    assert {kind.kind for kind in found.mac_kinds} == {
        "conv2d 3x3", "conv2d depthwise", "conv2d 1x1", "linear",
    }  # fmt: skip


def test_a_conversion_of_the_format_in_every_call_is_data_movement() -> None:
    convolution = nn.Conv2d(8, 8, 3).eval()

    def converting(x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = convolution(x.contiguous(memory_format=torch.channels_last))
        return output

    found = measured(converting, torch.randn(1, 8, 9, 9))
    assert found.operator("aten::clone").group == "data_movement"
    assert found.operator("aten::copy_").calls >= 1
