"""A model of everything that measuring could leave a trace in, and what is compared afterwards."""

from __future__ import annotations

import gc
import os
import random
import sys
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._C._autograd import _profiler_enabled


class Everything(nn.Module):
    """Buffers of every kind that every call changes, hooks, random numbers of every source."""

    counter: torch.Tensor
    hidden: torch.Tensor
    replaced: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.frozen = nn.BatchNorm2d(4).eval().requires_grad_(False)
        self.drop = nn.Dropout()
        self.spectral = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.register_buffer("counter", torch.zeros(1))
        self.register_buffer("replaced", torch.zeros(1))
        self.register_buffer("cache", None)
        self.register_buffer("hidden", torch.zeros(1), persistent=False)
        self.conv.register_forward_hook(self._hook)
        self.norm.register_forward_pre_hook(self._hook)

    def _hook(self, module: nn.Module, *rest: object) -> None:
        return None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.counter += 1
        self.hidden.add_(1)
        self.replaced = self.replaced + 1
        self.cache = x * 2
        x = self.drop(self.frozen(self.norm(self.conv(x))))
        result: torch.Tensor = self.spectral(x.mean((2, 3)))
        return result + torch.rand(4) + random.random() + np.random.rand()


def everything(kind: type[Everything] = Everything) -> tuple[Everything, torch.Tensor]:
    """Such a model in training mode with a frozen part, and its input."""
    torch.manual_seed(1)
    model = kind()
    assert model.conv.bias is not None
    model.conv.bias.requires_grad_(False)
    model.train()
    model.frozen.eval()
    return model, torch.randn(2, 3, 8, 8)


def state_of(model: nn.Module) -> dict[str, Any]:
    """Keys, identities and values of parameters and buffers; modes; hooks; versions; gradients."""
    modules = list(model.named_modules())
    return {
        "state_dict": {n: (id(t), t.clone()) for n, t in model.state_dict(keep_vars=True).items()},
        "buffers": {n: (id(b), b.clone()) for n, b in model.named_buffers()},
        "none": [(n, k) for n, m in modules for k, b in m._buffers.items() if b is None],
        "modules": [(n, id(m), m.training, sorted(vars(m))) for n, m in modules],
        "hooks": [
            (n, {k: list(v) for k, v in vars(m).items() if "hooks" in k and v is not None})
            for n, m in modules
        ],
        "parameters": [
            (n, id(p), p.requires_grad, p._version, id(p.grad), p.is_leaf)
            for n, p in model.named_parameters()
        ],
    }


def process_state() -> dict[str, Any]:
    """The state that a process shares: torch's switches, random numbers, the collector, streams."""
    return {
        "rng": torch.get_rng_state(),
        "random": random.getstate(),
        "numpy": [np.array(v).tolist() for v in np.random.get_state()],
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "anomaly": torch.is_anomaly_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "mkldnn": torch.backends.mkldnn.enabled,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "fastpath": torch.backends.mha.get_fastpath_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "profiler": _profiler_enabled(),
        "global hooks": [
            len(hooks)
            for name, hooks in vars(torch.nn.modules.module).items()
            if name.startswith("_global") and hasattr(hooks, "__len__")
        ],
        "modes": (torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack()),
        "gc": (gc.isenabled(), gc.get_threshold(), list(gc.callbacks)),
        "environment": dict(os.environ),
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "folder": os.getcwd(),
        "streams": (sys.stdout, sys.stderr, sys.__stderr__),
        "hooks": (sys.excepthook, sys.gettrace(), sys.getprofile()),
        "recursion": sys.getrecursionlimit(),
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what is not as it was."""
    return [name for name in before if not _same(before[name], after[name])]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
