"""Restores the user's model and torch's global state after a measurement."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.contents import MOST_SEARCHED, Contents, version_of
from pytest_hiddencost.measure.inference_tensors import ordinary_tensors
from pytest_hiddencost.measure.modes import shown
from pytest_hiddencost.measure.modules import held_by, watched_modules


@contextmanager
def preserved(call: Call, threads: int | None = None) -> Iterator[Preserved]:
    """Restore buffers, inputs, gradients, modes, random states and threads after the block.

    ``threads`` sets the number of intra-op threads for the block. Parameters are not copied,
    because a second copy of a large model may not fit on a board. After the block, the notes of
    the yielded object name changes in place, and state that could not be restored.
    """
    state = Preserved(call)
    threads_before = torch.get_num_threads()
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection takes longer than most timed calls
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        inference = call.grad_mode == "inference"
        kept = ordinary_tensors() if inference else nullcontext(list[str]())
        with kept as notes, _random_states(call.device):
            yield state
    finally:
        if torch.get_num_threads() != threads_before:
            torch.set_num_threads(threads_before)
        if collecting:
            gc.enable()
        state.restore()
    state.notes += notes


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


class Preserved:
    """The state before a measurement: modules, inputs, and versions of tensors.

    After the block, ``notes`` names changes in place, and state that could not be restored.
    """

    def __init__(self, call: Call) -> None:
        self.notes: list[str] = []
        self._call = call
        self._modules: dict[int, _ModuleState] = {}
        self._ran: dict[int, tuple[nn.Module, bool]] = {}
        self._contents = Contents()
        roots = (call.model, *call.args, *call.kwargs.values())
        inputs = [tensor for root in roots for tensor in self._contents.add(root)]
        self._changed_inputs = 0
        self._inputs = _copies([*call.input_tensors(), *inputs])
        self._held = held_by(call)
        if call.module is not None:
            self._enter(call.module)
        for module in self._held.modules:
            # The compiler would compile a watched model twice: with the watch and without it.
            (self._enter if self._held.compiled else self._add)(module)
        copied = {id(tensor) for tensor, _ in self._inputs}
        held = [t for t in self._held.tensors if id(t) not in copied and not is_lazy(t)]
        self._versions = [(tensor, version_of(tensor)) for tensor in held]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record the state of every module in the block just before it runs for the first time."""
        with nullcontext() if self._held.compiled else watched_modules(self._enter):
            yield

    @property
    def ran(self) -> list[tuple[nn.Module, bool]]:
        """The measured module and those that ran while watched, with their training modes."""
        return list(self._ran.values())

    @property
    def tops(self) -> list[nn.Module]:
        """The modules that ran while watched, and those that the callable holds."""
        ran = {id(module): module for module, _ in self._ran.values()}
        return list((ran | {id(module): module for module in self._held.modules}).values())

    def _enter(self, module: nn.Module) -> None:
        if id(module) not in self._ran:
            self._ran[id(module)] = (module, bool(getattr(module, "training", False)))
            self._add(module)

    def _add(self, top: nn.Module) -> None:
        # A training step changes gradients; in the other modes no call does.
        with_gradients = self._call.grad_mode == "grad"
        with torch.inference_mode(mode=False):
            for path, module in top.named_modules():
                if id(module) not in self._modules:
                    held = self._contents.add_module(module)
                    found = _ModuleState(module, path, held, with_gradients=with_gradients)
                    self._modules[id(module)] = found

    def rewind(self) -> None:
        """Put back modules, plain objects and inputs, so that the next call is like the first."""
        for state in self._modules.values():
            state.restore()
        self._contents.restore()
        changed = sum(_restored(tensor, copy) for tensor, copy in self._inputs)
        self._changed_inputs = max(changed, self._changed_inputs)

    def restore(self) -> None:
        """Put everything back; note the tensors that the call changed."""
        self.rewind()
        if not self._contents.whole:
            found = f"the call holds more than {MOST_SEARCHED} objects"
            self.notes.append(f"{found}: changes in further ones are not put back")
        states = self._modules.values()
        changed = {id(t): name for s in states for name, t, v in s.versions if version_of(t) != v}
        known = {id(t) for state in states for _, t, _ in state.versions}
        held = [t for t, v in self._versions if version_of(t) != v and id(t) not in known]
        if self._changed_inputs:
            found = f"the call changes {self._changed_inputs} of its inputs in place"
            seen = "later calls saw other values than the first (restored afterwards)"
            self.notes.append(f"{found}: {seen}")
        if changed:
            found = f"the call changes parameters in place ({shown(changed.values())})"
            self.notes.append(f"{found}: they keep the values of the last call")
        if held:
            found = f"the call changes {len(held)} of the tensors that its function holds in place"
            self.notes.append(f"{found}: they keep the values of the last call")


class _ModuleState:
    """Mode, buffers, tensors in attributes and gradients of one module; versions of the rest.

    ``held`` are tensors that its plain attributes hold. ``versions``: name, tensor and version of
    each parameter, and of buffers without a copy. A ScriptModule lacks parts of a module's
    interface: a frozen one has no mode.
    """

    def __init__(
        self, module: nn.Module, path: str, held: list[torch.Tensor], *, with_gradients: bool
    ) -> None:
        self._module, self._path = module, path
        self._training = getattr(module, "training", None)
        self._buffers = dict(module._buffers.items())
        values = vars(module).items()
        attributes = {n: t for n, t in values if isinstance(t, torch.Tensor)}
        named = [(name, p) for name, p in module._parameters.items() if p is not None]
        parameters = [(name, p) for name, p in named if not is_lazy(p)]  # lazy: no data yet
        self._gradients = [(p, p.grad) for _, p in parameters if p.is_leaf]
        gradients = [gradient for _, gradient in self._gradients if gradient is not None]
        named_tensors = (self._buffers | attributes).items()
        buffers = {n: b for n, b in named_tensors if b is not None and not is_lazy(b)}
        others = gradients if with_gradients else []
        self._copies = _copies([*buffers.values(), *held, *others])
        uncopied = [(name, b) for name, b in buffers.items() if not _plain(b)]
        tensors = [*parameters, *uncopied]
        self.versions = [(self._name(name), t, version_of(t)) for name, t in tensors]

    def _name(self, name: str) -> str:
        return ".".join(filter(None, (self._path, name)))

    def restore(self) -> None:
        """Restore mode, buffers, tensor attributes and gradients."""
        module = self._module
        if self._training is not None and module.training != self._training:
            module.training = self._training
        for name, buffer in self._buffers.items():
            if name not in module._buffers or module._buffers[name] is not buffer:
                module._buffers[name] = buffer
        for tensor, copy in self._copies:
            _restored(tensor, copy)
        for parameter, gradient in self._gradients:
            parameter.grad = gradient


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
