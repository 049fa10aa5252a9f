"""MobileNet (Howard et al., arXiv 1704.04861) for 32x32 images."""

from __future__ import annotations

from torch import nn

from .blocks import ConvBNReLU, Flatten, Steps


class DepthwiseSeparable(Steps):
    """3x3 depthwise, then 1x1, each with BN and ReLU: N x in x H x W to N x out x H/s x W/s."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            depthwise=ConvBNReLU(in_channels, in_channels, 3, stride=stride, groups=in_channels),
            pointwise=ConvBNReLU(in_channels, out_channels, bias=True),
        )


def _stage(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
    stage = nn.Sequential(DepthwiseSeparable(in_channels, out_channels, stride=2))
    for _ in range(blocks - 1):
        stage.append(DepthwiseSeparable(out_channels, out_channels))
    return stage


class MobileNet(Steps):
    """Thirteen depthwise separable convolutions: N x 3 x 32 x 32 to N x classes.

    Source: arXiv 1704.04861.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=Steps(conv=ConvBNReLU(3, 32, 3), separable=DepthwiseSeparable(32, 64)),
            stage1=_stage(64, 128, blocks=2),
            stage2=_stage(128, 256, blocks=2),
            stage3=_stage(256, 512, blocks=6),
            stage4=_stage(512, 1024, blocks=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            classifier=nn.Linear(1024, num_classes),
        )
