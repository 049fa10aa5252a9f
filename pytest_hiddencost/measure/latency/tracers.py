"""Trace and monitoring functions of others, such as those of coverage, debuggers and profilers.

They run with every line or call of Python code, so a timed call would measure them as well.
"""

from __future__ import annotations

import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from types import FunctionType, MethodType
from typing import Any, ParamSpec, TypeAlias, TypeVar

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True

P = ParamSpec("P")
T = TypeVar("T")
TOOLS = range(6)  # numbers that sys.monitoring gives to tools; Python itself has the others

_Callback: TypeAlias = tuple[int, int, Any]  # tool, event, function
_monitoring: Any = getattr(sys, "monitoring", None)  # from Python 3.12 on


def untraced(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function with every tracer off while it runs, and put back afterwards.

    A tracer counts beginnings and ends of frames. So the same frame sets it off and on again.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        trace, profile, tools = sys.gettrace(), sys.getprofile(), _tools()
        of_threads = threading.gettrace(), threading.getprofile()
        callbacks: list[_Callback] = []
        # A profiler records calls of C functions. It would see only the beginning of the first of
        # these and only the end of the second. It does not record calls of a partial.
        off = [partial(_monitoring.set_events, tool, 0) for tool, _ in tools]
        on = [partial(_monitoring.set_events, *found) for found in tools]
        if replaceable(profile):
            off.append(partial(sys.setprofile, None))
            on.insert(0, partial(sys.setprofile, profile))
        if replaceable(trace):
            off.append(partial(sys.settrace, None))
            on.insert(0, partial(sys.settrace, trace))
        try:
            for switch in off:
                switch()
            callbacks += _callbacks_removed(tools)
            _set_for_new_threads(None, None)
            return function(*args, **kwargs)
        finally:
            _set_for_new_threads(*of_threads)
            for callback in callbacks:
                _monitoring.register_callback(*callback)
            for switch in on:
                switch()
                _call()

    return run


def _call() -> None:
    """Do nothing; coverage's tracer takes its place in the interpreter with the next call."""


@dataclass(frozen=True)
class Tracing:
    """The reason why tracers slow timed calls, and the remedy; both empty if no tracer stays on."""

    reason: str = ""
    remedy: str = ""


def unavoidable_tracing(*, in_threads: bool) -> Tracing:
    """Return the tracers that stay on during timed calls.

    ``in_threads``: calls work in threads of their own, whose tracers no other thread can reach.
    """
    found = []
    current: object  # a tracer in C may be anything
    for kind, current in (("trace", sys.gettrace()), ("profile", sys.getprofile())):
        if current is not None and not replaceable(current):
            found.append(f"the {kind} function of {_name(current)}")
    if in_threads:
        functions = filter(None, (threading.gettrace(), threading.getprofile()))
        found += [f"{_name(function)} in the threads of the call" for function in functions]
    if tracemalloc.is_tracing():
        found.append("tracemalloc")
    if not found:
        return Tracing()
    names = " and ".join(dict.fromkeys(found))
    return Tracing(
        f"{names} cannot be switched off during timed calls and slows them",
        "run timed tests without it",
    )


def replaceable(tracer: object) -> bool:
    """Return whether Python can set this tracer again; profilers in C may set themselves otherwise.

    Coverage's tracer is in C, and made to be set again.
    """
    of_coverage = type(tracer).__module__.partition(".")[0] == "coverage"
    return of_coverage or isinstance(tracer, (FunctionType, MethodType, partial))


def _name(function: object) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    module, name = getattr(named, "__module__", None), getattr(named, "__qualname__", "")
    return f"{module}.{name}" if module and module != "builtins" else name


def _set_for_new_threads(trace: Any, profile: Any) -> None:
    threading.settrace(trace)
    threading.setprofile(profile)


def _tools() -> list[tuple[int, int]]:
    """Return the monitoring tools and the events that they have asked for."""
    if _monitoring is None:
        return []
    tools = [tool for tool in TOOLS if _monitoring.get_tool(tool) is not None]
    return [(tool, _monitoring.get_events(tool)) for tool in tools]


def _callbacks_removed(tools: Sequence[tuple[int, int]]) -> list[_Callback]:
    """Remove the callbacks of tools and return them: events of single code objects stay on."""
    every = [(tool, event) for tool, _ in tools for event in _events()]
    removed = [(*one, _monitoring.register_callback(*one, None)) for one in every]
    return [found for found in removed if found[-1] is not None]


def _events() -> list[int]:
    known = {event for event in vars(_monitoring.events).values() if isinstance(event, int)}
    return sorted(event for event in known if event.bit_count() == 1)
