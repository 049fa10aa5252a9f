"""ResNet50 (He et al., arXiv 1512.03385) and SeResNet50 (Hu et al., arXiv 1709.01507)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from .blocks import ConvBN, ConvBNReLU, Flatten, GlobalAveragePool, Residual, Steps

EXPANSION = 4
"""Channels of a bottleneck's output, relative to its 3x3."""


def _shortcut(in_channels: int, width: int, stride: int, *, bias: bool) -> nn.Module:
    out_channels = width * EXPANSION
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ConvBN(in_channels, out_channels, stride=stride, bias=bias)


class Bottleneck(Residual):
    """1x1, 3x3, 1x1 plus a shortcut: N x in x H x W to N x 4 width x H/stride x W/stride."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        residual = Steps(
            reduce=ConvBNReLU(in_channels, width),
            spatial=ConvBNReLU(width, width, 3, stride=stride),
            expand=ConvBN(width, width * EXPANSION),
        )
        super().__init__(residual, _shortcut(in_channels, width, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x 4 width x H/stride x W/stride."""
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

    N x in x H x W to N x 4 width x H/stride x W/stride.
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        residual = Steps(
            reduce=ConvBNReLU(in_channels, width, bias=True),
            spatial=ConvBNReLU(width, width, 3, stride=stride, bias=True),
            expand=ConvBNReLU(width, width * EXPANSION, bias=True),
        )
        super().__init__(residual, _shortcut(in_channels, width, stride, bias=True))
        self.gate = SqueezeExcitation(width * EXPANSION)

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x 4 width x H/stride x W/stride."""
        residual: Tensor = self.residual(x)
        gate: Tensor = self.gate(residual)
        gates = gate.view(*gate.shape, 1, 1).expand_as(residual)
        shortcut: Tensor = self.shortcut(x)
        return functional.relu(residual * gates + shortcut)


Block = Callable[[int, int, int], nn.Module]
"""Builds a block from in channels, width and stride."""


def _stage(block: Block, in_channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    stage = nn.Sequential(block(in_channels, width, stride))
    for _ in range(blocks - 1):
        stage.append(block(width * EXPANSION, width, 1))
    return stage


def _stages(block: Block) -> dict[str, nn.Module]:
    return {
        "stage1": _stage(block, 64, 64, blocks=3, stride=1),
        "stage2": _stage(block, 256, 128, blocks=4, stride=2),
        "stage3": _stage(block, 512, 256, blocks=6, stride=2),
        "stage4": _stage(block, 1024, 512, blocks=3, stride=2),
    }


class ResNet50(Steps):
    """Sixteen bottlenecks, a stem without max pooling: N x 3 x 32 x 32 to N x classes.

    Source: arXiv 1512.03385.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=ConvBNReLU(3, 64, 3),
            **_stages(Bottleneck),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            classifier=nn.Linear(2048, num_classes),
        )


class SeResNet50(Steps):
    """ResNet50 with squeeze-and-excitation in every block: N x 3 x 32 x 32 to N x classes.

    Source: arXiv 1709.01507.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=ConvBNReLU(3, 64, 3, bias=True),
            **_stages(SeBottleneck),
            pool=GlobalAveragePool(),
            flatten=Flatten(),
            classifier=nn.Linear(2048, num_classes),
        )
