"""InceptionV3 (Szegedy et al., arXiv 1512.00567) for 32x32 images, without the auxiliary head."""

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


def _stem() -> nn.Sequential:
    """N x 3 x 32 x 32 to N x 192 x 30 x 30."""
    chain = conv_chain(3, (32, 3), (32, 3), (64, 3), (80, 1))
    return chain.append(ConvBNReLU(80, 192, 3, padding=0))


def _halve(channels: int, out_channels: int) -> ConvBNReLU:
    return ConvBNReLU(channels, out_channels, 3, stride=2, padding=0)


def _inception_a(in_channels: int, pool_channels: int) -> Branches:
    """N x in x 30 x 30 to N x (224 + pool channels) x 30 x 30."""
    return Branches(
        conv1x1=ConvBNReLU(in_channels, 64),
        conv5x5=conv_chain(in_channels, (48, 1), (64, 5)),
        double3x3=conv_chain(in_channels, (64, 1), (96, 3), (96, 3)),
        pool=nn.Sequential(average_pool(), ConvBNReLU(in_channels, pool_channels, 3)),
    )


def _reduction_b(in_channels: int) -> Branches:
    """N x in x 30 x 30 to N x (480 + in) x 14 x 14."""
    return Branches(
        conv3x3=_halve(in_channels, 384),
        double3x3=conv_chain(in_channels, (64, 1), (96, 3)).append(_halve(96, 96)),
        pool=nn.MaxPool2d(3, stride=2),
    )


def _inception_c(in_channels: int, width: int) -> Branches:
    """N x in x 14 x 14 to N x 768 x 14 x 14, with factorised 7x7 convolutions."""
    seven = (width, (7, 1)), (width, (1, 7)), (width, (7, 1))
    return Branches(
        conv1x1=ConvBNReLU(in_channels, 192),
        conv7x7=conv_chain(in_channels, (width, 1), (width, (7, 1)), (192, (1, 7))),
        double7x7=conv_chain(in_channels, (width, 1), *seven, (192, (1, 7))),
        pool=nn.Sequential(average_pool(), ConvBNReLU(in_channels, 192)),
    )


def _reduction_d(in_channels: int) -> Branches:
    """N x in x 14 x 14 to N x (512 + in) x 6 x 6."""
    seven = conv_chain(in_channels, (192, 1), (192, (1, 7)), (192, (7, 1)))
    return Branches(
        conv3x3=conv_chain(in_channels, (192, 1)).append(_halve(192, 320)),
        conv7x7=seven.append(_halve(192, 192)),
        pool=nn.AvgPool2d(3, stride=2),
    )


def _inception_e(in_channels: int) -> Branches:
    """N x in x 6 x 6 to N x 2048 x 6 x 6."""
    return Branches(
        conv1x1=ConvBNReLU(in_channels, 320),
        conv3x3=conv_chain(in_channels, (384, 1)).append(split_3x3(384, 384)),
        double3x3=conv_chain(in_channels, (448, 1), (384, 3)).append(split_3x3(384, 384)),
        pool=nn.Sequential(average_pool(), ConvBNReLU(in_channels, 192)),
    )


class InceptionV3(Steps):
    """Eleven blocks of parallel branches, 94 convolutions: N x 3 x 32 x 32 to N x classes.

    Source: arXiv 1512.00567.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stem=_stem(),
            inception_a=nn.Sequential(
                _inception_a(192, 32), _inception_a(256, 64), _inception_a(288, 64)
            ),
            reduction_b=_reduction_b(288),
            inception_c=nn.Sequential(
                *(_inception_c(768, width) for width in (128, 160, 160, 192))
            ),
            reduction_d=_reduction_d(768),
            inception_e=nn.Sequential(_inception_e(1280), _inception_e(2048)),
            pool=nn.AdaptiveAvgPool2d(1),
            dropout=nn.Dropout2d(),
            flatten=Flatten(),
            classifier=nn.Linear(2048, num_classes),
        )
