"""Small models, and their measurement on an accelerator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from pytest_hiddencost import Profile, Sampling, profile

SAMPLING = Sampling(max_time_ns=200_000_000)


def measured(model: Callable[..., object], *args: object, grad_mode: str = "inference") -> Profile:
    return profile(model, *args, sampling=SAMPLING, grad_mode=grad_mode)


def small_net() -> nn.Sequential:
    """A convolutional network for inputs of (1, 3, 32, 32)."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 10),
    ).eval()  # fmt: skip


SMALL_NET_MACS = 30 * 30 * 32 * 3 * 9 + 32 * 10


def many_small(x: torch.Tensor) -> torch.Tensor:
    """Launch 300 kernels of a few elements: the host is slower than the device."""
    for _ in range(300):
        x = x.neg()
    return x


class OneLarge:
    """One product that takes a device milliseconds."""

    SIZE = 6144

    def __init__(self, device: torch.device) -> None:
        self.matrix = torch.ones(self.SIZE, self.SIZE, device=device)

    def __call__(self) -> torch.Tensor:
        return self.matrix @ self.matrix
