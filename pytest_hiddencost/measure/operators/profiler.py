"""One session of torch's profiler around one call, with its raw result.

``torch.profiler.profile`` builds a Python object per event, in torch 2.4 on exit, later on first
use. For a model of 10^5 events that takes minutes and gigabytes. The C++ result that it wraps
gives the same events in microseconds each. This module calls the three functions that
``torch.autograd.profiler`` calls; they are unchanged since torch 2.4.
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
from typing import IO, Any

import torch
from torch._C._autograd import (
    _disable_profiler,
    _enable_profiler,
    _prepare_profiler,
    _profiler_enabled,
)
from torch._C._profiler import ProfilerActivity, ProfilerConfig, ProfilerState, _ExperimentalConfig

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.measure.operators.generated_kernels import marked_kernels

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
LOG_LEVEL = "KINETO_LOG_LEVEL"  # an environment variable of torch's profiler library
SEES_ALL_THREADS = "profile_all_threads" in (_ExperimentalConfig.__init__.__doc__ or "")
"""Whether this torch can record the operators of every thread: from 2.7 on."""
NOISE = (b"profiler_start", b"profiler_stop", b"CPUAllocator.cpp")


@dataclass(frozen=True)
class Session:
    """A finished session: torch's ``_ProfilerResult``, and the time of the call in ns."""

    result: Any
    wall_ns: int


def refuse_if_profiling() -> None:
    """Raise ``MeasurementError`` if a profiler is on: a second session would be empty."""
    if _profiler_enabled():
        raise MeasurementError(
            "a torch profiler is already running in this process, and hiddencost needs its own; "
            "call hiddencost(...) outside `with torch.profiler.profile()`"
        )


def profiled(
    call: Callable[[], object],
    *,
    memory: bool = False,
    device_type: str = "cpu",
    all_threads: bool = False,
) -> Session:
    """Run ``call`` once in a profiler session of its own and return the session.

    ``memory`` records allocations as well, ``all_threads`` operators of every thread. Raises the
    errors of the call, and ``MeasurementError`` if another profiler is on or the call runs one.
    """
    refuse_if_profiling()
    loud = _sessions_print()
    # Sessions with memory also log every free of an older tensor.
    with _noise_removed() if memory or loud else nullcontext(), marked_kernels(device_type):
        session, error = _session(call, memory, device_type, all_threads=all_threads)
    if error is not None:
        raise error
    return session


def _session(
    call: Callable[[], object], memory: bool, device_type: str, *, all_threads: bool = False
) -> tuple[Session, BaseException | None]:
    activities = {ProfilerActivity.CPU}
    if device_type == "cuda":
        activities.add(ProfilerActivity.CUDA)
    more = _ExperimentalConfig(profile_all_threads=True) if all_threads else _ExperimentalConfig()
    config = ProfilerConfig(ProfilerState.KINETO, False, memory, False, False, False, more)
    error: BaseException | None = None
    _prepare_profiler(config, activities)
    _enable_profiler(config, activities)
    start = perf_counter_ns()
    try:
        call()
    except BaseException as raised:
        error = raised  # the caller raises it, after the session is closed and stderr restored
    wall_ns = perf_counter_ns() - start
    # A session on all threads is enabled in none of them.
    if not all_threads and not _profiler_enabled():
        error = error or MeasurementError(
            "the model ran a torch profiler of its own, which ended hiddencost's; measure it "
            "without `torch.profiler.profile()` inside"
        )
        return Session(None, wall_ns), error
    return Session(_disable_profiler(), wall_ns), error


@contextmanager
def _stderr_in(file: IO[bytes]) -> Iterator[None]:
    """Send the stderr of the whole process, native code included, to ``file``."""
    sys.stderr.flush()
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def _noise_removed() -> Iterator[None]:
    with tempfile.TemporaryFile() as caught:
        try:
            with _stderr_in(caught):
                yield
        finally:
            caught.seek(0)
            others = [line for line in caught if not any(word in line for word in NOISE)]
            if others:
                os.write(2, b"".join(others))


@cache
def _sessions_print() -> bool:
    """Return whether profiler sessions print to stderr in this process, as the first one shows.

    Torch's profiler library reads its log level once, before its first session. If the user's
    code ran a session before, the level stays, and lines must be removed from every session.
    """
    before = os.environ.get(LOG_LEVEL)
    os.environ[LOG_LEVEL] = "6"
    try:
        with tempfile.TemporaryFile() as caught, _stderr_in(caught):
            _session(lambda: torch.empty(1), False, "cpu")
            return os.fstat(caught.fileno()).st_size > 0
    finally:
        del os.environ[LOG_LEVEL]
        if before is not None:
            os.environ[LOG_LEVEL] = before
