"""The code under test: a model with the regression that its project's folder names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.lib.injections import FUSED, TINY, injected_in
from benchmarks.lib.models import network
from pytest_hiddencost.study.models.blocks import ConvBN

WARM_UPS = 5
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "copy": lambda x: x.clone(),
    "cat": lambda x: torch.cat((x,), dim=1),
    "contiguous": lambda x: x.transpose(-2, -1).contiguous().transpose(-2, -1),
}


class Changed(nn.Module):
    """A layer, and a change of its output, which keeps its shape."""

    def __init__(self, layer: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.change = layer, change

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer, then the change."""
        return self.change(self.layer(x))


class Slowed(nn.Module):
    """A model whose calls take a ``share`` of their own time longer.

    The time is spent, not slept, so that a slow device slows the injected regression as much.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        super().__init__()
        self.model, self.share = model, share

    def forward(self, x: Tensor) -> Tensor:
        """Run the model, then wait."""
        start = perf_counter_ns()
        result: Tensor = self.model(x)
        now = perf_counter_ns()
        until = now + self.share * (now - start)
        while perf_counter_ns() < until:
            pass
        return result


def subject(name: str, test_file: str) -> tuple[nn.Module, Tensor]:
    """Return the model called ``name`` with what is injected beside the test file, and an input.

    The change follows the first normalisation of a reference model, and the output of others.
    """
    injected = injected_in(Path(test_file).parent)
    model, image = tiny() if name.startswith(TINY) else network(name)
    pairs = [module for module in model.modules() if isinstance(module, ConvBN)]
    if injected.code == FUSED:
        for pair in pairs:
            fuse(pair)
    # Keep the modules and their names, so that only the change differs.
    change = CHANGES.get(injected.code, lambda x: x)
    if pairs:
        pairs[0].set_submodule("norm", Changed(pairs[0].get_submodule("norm"), change))
    else:
        model = Changed(model, change)
    return Slowed(model, injected.share).eval(), image


def tiny() -> tuple[nn.Module, Tensor]:
    """Return one convolution with its normalisation."""
    torch.manual_seed(0)
    return ConvBN(3, 4).eval(), torch.randn(1, 3, 32, 32)


def calls_in(seconds: float, model: nn.Module, image: Tensor) -> int:
    """Return how many calls take about so long; 20 at least."""
    with torch.inference_mode():
        for _ in range(WARM_UPS):
            model(image)
        start = perf_counter_ns()
        for _ in range(WARM_UPS):
            model(image)
        call_s = (perf_counter_ns() - start) / 1e9 / WARM_UPS
    return max(20, round(seconds / call_s))


def fuse(pair: ConvBN) -> None:
    """Fold the normalisation into the convolution."""
    conv, norm = pair.conv, pair.norm
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    pair.set_submodule("conv", fuse_conv_bn_eval(conv, norm))
    pair.set_submodule("norm", nn.Identity())
