"""A dispatch mode that changes nothing in what it watches."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class UnseenMode(TorchDispatchMode):
    """Base of our modes; under any other, torch.compile runs a model uncompiled, for ever after."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Tell torch.compile to look through it."""
        return True

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Tell torch.compile not to run the mode on what it compiles."""
        return True


def dispatches_itself(tensor_type: type) -> bool:
    """Whether a mode must leave operators on such tensors to their own ``__torch_dispatch__``."""
    handler = getattr(tensor_type, "__torch_dispatch__", None)
    return handler not in (None, torch._C._disabled_torch_dispatch_impl)
