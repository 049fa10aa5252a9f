"""Work of a call that no operator of its profile explains: in other threads or in child processes.

Dispatch modes and profiler windows see the calling thread only. Three instruments find the rest:
a profiler session on all threads, the CPU time of threads, and the CPU time of child processes.
Each compares calls with pauses beside them, because other parts of a test run have threads too.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter_ns, sleep
from typing import Any

import torch
from torch._C._profiler import _RecordFunctionFast

from pytest_hiddencost.core.units import format_duration, format_quantity
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.folding import is_operator
from pytest_hiddencost.measure.operators.profiler import SEES_ALL_THREADS, profiled
from pytest_hiddencost.system.cpu_times import CpuSpent, cpu_times, spent

NOTICED = 0.02  # CPU time out of sight, relative to the time in calls; less is not looked into
ROUNDS = 3  # of calls and a pause; the work has to show in every one
APART = 2.0  # the calls of the least round over the busiest pause
ROUND_NS = 5_000_000  # of calls; a longer call is a round by itself
SETTLED_NS = 50_000_000  # thread pools wait for more work in a busy loop, for tens of milliseconds
MOST_NAMED = 3
MARK = "hiddencost calling thread"


@dataclass(frozen=True)
class Unseen:
    """CPU time in ns of one call out of sight, and in words where it was spent; 0 if none was."""

    ns: int = 0
    where: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """A note on the work, if there is any."""
        if not self.ns:
            return ()
        return (
            f"each call does work that hiddencost cannot count, {format_duration(self.ns)} of CPU "
            f"time: {self.where}; run it in the thread that calls the model, or limit p50 alone",
        )


class UnseenWork:
    """Looks for work out of sight of one call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._suspects = False

    @contextmanager
    def suspecting(self, called_ns: Callable[[], int]) -> Iterator[None]:
        """Compare the CPU time meanwhile with ``called_ns()``, the time in calls so far."""
        before, before_ns = cpu_times(), called_ns()
        yield
        found = _out_of_sight(spent(before, cpu_times()), self._call.device)
        self._suspects = sum(found) > NOTICED * (called_ns() - before_ns)

    def found(self) -> Unseen:
        """Return the work out of sight; make more calls if there may be some."""
        with self._call.gradients():
            parts = [_operators_elsewhere(self._call)] if SEES_ALL_THREADS else []
            if self._suspects:
                parts += _cpu_time_elsewhere(self._call)
        seen = [part for part in parts if part.ns]
        if not seen:
            return Unseen()
        # CPU time of threads contains that of their operators, unless torch does not tell it.
        return Unseen(max(part.ns for part in seen), " and ".join(part.where for part in seen))


# --- operators of other threads ----------------------------------------------------------------


@dataclass(frozen=True)
class _Elsewhere:
    """One session: the operators of other threads and their time in ns, by thread."""

    wall_ns: int
    operators: Mapping[int, Counter[str]] = field(default_factory=dict)
    spent_ns: Mapping[int, int] = field(default_factory=dict)

    def without(self, threads: Iterable[int]) -> _Elsewhere:
        left = {t: names for t, names in self.operators.items() if t not in threads}
        return _Elsewhere(self.wall_ns, left, {t: self.spent_ns[t] for t in left})


def _operators_elsewhere(call: Call) -> Unseen:
    """Return the operators that other threads run in every call, and not in the pauses between."""
    first = _session(call, call.prepared())
    if not first.operators:
        return Unseen()
    sessions, strangers = [first], set[int]()
    for _ in range(ROUNDS - 1):
        pause_s = max(first.wall_ns, ROUND_NS) / 1e9
        sleep(pause_s)  # work that a call leaves behind ends here
        call.fresh()
        strangers |= _session(call, lambda: sleep(pause_s)).operators.keys()  # noqa: B023
        sessions.append(_session(call, call.prepared()))
    own = [session.without(strangers) for session in sessions]
    if not all(session.operators for session in own):
        return Unseen()
    names = sum(own[-1].operators.values(), Counter[str]())
    shown = ", ".join(list(names)[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    count = format_quantity("calls", names.total())
    where = f"other threads run operators ({count}: {shown})"
    return Unseen(max(1, round(median(sum(s.spent_ns.values()) for s in own))), where)


def _session(call: Call, run: Callable[[], object]) -> _Elsewhere:
    def marked() -> None:
        with _RecordFunctionFast(MARK):
            run()

    device = call.device.type
    session = profiled(marked, device_type=device, all_threads=True)
    nodes = session.result.experimental_event_tree()
    own = next((node.start_tid for node in nodes if node.name == MARK), None)
    names: dict[int, Counter[str]] = {}
    times: dict[int, int] = {}
    for node in _operators(nodes):
        # Backward on an accelerator runs in a thread of torch, which the other passes follow.
        if node.start_tid != own and device == "cpu":
            names.setdefault(node.start_tid, Counter())[node.name] += 1
            times[node.start_tid] = times.get(node.start_tid, 0) + node.duration_time_ns
    return _Elsewhere(session.wall_ns, names, times)


def _operators(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield the outermost operators."""
    for node in nodes:
        if is_operator(node.name):
            yield node
        elif node.name != MARK:
            yield from _operators(node.children)


# --- CPU time ----------------------------------------------------------------------------------


def _cpu_time_elsewhere(call: Call) -> list[Unseen]:
    """Return the CPU time of other threads and of child processes that belongs to the calls."""
    rounds = [_round(call) for _ in range(ROUNDS)]
    found = []
    for part, who in enumerate(("other threads work", "child processes work")):
        with_calls = [busy[part] for busy, _, _, _ in rounds]
        in_pauses = max(idle[part] for _, idle, _, _ in rounds)
        least_ns = NOTICED * min(wall_ns for _, _, wall_ns, _ in rounds)
        more_ns = min(with_calls) - in_pauses
        if min(with_calls) > APART * in_pauses and more_ns > least_ns:
            per_call = [busy[part] / calls for busy, _, _, calls in rounds]
            found.append(Unseen(max(1, round(median(per_call))), who))
    return found


def _round(call: Call) -> tuple[tuple[float, float], tuple[float, float], int, int]:
    """Return what calls and a pause as long as them spent out of sight, and time and number."""
    before, start_ns, calls = cpu_times(), perf_counter_ns(), 0
    while not calls or perf_counter_ns() < start_ns + ROUND_NS:
        call.run_synchronized()
        calls += 1
    wall_ns = perf_counter_ns() - start_ns
    rest_ns = max(wall_ns, SETTLED_NS)
    sleep(rest_ns / 1e9)  # work that a call leaves behind belongs to it
    between = cpu_times()
    for _ in range(calls):  # the setup of calls is no part of them
        call.fresh()
    sleep((wall_ns + rest_ns) / 1e9)
    busy, idle = spent(before, between), spent(between, cpu_times())
    device = call.device
    return _out_of_sight(busy, device), _out_of_sight(idle, device), wall_ns, calls


def _out_of_sight(found: CpuSpent, device: torch.device) -> tuple[float, float]:
    """Return the CPU time in ns of threads that are not torch's own, and of child processes.

    Torch's intra-op threads burn CPU time even while they wait, so all of the time that they could
    have used counts as theirs. Compiled code and drivers of accelerators have threads of their own.
    """
    threads = torch.get_num_threads()
    beyond_ns = found.other_threads_ns - (threads - 1) * found.wall_ns
    if device.type != "cpu" or (threads > 1 and "torch._dynamo" in sys.modules):
        beyond_ns = 0
    return max(beyond_ns, found.python_threads_ns), found.children_ns
