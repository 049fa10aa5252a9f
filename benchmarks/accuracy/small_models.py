"""Small models of many events: calls of a few milliseconds, of 100 to 10,000 profiler events.

Grouped and mixed convolutions, attention and recurrent layers. The clock was chosen by the models
of ``CHOSEN_BY``; nobody looked at the others before.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE = (1, 3, 32, 32)


def convolution(inside: int, outside: int, size: int, *, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the map's size, a normalisation and a ReLU."""
    layer = nn.Conv2d(inside, outside, size, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), nn.ReLU())


class Ghost(nn.Module):
    """Half of the channels by a 1x1 convolution, the others from these by a depthwise one."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        half = outside // 2
        self.primary = convolution(inside, half, 1)
        self.cheap = convolution(half, half, 3, groups=half)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x outside x H x W."""
        y = self.primary(x)
        return torch.cat((y, self.cheap(y)), dim=1)


def ghost() -> nn.Module:
    """Return ten ghost modules."""
    widths = [16, 32, 32, 48, 48, 64, 64, 64, 96, 96, 96]
    layers = [Ghost(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(convolution(3, 16, 3), nn.AvgPool2d(2), *layers)


class Mixed(nn.Module):
    """Branches of convolutions of several kinds, a pool, and a gate over their channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // 4
        self.point = convolution(width, part, 1)
        self.dense = nn.Sequential(convolution(width, part, 1), convolution(part, part, 3))
        self.depth = nn.Sequential(
            convolution(width, part, 1), convolution(part, part, 5, groups=part)
        )
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), convolution(width, part, 1))
        self.gate = nn.Sequential(nn.Linear(width, part), nn.ReLU(), nn.Linear(part, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return N x width x H x W, as the input."""
        y = torch.cat((self.point(x), self.dense(x), self.depth(x), self.pool(x)), dim=1)
        gate = torch.sigmoid(self.gate(y.mean((2, 3))))
        return x + y * gate[:, :, None, None]


def mixed() -> nn.Module:
    """Return six mixed blocks."""
    return nn.Sequential(convolution(3, 64, 3), nn.AvgPool2d(2), *(Mixed(64) for _ in range(6)))


class Attention(nn.Module):
    """A block of a transformer, its attention written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.leave = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x L x width, as the input."""
        count, length, width = x.shape
        parts = self.mix(self.before(x)).view(count, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5
        seen = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(count, length, width)
        x = x + self.leave(seen)
        result: Tensor = x + self.narrow(functional.gelu(self.widen(self.between(x))))
        return result


class Patches(nn.Module):
    """An image as a sequence of patches."""

    def __init__(self, inside: int, width: int, size: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(inside, width, size, size)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x L x width."""
        result: Tensor = self.patch(x).flatten(2).transpose(1, 2)
        return result


def attention() -> nn.Module:
    """Return six transformer blocks on 64 patches."""
    return nn.Sequential(Patches(3, 128, 4), *(Attention(128, 4) for _ in range(6)))


class Recurrent(nn.Module):
    """Convolutions, an LSTM over the rows of their map, and a GRU cell step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 32, 3), convolution(32, 32, 3, groups=32))
        self.rows = nn.LSTM(32 * 16, 96, batch_first=True)
        self.cell = nn.GRUCell(96, 96)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x 96."""
        maps = functional.max_pool2d(self.stem(x), 2)
        rows, _ = self.rows(maps.permute(0, 2, 1, 3).flatten(2))
        state: Tensor = torch.zeros_like(rows[:, 0])
        for step in range(rows.shape[1]):
            state = self.cell(rows[:, step], state)
        return state


class Inverted(nn.Module):
    """A wide depthwise convolution, then a normalisation and two linear layers per pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 3 * width), nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return N x C x H x W, as the input."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(functional.gelu(self.widen(y)))
        result: Tensor = x + y.permute(0, 3, 1, 2)
        return result


def inverted() -> nn.Module:
    """Return eight blocks at 16 x 16."""
    return nn.Sequential(nn.Conv2d(3, 48, 2, 2), *(Inverted(48) for _ in range(8)))


class Dense(nn.Module):
    """A layer that adds twelve channels to all before it."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inside)
        self.grow = nn.Conv2d(inside, 12, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x (C + 12) x H x W."""
        return torch.cat((x, self.grow(functional.relu(self.norm(x)))), dim=1)


def dense() -> nn.Module:
    """Return sixteen dense layers at 16 x 16."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1), *(Dense(24 + 12 * number) for number in range(16))
    )


class Grouped(nn.Module):
    """A bottleneck whose middle convolution has eight groups."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = convolution(width, width // 2, 1)
        self.middle = convolution(width // 2, width // 2, 3, groups=8)
        self.leave = nn.Conv2d(width // 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x C x H x W, as the input."""
        return functional.relu(x + self.leave(self.middle(self.enter(x))))


def grouped() -> nn.Module:
    """Return ten bottlenecks at 16 x 16."""
    return nn.Sequential(nn.Conv2d(3, 128, 2, 2), *(Grouped(128) for _ in range(10)))


def hybrid() -> nn.Module:
    """Return separable convolutions, then transformer layers of torch."""
    separable = [
        nn.Sequential(convolution(64, 64, 3, groups=64), convolution(64, 64, 1)) for _ in range(4)
    ]
    layers = [nn.TransformerEncoderLayer(64, 4, 128, batch_first=True) for _ in range(3)]
    return nn.Sequential(nn.Conv2d(3, 64, 2, 2), *separable, Patches(64, 64, 2), *layers)


CHOSEN_BY: dict[str, Callable[[], nn.Module]] = {
    "Ghost": ghost,
    "Mixed": mixed,
    "Attention": attention,
    "Recurrent": Recurrent,
}
HELD_OUT: dict[str, Callable[[], nn.Module]] = {
    "Inverted": inverted,
    "Dense": dense,
    "Grouped": grouped,
    "Hybrid": hybrid,
}
SMALL_MODELS = CHOSEN_BY | HELD_OUT


def small_network(name: str) -> tuple[nn.Module, Tensor]:
    """Return a model of this name in evaluation mode, and an image of it."""
    torch.manual_seed(0)
    return SMALL_MODELS[name]().eval(), torch.randn(IMAGE)
