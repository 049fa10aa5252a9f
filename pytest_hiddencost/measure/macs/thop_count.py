"""The MAC count of thop, taken on a copy of the model."""

from __future__ import annotations

import copy
import warnings
from importlib import metadata

import torch

from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.system.memory import available_bytes

OTHER_THOP = "ultralytics-thop"  # a fork with a module of the same name
MEMORY_SHARE = 0.5  # of the available memory: a larger copy might kill the process on a board


def thop_macs(call: Call) -> tuple[int | None, str]:
    """Return ``(MACs, "")``, or ``(None, reason)`` if thop cannot count; never raise."""
    module = call.module
    if module is None or module is not call.model:
        return None, "thop counts modules only"
    args, kwargs = call.arguments()
    if kwargs:
        return None, "thop passes no keyword arguments"
    if isinstance(module, torch.jit.ScriptModule):
        return None, "thop cannot hook a ScriptModule"
    if _version_of("thop") is None:
        return None, "thop is not installed"
    if (fork := _version_of(OTHER_THOP)) is not None:
        return None, f"{OTHER_THOP} {fork} is installed over thop: its counts are not thop's"
    tensors = [*module.parameters(), *module.buffers()]
    if sum(t.numel() * t.element_size() for t in tensors) > MEMORY_SHARE * available_bytes():
        return None, "not enough memory to copy the model"
    try:
        return _count(module, args), ""
    except Exception as error:  # thop's rules and hooks may fail, and so may the copy
        return None, f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _count(module: torch.nn.Module, args: tuple[object, ...]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # thop's import warns about distutils
        import thop

        copied, inputs = copy.deepcopy((module, args))
        macs, _ = thop.profile(copied, inputs=inputs, verbose=False)
    return int(macs)


def _version_of(project: str) -> str | None:
    try:
        return metadata.version(project)
    except metadata.PackageNotFoundError:
        return None
