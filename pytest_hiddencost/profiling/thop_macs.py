"""MACs as thop counts them, from a copy of the model: a second opinion that cannot hurt."""

from __future__ import annotations

import copy
import warnings
from importlib import metadata

import torch

from pytest_hiddencost.memory_left import available_bytes
from pytest_hiddencost.profiling.calls import Call

MEMORY_SHARE = 0.5  # of what is available: a larger copy might end the process on a board


def thop_macs(call: Call) -> tuple[int | None, str]:
    """``(MACs, "")``, or ``(None, reason)``; whatever goes wrong is a reason, never an error."""
    module = call.module
    if module is None or module is not call.model:
        return None, "thop counts modules only"
    if call.kwargs:
        return None, "thop passes no keyword arguments"
    if isinstance(module, torch.jit.ScriptModule):
        return None, "thop cannot hook a ScriptModule"
    if (reason := _foreign_thop()) is not None:
        return None, reason
    if _bytes_of(module) > MEMORY_SHARE * available_bytes():
        return None, "not enough memory to copy the model"
    try:
        return _count(module, call.args), ""
    except Exception as error:  # thop's rules, hooks and the copy itself may all fail
        return None, f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _count(module: torch.nn.Module, args: tuple[object, ...]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing it warns about distutils
        import thop

        twin, inputs = copy.deepcopy((module, args))
        macs, _ = thop.profile(twin, inputs=inputs, verbose=False)
    return int(macs)


def _foreign_thop() -> str | None:
    """Why the importable ``thop`` is not the project of that name, or None if it is."""
    try:
        metadata.version("thop")
    except metadata.PackageNotFoundError:
        return "thop is not installed"
    for name in ("ultralytics-thop",):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return f"{name} {version} is installed over thop: its counts are not thop's"
    return None


def _bytes_of(module: torch.nn.Module) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
