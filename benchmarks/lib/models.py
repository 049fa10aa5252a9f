"""The reference models, and models unlike them, ready to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmarks.lib.unlike_models import UNLIKE
from pytest_hiddencost.study.models import REFERENCE_MODELS, reference_model
from pytest_hiddencost.study.results import BACKENDS, DEFAULT_BACKEND

ALL_MODELS = tuple(model.name for model in REFERENCE_MODELS)
SMALL = ("MobileNet", "ShuffleNetV2", "MobileNetV2", "ShuffleNet")  # a few ms a call
ONE = ("MobileNet",)
UNLIKE_MODELS = tuple(UNLIKE)


def network(name: str) -> tuple[nn.Module, Tensor]:
    """Return a model in evaluation mode, and an input of it: an image for a reference model."""
    torch.manual_seed(0)
    if name in UNLIKE:
        model, batch = UNLIKE[name]()
        return model.eval(), batch
    return reference_model(name).build().eval(), torch.randn(1, 3, 32, 32)


@contextmanager
def on_backend(backend: str) -> Iterator[None]:
    """Run convolutions with oneDNN or without it, and nothing with gradients."""
    with torch.backends.mkldnn.flags(enabled=backend == DEFAULT_BACKEND), torch.inference_mode():
        yield


def on_both_backends(models: Sequence[str]) -> list[dict[str, str]]:
    """Return one case for each model on each backend."""
    return [{"model": model, "backend": backend} for model in models for backend in BACKENDS]
