"""The ten reference models of the device study, CIFAR-100: N x 3 x 32 x 32 to N x 100.

The models of "Hidden costs for inference with deep network on embedded system devices" (Lee, Choi
and Park, arXiv 2601.01698). Equal parameter and MAC counts show that these are the same models;
the tests compare the counts to the digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["REFERENCE_MODELS", "ReferenceModel", "reference_model"]


@dataclass(frozen=True)
class ReferenceModel:
    """A model of the study, with its published figures for 1 x 3 x 32 x 32 and 100 classes."""

    name: str  # of its class too
    module: str  # beside this one
    parameters: int
    thop_macs: int  # by thop 0.1.1, which also counts BN and pooling modules
    operator_macs: int  # of convolutions and linear layers, by formula
    top1_percent: float  # published CIFAR-100 accuracy; the plugin does not measure it

    def build(self, num_classes: int = 100) -> nn.Module:
        """Return a new model, randomly initialised, in training mode."""
        # Torch is imported here, so that the tables of a run file need none.
        constructor = getattr(import_module(f"{__name__}.{self.module}"), self.name)
        found: nn.Module = constructor(num_classes)
        return found


REFERENCE_MODELS: tuple[ReferenceModel, ...] = (
    ReferenceModel("VGG16", "vgg", 34_015_396, 333_586_432, 332_480_512, 72.93),
    ReferenceModel("InceptionV3", "inception", 22_318_148, 3_406_971_520, 3_390_711_808, 77.19),
    ReferenceModel("InceptionV4", "inception", 41_296_516, 7_535_302_784, 7_503_132_032, 75.86),
    ReferenceModel("ResNet50", "resnet", 23_705_252, 1_311_778_816, 1_298_014_208, 77.39),
    ReferenceModel("SeResNet50", "resnet", 26_262_804, 1_316_076_288, 1_300_529_152, 78.58),
    ReferenceModel("Xception", "xception", 21_013_988, 1_137_838_592, 1_129_865_728, 74.93),
    ReferenceModel("MobileNet", "mobilenet", 3_315_428, 48_098_304, 46_446_592, 65.98),
    ReferenceModel("MobileNetV2", "mobilenet", 2_369_380, 68_474_112, 64_947_264, 68.08),
    ReferenceModel("ShuffleNet", "shufflenet", 1_012_108, 45_361_344, 41_693_952, 70.06),
    ReferenceModel("ShuffleNetV2", "shufflenet", 1_360_896, 45_753_728, 43_675_520, 69.51),
)
"""The study's models, in the order of its tables."""


def reference_model(name: str) -> ReferenceModel:
    """Return the reference model `name`; raise a ValueError with all names if there is none."""
    by_name = {model.name: model for model in REFERENCE_MODELS}
    if name not in by_name:
        accepted = ", ".join(by_name)
        raise ValueError(f"no reference model is called {name!r}; accepted names: {accepted}")
    return by_name[name]
