"""The code under test: a reference model, with what is planted in its project's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pytest_hiddencost.study.models import reference_model
from pytest_hiddencost.study.models.blocks import ConvBN
from verdicts_parts.plants import PLANT_FILE


def _same(x: Tensor) -> Tensor:
    return x


def _copied(x: Tensor) -> Tensor:
    return x.clone()


def _concatenated(x: Tensor) -> Tensor:
    return torch.cat((x,), dim=1)


def _contiguous(x: Tensor) -> Tensor:
    return x.transpose(2, 3).contiguous().transpose(2, 3)


TINY = "Tiny"
WARM_UPS = 5
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "copy": _copied,
    "cat": _concatenated,
    "contiguous": _contiguous,
}


class Changed(nn.Module):
    """A layer, and what is done to its output: N x C x H x W, the same back."""

    def __init__(self, layer: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.change = layer, change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.layer(x))


class Slowed(nn.Module):
    """A model, each of whose calls takes so large a ``share`` of its own time longer.

    The time is spent, not slept: whatever slows the machine down slows the plant as much.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        super().__init__()
        self.model, self.share = model, share

    def forward(self, x: Tensor) -> Tensor:
        start = perf_counter_ns()
        result: Tensor = self.model(x)
        now = perf_counter_ns()
        until = now + self.share * (now - start)
        while perf_counter_ns() < until:
            pass
        return result


def subject(name: str, test_file: str) -> tuple[nn.Module, Tensor]:
    """The model called ``name`` (``Tiny 3``: one of a kind) as planted, and its image."""
    planted: dict[str, Any] = json.loads(Path(test_file).with_name(PLANT_FILE).read_text())
    torch.manual_seed(0)
    kind = name.split()[0]
    model = ConvBN(3, 4) if kind == TINY else reference_model(kind).build()
    model.eval()
    pairs = [module for module in model.modules() if isinstance(module, ConvBN)]
    if planted["code"] == "fused":
        for pair in pairs:
            _fuse(pair)
    # The same modules under the same names, changed or not.
    norm = pairs[0].get_submodule("norm")
    pairs[0].set_submodule("norm", Changed(norm, CHANGES.get(planted["code"], _same)))
    return Slowed(model, planted["share"]).eval(), torch.randn(1, 3, 32, 32)


def calls_in(seconds: float, model: nn.Module, image: Tensor) -> int:
    """How many calls take about so long; 20 at least."""
    with torch.inference_mode():
        for _ in range(WARM_UPS):
            model(image)
        start = perf_counter_ns()
        for _ in range(WARM_UPS):
            model(image)
        call_s = (perf_counter_ns() - start) / 1e9 / WARM_UPS
    return max(20, round(seconds / call_s))


def _fuse(pair: ConvBN) -> None:
    conv, norm = pair.conv, pair.norm
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    pair.set_submodule("conv", fuse_conv_bn_eval(conv, norm))
    pair.set_submodule("norm", nn.Identity())
