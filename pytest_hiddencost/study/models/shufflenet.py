"""ShuffleNet (Zhang et al., arXiv 1707.01083) and ShuffleNetV2 (Ma et al., arXiv 1807.11164).

Three groups and width ratio 1, for 32x32 images. The stages are numbered as in the papers, where
stage 1 is the stem.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import ChannelShuffle, ConvBN, ConvBNReLU, Flatten, GlobalAveragePool, Steps, stage

SHUFFLE_GROUPS = 3
"""Groups of every 1x1 convolution of ShuffleNet."""


def _depthwise(channels: int, stride: int) -> ConvBN:
    return ConvBN(channels, channels, 3, stride=stride, groups=channels, bias=True)


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
        self.depthwise = _depthwise(width, stride)
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


class ShuffleNet(Steps):
    """Sixteen shuffle units, a stem without max pooling: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=ConvBNReLU(3, 24, 3, bias=True),
            stage2=stage(GroupedShuffleUnit, 24, 240, blocks=4, stride=2),
            stage3=stage(GroupedShuffleUnit, 240, 480, blocks=8, stride=2),
            stage4=stage(GroupedShuffleUnit, 480, 960, blocks=4, stride=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            classifier=nn.Linear(960, num_classes),
        )


class SplitShuffleUnit(nn.Module):
    """Two branches, concatenated and shuffled: N x in x H x W to N x out x H/stride x W/stride.

    At stride 1 half of the channels pass unchanged and half are convolved. At stride 2 both
    branches convolve all channels.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.stride = stride
        if stride == 2:
            self.shortcut = Steps(
                depthwise=_depthwise(in_channels, stride),
                expand=ConvBNReLU(in_channels, half, bias=True),
            )
        width = half if stride == 1 else in_channels
        self.residual = Steps(
            reduce=ConvBNReLU(width, width, bias=True),
            depthwise=_depthwise(width, stride),
            expand=ConvBNReLU(width, half, bias=True),
        )
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x out x H/stride x W/stride."""
        if self.stride == 1:
            shortcut, x = torch.split(x, x.shape[1] // 2, dim=1)
        else:
            shortcut = self.shortcut(x)
        shuffled: Tensor = self.shuffle(torch.cat([shortcut, self.residual(x)], dim=1))
        return shuffled


class ShuffleNetV2(Steps):
    """Sixteen shuffle units, a stem without ReLU or max pooling: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=ConvBN(3, 24, 3, bias=True),
            stage2=stage(SplitShuffleUnit, 24, 116, blocks=4, stride=2),
            stage3=stage(SplitShuffleUnit, 116, 232, blocks=8, stride=2),
            stage4=stage(SplitShuffleUnit, 232, 464, blocks=4, stride=2),
            head=ConvBNReLU(464, 1024, bias=True),
            pool=GlobalAveragePool(),
            flatten=Flatten(),
            classifier=nn.Linear(1024, num_classes),
        )
