"""Makes tensors that the user's code created and keeps under ``inference_mode`` ordinary again.

A model that fills a cache in its first call would otherwise raise in every later training step:
autograd cannot save inference tensors.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def ordinary_tensors() -> Iterator[list[str]]:
    """Convert the inference tensors that the block creates and leaves behind.

    The Python object and the memory stay the same. After the block, the yielded list holds a note
    if a tensor could not be converted.
    """
    before = _inference_tensors()
    notes: list[str] = []
    try:
        yield notes
    finally:
        known = {id(tensor) for tensor in before}
        created = [tensor for tensor in _inference_tensors() if id(tensor) not in known]
        if stuck := sum(not _converted(tensor) for tensor in created):
            found = f"tensors that the call keeps stay inference tensors ({stuck})"
            notes.append(f'{found}; to train afterwards, measure with grad_mode="no_grad"')


def _inference_tensors() -> list[torch.Tensor]:
    kinds = (torch.Tensor, nn.Parameter)  # torch.compile keeps tensors of other types
    return [o for o in gc.get_objects() if type(o) in kinds and o.is_inference()]


def _converted(tensor: torch.Tensor) -> bool:
    """Replace the tensor inside its Python object by an ordinary one with the same memory."""
    try:
        with torch.inference_mode(mode=False), torch.no_grad():
            ordinary = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(
                tensor.untyped_storage(),
                tensor.storage_offset(),
                tensor.size(),
                tensor.stride(),
            )
            if isinstance(tensor, nn.Parameter):
                ordinary = nn.Parameter(ordinary, tensor.requires_grad)
            else:
                ordinary.requires_grad_(tensor.requires_grad)
            vars(ordinary).update(vars(tensor))
            torch.utils.swap_tensors(tensor, ordinary)
    except (RuntimeError, NotImplementedError):  # not strided, or C++ code holds it too
        return False
    return True
