"""Xception (Chollet, arXiv 1610.02357) for 32x32 images."""

from __future__ import annotations

from torch import nn

from .blocks import ConvBN, ConvBNReLU, Flatten, Residual, Steps


class SeparableBN(Steps):
    """3x3 depthwise and 1x1 with nothing between, then BN: N x in x H x W to N x out x H x W."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        separable = Steps(
            depthwise=nn.Conv2d(
                in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False
            ),
            pointwise=nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )
        super().__init__(separable=separable, norm=nn.BatchNorm2d(out_channels))


def _block(
    in_channels: int, mid_channels: int, out_channels: int, stride: int, *, relu_first: bool = True
) -> Residual:
    """N x in x H x W to N x out x H/stride x W/stride."""
    steps: dict[str, nn.Module] = {
        # Not in place: the shortcut reads the same input.
        **({"relu1": nn.ReLU()} if relu_first else {}),
        "conv1": SeparableBN(in_channels, mid_channels),
        "relu2": nn.ReLU(inplace=True),
        "conv2": SeparableBN(mid_channels, out_channels),
        "pool": nn.MaxPool2d(3, stride=stride, padding=1),
    }
    return Residual(Steps(**steps), ConvBN(in_channels, out_channels, stride=stride, bias=True))


def _middle_block(channels: int = 728) -> Residual:
    """N x C x H x W, the same shape back."""
    residual = nn.Sequential()
    for index in range(3):
        # The first is not in place: the shortcut reads the same input.
        residual.append(nn.ReLU(inplace=index > 0))
        residual.append(SeparableBN(channels, channels))
    return Residual(residual)


class Xception(Steps):
    """Twelve residual blocks of separable convolutions: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            entry=Steps(
                conv1=ConvBNReLU(3, 32, 3),
                conv2=ConvBNReLU(32, 64, 3),
                block1=_block(64, 128, 128, stride=2, relu_first=False),
                block2=_block(128, 256, 256, stride=2),
                block3=_block(256, 728, 728, stride=1),
            ),
            middle=nn.Sequential(*(_middle_block() for _ in range(8))),
            exit=Steps(
                block=_block(728, 728, 1024, stride=2),
                conv1=SeparableBN(1024, 1536),
                relu1=nn.ReLU(inplace=True),
                conv2=SeparableBN(1536, 2048),
                relu2=nn.ReLU(inplace=True),
            ),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=Flatten(),
            classifier=nn.Linear(2048, num_classes),
        )
