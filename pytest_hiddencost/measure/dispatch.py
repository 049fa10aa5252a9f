"""A dispatch mode that does not change the calls it watches."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class UnseenMode(TorchDispatchMode):
    """Base class of the package's dispatch modes.

    Under any other mode torch.compile runs the model uncompiled, and keeps doing so afterwards.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Tell torch.compile to ignore this mode."""
        return True

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Tell torch.compile not to run the mode on compiled code."""
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from importing its compiler, 800 modules, when the mode is entered."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        compiler_is_in_use = "torch._dynamo" in sys.modules
        handle = _untraced if compiler_is_in_use else UnseenMode.handled
        return handle(self, func, types, args, kwargs or {})

    def handled(
        self, func: Any, types: tuple[type, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return the operator's result, or ``NotImplemented`` for a tensor subclass."""
        if any(_dispatches_itself(tensor_type) for tensor_type in types):
            return NotImplemented  # the subclass unwraps; its parts' operators come back here
        return self.watched(func, args, kwargs)

    def watched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the operator, record it, and return its result."""
        raise NotImplementedError


_untraced: Any = torch._disable_dynamo(UnseenMode.handled)  # type: ignore[attr-defined]


def _dispatches_itself(tensor_type: type) -> bool:
    handler = getattr(tensor_type, "__torch_dispatch__", None)
    return handler not in (None, torch._C._disabled_torch_dispatch_impl)
