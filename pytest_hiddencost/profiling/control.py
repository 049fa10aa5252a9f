"""The control: a fixed workload of ours, timed between the user's calls.

It does a little of what every model needs: Python, operators on next to nothing, copies. If it
takes longer than when a baseline was recorded, the device changed, not the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter_ns

import torch
from torch.utils._python_dispatch import _disable_current_modes

STEPS = 3_000  # of a loop in Python
SMALL_OPERATORS = 30
COPIES, COPIED = 8, 64 * 1024  # of so many floats: 512 KiB in all, which most caches hold
MATRIX = 512  # rows and columns; on an accelerator only, where kernels have a clock of their own


class Control:
    """The workload on one device, with the threads that are set when it is called.

    Its parts weigh the same, whatever they take: the geometric mean moves by as many percent as
    the device does. Of ten mixtures it left the least spread between launches of the reference
    models; matrix products and convolutions on the CPU added noise of the threads they wake.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.inference_mode(), _disable_current_modes():
            self._small = torch.ones(1, dtype=torch.float32, device=device)
            self._source = torch.ones(COPIED, dtype=torch.float32, device=device)
            self._copy = torch.empty_like(self._source)
            self._parts: tuple[Callable[[], object], ...] = (_count, self._operators, self._copies)
            if device.type != "cpu":
                self._matrix = torch.ones(MATRIX, MATRIX, dtype=torch.float32, device=device)
                self._parts += (self._product,)

    def __call__(self) -> int:
        """Run it once; the geometric mean of its parts' durations in ns."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(_disable_current_modes())
            stack.enter_context(torch.autocast(self._device.type, enabled=False))
            logs = [math.log(max(1, self._timed(part))) for part in self._parts]
        return round(math.exp(math.fsum(logs) / len(logs)))

    def _timed(self, part: Callable[[], object]) -> int:
        self._synchronize()
        start = perf_counter_ns()
        part()
        self._synchronize()
        return perf_counter_ns() - start

    def _synchronize(self) -> None:
        if self._device.type != "cpu":
            torch.get_device_module(self._device).synchronize(self._device)

    def _operators(self) -> None:
        for _ in range(SMALL_OPERATORS):
            torch.add(self._small, self._small)

    def _copies(self) -> None:
        for _ in range(COPIES):
            self._copy.copy_(self._source)

    def _product(self) -> None:
        torch.mm(self._matrix, self._matrix)


def _count() -> int:
    total = 0
    for step in range(STEPS):
        total += step
    return total
