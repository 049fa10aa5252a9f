"""Blocks of the reference models: convolution + BN + ReLU, chains, stages, branches, sums.

Every map is N x C x H x W. Every block names its parts, because reports show module paths:
`stage2.0.residual.depthwise.conv`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Size = int | tuple[int, int]

Block = Callable[[int, int, int], nn.Module]
"""Builds a block from in channels, out channels and stride."""


class Steps(nn.Sequential):
    """A sequence of named modules."""

    def __init__(self, **steps: nn.Module) -> None:
        super().__init__(OrderedDict(steps))


class ConvBN(Steps):
    """Convolution and batch normalisation: N x in x H x W to N x out x H' x W'.

    `options` are those of `nn.Conv2d`, for an odd kernel size. By default the convolution has no
    bias and keeps the map's size at stride 1.
    """

    activation: ClassVar[type[nn.ReLU | nn.ReLU6] | None] = None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size = 1, **options: Any
    ) -> None:
        sizes = (kernel_size,) * 2 if isinstance(kernel_size, int) else kernel_size
        options = {"padding": tuple(size // 2 for size in sizes), "bias": False, **options}
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, **options)
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
    """Mean over each channel's map, by a function, which `thop` does not count.

    It serves the models whose published MAC count is without pooling.
    """

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x C x 1 x 1."""
        return functional.adaptive_avg_pool2d(x, 1)


class Flatten(nn.Module):
    """One row for each image, by one operator (`nn.Flatten` runs two)."""

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to N x (C H W)."""
        return x.view(x.shape[0], -1)


def conv_chain(in_channels: int, *layers: tuple[int, Size], bias: bool = False) -> nn.Sequential:
    """Return a chain of `ConvBNReLU` at stride 1, one for each (out channels, kernel size)."""
    chain = nn.Sequential()
    for out_channels, kernel_size in layers:
        chain.append(ConvBNReLU(in_channels, out_channels, kernel_size, bias=bias))
        in_channels = out_channels
    return chain


def stage(
    block: Block, in_channels: int, out_channels: int, *, blocks: int, stride: int
) -> nn.Sequential:
    """Return a row of blocks, of which the first one has the stride and changes the channels."""
    rest = (block(out_channels, out_channels, 1) for _ in range(blocks - 1))
    return nn.Sequential(block(in_channels, out_channels, stride), *rest)
