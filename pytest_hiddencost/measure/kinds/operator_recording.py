"""Records the distinct operators of one call: each with its shapes, so that it can run alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves, tree_map_only

from pytest_hiddencost.core.operator_rates import OperatorWork
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.calls import Call, tensors_in
from pytest_hiddencost.measure.kinds.traffic import (
    moved_bytes,
    shapes_text,
    tensor_bytes,
    written_tensors,
)
from pytest_hiddencost.measure.macs.counting import MacCall, MacCounter

_MOVE_NOTHING = {"view", "allocation", "wrapper"}  # groups of operators
_CONSTANTS = (
    str, int, float, bool, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format,
)  # fmt: skip
NOISE_SEED = 0  # of the noise in the tensors of a replay


@dataclass(frozen=True)
class TensorForm:
    """The form of a floating-point tensor, which the replay fills with noise.

    ``weight``: it belongs to the model. ``written``: the operator writes to it, so it holds zeros,
    which a million repetitions cannot turn into infinities or subnormal numbers.
    """

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    weight: bool
    written: bool

    def made(self, generator: torch.Generator) -> torch.Tensor:
        """Return a new tensor of this form."""
        last = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        count = last + 1 if all(self.shape) else 0
        if self.written:
            flat = torch.zeros(count, dtype=self.dtype, device=self.device)
        else:
            noise = torch.rand(count, generator=generator, device=generator.device)
            flat = noise.to(self.device, self.dtype)
        return flat.as_strided(self.shape, self.stride)


@dataclass
class RecordedOperator:
    """One operator with the form of its arguments, and how often one call of the model runs it.

    ``onednn``: whether the model runs it with oneDNN, which code can switch off for a block.
    """

    func: Any
    args: Any
    kwargs: Any
    work: OperatorWork
    weight_bytes: int
    onednn: bool
    calls: int = 1

    def copies(self, count: int) -> list[Callable[[], object]]:
        """Return repetitions on tensors of their own; those of one place share all but weights."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        shared = tree_map_only(TensorForm, partial(_made, generator, False), self._arguments)
        return [self._repetition(shared, generator) for _ in range(count)]

    @property
    def _arguments(self) -> Any:
        return self.args, self.kwargs

    def _repetition(self, shared: Any, generator: torch.Generator) -> Callable[[], object]:
        args, kwargs = tree_map_only(TensorForm, partial(_made, generator, True), shared)
        return partial(self.func._op, *args, **kwargs)  # saves the frame of __call__


def _made(generator: torch.Generator, weights: bool, form: TensorForm) -> object:
    return form.made(generator) if form.weight == weights else form


def recorded_operators(call: Call) -> list[RecordedOperator]:
    """Make one call, and return its distinct operators that compute or move data.

    Operators inside generated kernels, and those of other threads, are not seen.
    """
    recorder = _Recorder(_storages(weights_of(call)))
    run = call.prepared()
    with recorder:
        run()
    return list(recorder.found.values())


def weights_of(call: Call) -> list[torch.Tensor]:
    """Return the parameters and buffers of the called module."""
    module = call.module
    return [] if module is None else [*module.parameters(), *module.buffers()]


def _storages(tensors: Iterable[torch.Tensor]) -> set[int]:
    return {address for t in tensors if _is_plain(t) and (address := _address(t))}


class _Recorder(MacCounter):
    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.found: dict[Hashable, RecordedOperator] = {}
        self._weights = weights

    def ran(self, func: Any, args: Any, kwargs: Any, result: Any, counted: MacCall | None) -> None:
        """Count the call of a known operator, or record a new one."""
        group = DEFAULT.group(func._schema.name)
        if counted is None and group in _MOVE_NOTHING:
            return
        kind = group if counted is None else counted.kind
        leaves = map(_signature, tree_leaves((args, kwargs)))
        onednn = torch._C._get_mkldnn_enabled()
        key = (func, kind, tuple(kwargs), tuple(leaves), onednn)
        if key in self.found:
            self.found[key].calls += 1
            return
        tensors = tensors_in((args, kwargs))
        work = OperatorWork(
            operator=func._schema.name,
            kind=kind,
            shapes=shapes_text(tensors),
            macs=0 if counted is None else counted.macs,
            moved_bytes=moved_bytes(func, args, kwargs, result),
        )
        weight_bytes = tensor_bytes(filter(self._is_weight, tensors))
        args_forms, kwargs_forms = self._forms(func, args, kwargs)
        self.found[key] = RecordedOperator(
            func, args_forms, kwargs_forms, work, weight_bytes, onednn
        )

    def _forms(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Return the arguments with forms in place of tensors of floating-point numbers."""
        written = set(map(id, written_tensors(func, args, kwargs)))

        def form(tensor: torch.Tensor) -> object:
            if not (_is_plain(tensor) and tensor.is_floating_point()):
                return tensor.detach().clone()  # indices and masks keep their values
            return TensorForm(
                tensor.shape,
                tensor.stride(),
                tensor.dtype,
                tensor.device,
                self._is_weight(tensor),
                id(tensor) in written,
            )

        return tree_map_only(torch.Tensor, form, (args, kwargs))

    def _is_weight(self, tensor: torch.Tensor) -> bool:
        return _is_plain(tensor) and _address(tensor) in self._weights


def _is_plain(tensor: torch.Tensor) -> bool:
    """Return whether noise can stand for a tensor."""
    wraps: bool = is_traceable_wrapper_subclass(tensor)
    return (
        tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_quantized
        and not tensor.is_complex()
        and tensor.device.type != "meta"
        and not wraps
        and (not tensor.numel() or _address(tensor) != 0)
    )


def _address(tensor: torch.Tensor) -> int:
    """Return the address of the storage; 0 without one, as that of a wrapper of other tensors."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0


def _signature(leaf: object) -> Hashable:
    """Return the part of an argument that tells operators apart; values of tensors do not."""
    if not isinstance(leaf, torch.Tensor):
        return repr(leaf) if isinstance(leaf, _CONSTANTS) else id(leaf)
    stride = leaf.stride() if leaf.layout is torch.strided and not leaf.is_nested else ()
    return leaf.shape, stride, leaf.dtype
