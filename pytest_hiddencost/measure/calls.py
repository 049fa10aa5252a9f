"""The call that is measured: a callable with its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.measure.arguments import (
    CallArguments,
    Setup,
    refuse_deferred,
    refuse_iterators,
    way_out,
)

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
GRAD_MODES = ("inference", "no_grad", "grad")


@dataclass
class Tally:
    """Counts calls; ``before`` runs before each of them, outside the measured time."""

    calls: int = 0
    before: Callable[[], None] | None = None

    def count(self) -> None:
        """Count the call that comes next."""
        if self.before is not None:
            self.before()
        self.calls += 1


@dataclass(frozen=True)
class Call:
    """``model(*args, **kwargs)`` on ``device``, in one grad mode.

    With ``setup``, every call gets the arguments that ``setup()`` returns, and ``args`` and
    ``kwargs`` stay empty. Raises ``MeasurementError`` for a model that cannot be called or only
    makes a coroutine or generator, arguments of one use, and an unknown grad mode.
    """

    model: Callable[..., object]
    args: tuple[object, ...]
    kwargs: dict[str, object]
    device: torch.device
    grad_mode: str = "inference"
    setup: Callable[[], object] | None = None
    setups: Setup | None = field(init=False, default=None)
    tally: Tally = field(init=False, default_factory=Tally, compare=False)
    run: Callable[[], object] = field(init=False)

    def __post_init__(self) -> None:
        if not callable(self.model):
            raise MeasurementError(
                f"hiddencost(model, *args): the model must be callable, got {self.model!r:.60}"
            )
        refuse_deferred(self.model, self.name)
        if not isinstance(self.grad_mode, str) or self.grad_mode not in GRAD_MODES:
            raise MeasurementError(
                f"grad_mode={self.grad_mode!r:.60} is unknown; accepted: {', '.join(GRAD_MODES)}; "
                f"{way_out('grad_mode')}"
            )
        refuse_iterators(self.args, self.kwargs)
        if self.setup is not None:
            object.__setattr__(self, "setups", Setup(self.setup, (*self.args, *self.kwargs)))
        # partial adds no Python frame to the timed call.
        object.__setattr__(self, "run", partial(self.model, *self.args, **self.kwargs))

    @property
    def module(self) -> torch.nn.Module | None:
        """The model if it is a module, or the module that a bound method belongs to."""
        candidates = (self.model, getattr(self.model, "__self__", None))
        return next((found for found in candidates if isinstance(found, torch.nn.Module)), None)

    @property
    def name(self) -> str:
        """The model's name in reports: its class, or the function's qualified name."""
        if self.module is not None:
            return str(getattr(self.module, "original_name", type(self.module).__name__))
        return str(getattr(self.model, "__qualname__", type(self.model).__qualname__))

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """Enter the call's grad mode."""
        inference, grad = self.grad_mode == "inference", self.grad_mode == "grad"
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            yield

    @property
    def synchronize(self) -> Callable[[], None] | None:
        """A function that waits for the device; ``None`` if calls on it are synchronous."""
        if self.device.type == "cpu":
            return None
        return partial(torch.get_device_module(self.device).synchronize, self.device)

    def input_tensors(self) -> list[torch.Tensor]:
        """Return the tensors among the arguments, at any depth."""
        return tensors_in((self.args, self.kwargs))

    @property
    def setup_ns(self) -> int:
        """Time that the setup has taken so far, in ns."""
        return 0 if self.setups is None else self.setups.spent_ns

    def arguments(self) -> CallArguments:
        """Return positional and keyword arguments for one call: fresh ones with ``setup``."""
        return (self.args, self.kwargs) if self.setups is None else self.setups.make()

    def fresh(self) -> Callable[[], object]:
        """Run the setup if there is one; return a function that makes one call."""
        self.tally.count()
        if self.setups is None:
            return self.run
        args, kwargs = self.setups.make()
        return partial(self.model, *args, **kwargs)

    def prepared(self) -> Callable[[], object]:
        """Run the setup; return a function that makes one call and waits for the device."""
        run, synchronize = self.fresh(), self.synchronize
        if synchronize is None:
            return run
        synchronize()

        def run_synchronized() -> object:
            output = run()
            synchronize()
            return output

        return run_synchronized

    def run_synchronized(self) -> object:
        """Run the setup and one call, wait for the device, and return the output."""
        return self.prepared()()


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """Return every tensor in nested lists, tuples and mappings."""
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, torch.Tensor)]


def check_output_device(output: object, call: Call) -> None:
    """Raise ``MeasurementError`` if a tensor of ``output`` is on another type of device."""
    for tensor in tensors_in(output):
        if tensor.device.type != call.device.type:
            raise MeasurementError(
                f"{call.name} returned a tensor on {tensor.device}, but hiddencost measures on "
                f"{call.device}: move model and inputs with .to(hiddencost_device), or choose the "
                f"device with --hiddencost-device={tensor.device.type}"
            )
