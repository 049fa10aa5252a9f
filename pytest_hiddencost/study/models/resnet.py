"""ResNet50 (He et al., arXiv 1512.03385) and SeResNet50 (Hu et al., arXiv 1709.01507)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .blocks import Block, ConvBN, ConvBNReLU, Flatten, GlobalAveragePool, Residual, Steps, stage

EXPANSION = 4
"""Channels of a bottleneck's output, relative to its 3x3."""


def _shortcut(in_channels: int, out_channels: int, stride: int, *, bias: bool) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ConvBN(in_channels, out_channels, stride=stride, bias=bias)


class Bottleneck(Residual):
    """1x1, 3x3, 1x1 plus a shortcut: N x in x H x W to N x out x H/stride x W/stride."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        width = out_channels // EXPANSION
        residual = Steps(
            reduce=ConvBNReLU(in_channels, width),
            spatial=ConvBNReLU(width, width, 3, stride=stride),
            expand=ConvBN(width, out_channels),
        )
        super().__init__(residual, _shortcut(in_channels, out_channels, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x out x H/stride x W/stride."""
        return functional.relu(super().forward(x))


class SqueezeExcitation(Steps):
    """A gate between 0 and 1 for each channel, from the channels' means: N x C x H x W to N x C."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(
            squeeze=nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            reduce=nn.Linear(channels, channels // reduction),
            relu=nn.ReLU(inplace=True),
            expand=nn.Linear(channels // reduction, channels),
            sigmoid=nn.Sigmoid(),
        )


class SeBottleneck(Residual):
    """A bottleneck whose residual is scaled channel by channel before it is added.

    N x in x H x W to N x out x H/stride x W/stride.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        width = out_channels // EXPANSION
        residual = Steps(
            reduce=ConvBNReLU(in_channels, width, bias=True),
            spatial=ConvBNReLU(width, width, 3, stride=stride, bias=True),
            expand=ConvBNReLU(width, out_channels, bias=True),
        )
        super().__init__(residual, _shortcut(in_channels, out_channels, stride, bias=True))
        self.gate = SqueezeExcitation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x out x H/stride x W/stride."""
        residual: Tensor = self.residual(x)
        gate: Tensor = self.gate(residual)
        gates = gate.view(*gate.shape, 1, 1).expand_as(residual)
        shortcut: Tensor = self.shortcut(x)
        return functional.relu(residual * gates + shortcut)


class _ResNet(Steps):
    def __init__(self, block: Block, pool: nn.Module, num_classes: int, *, bias: bool) -> None:
        super().__init__(
            stem=ConvBNReLU(3, 64, 3, bias=bias),
            stage1=stage(block, 64, 256, blocks=3, stride=1),
            stage2=stage(block, 256, 512, blocks=4, stride=2),
            stage3=stage(block, 512, 1024, blocks=6, stride=2),
            stage4=stage(block, 1024, 2048, blocks=3, stride=2),
            pool=pool,
            flatten=Flatten(),
            classifier=nn.Linear(2048, num_classes),
        )


class ResNet50(_ResNet):
    """Sixteen bottlenecks, a stem without max pooling: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(Bottleneck, nn.AdaptiveAvgPool2d(1), num_classes, bias=False)


class SeResNet50(_ResNet):
    """ResNet50 with squeeze-and-excitation in every block: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(SeBottleneck, GlobalAveragePool(), num_classes, bias=True)
