"""Makes kernels that torch.compile generated visible to the profiler.

On the CPU, torch records no event of a generated kernel. The compiler's Python code finds each
kernel under a global name of its own module. While a session runs, that name leads to a function
that records an event and calls the kernel. Triton's kernels record their events themselves, once
torch's Python knows that a profiler is on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._C._profiler import _RecordFunctionFast

from pytest_hiddencost.core.fused_kernels import is_fused_kernel


@contextmanager
def marked_kernels(device_type: str) -> Iterator[None]:
    """Let the generated kernels of this process record events by their names."""
    profiler: Any = torch.autograd.profiler
    before, replaced = profiler._is_profiler_enabled, list(_kernels())
    for scope, name, kernel in replaced:
        scope[name] = _recorded(name, kernel)
    profiler._is_profiler_enabled = before or device_type != "cpu"  # it costs events on the host
    try:
        yield
    finally:
        profiler._is_profiler_enabled = before
        for scope, name, kernel in replaced:
            scope[name] = kernel


def _kernels() -> Iterator[tuple[dict[str, Any], str, Callable[..., object]]]:
    """Yield the kernels of C++ with their names, and the modules' variables that hold them."""
    compiler = sys.modules.get("torch._inductor.codecache")
    for module in compiler.PyCodeCache.modules if compiler else ():
        scope = vars(module)
        for name, value in list(scope.items()):
            if name.startswith("cpp_") and is_fused_kernel(name) and callable(value):
                yield scope, name, value


def _recorded(name: str, kernel: Callable[..., object]) -> Callable[..., object]:
    def run(*args: object) -> object:
        with _RecordFunctionFast(name):
            return kernel(*args)

    return run
