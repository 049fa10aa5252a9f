"""VGG16 with batch normalisation (Simonyan and Zisserman, arXiv 1409.1556, configuration D)."""

from __future__ import annotations

from torch import nn

from .blocks import Flatten, Steps, conv_chain


def _stage(in_channels: int, out_channels: int, convs: int) -> nn.Sequential:
    chain = conv_chain(in_channels, *[(out_channels, 3)] * convs, bias=True)
    return chain.append(nn.MaxPool2d(2))


class VGG16(Steps):
    """Thirteen 3x3 convolutions and three linear layers: N x 3 x 32 x 32 to N x classes."""

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stage1=_stage(3, 64, 2),
            stage2=_stage(64, 128, 2),
            stage3=_stage(128, 256, 3),
            stage4=_stage(256, 512, 3),
            stage5=_stage(512, 512, 3),
            flatten=Flatten(),
            classifier=nn.Sequential(
                nn.Linear(512, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                nn.Linear(4096, num_classes),
            ),
        )
