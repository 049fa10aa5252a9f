"""InceptionV3 (Szegedy et al., arXiv 1512.00567) without the auxiliary head, and InceptionV4.

Both for 32x32 images. InceptionV4: Szegedy et al., arXiv 1602.07261.
"""

from __future__ import annotations

from torch import nn

from .blocks import Branches, ConvBNReLU, Flatten, Steps, conv_chain


def _halve(channels: int, out_channels: int, padding: int = 0) -> ConvBNReLU:
    return ConvBNReLU(channels, out_channels, 3, stride=2, padding=padding)


def _pooled(in_channels: int, out_channels: int, kernel_size: int = 1) -> nn.Sequential:
    pool = nn.AvgPool2d(3, stride=1, padding=1)
    return nn.Sequential(pool, ConvBNReLU(in_channels, out_channels, kernel_size))


def _max_pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=1, padding=1)


def _split_3x3(in_channels: int, width: int) -> Branches:
    return Branches(
        conv1x3=ConvBNReLU(in_channels, width, (1, 3)),
        conv3x1=ConvBNReLU(in_channels, width, (3, 1)),
    )


def _v3_inception_a(in_channels: int, pool_channels: int) -> Branches:
    """N x in x 30 x 30 to N x (224 + pool channels) x 30 x 30."""
    return Branches(
        conv1x1=ConvBNReLU(in_channels, 64),
        conv5x5=conv_chain(in_channels, (48, 1), (64, 5)),
        double3x3=conv_chain(in_channels, (64, 1), (96, 3), (96, 3)),
        pool=_pooled(in_channels, pool_channels, 3),
    )


def _v3_inception_c(in_channels: int, width: int) -> Branches:
    """N x in x 14 x 14 to N x 768 x 14 x 14, with factorised 7x7 convolutions."""
    seven = (width, (7, 1)), (width, (1, 7)), (width, (7, 1))
    return Branches(
        conv1x1=ConvBNReLU(in_channels, 192),
        conv7x7=conv_chain(in_channels, (width, 1), (width, (7, 1)), (192, (1, 7))),
        double7x7=conv_chain(in_channels, (width, 1), *seven, (192, (1, 7))),
        pool=_pooled(in_channels, 192),
    )


def _v3_inception_e(in_channels: int) -> Branches:
    """N x in x 6 x 6 to N x 2048 x 6 x 6."""
    return Branches(
        conv1x1=ConvBNReLU(in_channels, 320),
        conv3x3=conv_chain(in_channels, (384, 1)).append(_split_3x3(384, 384)),
        double3x3=conv_chain(in_channels, (448, 1), (384, 3)).append(_split_3x3(384, 384)),
        pool=_pooled(in_channels, 192),
    )


class InceptionV3(Steps):
    """Eleven blocks of parallel branches, 94 convolutions: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        stem = conv_chain(3, (32, 3), (32, 3), (64, 3), (80, 1))
        widths = ((192, 32), (256, 64), (288, 64))
        seven = conv_chain(768, (192, 1), (192, (1, 7)), (192, (7, 1)))
        super().__init__(
            stem=stem.append(ConvBNReLU(80, 192, 3, padding=0)),
            inception_a=nn.Sequential(*(_v3_inception_a(*width) for width in widths)),
            reduction_b=Branches(  # N x 288 x 30 x 30 to N x 768 x 14 x 14
                conv3x3=_halve(288, 384),
                double3x3=conv_chain(288, (64, 1), (96, 3)).append(_halve(96, 96)),
                pool=nn.MaxPool2d(3, stride=2),
            ),
            inception_c=nn.Sequential(*(_v3_inception_c(768, w) for w in (128, 160, 160, 192))),
            reduction_d=Branches(  # N x 768 x 14 x 14 to N x 1280 x 6 x 6
                conv3x3=conv_chain(768, (192, 1)).append(_halve(192, 320)),
                conv7x7=seven.append(_halve(192, 192)),
                pool=nn.AvgPool2d(3, stride=2),
            ),
            inception_e=nn.Sequential(_v3_inception_e(1280), _v3_inception_e(2048)),
            pool=nn.AdaptiveAvgPool2d(1),
            dropout=nn.Dropout2d(),
            flatten=Flatten(),
            classifier=nn.Linear(2048, num_classes),
        )


def _v4_stem() -> Steps:
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


def _v4_inception_a(in_channels: int = 384) -> Branches:
    """N x in x 30 x 30 to N x 384 x 30 x 30."""
    return Branches(
        double3x3=conv_chain(in_channels, (64, 1), (96, 3), (96, 3)),
        conv3x3=conv_chain(in_channels, (64, 1), (96, 3)),
        conv1x1=ConvBNReLU(in_channels, 96),
        pool=_pooled(in_channels, 96),
    )


def _v4_inception_b(in_channels: int = 1024) -> Branches:
    """N x in x 14 x 14 to N x 1024 x 14 x 14, with factorised 7x7 convolutions."""
    seven = (192, (1, 7)), (224, (7, 1)), (224, (1, 7)), (256, (7, 1))
    return Branches(
        double7x7=conv_chain(in_channels, (192, 1), *seven),
        conv7x7=conv_chain(in_channels, (192, 1), (224, (1, 7)), (256, (7, 1))),
        conv1x1=ConvBNReLU(in_channels, 384),
        pool=_pooled(in_channels, 128),
    )


def _v4_inception_c(in_channels: int = 1536) -> Branches:
    """N x in x 7 x 7 to N x 1536 x 7 x 7."""
    double = conv_chain(in_channels, (384, 1), (448, (1, 3)), (512, (3, 1)))
    return Branches(
        double3x3=double.append(_split_3x3(512, 256)),
        conv3x3=conv_chain(in_channels, (384, 1)).append(_split_3x3(384, 256)),
        conv1x1=ConvBNReLU(in_channels, 256),
        pool=_pooled(in_channels, 256),
    )


class InceptionV4(Steps):
    """Sixteen blocks of parallel branches, 149 convolutions: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        seven = conv_chain(1024, (256, 1), (256, (1, 7)), (320, (7, 1)))
        super().__init__(
            stem=_v4_stem(),
            inception_a=nn.Sequential(*(_v4_inception_a() for _ in range(4))),
            reduction_a=Branches(  # N x 384 x 30 x 30 to N x 1024 x 14 x 14
                double3x3=conv_chain(384, (192, 1), (224, 3)).append(_halve(224, 256)),
                conv3x3=_halve(384, 384),
                pool=nn.MaxPool2d(3, stride=2),
            ),
            inception_b=nn.Sequential(*(_v4_inception_b() for _ in range(7))),
            reduction_b=Branches(  # N x 1024 x 14 x 14 to N x 1536 x 7 x 7
                conv7x7=seven.append(_halve(320, 320, padding=1)),
                conv3x3=conv_chain(1024, (192, 1)).append(_halve(192, 192, padding=1)),
                pool=nn.MaxPool2d(3, stride=2, padding=1),
            ),
            inception_c=nn.Sequential(*(_v4_inception_c() for _ in range(3))),
            pool=nn.AvgPool2d(7),
            dropout=nn.Dropout2d(0.2),
            flatten=Flatten(),
            classifier=nn.Linear(1536, num_classes),
        )
