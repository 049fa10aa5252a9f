"""Tracers of others are off during timed calls, and then back exactly as they were."""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import torch

from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.measure import profile
from pytest_hiddencost.measure.latency.tracers import unavoidable_tracing, untraced

Trace = Callable[[FrameType, str, Any], Any]


@pytest.fixture
def _tracers_restored() -> Iterator[None]:
    """Keep a tracer of this run, such as coverage's, away from these tests."""
    trace, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(trace)
    threading.settrace(threads)
    sys.setprofile(None)
    threading.setprofile(None)


pytestmark = pytest.mark.usefixtures("_tracers_restored")


class Seen:
    def __init__(self) -> None:
        self.names: list[str] = []

    def trace(self, frame: FrameType, _event: str, _arg: object) -> Trace:
        self.names.append(frame.f_code.co_name)
        return self.trace


def traced_function() -> None:
    return None


def tracers() -> tuple[object, ...]:
    return sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()


def test_trace_and_profile_functions_are_off_and_back() -> None:
    seen = Seen()
    sys.settrace(seen.trace)
    sys.setprofile(seen.trace)
    threading.settrace(seen.trace)
    threading.setprofile(seen.trace)
    before = tracers()
    inside = untraced(tracers)()
    untraced(traced_function)()
    assert tracers() == before
    assert inside == (None, None, None, None)
    assert "traced_function" not in seen.names
    traced_function()
    assert "traced_function" in seen.names


def test_tracers_are_back_after_an_error() -> None:
    seen = Seen()
    sys.settrace(seen.trace)
    with pytest.raises(ZeroDivisionError):
        untraced(lambda: 1 // 0)()
    assert sys.gettrace() == seen.trace


def test_timed_calls_are_not_traced_and_the_first_call_is() -> None:
    seen, states = Seen(), list[bool]()

    def traced_model(x: torch.Tensor) -> torch.Tensor:
        states.append(sys.gettrace() is not None)
        return x + 1

    sys.settrace(seen.trace)
    result = profile(traced_model, torch.ones(2), sampling=Sampling(1_000_000, 5))
    assert sys.gettrace() == seen.trace
    assert states[0]
    assert "traced_model" in seen.names
    assert states.count(False) >= len(result.latency.samples_ns)
    assert not any("trace" in reason for reason in result.health.reasons)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="can be switched off from 3.12 on")
def test_a_profiler_that_cannot_be_switched_off_makes_times_unfit() -> None:
    with cProfile.Profile():
        result = profile(torch.neg, torch.ones(2), sampling=Sampling(1_000_000, 5))
    assert not result.health.fit
    assert result.health.reasons[-1] == (
        "the profile function of cProfile.Profile cannot be switched off during timed calls and "
        "slows them"
    )
    assert result.health.remedies[-1] == "run timed tests without it"


def test_a_profiler_of_python_counts_the_calls_around_all_the_same() -> None:
    def outer() -> None:
        traced_function()
        untraced(lambda: None)()
        traced_function()

    profiler = cProfile.Profile()
    profiler.runcall(outer)
    counts: Any = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    by_name = {key[2]: value[:2] for key, value in counts.items()}
    assert by_name["outer"] == (1, 1)
    assert by_name["traced_function"] == (2, 2)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="came with 3.12")
def test_monitoring_tools_are_off_and_back() -> None:
    monitoring: Any = vars(sys)["monitoring"]
    seen: list[str] = []
    monitoring.use_tool_id(4, "ours")
    try:
        events = monitoring.events
        monitoring.register_callback(4, events.PY_START, lambda code, _: seen.append(code.co_name))
        monitoring.register_callback(4, events.LINE, lambda code, _: seen.append(code.co_name))
        monitoring.set_events(4, events.PY_START)
        monitoring.set_local_events(4, traced_function.__code__, events.LINE)
        untraced(traced_function)()
        assert "traced_function" not in seen
        traced_function()
        assert seen.count("traced_function") == 2
        assert monitoring.get_events(4) == events.PY_START
    finally:
        monitoring.free_tool_id(4)


def test_a_tracer_that_may_set_itself_otherwise_stays_on_and_is_named() -> None:
    class Recorder:
        def __call__(self, *_: object) -> None: ...

    recorder = Recorder()
    sys.setprofile(recorder)
    inside, found = untraced(sys.getprofile)(), unavoidable_tracing(in_threads=False)
    sys.setprofile(None)
    assert inside is recorder
    assert "Recorder cannot be switched off during timed calls" in found.reason


def test_tracemalloc_makes_times_unfit() -> None:
    tracemalloc.start()
    try:
        found = unavoidable_tracing(in_threads=False)
    finally:
        tracemalloc.stop()
    assert found.reason == "tracemalloc cannot be switched off during timed calls and slows them"


def test_tracers_in_threads_of_the_call_make_times_unfit() -> None:
    threading.settrace(None)  # coverage sets one
    assert unavoidable_tracing(in_threads=True).reason == ""
    threading.settrace(Seen().trace)
    assert unavoidable_tracing(in_threads=False).reason == ""
    assert "Seen.trace in the threads of the call" in unavoidable_tracing(in_threads=True).reason
