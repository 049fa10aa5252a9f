"""The battery: operators of usual models, each in several sizes, in fp32 and with batch 1.

The sizes are those of layers at the beginning, in the middle and at the end of image models, and
of a transformer. Operators without MACs come in a size that caches hold, and in one that they do
not: the latter work on other tensors in every repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from pytest_hiddencost.core.operator_rates import OperatorWork
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.kinds.operator_recording import NOISE_SEED
from pytest_hiddencost.measure.kinds.peaks import cold_bytes
from pytest_hiddencost.measure.kinds.repetitions import Runs
from pytest_hiddencost.measure.kinds.traffic import shapes_text, tensor_bytes
from pytest_hiddencost.measure.macs.counting import count_macs

Shape = tuple[int, ...]


@dataclass(frozen=True)
class BatteryEntry:
    """A function on tensors of these shapes; ``cold``: in no cache, when a repetition begins."""

    name: str
    function: Callable[..., Tensor]
    shapes: tuple[Shape, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    cold: bool = False

    def runs(self, device: torch.device) -> Runs:
        """Return the repetitions: one, or as many as have tensors too large for the caches."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        first = self._tensors(generator, device)
        count = -(-cold_bytes(device) // tensor_bytes(first)) if self.cold else 1
        tensors = [first, *(self._tensors(generator, device) for _ in range(count - 1))]
        return [partial(self.function, *given, **self.options) for given in tensors]

    def work(self) -> OperatorWork:
        """Return the work of one repetition; it runs once, on the CPU, to count its MACs."""
        tensors = [torch.zeros(shape) for shape in self.shapes]
        outputs: list[Tensor] = []
        found = count_macs(lambda: outputs.append(self.function(*tensors, **self.options)))
        operator = f"aten::{self.name}"
        return OperatorWork(
            operator=operator,
            kind=found.calls[0].kind if found.calls else DEFAULT.group(operator),
            shapes=shapes_text(tensors),
            macs=found.macs,
            moved_bytes=tensor_bytes([*tensors, *outputs]),
        )

    def _tensors(self, generator: torch.Generator, device: torch.device) -> list[Tensor]:
        return [torch.rand(shape, generator=generator).to(device) for shape in self.shapes]


def battery() -> Iterator[BatteryEntry]:
    """Yield the entries, kind by kind."""
    for width, side in ((32, 16), (64, 56), (128, 28), (512, 7)):
        yield _convolution(width, width, 3, side)
    for inside, outside, side in ((32, 32, 16), (64, 256, 56), (256, 1024, 14)):
        yield _convolution(inside, outside, 1, side)
    for width, side in ((32, 112), (144, 56), (512, 14)):
        yield _convolution(width, width, 3, side, groups=width)
    for width, side in ((128, 56), (512, 14)):
        yield _convolution(width, width, 3, side, groups=32)
    for rows, inside, outside in ((1, 256, 256), (1, 4096, 4096), (128, 768, 3072)):
        yield BatteryEntry("linear", F.linear, ((rows, inside), (outside, inside), (outside,)))
    for shape in ((64, 64), (512, 512), (12, 128, 128)):
        yield BatteryEntry("matmul", torch.matmul, (shape, shape))
    attention = F.scaled_dot_product_attention
    for length in (128, 512):
        heads = (1, 12, length, 64)
        yield BatteryEntry("scaled_dot_product_attention", attention, (heads, heads, heads))
    for steps, width in ((32, 128), (32, 512)):
        yield _lstm(steps, width)
    for side, cold in ((32, False), (128, True)):
        yield from _without_macs((1, 64, side, side), cold)


def _convolution(inside: int, outside: int, size: int, side: int, groups: int = 1) -> BatteryEntry:
    """Return a convolution that keeps the side of its map, without a bias."""
    image, weight = (1, inside, side, side), (outside, inside // groups, size, size)
    options = {"padding": size // 2, "groups": groups}
    return BatteryEntry("conv2d", F.conv2d, (image, weight), options)


def _lstm(steps: int, width: int) -> BatteryEntry:
    state, weight, bias = (1, 1, width), (4 * width, width), (4 * width,)
    shapes = ((1, steps, width), state, state, weight, weight, bias, bias)
    return BatteryEntry("lstm", _run_lstm, shapes)


def _run_lstm(x: Tensor, hidden: Tensor, cell: Tensor, *weights: Tensor) -> Tensor:
    """Run one layer over a sequence, batch first, and return its outputs."""
    return torch.lstm(x, (hidden, cell), weights, True, 1, 0.0, False, False, True)[0]


def _without_macs(shape: Shape, cold: bool) -> Iterator[BatteryEntry]:
    channels = (shape[1],)
    yield BatteryEntry("clone", torch.clone, (shape,), cold=cold)
    yield BatteryEntry("cat", _concatenated, (shape, shape), cold=cold)
    yield BatteryEntry("add", torch.add, (shape, shape), cold=cold)
    yield BatteryEntry("batch_norm", F.batch_norm, (shape, channels, channels), cold=cold)
    yield BatteryEntry("layer_norm", _layer_norm, (shape,), cold=cold)
    yield BatteryEntry("relu", F.relu, (shape,), cold=cold)
    yield BatteryEntry("gelu", F.gelu, (shape,), cold=cold)


def _concatenated(left: Tensor, right: Tensor) -> Tensor:
    return torch.cat((left, right), dim=1)


def _layer_norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])
