"""InceptionV4 (Szegedy et al., arXiv 1602.07261) for 32x32 images."""

from __future__ import annotations

from torch import nn

from .blocks import (
    Branches,
    ConvBNReLU,
    Flatten,
    Steps,
    average_pool,
    conv_chain,
    split_3x3,
)


def _max_pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=1, padding=1)


def _halve(channels: int, out_channels: int, padding: int) -> ConvBNReLU:
    return ConvBNReLU(channels, out_channels, 3, stride=2, padding=padding)


def _stem() -> Steps:
    """N x 3 x 32 x 32 to N x 384 x 30 x 30."""
    seven = conv_chain(160, (64, 1), (64, (7, 1)), (64, (1, 7)), (96, 3))
    return Steps(
        conv1=ConvBNReLU(3, 32, 3, padding=0),
        conv2=ConvBNReLU(32, 32, 3),
        conv3=ConvBNReLU(32, 64, 3),
        mixed1=Branches(conv3x3=ConvBNReLU(64, 96, 3), pool=_max_pool()),
        mixed2=Branches(conv7x7=seven, conv3x3=conv_chain(160, (64, 1), (96, 3))),
        mixed3=Branches(pool=_max_pool(), conv3x3=ConvBNReLU(192, 192, 3)),
    )


def _inception_a(in_channels: int) -> Branches:
    """N x in x 30 x 30 to N x 384 x 30 x 30."""
    return Branches(
        double3x3=conv_chain(in_channels, (64, 1), (96, 3), (96, 3)),
        conv3x3=conv_chain(in_channels, (64, 1), (96, 3)),
        conv1x1=ConvBNReLU(in_channels, 96),
        pool=nn.Sequential(average_pool(), ConvBNReLU(in_channels, 96)),
    )


def _reduction_a(in_channels: int) -> Branches:
    """N x in x 30 x 30 to N x (640 + in) x 14 x 14."""
    return Branches(
        double3x3=conv_chain(in_channels, (192, 1), (224, 3)).append(_halve(224, 256, padding=0)),
        conv3x3=_halve(in_channels, 384, padding=0),
        pool=nn.MaxPool2d(3, stride=2),
    )


def _inception_b(in_channels: int) -> Branches:
    """N x in x 14 x 14 to N x 1024 x 14 x 14, with factorised 7x7 convolutions."""
    seven = (192, (1, 7)), (224, (7, 1)), (224, (1, 7)), (256, (7, 1))
    return Branches(
        double7x7=conv_chain(in_channels, (192, 1), *seven),
        conv7x7=conv_chain(in_channels, (192, 1), (224, (1, 7)), (256, (7, 1))),
        conv1x1=ConvBNReLU(in_channels, 384),
        pool=nn.Sequential(average_pool(), ConvBNReLU(in_channels, 128)),
    )


def _reduction_b(in_channels: int) -> Branches:
    """N x in x 14 x 14 to N x (512 + in) x 7 x 7."""
    seven = conv_chain(in_channels, (256, 1), (256, (1, 7)), (320, (7, 1)))
    return Branches(
        conv7x7=seven.append(_halve(320, 320, padding=1)),
        conv3x3=conv_chain(in_channels, (192, 1)).append(_halve(192, 192, padding=1)),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
    )


def _inception_c(in_channels: int) -> Branches:
    """N x in x 7 x 7 to N x 1536 x 7 x 7."""
    double = conv_chain(in_channels, (384, 1), (448, (1, 3)), (512, (3, 1)))
    return Branches(
        double3x3=double.append(split_3x3(512, 256)),
        conv3x3=conv_chain(in_channels, (384, 1)).append(split_3x3(384, 256)),
        conv1x1=ConvBNReLU(in_channels, 256),
        pool=nn.Sequential(average_pool(), ConvBNReLU(in_channels, 256)),
    )


class InceptionV4(Steps):
    """Sixteen blocks of parallel branches, 149 convolutions: N x 3 x 32 x 32 to N x classes.

    Source: arXiv 1602.07261.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=_stem(),
            inception_a=nn.Sequential(*(_inception_a(384) for _ in range(4))),
            reduction_a=_reduction_a(384),
            inception_b=nn.Sequential(*(_inception_b(1024) for _ in range(7))),
            reduction_b=_reduction_b(1024),
            inception_c=nn.Sequential(*(_inception_c(1536) for _ in range(3))),
            pool=nn.AvgPool2d(7),
            dropout=nn.Dropout2d(0.2),
            flatten=Flatten(),
            classifier=nn.Linear(1536, num_classes),
        )
