"""Blocks of the reference models: convolution + BN + ReLU, chains, branches, sums.

Every map is N x C x H x W. Every block names its parts, because reports show module paths:
`stage2.0.residual.depthwise.conv`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Size = int | tuple[int, int]


def same_padding(kernel_size: Size) -> tuple[int, int]:
    """Return the padding (rows, columns) that keeps H x W at stride 1, for an odd kernel size."""
    rows, columns = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
    return rows // 2, columns // 2


class Steps(nn.Sequential):
    """A sequence of named modules."""

    def __init__(self, **steps: nn.Module) -> None:
        super().__init__(OrderedDict(steps))


class ConvBN(Steps):
    """Convolution and batch normalisation: N x in x H x W to N x out x H' x W'.

    `padding=None` keeps the map's size at stride 1.
    """

    activation: ClassVar[type[nn.ReLU | nn.ReLU6] | None] = None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 1,
        *,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=same_padding(kernel_size) if padding is None else padding,
            groups=groups,
            bias=bias,
        )
        super().__init__(conv=conv, norm=nn.BatchNorm2d(out_channels))
        if self.activation is not None:
            self.add_module("relu", self.activation(inplace=True))


class ConvBNReLU(ConvBN):
    """`ConvBN`, then a ReLU."""

    activation = nn.ReLU


class ConvBNReLU6(ConvBN):
    """`ConvBN`, then a ReLU cut off at 6."""

    activation = nn.ReLU6


class Residual(nn.Module):
    """The sum of a residual branch and a shortcut; the default shortcut is the identity."""

    def __init__(self, residual: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.residual = residual
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x out x H' x W'."""
        total: Tensor = self.residual(x) + self.shortcut(x)
        return total


class Branches(nn.Module):
    """Named branches on the same input; their outputs are concatenated along the channels."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        """N x in x H x W to N x (sum of the branches' channels) x H' x W'."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class ChannelShuffle(nn.Module):
    """Interleaves the channels of `groups` groups, so that the next grouped 1x1 mixes them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W, the same shape back."""
        batch, channels, height, width = x.shape
        grouped = x.view(batch, self.groups, channels // self.groups, height, width)
        return grouped.transpose(1, 2).contiguous().view(batch, channels, height, width)


class GlobalAveragePool(nn.Module):
    """Mean over each channel's map, by a function: N x C x H x W to N x C x 1 x 1.

    `thop` counts `nn.AdaptiveAvgPool2d`, but not this module. It serves the models whose published
    MAC count is without pooling.
    """

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x C x 1 x 1."""
        return functional.adaptive_avg_pool2d(x, 1)


class Flatten(nn.Module):
    """One row for each image, by one operator (`nn.Flatten` runs two)."""

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x (C H W)."""
        return x.view(x.shape[0], -1)


def conv_chain(in_channels: int, *layers: tuple[int, Size]) -> nn.Sequential:
    """Return a chain of `ConvBNReLU` at stride 1, one for each (out channels, kernel size)."""

    chain = nn.Sequential()
    for out_channels, kernel_size in layers:
        chain.append(ConvBNReLU(in_channels, out_channels, kernel_size))
        in_channels = out_channels
    return chain


def split_3x3(in_channels: int, width: int) -> Branches:
    """Return a 1x3 and a 3x1 in parallel: N x in x H x W to N x 2 width x H x W."""
    return Branches(
        conv1x3=ConvBNReLU(in_channels, width, (1, 3)),
        conv3x1=ConvBNReLU(in_channels, width, (3, 1)),
    )


def average_pool() -> nn.AvgPool2d:
    """Return a 3x3 average pooling that keeps N x C x H x W."""
    return nn.AvgPool2d(3, stride=1, padding=1)
