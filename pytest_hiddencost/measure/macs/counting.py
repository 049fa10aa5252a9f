"""Counts the MACs of one call, operator by operator, as the operators are dispatched.

A dispatch mode sees every operator below autograd. It runs composites through their own body and
stays on, so it counts the kernels that do the work. Their names and their order are those that
torch.profiler shows. ``torch.utils.flop_counter`` has the same idea, but its own mode has two
faults: under ``inference_mode`` operators take other paths than in the plain call, and a compiled
model that ran under it once stays uncompiled.
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

from pytest_hiddencost.measure.dispatch import UnseenMode
from pytest_hiddencost.measure.macs.formula_table import formula_named
from pytest_hiddencost.measure.macs.formulas import REAL_PRODUCTS

_EXPLICIT = ("CompositeExplicitAutogradNonFunctional", "CompositeExplicitAutograd")
_COMPOSITE = "CompositeImplicitAutograd"
_has_kernel: Callable[[str, str], bool] = torch._C._dispatch_has_kernel_for_dispatch_key

_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
KIND_OF_COMPOSITE = {
    "aten::linear": "linear",
    "aten::scaled_dot_product_attention": "attention",
    "aten::_scaled_dot_product_attention_math": "attention",
    "aten::_native_multi_head_attention": "attention",
    "aten::_transformer_encoder_layer_fwd": "attention",
    "flex_attention": "attention",
    **{f"aten::{name}{end}": "rnn" for name in _RECURRENT for end in ("", "_cell")},
}
"""MAC kind of a product by the outermost operator around it: addmm inside linear is "linear"."""

_CALLS_MAC_KERNELS = {
    "aten::_cdist_forward",
    "aten::_euclidean_dist",
    "aten::affine_grid_generator",
    "aten::linalg_matrix_exp",
    "aten::linalg_pinv",
}
"""Operators that torch does not register as composites, but that call MAC kernels."""


@dataclass(frozen=True)
class MacCall:
    """One call of one operator that multiplies and accumulates.

    ``operator`` is the name in torch.profiler (``aten::addmm``). ``kind`` is the MAC kind:
    ``conv2d 3x3``, ``conv2d depthwise``, ``linear``, ``matmul``, ``attention``, ``rnn``, and more.
    Outside ``inference_mode`` the mode does not see the composites of linear, attention and
    recurrent layers, so their products are of kind ``matmul``.
    """

    operator: str
    kind: str
    macs: int


@dataclass(frozen=True)
class MacCount:
    """The MAC calls of one call of the model, and the names of operators.

    The MACs of generated kernels belong to no call of an operator.
    """

    calls: tuple[MacCall, ...]  # in execution order
    dispatched: frozenset[str]  # every operator that is no composite, with or without a formula
    unformulated: tuple[str, ...] = ()  # those whose formula failed; macs lacks their MACs
    generated_macs: int = 0

    @property
    def macs(self) -> int:
        """Sum of the MACs of all calls and of generated kernels."""
        return sum(call.macs for call in self.calls) + self.generated_macs


def count_macs(call: Callable[[], object]) -> MacCount:
    """Run ``call`` once in the current grad mode and count its MACs; its errors pass through.

    Only operators of the calling thread count. Other dispatch modes may be on, such as the user's
    own ``FlopCounterMode``.
    """
    with MacCounter() as counter:
        call()
    calls, unformulated = tuple(counter.calls), tuple(counter.unformulated)
    return MacCount(calls, frozenset(counter.dispatched), unformulated)


class MacCounter(UnseenMode):
    """The dispatch mode that counts: while it is on, every operator that runs comes by."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[MacCall] = []
        self.dispatched: set[str] = set()
        self.unformulated: dict[str, None] = {}
        self._composites: list[str] = []

    def watched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run an operator and count it; a composite runs through its own body."""
        if isinstance(func, HigherOrderOperator):
            return self._run_higher_order(func, args, kwargs)
        key = _key_to_decompose(func, (args, kwargs))
        if key is not None:
            if not _has_kernel(func.name(), _COMPOSITE):
                self.dispatched.add(func._schema.name)
            with self._inside(func._schema.name, _plain_dispatch_state(func)):
                return func._op_dk(key, *args, **kwargs)
        result = func(*args, **kwargs)
        self.ran(func, args, kwargs, result, self._counted(func, args, kwargs, result))
        return result

    def ran(self, func: Any, args: Any, kwargs: Any, result: Any, counted: MacCall | None) -> None:
        """Take in an operator that is no composite, after it ran; the counter itself is done."""

    def _run_higher_order(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operator that takes functions, such as ``cond``, and count in the functions."""

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
            self.unformulated[func.name()] = None
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

    def _counted(self, func: Any, args: Any, kwargs: Any, result: Any) -> MacCall | None:
        name = func._schema.name
        self.dispatched.add(name)
        try:
            counted = _kind_and_macs(func, args, kwargs, result)
        except Exception:  # a formula that fails must not fail the user's call
            self.unformulated[name] = None
            return None
        if counted is None:
            return None
        kind, macs = counted
        around = [] if kind != "matmul" else map(KIND_OF_COMPOSITE.get, self._composites)
        self.calls.append(MacCall(name, next(filter(None, around), kind), macs))
        return self.calls[-1]


def _kind_and_macs(func: Any, args: Any, kwargs: Any, result: Any) -> tuple[str, int] | None:
    name = func._schema.name
    formula = formula_named(name)
    if formula is not None:
        names = (argument.name for argument in func._schema.arguments)
        kind, macs = formula(dict(zip(names, args, strict=False)) | kwargs, result)
        return kind, macs * (REAL_PRODUCTS if _is_complex(result) else 1)
    flops = _flops_of_torch(func)
    if flops is None:
        return None
    kind = "attention" if "attention" in name else "convolution" if "conv" in name else "matmul"
    return kind, flops(*args, **kwargs, out_val=result) // 2


def _is_complex(result: Any) -> bool:
    return any(t.is_complex() for t in tree_leaves(result) if isinstance(t, torch.Tensor))


def _flops_of_torch(func: Any) -> Callable[..., int] | None:
    """Return torch's formula for FLOPs, or one added with ``register_flop_formula``, or None."""
    return flop_registry.get(func._overloadpacket) or flop_registry.get(func)  # torch 2.4: by func


def _is_function(value: object) -> bool:
    return isinstance(value, (FunctionType, MethodType, torch.nn.Module))


def _key_to_decompose(func: Any, arguments: Any) -> DispatchKey | None:
    """Return the dispatch key of a composite's body; None for an operator that is a leaf.

    All bodies for nested tensors are composites: they work on the buffer, or on a padded copy.
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
    """Return whether the body at ``key`` calls other operators for its products."""
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
    """Return a context in which a composite's body runs as in the plain call.

    Under ``inference_mode`` composites reach the mode before autocast and view tracking, which the
    handler of a mode switches off; the context switches them on again. In other grad modes, and
    for operators with view tracking of their own, the mode comes after both.
    """
    if torch.is_inference_mode_enabled() and not _has_kernel(func.name(), "ADInplaceOrView"):
        return enable_reentrant_dispatch()
    return nullcontext()
