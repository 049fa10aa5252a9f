"""VGG16 with batch normalisation (Simonyan and Zisserman, arXiv 1409.1556, configuration D)."""

from __future__ import annotations

from torch import nn

from .blocks import ConvBNReLU, Flatten, Steps


def _stage(in_channels: int, out_channels: int, convs: int) -> nn.Sequential:
    stage = nn.Sequential()
    for index in range(convs):
        channels = in_channels if index == 0 else out_channels
        stage.append(ConvBNReLU(channels, out_channels, 3, bias=True))
    return stage.append(nn.MaxPool2d(2))


def _classifier(num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(512, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(4096, num_classes),
    )


class VGG16(Steps):
    """Thirteen 3x3 convolutions and three linear layers: N x 3 x 32 x 32 to N x classes.

    Source: arXiv 1409.1556.
    """

    def __init__(self, num_classes: int = 100) -> None:
        super().__init__(
            stage1=_stage(3, 64, 2),
            stage2=_stage(64, 128, 2),
            stage3=_stage(128, 256, 3),
            stage4=_stage(256, 512, 3),
            stage5=_stage(512, 512, 3),
            flatten=Flatten(),
            classifier=_classifier(num_classes),
        )
