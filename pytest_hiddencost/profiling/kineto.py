"""One session of torch's profiler around one call, as raw as it comes.

``torch.profiler.profile`` builds a Python object per event on exit (always in torch 2.4, on first
use later), which takes minutes and gigabytes on models of 10^5 events; the C++ result it wraps
gives the same events for microseconds each. The three functions used here are the ones that
``torch.autograd.profiler`` itself calls, unchanged from torch 2.4 on.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from time import perf_counter_ns
from typing import Any

import torch
from torch._C._autograd import (
    _disable_profiler,
    _enable_profiler,
    _prepare_profiler,
    _profiler_enabled,
)
from torch._C._profiler import (
    ProfilerActivity,
    ProfilerConfig,
    ProfilerState,
    _ExperimentalConfig,
)

from pytest_hiddencost.errors import MeasurementError

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
LOG_LEVEL = "KINETO_LOG_LEVEL"
NOISE = (b"profiler_start", b"profiler_stop", b"CPUAllocator.cpp")


@dataclass(frozen=True)
class Session:
    """``result`` is torch's ``_ProfilerResult``; ``wall_ns`` the time of the call inside."""

    result: Any
    wall_ns: int


def refuse_if_profiling() -> None:
    """Raise if a profiler is on: a second session would silently come back empty."""
    if _profiler_enabled():
        raise MeasurementError(
            "a torch profiler is already running in this process; hiddencost measures with its "
            "own: call hiddencost(...) outside `with torch.profiler.profile()`"
        )


def profiled(
    call: Callable[[], object], *, memory: bool = False, device_type: str = "cpu"
) -> Session:
    """Run ``call`` once in a profiler session of its own and hand back the raw result."""
    refuse_if_profiling()
    loud = _kineto_is_loud()
    # Memory sessions also log every free of a tensor from before.
    quiet = _file_descriptor_2_filtered if memory or loud else nullcontext
    with quiet():
        session, error = _session(call, memory, device_type)
    if error is not None:
        raise error
    return session


def _session(
    call: Callable[[], object], memory: bool, device_type: str
) -> tuple[Session, BaseException | None]:
    activities = {ProfilerActivity.CPU}
    if device_type == "cuda":
        activities.add(ProfilerActivity.CUDA)
    config = ProfilerConfig(
        ProfilerState.KINETO, False, memory, False, False, False, _ExperimentalConfig()
    )
    error: BaseException | None = None
    _prepare_profiler(config, activities)
    _enable_profiler(config, activities)
    start = perf_counter_ns()
    try:
        call()
    except BaseException as raised:
        error = raised  # raised again once the session is closed and stderr is back
    wall_ns = perf_counter_ns() - start
    if not _profiler_enabled():
        error = error or MeasurementError(
            "the model ran a torch profiler of its own, which ended hiddencost's: measure it "
            "without `torch.profiler.profile()` inside"
        )
        return Session(None, wall_ns), error
    return Session(_disable_profiler(), wall_ns), error


@contextmanager
def _file_descriptor_2_filtered() -> Iterator[None]:
    """Take the profiler's own lines out of what native code writes to stderr meanwhile."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            foreign = [line for line in caught if not any(word in line for word in NOISE)]
            if foreign:
                os.write(2, b"".join(foreign))


@cache
def _kineto_is_loud() -> bool:
    """Whether sessions of this process print to stderr; found out with the first one.

    Kineto reads its log level once, before its first session. If the user's code had one before
    us, the level stands, and every session must have its lines taken out.
    """
    before = os.environ.get(LOG_LEVEL)
    os.environ[LOG_LEVEL] = "6"
    saved = os.dup(2)
    sys.stderr.flush()
    try:
        with tempfile.TemporaryFile() as caught:
            os.dup2(caught.fileno(), 2)
            _session(lambda: torch.empty(1), False, "cpu")
            return os.fstat(caught.fileno()).st_size > 0
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        if before is None:
            del os.environ[LOG_LEVEL]
        else:
            os.environ[LOG_LEVEL] = before
