"""Calls made worse on purpose, to see whether the gate notices: ``--hiddencost-selftest``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter_ns

import torch

from pytest_hiddencost.profiling.calls import Call, tensors_in

SLOW, COPIES = "slow", "copies"
PLANTS = (COPIES, SLOW)
SLOWER_SHARE = 0.10
EXTRA_COPIES = 8


@dataclass(frozen=True)
class _Slower:
    """The model, and a tenth of its own time more, in no operator."""

    model: Callable[..., object]
    synchronize: Callable[[], None] | None

    @property
    def __self__(self) -> object:
        return getattr(self.model, "__self__", self.model)  # whose state is preserved

    def __call__(self, *args: object, **kwargs: object) -> object:
        start = perf_counter_ns()
        output = self.model(*args, **kwargs)
        if self.synchronize is not None:
            self.synchronize()
        end = perf_counter_ns()
        until = end + SLOWER_SHARE * (end - start)
        while perf_counter_ns() < until:
            pass
        return output


@dataclass(frozen=True)
class _Copying:
    """The model, and copies of what it returned."""

    model: Callable[..., object]
    device: torch.device

    @property
    def __self__(self) -> object:
        return getattr(self.model, "__self__", self.model)

    def __call__(self, *args: object, **kwargs: object) -> object:
        output = self.model(*args, **kwargs)
        found = tensors_in(output) or [torch.zeros(1, device=self.device)]
        for _ in range(EXTRA_COPIES):
            found[0].clone()
        return output


def planted(call: Call, plant: str) -> Call:
    """The call with ``SLOW`` or ``COPIES`` in it."""
    worse: Callable[..., object] = (
        _Slower(call.model, call.synchronize)
        if plant == SLOW
        else _Copying(call.model, call.device)
    )
    return replace(call, model=worse)
