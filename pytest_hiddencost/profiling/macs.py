"""Counts the multiply-accumulates of one call, operator by operator, as they are dispatched.

A dispatch mode sees every operator below autograd. Composites are run through their own body with
the mode still on, so what is counted are the kernels that do the work, under the names and in the
order in which torch.profiler shows them. The idea is that of ``torch.utils.flop_counter``, whose
own mode will not do: under ``inference_mode`` operators take other paths beneath it than in the
plain call, and a compiled model that ran under it once stays uncompiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

import torch
from torch._C import DispatchKey
from torch._ops import HigherOrderOperator
from torch.overrides import enable_reentrant_dispatch
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

from pytest_hiddencost.profiling.dispatch import UnseenMode
from pytest_hiddencost.profiling.mac_formulas import formula_named

_EXPLICIT = ("CompositeExplicitAutogradNonFunctional", "CompositeExplicitAutograd")
_COMPOSITE = "CompositeImplicitAutograd"
_has_kernel: Callable[[str, str], bool] = torch._C._dispatch_has_kernel_for_dispatch_key

KIND_OF_COMPOSITE = {
    "aten::linear": "linear",
    "aten::scaled_dot_product_attention": "attention",
    "aten::_scaled_dot_product_attention_math": "attention",
    "aten::_native_multi_head_attention": "attention",
    "aten::_transformer_encoder_layer_fwd": "attention",
    "flex_attention": "attention",
    "aten::lstm": "rnn",
    "aten::gru": "rnn",
    "aten::rnn_tanh": "rnn",
    "aten::rnn_relu": "rnn",
    "aten::lstm_cell": "rnn",
    "aten::gru_cell": "rnn",
    "aten::rnn_tanh_cell": "rnn",
    "aten::rnn_relu_cell": "rnn",
}
"""What a product is called by the widest operator around it: addmm inside linear is "linear"."""

_CALLS_MAC_KERNELS = {
    "aten::_cdist_forward",
    "aten::_euclidean_dist",
    "aten::affine_grid_generator",
    "aten::linalg_matrix_exp",
    "aten::linalg_pinv",
}
"""Operators that are no composites and yet leave their products to other operators."""


@dataclass(frozen=True)
class MacCall:
    """One call of one operator that multiplies and accumulates.

    ``operator`` is named as torch.profiler names it (``aten::addmm``). ``kind`` says what part of
    a model it is (``conv2d 3x3``, ``conv2d depthwise``, ``linear``, ``matmul``, ``attention``,
    ``rnn``, ...). Outside ``inference_mode`` the products of a linear layer, of attention and of a
    recurrent layer arrive without their composite, as ``matmul``.
    """

    operator: str
    kind: str
    macs: int


@dataclass(frozen=True)
class MacCount:
    """What one call multiplied: ``calls`` in the order of execution.

    ``dispatched`` names every operator that was not a mere composite, with a formula or without.
    ``unformulated`` names those whose formula could not read the arguments: their MACs are
    missing in ``macs``, the total.
    """

    calls: tuple[MacCall, ...]
    dispatched: frozenset[str]
    unformulated: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all calls together."""
        return sum(call.macs for call in self.calls)


def count_macs(call: Callable[[], object]) -> MacCount:
    """Run ``call`` once, in the caller's grad mode, and count; what it raises is passed on.

    Only the calling thread is counted. Works under other dispatch modes too, the user's own
    ``FlopCounterMode`` among them.
    """
    counter = _MacCounter()
    with counter:
        call()
    return counter.count()


class _MacCounter(UnseenMode):
    def __init__(self) -> None:
        super().__init__()
        self._calls: list[MacCall] = []
        self._dispatched: set[str] = set()
        self._unformulated: dict[str, None] = {}
        self._composites: list[str] = []

    def count(self) -> MacCount:
        return MacCount(tuple(self._calls), frozenset(self._dispatched), tuple(self._unformulated))

    def watched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(func, HigherOrderOperator):
            return self._run_higher_order(func, args, kwargs)
        key = _key_to_decompose(func, (args, kwargs))
        if key is not None:
            if not _has_kernel(func.name(), _COMPOSITE):
                self._dispatched.add(func._schema.name)
            with self._inside(func._schema.name, _plain_dispatch_state(func)):
                return func._op_dk(key, *args, **kwargs)
        result = func(*args, **kwargs)
        self._record(func, args, kwargs, result)
        return result

    def _run_higher_order(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run ``cond``, ``while_loop`` and their like: the functions they are given are counted."""

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any) -> Any:
                with self._inside(func.name(), nullcontext()):
                    return function(*arguments)

            return run

        if func not in flop_registry and any(map(_is_function, tree_leaves((args, kwargs)))):
            args, kwargs = tree_map_only(_is_function, counted, (args, kwargs))
            return func(*args, **kwargs)
        body = func.py_kernels.get(DispatchKey.CompositeExplicitAutograd)
        if body is None:
            self._unformulated[func.name()] = None
            return func(*args, **kwargs)
        return counted(lambda: body(*args, **kwargs))()

    @contextmanager
    def _inside(self, composite: str, state: AbstractContextManager[None]) -> Iterator[None]:
        self._composites.append(composite)
        try:
            with state, self:
                yield
        finally:
            self._composites.pop()

    def _record(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = func._schema.name
        self._dispatched.add(name)
        try:
            counted = _kind_and_macs(func, args, kwargs, result)
        except Exception:  # the user's call must not fail for it; the name is reported instead
            self._unformulated[name] = None
            return
        if counted is not None:
            kind, macs = counted
            self._calls.append(MacCall(name, self._told(kind), macs))

    def _told(self, kind: str) -> str:
        if kind != "matmul":
            return kind
        hints = (KIND_OF_COMPOSITE.get(composite) for composite in self._composites)
        return next((hint for hint in hints if hint), kind)


def _kind_and_macs(func: Any, args: Any, kwargs: Any, result: Any) -> tuple[str, int] | None:
    name = func._schema.name
    formula = formula_named(name)
    if formula is not None:
        names = (argument.name for argument in func._schema.arguments)
        return formula(dict(zip(names, args, strict=False)) | kwargs, result)
    flops = _flops_of_torch(func)
    if flops is None:
        return None
    kind = "attention" if "attention" in name else "convolution" if "conv" in name else "matmul"
    return kind, flops(*args, **kwargs, out_val=result) // 2


def _flops_of_torch(func: Any) -> Callable[..., int] | None:
    """Torch's formula, or the one an operator's author gave to ``register_flop_formula``."""
    return flop_registry.get(func._overloadpacket) or flop_registry.get(func)  # 2.4 has the latter


def _is_function(value: object) -> bool:
    return isinstance(value, (FunctionType, MethodType, torch.nn.Module))


def _key_to_decompose(func: Any, arguments: Any) -> DispatchKey | None:
    """Dispatch key of the body that leaves the products to other operators; None for a leaf.

    Bodies for nested tensors all do: they work on the buffer, or on a padded copy.
    """
    tensors = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, torch.Tensor)]
    nested = [f"NestedTensor{_device_key(tensor)}" for tensor in tensors if tensor.is_nested]
    if nested:
        nested.append("CompositeImplicitAutogradNestedTensor")
    # The first of these that has a kernel is the one that runs.
    keys = [*nested, *map(_device_key, tensors), *_EXPLICIT, _COMPOSITE]
    key = next((key for key in keys if _has_kernel(func.name(), key)), None)
    if key is None or not (key in nested or _runs_others(func, key)):
        return None
    return torch._C._parse_dispatch_key(key)


def _runs_others(func: Any, key: str) -> bool:
    """Whether the body at ``key`` does its products, if any, in other operators."""
    name = func._schema.name
    if _flops_of_torch(func) is not None:
        return False
    if key == _COMPOSITE:
        return True
    custom = not name.startswith(("aten::", "prim")) and formula_named(name) is None
    return custom or name in _CALLS_MAC_KERNELS


def _device_key(tensor: torch.Tensor) -> str:
    return torch._C._dispatch_key_for_device(tensor.device.type)


def _plain_dispatch_state(func: Any) -> AbstractContextManager[None]:
    """Undo, under ``inference_mode``, what entering a mode's handler switches off.

    There composites reach the mode before anything else (autocast, the bookkeeping of views) had
    its turn. In other grad modes, and where an operator has bookkeeping of its own, the handler
    runs where the body would: below all that.
    """
    if torch.is_inference_mode_enabled() and not _has_kernel(func.name(), "ADInplaceOrView"):
        return enable_reentrant_dispatch()
    return nullcontext()
