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

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
NOTICED = 0.02  # CPU time out of sight, relative to the time in calls; a smaller share is ignored
NOTICED_NS = 50_000  # a shorter time is ignored too: the clocks are read one after the other
ROUNDS = 3  # of calls and a pause, one of a very long call; the work must show in every round
APART = 2.0  # CPU time with calls in the least busy round, relative to the busiest pause
ROUND_NS = 5_000_000  # of calls; a longer call is a round by itself
SETTLED_NS = 50_000_000  # thread pools wait for more work in a busy loop, for tens of milliseconds
LONGEST_PAUSE_NS = 500_000_000
VERY_LONG_NS = 1_000_000_000  # for a call this long the CPU times alone are enough
MOST_SHOWN = 3
CALLING_THREAD = "hiddencost calling thread"


@dataclass(frozen=True)
class Unseen:
    """CPU time in ns of one call out of sight (0: none), and the place of that work in words."""

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
        found_ns = sum(_out_of_sight(spent(before, cpu_times()), self._call.device))
        self._suspects = found_ns > max(NOTICED_NS, NOTICED * (called_ns() - before_ns))

    def found(self, call_ns: float) -> Unseen:
        """Return the work out of sight of a call of ``call_ns``; make more calls to find it."""
        rounds = ROUNDS if call_ns < VERY_LONG_NS else 1
        # Backward on an accelerator runs in a thread of torch, which the other passes follow.
        seen_by_torch = SEES_ALL_THREADS and self._call.device.type == "cpu"
        parts = []
        with self._call.gradients():
            if seen_by_torch and (self._suspects or rounds > 1):
                parts.append(_operators_elsewhere(self._call, rounds))
            if self._suspects:
                parts += _cpu_time_elsewhere(self._call, rounds)
        seen = [part for part in parts if part.ns]
        if not seen:
            return Unseen()
        # The CPU time of threads usually contains that of their operators: the larger one counts.
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


def _operators_elsewhere(call: Call, rounds: int) -> Unseen:
    """Return the operators that other threads run in every call, and not in the pauses between."""
    first = _session(call.prepared())
    if not first.operators:
        return Unseen()
    sessions, strangers = [first], set[int]()
    pause_s = min(max(first.wall_ns, ROUND_NS), LONGEST_PAUSE_NS) / 1e9
    for _ in range(rounds - 1):
        sleep(pause_s)  # work that a call leaves behind ends here
        call.fresh()
        strangers |= _session(lambda: sleep(pause_s)).operators.keys()
        sessions.append(_session(call.prepared()))
    own = [session.without(strangers) for session in sessions]
    if not all(session.operators for session in own):
        return Unseen()
    names = sum(own[-1].operators.values(), Counter[str]())
    shown = ", ".join(list(names)[:MOST_SHOWN]) + (", ..." if len(names) > MOST_SHOWN else "")
    count = format_quantity("calls", names.total())
    where = f"other threads run operators ({count}: {shown})"
    return Unseen(max(1, round(median(sum(s.spent_ns.values()) for s in own))), where)


def _session(run: Callable[[], object]) -> _Elsewhere:
    def marked() -> None:
        with _RecordFunctionFast(CALLING_THREAD):
            run()

    session = profiled(marked, all_threads=True)
    nodes = session.result.experimental_event_tree()
    own = next((node.start_tid for node in nodes if node.name == CALLING_THREAD), None)
    names: dict[int, Counter[str]] = {}
    times: dict[int, int] = {}
    for node in _operators(nodes):
        if node.start_tid != own:
            names.setdefault(node.start_tid, Counter())[node.name] += 1
            times[node.start_tid] = times.get(node.start_tid, 0) + node.duration_time_ns
    return _Elsewhere(session.wall_ns, names, times)


def _operators(nodes: Iterable[Any]) -> Iterator[Any]:
    """Yield the outermost operators."""
    for node in nodes:
        if is_operator(node.name):
            yield node
        elif node.name != CALLING_THREAD:
            yield from _operators(node.children)


# --- CPU time ----------------------------------------------------------------------------------


def _cpu_time_elsewhere(call: Call, rounds: int) -> list[Unseen]:
    """Return the CPU time of other threads and of child processes that belongs to the calls."""
    taken = [_Round(call) for _ in range(rounds)]
    found = []
    for part, who in enumerate(("other threads work", "child processes work")):
        with_calls_ns = min(one.busy_ns[part] for one in taken)
        in_pauses_ns = max(one.idle_ns[part] for one in taken)
        least_ns = max(NOTICED_NS, NOTICED * min(one.called_ns for one in taken))
        apart = with_calls_ns > APART * in_pauses_ns
        if apart and with_calls_ns - in_pauses_ns > least_ns:
            per_call_ns = median(one.busy_ns[part] / one.calls for one in taken)
            found.append(Unseen(max(1, round(per_call_ns)), who))
    return found


class _Round:
    """CPU time in ns of threads and children out of sight: with calls, and in a pause.

    The time in the pause is scaled to the duration of the calls.
    """

    def __init__(self, call: Call) -> None:
        before, start_ns, self.calls = cpu_times(), perf_counter_ns(), 0
        while not self.calls or perf_counter_ns() < start_ns + ROUND_NS:
            call.run_synchronized()
            self.calls += 1
        self.called_ns = perf_counter_ns() - start_ns
        rest_ns = min(max(self.called_ns, SETTLED_NS), LONGEST_PAUSE_NS)
        sleep(rest_ns / 1e9)  # work that a call leaves behind belongs to it
        between = cpu_times()
        for _ in range(self.calls):  # the pause has as many setups as the calls, so they cancel out
            call.fresh()
        sleep(min(self.called_ns + rest_ns, LONGEST_PAUSE_NS) / 1e9)
        busy, idle = spent(before, between), spent(between, cpu_times())
        scale = busy.wall_ns / idle.wall_ns
        self.busy_ns = _out_of_sight(busy, call.device)
        self.idle_ns = tuple(scale * ns for ns in _out_of_sight(idle, call.device))


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
