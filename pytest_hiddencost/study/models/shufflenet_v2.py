"""ShuffleNetV2 (Ma et al., arXiv 1807.11164), width ratio 1, for 32x32 images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import ChannelShuffle, ConvBN, ConvBNReLU, Flatten, GlobalAveragePool, Steps


def _depthwise(channels: int, stride: int = 1) -> ConvBN:
    return ConvBN(channels, channels, 3, stride=stride, groups=channels, bias=True)


class SplitShuffleUnit(nn.Module):
    """Half of the channels pass unchanged, half are convolved: N x C x H x W, the same back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.residual = Steps(
            reduce=ConvBNReLU(half, half, bias=True),
            depthwise=_depthwise(half),
            expand=ConvBNReLU(half, half, bias=True),
        )
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W, the same shape back."""
        shortcut, residual = torch.split(x, x.shape[1] // 2, dim=1)
        shuffled: Tensor = self.shuffle(torch.cat([shortcut, self.residual(residual)], dim=1))
        return shuffled


class DownsamplingUnit(nn.Module):
    """All channels are convolved twice, at stride 2: N x in x H x W to N x out x H/2 x W/2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.shortcut = Steps(
            depthwise=_depthwise(in_channels, stride=2),
            expand=ConvBNReLU(in_channels, half, bias=True),
        )
        self.residual = Steps(
            reduce=ConvBNReLU(in_channels, in_channels, bias=True),
            depthwise=_depthwise(in_channels, stride=2),
            expand=ConvBNReLU(in_channels, half, bias=True),
        )
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x out x H/2 x W/2."""
        shuffled: Tensor = self.shuffle(torch.cat([self.shortcut(x), self.residual(x)], dim=1))
        return shuffled


def _stage(in_channels: int, out_channels: int, units: int) -> nn.Sequential:
    stage = nn.Sequential(DownsamplingUnit(in_channels, out_channels))
    for _ in range(units):
        stage.append(SplitShuffleUnit(out_channels))
    return stage


class ShuffleNetV2(Steps):
    """Sixteen shuffle units, a stem without ReLU or max pooling: N x 3 x 32 x 32 to N x classes.

    The stages are numbered as in the paper, where stage 1 is the stem.
    Source: arXiv 1807.11164.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=ConvBN(3, 24, 3, bias=True),
            stage2=_stage(24, 116, units=3),
            stage3=_stage(116, 232, units=7),
            stage4=_stage(232, 464, units=3),
            head=ConvBNReLU(464, 1024, bias=True),
            pool=GlobalAveragePool(),
            flatten=Flatten(),
            classifier=nn.Linear(1024, num_classes),
        )
