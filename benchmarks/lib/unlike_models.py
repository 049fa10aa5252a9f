"""Models unlike the reference models: other operators, sizes, and lengths of a call.

Each function returns a model and an input of it; :func:`benchmarks.lib.models.network` seeds torch
before. Every output has at least two dimensions of more than one element, so that any change of
``benchmarks.lib.subjects`` fits it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

EVENTS_CHANNELS = 256  # each a group of its own
EVENTS_LAYERS = 13


class Block(nn.Module):
    """The block of README's first example."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.BatchNorm2d(2 * channels)
        self.mix = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x C x H x W, as the input."""
        y = torch.cat([x, self.depthwise(x)], dim=1)
        result: Tensor = self.mix(self.norm(y).relu())
        return result


def example() -> tuple[nn.Module, Tensor]:
    """Return README's first example: four blocks at 64 x 64."""
    blocks = [Block(32) for _ in range(4)]
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), *blocks), torch.randn(1, 3, 64, 64)


class UNet(nn.Module):
    """Two steps down, two up, with skips; 16 channels of 192 x 192 are 2.4 MB, their cat 4.7 MB."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = _convolution(3, 16), nn.Conv2d(16, 4, 1)
        self.down = nn.ModuleList([_convolution(16, 32), _convolution(32, 64)])
        self.up = nn.ModuleList([_convolution(64 + 32, 32), _convolution(32 + 16, 16)])
        self.pool, self.grow = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x 4 x H x W for N x 3 x H x W."""
        x = self.enter(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(self.pool(x))
        for up in self.up:
            x = up(torch.cat((self.grow(x), skips.pop()), dim=1))
        result: Tensor = self.leave(x)
        return result


def _convolution(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU())


def u_net() -> tuple[nn.Module, Tensor]:
    """Return a U-Net whose activations take several MB."""
    return UNet(), torch.randn(1, 3, 192, 192)


def encoder(batch: int) -> tuple[nn.Module, Tensor]:
    """Return a transformer encoder of three layers, and sequences of 64 tokens."""
    layer = nn.TransformerEncoderLayer(128, 4, 256, batch_first=True)
    return nn.TransformerEncoder(layer, 3), torch.randn(batch, 64, 128)


class Sequence(nn.Module):
    """An LSTM that returns its outputs, without its state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(64, 96, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x L x 96 for N x L x 64."""
        result: Tensor = self.lstm(x)[0]
        return result


def lstm() -> tuple[nn.Module, Tensor]:
    """Return an LSTM of two layers, and a sequence of 32 steps."""
    return Sequence(), torch.randn(1, 32, 64)


def mlp() -> tuple[nn.Module, Tensor]:
    """Return six small linear layers: about 50 us a call."""
    layers = [layer for _ in range(5) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(64, 10)), torch.randn(4, 64)


class Loops(nn.Module):
    """Python around operators on a few numbers: the interpreter takes most of the time."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16))

    def forward(self, x: Tensor) -> Tensor:
        """Return N x 16, as the input."""
        seen: dict[str, float] = {}
        for step in range(200):
            scale = sum(0.001 * (step % number) for number in range(1, 20))
            seen[f"step {step}"] = scale
            x = torch.tanh(x * self.weight + seen[f"step {step}"])
        return x


def loops() -> tuple[nn.Module, Tensor]:
    """Return a model that loops in Python over small operators."""
    return Loops(), torch.randn(4, 16)


class WithoutOneDNN(nn.Module):
    """Depthwise convolutions with oneDNN off: torch runs each group by operators of its own."""

    def __init__(self) -> None:
        super().__init__()
        channels = EVENTS_CHANNELS
        self.layers = nn.Sequential(
            *(
                nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
                for _ in range(EVENTS_LAYERS)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return N x C x H x W, as the input."""
        with torch.backends.mkldnn.flags(enabled=False):
            result: Tensor = self.layers(x)
        return result


def many_events() -> tuple[nn.Module, Tensor]:
    """Return convolutions that give the profiler about 60,000 events a call."""
    return WithoutOneDNN(), torch.randn(1, EVENTS_CHANNELS, 8, 8)


def long_call() -> tuple[nn.Module, Tensor]:
    """Return convolutions that take about 200 ms with one thread."""
    layers = [_convolution(64, 64) for _ in range(10)]
    return nn.Sequential(_convolution(3, 64), *layers), torch.randn(1, 3, 160, 160)


UNLIKE: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "README example": example,
    "UNet": u_net,
    "Encoder batch 1": lambda: encoder(1),
    "Encoder batch 8": lambda: encoder(8),
    "LSTM": lstm,
    "MLP": mlp,
    "Loops": loops,
    "Without oneDNN": many_events,
    "Long call": long_call,
}
