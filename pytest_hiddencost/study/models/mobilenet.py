"""MobileNet (Howard et al., arXiv 1704.04861) and MobileNetV2 (Sandler et al., arXiv 1801.04381).

Both for 32x32 images.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from .blocks import (
    ConvBN,
    ConvBNReLU,
    ConvBNReLU6,
    Flatten,
    GlobalAveragePool,
    Residual,
    Steps,
    stage,
)


class DepthwiseSeparable(Steps):
    """3x3 depthwise, then 1x1, each with BN and ReLU: N x in x H x W to N x out x H/s x W/s."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            depthwise=ConvBNReLU(in_channels, in_channels, 3, stride=stride, groups=in_channels),
            pointwise=ConvBNReLU(in_channels, out_channels, bias=True),
        )


class MobileNet(Steps):
    """Thirteen depthwise separable convolutions: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=Steps(conv=ConvBNReLU(3, 32, 3), separable=DepthwiseSeparable(32, 64)),
            stage1=stage(DepthwiseSeparable, 64, 128, blocks=2, stride=2),
            stage2=stage(DepthwiseSeparable, 128, 256, blocks=2, stride=2),
            stage3=stage(DepthwiseSeparable, 256, 512, blocks=6, stride=2),
            stage4=stage(DepthwiseSeparable, 512, 1024, blocks=2, stride=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            classifier=nn.Linear(1024, num_classes),
        )


def _bottleneck(in_channels: int, out_channels: int, stride: int, expansion: int = 6) -> nn.Module:
    """N x in x H x W to N x out x H/stride x W/stride; inverted: wide between two narrow maps."""
    width = in_channels * expansion
    steps = Steps(
        expand=ConvBNReLU6(in_channels, width, bias=True),
        depthwise=ConvBNReLU6(width, width, 3, stride=stride, groups=width, bias=True),
        project=ConvBN(width, out_channels, bias=True),
    )
    return Residual(steps) if stride == 1 and in_channels == out_channels else steps


class MobileNetV2(Steps):
    """Seventeen inverted bottlenecks: N x 3 x 32 x 32 to N x classes.

    The first convolution is a 1x1 with padding 1, so the first map is 34x34.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=ConvBNReLU6(3, 32, padding=1, bias=True),
            stage1=stage(partial(_bottleneck, expansion=1), 32, 16, blocks=1, stride=1),
            stage2=stage(_bottleneck, 16, 24, blocks=2, stride=2),
            stage3=stage(_bottleneck, 24, 32, blocks=3, stride=2),
            stage4=stage(_bottleneck, 32, 64, blocks=4, stride=2),
            stage5=stage(_bottleneck, 64, 96, blocks=3, stride=1),
            stage6=stage(_bottleneck, 96, 160, blocks=3, stride=1),
            stage7=stage(_bottleneck, 160, 320, blocks=1, stride=1),
            head=ConvBNReLU6(320, 1280, bias=True),
            pool=GlobalAveragePool(),
            classifier=nn.Conv2d(1280, num_classes, 1),
            flatten=Flatten(),
        )
