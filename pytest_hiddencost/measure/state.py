"""Restores the user's model and torch's global state after a measurement."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pytest_hiddencost.measure.calls import Call


@contextmanager
def preserved(call: Call, threads: int | None = None) -> Iterator[list[str]]:
    """Restore buffers, inputs, gradients, modes, random states and threads after the block.

    ``threads`` sets the number of intra-op threads for the block. Parameters are not copied,
    because a second copy of a large model may not fit on a board. After the block, the yielded
    list holds notes on the inputs and parameters that the call changed in place.
    """
    notes: list[str] = []
    tensors = _TensorState(call)
    modes = [] if call.module is None else [(m, m.training) for m in call.module.modules()]
    threads_before = torch.get_num_threads()
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection takes longer than most timed calls
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        with _random_states(call.device):
            yield notes
    finally:
        if torch.get_num_threads() != threads_before:
            torch.set_num_threads(threads_before)
        if collecting:
            gc.enable()
        for module, training in modes:
            module.training = training
        notes += tensors.restore()


@contextmanager
def _random_states(device: torch.device) -> Iterator[None]:
    state, numpy = random.getstate(), sys.modules.get("numpy")
    numpy_state: Any = numpy.random.get_state() if numpy else None
    cuda = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(cuda, device_type="cuda"):
            yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(numpy_state)


class _TensorState:
    """Copies of buffers and inputs, and versions of parameters."""

    def __init__(self, call: Call) -> None:
        modules = [] if call.module is None else list(call.module.modules())
        self._buffers = [(m, dict(m._buffers)) for m in modules if m._buffers]
        buffers = [b for _, named in self._buffers for b in named.values() if b is not None]
        self._inputs = _copies(call.input_tensors())
        every = [] if call.module is None else call.module.named_parameters()
        named = [(name, p) for name, p in every if not is_lazy(p)]  # lazy ones have no data yet
        self._parameters = [(name, p, _version(p)) for name, p in named]
        self._gradients = [(p, p.grad) for _, p in named]
        gradients = [gradient for _, gradient in self._gradients if gradient is not None]
        # A training step changes gradients; in the other modes no call does.
        self._copies = _copies(buffers + (gradients if call.grad_mode == "grad" else []))

    def restore(self) -> list[str]:
        """Restore all tensors; return notes on inputs and parameters that the call changed."""
        for module, buffers in self._buffers:
            for name, buffer in buffers.items():
                if module._buffers.get(name) is not buffer:
                    module._buffers[name] = buffer
        for tensor, copy in self._copies:
            _restored(tensor, copy)
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        changed_inputs = sum(_restored(tensor, copy) for tensor, copy in self._inputs)
        changed = [name for name, p, version in self._parameters if _version(p) != version]
        notes = []
        if changed_inputs:
            found = f"the call changes {changed_inputs} of its inputs in place"
            seen = "later calls saw other values than the first (restored afterwards)"
            notes.append(f"{found}: {seen}")
        if changed:
            found = f"the call changes parameters in place ({', '.join(changed[:3])})"
            notes.append(f"{found}: they keep the values of the last call")
        return notes


def _copies(tensors: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return each tensor that can be restored, once, with its copy."""
    unique = {id(t): t for t in tensors}.values()
    return [(t, t.detach().clone()) for t in unique if _plain(t)]


def _plain(tensor: torch.Tensor) -> bool:
    """Return whether a tensor can be copied and compared; sparse, nested, meta ones cannot."""
    return (
        type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.device.type != "meta"
        and not tensor.is_nested
        and not tensor.is_quantized
    )


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _restored(tensor: torch.Tensor, copy: torch.Tensor) -> bool:
    """Copy the old values back; return whether the tensor had changed."""
    with torch.inference_mode(tensor.is_inference()), torch.no_grad():
        if tensor.shape != copy.shape:
            tensor.resize_(copy.shape)
        elif torch.equal(_bits(tensor), _bits(copy)):
            return False
        tensor.copy_(copy)
        return True


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the memory as bytes, so that NaN equals NaN and every dtype can be compared."""
    return tensor.detach().resolve_conj().resolve_neg().reshape(-1).view(torch.uint8)
