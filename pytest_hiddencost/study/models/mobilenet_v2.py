"""MobileNetV2 (Sandler et al., arXiv 1801.04381) for 32x32 images."""

from __future__ import annotations

from torch import nn

from .blocks import ConvBN, ConvBNReLU6, Flatten, GlobalAveragePool, Residual, Steps


def _bottleneck(in_channels: int, out_channels: int, expansion: int, stride: int) -> nn.Module:
    """N x in x H x W to N x out x H/stride x W/stride; inverted: wide between two narrow maps."""
    width = in_channels * expansion
    steps = Steps(
        expand=ConvBNReLU6(in_channels, width, bias=True),
        depthwise=ConvBNReLU6(width, width, 3, stride=stride, groups=width, bias=True),
        project=ConvBN(width, out_channels, bias=True),
    )
    return Residual(steps) if stride == 1 and in_channels == out_channels else steps


def _stage(
    in_channels: int, out_channels: int, *, blocks: int, stride: int, expansion: int = 6
) -> nn.Sequential:
    stage = nn.Sequential(_bottleneck(in_channels, out_channels, expansion, stride))
    for _ in range(blocks - 1):
        stage.append(_bottleneck(out_channels, out_channels, expansion, 1))
    return stage


class MobileNetV2(Steps):
    """Seventeen inverted bottlenecks: N x 3 x 32 x 32 to N x classes.

    The first convolution is a 1x1 with padding 1, so the first map is 34x34.
    Source: arXiv 1801.04381.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=ConvBNReLU6(3, 32, padding=1, bias=True),
            stage1=_stage(32, 16, blocks=1, stride=1, expansion=1),
            stage2=_stage(16, 24, blocks=2, stride=2),
            stage3=_stage(24, 32, blocks=3, stride=2),
            stage4=_stage(32, 64, blocks=4, stride=2),
            stage5=_stage(64, 96, blocks=3, stride=1),
            stage6=_stage(96, 160, blocks=3, stride=1),
            stage7=_stage(160, 320, blocks=1, stride=1),
            head=ConvBNReLU6(320, 1280, bias=True),
            pool=GlobalAveragePool(),
            classifier=nn.Conv2d(1280, num_classes, 1),
            flatten=Flatten(),
        )
