"""The reference workload: a fixed workload of the plugin, timed between the user's calls.

It has parts of every model: chains of small operators, many different operators, and arithmetic.
If it takes longer than at the time of the baseline, the device has changed, not the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

import torch
from torch.nn.functional import batch_norm, conv2d, layer_norm
from torch.utils._python_dispatch import _disable_current_modes

VERSION = 4  # raise it with every change of the workload: baselines are then recorded again
CHAIN_BLOCKS = 3  # of seven operators on a map of 1 x 8 x 8 x 8
CONVOLUTIONS, CHANNELS = 8, 16  # on maps of 16 x 16
ROWS, WIDTH = 8, 64  # of the input of a dozen different operators
LEFTOVERS = 2**20  # floats, 4 MB: more than the caches of one core hold
MATRIX = 512  # rows and columns; for accelerators, where kernels run at a clock of their own


class ReferenceWorkload:
    """The reference workload on one device; it runs with torch's current number of threads.

    Its parts weigh the same, however long each takes: the geometric mean changes by as many
    percent as the device's speed does (``benchmarks/accuracy/reference.py``).
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        ones = partial(torch.ones, dtype=torch.float32, device=device)
        with torch.inference_mode(), _disable_current_modes():
            self._leftovers = ones(LEFTOVERS)
            self._image = ones(1, 8, 8, 8)
            self._depthwise, self._pointwise = ones(8, 1, 3, 3) / 9, ones(8, 8, 1, 1) / 8
            self._mean, self._variance = ones(8) - 1, ones(8)
            self._planes = ones(1, CHANNELS, 16, 16)
            self._kernel = ones(CHANNELS, CHANNELS, 3, 3) / (9 * CHANNELS)
            self._rows = ones(ROWS, WIDTH)
            self._parts = [self._chain, self._arithmetic, self._variety]
            if device.type != "cpu":
                self._matrix = ones(MATRIX, MATRIX)
                self._parts.append(self._product)

    def __call__(self) -> int:
        """Run the workload once; return the geometric mean of its parts' durations in ns."""
        autocast_off = torch.autocast(self._device.type, enabled=False)
        with torch.inference_mode(), _disable_current_modes(), autocast_off:
            self._settle()
            logs = [math.log(max(1, self._timed(part))) for part in self._parts]
        return round(math.exp(math.fsum(logs) / len(logs)))

    def _settle(self) -> None:
        """Run every part untimed, then fill the caches with other data.

        Without this step a call that computes less densely slows the workload by up to a tenth,
        and so hides its own growth. With its own data in the caches, the workload would suffer
        more from other processes than models do.
        """
        for part in self._parts:
            part()
        self._leftovers.neg_()

    def _timed(self, part: Callable[[], object]) -> int:
        self._synchronize()
        start = perf_counter_ns()
        part()
        self._synchronize()
        return perf_counter_ns() - start

    def _synchronize(self) -> None:
        if self._device.type != "cpu":
            torch.get_device_module(self._device).synchronize(self._device)

    def _chain(self) -> None:
        x = self._image
        for _ in range(CHAIN_BLOCKS):
            inner = conv2d(x, self._depthwise, padding=1, groups=8)
            inner = torch.relu(batch_norm(inner, self._mean, self._variance))
            inner = batch_norm(conv2d(inner, self._pointwise), self._mean, self._variance)
            left, right = inner.chunk(2, 1)
            x = torch.cat((right, left), 1) + x

    def _arithmetic(self) -> None:
        for _ in range(CONVOLUTIONS):
            conv2d(self._planes, self._kernel, padding=1)

    def _variety(self) -> None:
        x = torch.cat(((self._rows + 1) * 2, self._rows))
        x = torch.softmax(torch.sigmoid(torch.relu(x)), 1)
        x = torch.tanh(layer_norm(x, (WIDTH,)).t().contiguous()).sum(0)
        x = torch.clamp(torch.exp(-x.abs()), 0, 1).view(4, -1).mean(1)
        torch.sqrt(torch.where(x > 0, x, -x)).max()

    def _product(self) -> None:
        torch.mm(self._matrix, self._matrix)
