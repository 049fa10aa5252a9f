"""The clock: the time of each root operator that Python calls, without the profiler.

Functions in the places of torch's read a clock before and after them, in a few calls of the model.
The median of each reading and of each gap between two readings leaves out what other processes
took. Other calls time an operator that does nothing at the same places, and the function around
it: the clock's own part. Python that runs after a large operator is several times slower than in a
loop, so only such a reading in place is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from statistics import median
from time import perf_counter_ns
from typing import Any, NamedTuple

import torch
from torch._C._profiler import _RecordFunctionFast

from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.latency.sampler import LONG_CALL_NS
from pytest_hiddencost.measure.latency.tracers import untraced
from pytest_hiddencost.measure.modules import held_by
from pytest_hiddencost.measure.operators.folding import CallSite, Node, Root, is_operator
from pytest_hiddencost.measure.operators.torch_functions import Place, places, replaced
from pytest_hiddencost.measure.operators.windows import marked_call

FUNCTION = "hiddencost function "
"""Name of the event around a function; the number of its place follows."""
SPENT_NS = 200_000_000  # of clocked calls, about
FEWEST_ROUNDS, MOST_ROUNDS = 2, 9  # of two clocked calls, and one with the clock around nothing
LONGEST_CLOCKED_NS = 500_000_000  # a longer call is not clocked: its rounds would take seconds

CallSites = Sequence[tuple[str, CallSite]]
Function = Callable[..., Any]


class VariedError(Exception):
    """A call used other functions than the one before it."""


class ClockedCalls(NamedTuple):
    """The places of functions that run operators, and the operator that each call of them runs.

    It is None for a call that runs no operator or several, and for root operators that run
    elsewhere too. Calls are in the order in which they end.
    """

    where: list[Place]
    roots: list[Root | None]


class Readings(NamedTuple):
    """One call with the clock: when it and its functions began and ended, in ns.

    ``wholes_ns``: around nothing, the time of the function that was clocked, the clock included.
    """

    start_ns: int
    end_ns: int
    starts_ns: list[int]
    ends_ns: list[int]
    wholes_ns: list[int]

    def times_ns(self) -> list[int]:
        """Return the time of each function."""
        return [end - start for start, end in zip(self.starts_ns, self.ends_ns, strict=True)]

    def gaps_ns(self) -> list[int]:
        """Return the time before each function, and after the last one."""
        befores, afters = [self.start_ns, *self.ends_ns], [*self.starts_ns, self.end_ns]
        return [after - before for before, after in zip(befores, afters, strict=True)]

    def around_ns(self) -> list[int]:
        """Return the clock's time outside its own readings, around nothing."""
        return [whole - time for whole, time in zip(self.wholes_ns, self.times_ns(), strict=True)]


def clocked_shares(call: Call, call_sites: CallSites, latency_ns: float) -> dict[Root, float]:
    """Return the share of the latency of each root operator that the clock sees.

    ``call_sites`` are those of all root operators, in their order. The clock does not see
    operators that C++ calls, such as those of a script, and no compiled model. It is not used for
    a call on an accelerator, nor for a very long one.
    """
    on_host = call.device.type == "cpu"
    if not call_sites or not on_host or latency_ns > LONGEST_CLOCKED_NS or held_by(call).compiled:
        return {}
    plan = _planned(call, call_sites)
    if not any(plan.roots):
        return {}
    try:
        return shares_of(plan.roots, *_Clock(call, plan).readings(long=latency_ns >= LONG_CALL_NS))
    except VariedError:
        return {}


def shares_of(
    roots: Sequence[Root | None], clocked: Sequence[Readings], nothing: Sequence[Readings]
) -> dict[Root, float]:
    """Return the share of each root operator from calls with the clock, and around nothing."""
    times_ns = _medians(one.times_ns() for one in clocked)
    own_ns = _medians(one.times_ns() for one in nothing)
    around_ns = _medians(one.around_ns() for one in nothing)
    gaps_ns = _medians(one.gaps_ns() for one in clocked)
    call_ns = sum(times_ns) + sum(gaps_ns) - sum(around_ns)
    found: dict[Root, float] = {}
    for root, time_ns, clock_ns in zip(roots, times_ns, own_ns, strict=True):
        if root is not None:
            found[root] = found.get(root, 0.0) + time_ns - clock_ns
    return {root: max(0.0, ns) / call_ns for root, ns in found.items()}


def _medians(readings_ns: Iterable[Sequence[int]]) -> list[float]:
    return [median(of_place) for of_place in zip(*readings_ns, strict=True)]


class _Clock:
    """Functions in the places of a plan that read a clock."""

    def __init__(self, call: Call, plan: ClockedCalls) -> None:
        self._call, self._plan = call, plan
        self._around = self._time
        self._tensor = torch.zeros(1)
        self._starts_ns: list[int] = []
        self._ends_ns: list[int] = []
        self._wholes_ns: list[int] = []

    @untraced
    def readings(self, *, long: bool) -> tuple[list[Readings], list[Readings]]:
        """Return readings of calls with the clock, and of calls with the clock around nothing.

        A ``long`` call is not warmed up. Raises ``VariedError`` if a call is not like the first.
        """
        clocked: list[Readings] = []
        nothing: list[Readings] = []
        last_ns = perf_counter_ns() + SPENT_NS
        functions = [getattr(owner, name) for owner, name in self._plan.where]
        with (
            self._call.gradients(),
            replaced(self._plan.where, list(map(self._clocked, functions))),
        ):
            if not long:
                self._read(self._time)
            while (count := len(nothing)) < FEWEST_ROUNDS or (
                count < MOST_ROUNDS and perf_counter_ns() < last_ns
            ):
                clocked.append(self._read(self._time))
                nothing.append(self._read(self._time_nothing))
                clocked.append(self._read(self._time))
        return clocked, nothing

    def _read(self, around: Function) -> Readings:
        run = self._call.fresh()
        self._around = around
        self._starts_ns, self._ends_ns, self._wholes_ns = [], [], []
        start_ns = perf_counter_ns()
        output = run()
        end_ns = perf_counter_ns()
        del output
        if len(self._starts_ns) != len(self._plan.roots):
            raise VariedError
        return Readings(start_ns, end_ns, self._starts_ns, self._ends_ns, self._wholes_ns)

    def _clocked(self, function: Function) -> Function:
        @wraps(function)
        def clocked(*args: Any, **kwargs: Any) -> Any:
            return self._around(function, args, kwargs)

        return clocked

    def _nothing(self, *args: Any, **kwargs: Any) -> Any:
        return self._time(torch.resolve_conj, args, kwargs)

    def _time(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        start_ns = perf_counter_ns()
        result = function(*args, **kwargs)
        end_ns = perf_counter_ns()
        self._starts_ns.append(start_ns)
        self._ends_ns.append(end_ns)
        return result

    def _time_nothing(
        self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        # The user's modes must not see it.
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            start_ns = perf_counter_ns()
            self._nothing(self._tensor)
            end_ns = perf_counter_ns()
        self._wholes_ns.append(end_ns - start_ns)
        return function(*args, **kwargs)


def _planned(call: Call, call_sites: CallSites) -> ClockedCalls:
    """Return the plan of a call, from a call with the profiler; empty if its operators differ."""
    candidates = places()
    functions = [getattr(owner, name) for owner, name in candidates]
    marked = [_marked(function, f"{FUNCTION}{n}") for n, function in enumerate(functions)]

    def within(run: Function) -> object:
        with replaced(candidates, marked):
            return run()

    mark = marked_call(call, warm=False, within=within).mark
    tree = _Tree()
    tree.read(mark.children, [])
    if tree.names != [name for name, _ in call_sites]:
        return ClockedCalls([], [])
    used = sorted({number for number, inside in tree.functions if inside})
    roots = [Root(*site) for site in call_sites]
    found = [
        roots[inside[0]] if len(inside) == 1 else None
        for number, inside in tree.functions
        if number in used
    ]
    elsewhere = Counter(roots) - Counter(filter(None, found))
    return ClockedCalls(
        [candidates[number] for number in used],
        [None if root in elsewhere else root for root in found],
    )


def _marked(function: Function, name: str) -> Function:
    @wraps(function)
    def marked(*args: Any, **kwargs: Any) -> Any:
        with _RecordFunctionFast(name):
            return function(*args, **kwargs)

    return marked


class _Tree:
    """The root operators of a call, and for each function the numbers of those that it runs.

    Functions are in the order in which they end, each with the number of its place.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.functions: list[tuple[int, list[int]]] = []

    def read(self, nodes: Iterable[Node], inside: list[int]) -> None:
        """Read events; root operators among them run inside the function that ``inside`` is of."""
        for node in nodes:
            if is_operator(node.name):
                inside.append(len(self.names))
                self.names.append(node.name)
            elif node.name.startswith(FUNCTION):
                own: list[int] = []
                self.read(node.children, own)
                self.functions.append((int(node.name.removeprefix(FUNCTION)), own))
            else:
                self.read(node.children, inside)
