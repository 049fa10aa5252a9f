"""Small models that are deployed in every way, and their MACs in eager mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from pytest_hiddencost import Profile, Sampling, profile
from pytest_hiddencost.core.records import GENERATED
from pytest_hiddencost.measure.macs.counting import count_macs

SAMPLING = Sampling(max_time_ns=1_000_000, min_samples=5)


class Residual(nn.Module):
    """A convolution, a residual block with a depthwise and a pointwise one, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 1),
        )  # fmt: skip
        self.relu = nn.ReLU()
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        logits: torch.Tensor = self.head(self.relu(x + self.block(x)))
        return logits


class Attention(nn.Module):
    """A transformer block, written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        y = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        output: torch.Tensor = x + self.mlp(self.norm2(x))
        return output


class Tagger(nn.Module):
    """A recurrent layer and a classifier of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tags: torch.Tensor = self.head(self.lstm(x)[0])
        return tags


@dataclass(frozen=True)
class Deployable:
    """A model with its input."""

    model: nn.Module
    x: torch.Tensor

    @property
    def macs(self) -> int:
        """MACs of a call in eager mode."""
        with torch.inference_mode():
            return count_macs(lambda: self.model(self.x)).macs


MAKERS: dict[str, Callable[[], Deployable]] = {
    "residual": lambda: Deployable(Residual().eval(), torch.randn(2, 3, 10, 10)),
    "attention": lambda: Deployable(Attention().eval(), torch.randn(2, 6, 16)),
    "tagger": lambda: Deployable(Tagger().eval(), torch.randn(2, 5, 8)),
    "perceptron": lambda: Deployable(
        nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)).eval(), torch.randn(3, 12)
    ),
}

each_model = pytest.mark.parametrize(
    "name",
    ["perceptron", *(pytest.param(name, marks=pytest.mark.nightly) for name in list(MAKERS)[:-1])],
)
"""Every model; only one that takes no time to compile or to convert, unless tests may be slow."""
all_models = pytest.mark.parametrize("name", MAKERS)


def deployable(name: str) -> Deployable:
    """Return a new model of this name; its weights are the same every time."""
    torch.manual_seed(0)
    return MAKERS[name]()


def measured(model: Callable[..., object], *args: object) -> Profile:
    return profile(model, *args, sampling=SAMPLING)


def unclassified(found: Profile) -> list[str]:
    return [cost.name for cost in found.operators if cost.group == "unclassified"]


def macs_are_incomplete(found: Profile) -> bool:
    return GENERATED in found.uncosted
