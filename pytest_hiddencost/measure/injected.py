"""Injected regressions: a slowdown or extra copies in the model, for ``--hiddencost-selftest``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter_ns

import torch

from pytest_hiddencost.measure.calls import Call, tensors_in

SLOW, COPIES = "slow", "copies"
INJECTIONS = (COPIES, SLOW)
SLOWER_SHARE = 0.10
EXTRA_COPIES = 8


@dataclass(frozen=True)
class _Injected:
    """A model with an injected regression; its ``__self__`` is the model's."""

    model: Callable[..., object]

    @property
    def __self__(self) -> object:
        return getattr(self.model, "__self__", self.model)  # the module whose state is preserved


@dataclass(frozen=True)
class _Slower(_Injected):
    """The model, slower by ``SLOWER_SHARE`` of its own time, outside any operator."""

    synchronize: Callable[[], None] | None

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
class _Copying(_Injected):
    """The model, then ``EXTRA_COPIES`` copies of its output."""

    device: torch.device

    def __call__(self, *args: object, **kwargs: object) -> object:
        output = self.model(*args, **kwargs)
        found = tensors_in(output) or [torch.zeros(1, device=self.device)]
        for _ in range(EXTRA_COPIES):
            found[0].clone()
        return output


def with_injection(call: Call, injection: str) -> Call:
    """Return ``call`` with the regression ``SLOW`` or ``COPIES`` injected into its model."""
    if injection == SLOW:
        return replace(call, model=_Slower(call.model, call.synchronize))
    return replace(call, model=_Copying(call.model, call.device))
