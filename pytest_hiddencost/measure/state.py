"""Restores the user's model and torch's global state after a measurement."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pytest_hiddencost.measure.calls import Call


@dataclass
class Findings:
    """Notes for the report on what the call changed."""

    notes: list[str] = field(default_factory=list)


@contextmanager
def preserved(call: Call, threads: int | None = None) -> Iterator[Findings]:
    """Restore buffers, inputs, gradients, modes, random states and threads after the block.

    ``threads`` sets the number of intra-op threads for the block. Parameters are not copied,
    because a second copy of a large model may not fit on a board. A call that changes parameters
    in place is reported in the findings.
    """
    findings = Findings()
    tensors = _TensorState(call)
    random_state = _RandomState(call.device)
    modes = _modes(call.module)
    threads_before = torch.get_num_threads()
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection takes longer than most timed calls
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield findings
    finally:
        if torch.get_num_threads() != threads_before:
            torch.set_num_threads(threads_before)
        if collecting:
            gc.enable()
        for module, training in modes:
            module.training = training
        random_state.restore()
        findings.notes += tensors.restore()


def _modes(module: nn.Module | None) -> list[tuple[nn.Module, bool]]:
    return [] if module is None else [(m, m.training) for m in module.modules()]


class _RandomState:
    def __init__(self, device: torch.device) -> None:
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        self._device = device
        self._python = random.getstate()
        numpy = sys.modules.get("numpy")
        self._numpy: Any = numpy.random.get_state() if numpy else None

    def restore(self) -> None:
        torch.set_rng_state(self._torch)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)
        random.setstate(self._python)
        if self._numpy is not None:
            sys.modules["numpy"].random.set_state(self._numpy)


class _TensorState:
    """Copies of buffers and inputs, and versions of parameters."""

    def __init__(self, call: Call) -> None:
        modules = [] if call.module is None else list(call.module.modules())
        self._buffers = [(m, dict(m._buffers)) for m in modules if m._buffers]
        buffers = [b for _, named in self._buffers for b in named.values() if b is not None]
        self._copies = [(t, _copied(t)) for t in _unique(buffers) if _plain(t)]
        inputs = _unique(call.input_tensors())
        self._inputs = [(t, _copied(t)) for t in inputs if _plain(t)]
        every = [] if call.module is None else call.module.named_parameters()
        named = [(name, p) for name, p in every if not is_lazy(p)]  # lazy ones have no data yet
        self._parameters = [(name, p, _version(p)) for name, p in named]
        self._gradients = [(p, p.grad, self._kept(p.grad, call)) for _, p in named]

    @staticmethod
    def _kept(gradient: torch.Tensor | None, call: Call) -> torch.Tensor | None:
        """Return a copy of a gradient that the call may change, as a training step does."""
        changes = gradient is not None and call.grad_mode == "grad" and _plain(gradient)
        return _copied(gradient) if changes and gradient is not None else None

    def restore(self) -> list[str]:
        """Restore all tensors; return notes on inputs and parameters that the call changed."""
        for module, buffers in self._buffers:
            for name, buffer in buffers.items():
                if module._buffers.get(name) is not buffer:
                    module._buffers[name] = buffer
        for tensor, copy in self._copies:
            _restored(tensor, copy)
        for parameter, gradient, kept in self._gradients:
            parameter.grad = gradient
            if gradient is not None and kept is not None:
                _restored(gradient, kept)
        changed_inputs = sum(_restored(tensor, copy) for tensor, copy in self._inputs)
        changed = [name for name, p, version in self._parameters if _version(p) != version]
        notes = []
        if changed_inputs:
            notes.append(
                f"the call changes {changed_inputs} of its inputs in place: later calls saw other "
                "values than the first (restored afterwards)"
            )
        if changed:
            notes.append(
                f"the call changes parameters in place ({', '.join(changed[:3])}): they keep the "
                "values of the last call"
            )
        return notes


def _unique(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return list({id(t): t for t in tensors}.values())


def _plain(tensor: torch.Tensor) -> bool:
    """Return whether a tensor can be copied and compared; sparse, nested, meta ones cannot."""
    return (
        type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.device.type != "meta"
        and not tensor.is_nested
        and not tensor.is_quantized
    )


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone()


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
