"""MACs of compiled models, whose small products run in generated kernels.

Neither the dispatcher nor the profiler sees a generated kernel. The model does the same products
in eager mode, so a second call, in eager mode, counts them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from pytest_hiddencost.core.records import GENERATED
from pytest_hiddencost.measure.latency.tracers import replaceable
from pytest_hiddencost.measure.macs.counting import MacCount

# Functions by file and name: those that run generated code, with torch.compile or without.
_RUNNERS = (
    ("torch/_inductor/output_code.py", "__call__"),
    ("torch/_inductor/codecache.py", "__call__"),  # before torch 2.6
    ("torch/export/pt2_archive/_package.py", "__call__"),
    ("torch/_inductor/package/package.py", "__call__"),  # before torch 2.8
    ("torch/_export/__init__.py", "optimized"),
)
_ENTRIES = (  # of what torch.compile returns
    ("torch/_dynamo/eval_frame.py", "compile_wrapper"),
    ("torch/_dynamo/eval_frame.py", "_fn"),  # older; also runs functions that are not compiled
)
_AROUND_TORCH = f"{Path(torch.__path__[0]).parent}/"
_DISABLED = "torch/_compile.py"  # calls functions that torch.compile must leave alone


class CompiledCounter:
    """Counts calls by ``count``, with the MACs of generated kernels.

    A compiled call is counted a second time, in eager mode. If that is not possible, ``GENERATED``
    is among the operators without a formula.
    """

    def __init__(self, count: Callable[[], MacCount]) -> None:
        self._count = count
        self._compiled = _process_has_compiled_code()

    def __call__(self) -> MacCount:
        """Make one call, and another one in eager mode, and return the count."""
        found = self._count()
        if not self._compiled:
            return found
        ran: set[tuple[str, str]] = set()
        try:
            with _eager_mode(), _watched(ran):
                eager = self._count()
        except Exception:
            if ran.isdisjoint(_ENTRIES):
                raise
            return _incomplete(found)  # a model made for torch.compile may fail without it
        self._compiled = not ran.isdisjoint((*_RUNNERS, *_ENTRIES))
        if not ran.isdisjoint(_RUNNERS):
            found = _incomplete(found)
        return _together(found, eager) if self._compiled else found


def _together(found: MacCount, eager: MacCount) -> MacCount:
    """Return the count of a compiled call with the products that only the eager call shows."""
    # Compiled code may also do more, such as products of padded matrices: these have events.
    more = max(0, eager.macs - found.macs)
    unformulated = dict.fromkeys((*found.unformulated, *eager.unformulated))
    return replace(found, generated_macs=more, unformulated=tuple(unformulated))


def _incomplete(found: MacCount) -> MacCount:
    return replace(found, unformulated=(*found.unformulated, GENERATED))


def _process_has_compiled_code() -> bool:
    dynamo: Any = sys.modules.get("torch._dynamo.utils")
    return "torch._inductor" in sys.modules or bool(dynamo and dynamo.counters.get("frames"))


def _eager_mode() -> Any:
    """Return a context in which compiled models run uncompiled; torch before 2.6 has none."""
    set_stance = getattr(torch.compiler, "set_stance", None)
    return nullcontext() if set_stance is None else set_stance("force_eager")


@contextmanager
def _watched(ran: set[tuple[str, str]]) -> Iterator[None]:
    """Add the runners and entries that are called to ``ran``."""
    files = {file for file, _ in (*_RUNNERS, *_ENTRIES)}

    def watch(frame: FrameType, event: str, _: object) -> None:
        file = _file_of(frame) if event == "call" else ""
        if file not in files:
            return
        caller = frame.f_back
        if caller is None or _file_of(caller) != _DISABLED:
            ran.add((file, frame.f_code.co_name))

    before = sys.getprofile()
    if before is not None and not replaceable(before):  # a profiler in C: it could not come back
        yield
        return
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)


def _file_of(frame: FrameType) -> str:
    """Return the path of a frame's file, from the folder ``torch`` on for a file of torch."""
    return frame.f_code.co_filename.removeprefix(_AROUND_TORCH)
