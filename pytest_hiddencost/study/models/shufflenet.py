"""ShuffleNet (Zhang et al., arXiv 1707.01083), three groups, for 32x32 images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import ChannelShuffle, ConvBN, ConvBNReLU, Flatten, Steps

SHUFFLE_GROUPS = 3
"""Groups of every 1x1 convolution."""


class GroupedShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3 and grouped 1x1, then joined with the input.

    At stride 1 the unit adds the input: N x out x H x W, the same shape back. At stride 2 it
    average-pools and concatenates the input: N x in x H x W to N x out x H/2 x W/2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = out_channels // 4
        self.stride = stride
        self.reduce = ConvBNReLU(in_channels, width, groups=SHUFFLE_GROUPS, bias=True)
        self.shuffle = ChannelShuffle(SHUFFLE_GROUPS)
        self.depthwise = ConvBN(width, width, 3, stride=stride, groups=width, bias=True)
        rest = out_channels if stride == 1 else out_channels - in_channels
        self.expand = ConvBN(width, rest, groups=SHUFFLE_GROUPS, bias=True)
        self.shortcut = nn.Identity() if stride == 1 else nn.AvgPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x out x H/stride x W/stride."""
        shortcut: Tensor = self.shortcut(x)
        residual: Tensor = self.expand(self.depthwise(self.shuffle(self.reduce(x))))
        if self.stride == 1:
            return functional.relu(shortcut + residual)
        return functional.relu(torch.cat([shortcut, residual], dim=1))


def _stage(in_channels: int, out_channels: int, units: int) -> nn.Sequential:
    stage = nn.Sequential(GroupedShuffleUnit(in_channels, out_channels, 2))
    for _ in range(units - 1):
        stage.append(GroupedShuffleUnit(out_channels, out_channels, 1))
    return stage


class ShuffleNet(Steps):
    """Sixteen shuffle units, a stem without max pooling: N x 3 x 32 x 32 to N x classes.

    The stages are numbered as in the paper, where stage 1 is the stem.
    Source: arXiv 1707.01083.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=ConvBNReLU(3, 24, 3, bias=True),
            stage2=_stage(24, 240, units=4),
            stage3=_stage(240, 480, units=8),
            stage4=_stage(480, 960, units=4),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            classifier=nn.Linear(960, num_classes),
        )
