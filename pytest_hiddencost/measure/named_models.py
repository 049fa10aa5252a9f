"""Loads named models for a measurement: dtype, device and inputs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_map

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.model_names import ModelInput, Variant
from pytest_hiddencost.measure.model_files import one_line
from pytest_hiddencost.measure.model_sources import SEED, Made, made

# pytest hides these frames, so that an error is shown in the user's code.
__tracebackhide__ = True
FEWEST_TOKENS = 2  # ids 0 and 1, which every vocabulary has


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be measured, and the arguments of its call."""

    module: torch.nn.Module
    args: tuple[object, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


def load_model(
    variant: Variant, device: torch.device, root: Path, folders: Sequence[Path]
) -> Loaded:
    """Make a model in eval mode, its variant's dtype and inputs on a device.

    Paths are relative to ``root``; the user's code is imported from ``folders`` as well. Raises
    ``MeasurementError`` in one line.
    """
    with _seeded():
        found = made(variant.model, root, folders)
        module = _own(found, variant)
        with suppress(NotImplementedError):  # an exported program has the mode of its export
            module.eval()
        dtype = _wanted_dtype(variant)
        try:
            module.to(device=device, dtype=dtype)
        except Exception as error:
            where = f"{device}, {variant.dtype or 'its own dtype'}"
            raise MeasurementError(f"{variant.model} on {where}: {one_line(error)}") from error
        torch.manual_seed(SEED)
        loaded = _with_arguments(variant, module, device, found)
    if variant.compiled:
        _compile(module, variant)
    return loaded


@contextmanager
def _seeded() -> Iterator[None]:
    """Make random numbers the same in every process; put the user's generator back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def _own(found: Made, variant: Variant) -> torch.nn.Module:
    """Return a module that may be changed: a copy, if the user's code holds it too."""
    if not found.shared:
        return found.module
    try:
        return copy.deepcopy(found.module)
    except Exception as error:
        raise MeasurementError(
            f"{variant.model} cannot be copied: {one_line(error)}; name a function that makes the "
            "model, since the plugin does not change a module that your code holds"
        ) from error


def _wanted_dtype(variant: Variant) -> torch.dtype | None:
    if not variant.dtype:
        return None
    dtype = _dtype(variant.dtype)
    if not dtype.is_floating_point:
        raise MeasurementError(
            f"{variant.model} cannot be converted to {variant.dtype}; expected a floating-point "
            "dtype, such as float32 or bfloat16 (--hiddencost-dtype)"
        )
    return dtype


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise MeasurementError(
            f"torch {torch.__version__} has no dtype {name!r}; expected one such as float32, "
            "bfloat16 or int64"
        )
    return found


def _with_arguments(
    variant: Variant, module: torch.nn.Module, device: torch.device, found: Made
) -> Loaded:
    """Return the model with the inputs that the user named, or with those in its file."""
    if variant.inputs:
        own, tokens = _own_dtype(module), _vocabulary(module)
        return Loaded(module, tuple(_tensor(one, own, tokens, device) for one in variant.inputs))
    if found.example is None:
        raise MeasurementError(
            f"no input is named for {variant.model}: add --hiddencost-input=1x3x224x224 with its "
            "shape, or int64:1x128 for token ids"
        )
    dtype = _wanted_dtype(variant)

    def moved(leaf: object) -> object:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        return leaf.to(device, dtype if leaf.is_floating_point() else None)

    args, kwargs = tree_map(moved, found.example)
    return Loaded(module, args, kwargs)


def _own_dtype(module: torch.nn.Module) -> torch.dtype:
    """Return the dtype of the model's first floating-point tensor, or torch's default."""
    tensors = chain(module.parameters(), module.buffers())
    found = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    return next(found, torch.get_default_dtype())


def _vocabulary(module: torch.nn.Module) -> int:
    """Return the number of token ids that every vocabulary of the model has."""
    config = getattr(module, "config", None)
    text = getattr(config, "get_text_config", lambda: config)()
    size = getattr(text, "vocab_size", None)
    if isinstance(size, int) and size > 0:
        return size
    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    rows = [part.num_embeddings for part in module.modules() if isinstance(part, kinds)]
    return min(rows, default=FEWEST_TOKENS)


def _tensor(one: ModelInput, own: torch.dtype, tokens: int, device: torch.device) -> torch.Tensor:
    """Return an input: noise, token ids, or a mask that is true everywhere."""
    dtype = _dtype(one.dtype) if one.dtype else own
    try:
        if dtype == torch.bool:
            found = torch.ones(one.shape, dtype=dtype)
        elif dtype.is_floating_point or dtype.is_complex:
            noise = torch.complex64 if dtype.is_complex else torch.float32
            found = torch.randn(one.shape, dtype=noise).to(dtype)
        else:
            most = min(tokens, torch.iinfo(dtype).max)
            found = torch.randint(most, one.shape, dtype=dtype)
        return found.to(device)
    except Exception as error:
        raise MeasurementError(
            f"no input {one} can be made: {one_line(error)}; choose another with --hiddencost-input"
        ) from error


def _compile(module: torch.nn.Module, variant: Variant) -> None:
    """Compile the model anew: torch falls back to eager for the ninth variant of one code."""
    if isinstance(module, torch.jit.ScriptModule):
        raise MeasurementError(
            f"{variant.model} is TorchScript, which torch.compile does not compile; measure it "
            "without --hiddencost-compile"
        )
    torch._dynamo.reset()
    module.compile()
