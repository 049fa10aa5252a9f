"""References for the shares of a latency that use neither the plugin's clock nor the profiler.

A clock around each operator, and calls with parts left out: traced scripts run the operators of a
model without Python, and without its convolutions too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress
from statistics import median
from time import perf_counter_ns, thread_time_ns
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._C._profiler import _RecordFunctionFast

from pytest_hiddencost.measure.operators.folding import Node, is_operator
from pytest_hiddencost.measure.operators.profiler import profiled
from pytest_hiddencost.measure.operators.torch_functions import Place, places, replaced

MARK = "benchmark function "
CONVOLVE = Place(F, "conv2d")
Call = Callable[[], object]
Function = Callable[..., Any]


def cpu_ns(call: Call) -> int:
    """Return the processor time of one call in ns: other processes take nothing of it."""
    start = thread_time_ns()
    result = call()
    duration = thread_time_ns() - start
    del result
    return duration


class OperatorClock:
    """A clock around every operator that Python calls, and the same clock around nothing."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._where = operator_places(call)
        self._tensor = torch.zeros(1)
        self._readings_ns: list[int] = []
        self._rounds: dict[bool, list[list[int]]] = {True: [], False: []}
        self._convolutions: list[bool] = []

    def add(self, *, nothing: bool) -> None:
        """Read the clock around each operator of a call, or around nothing before it."""
        self._readings_ns, self._convolutions = [], []
        wrap = partial(self._wrapped, nothing=nothing)
        with replaced(self._where, list(map(wrap, self._where))):
            self._call()  # whatever ran before it took the caches
            self._readings_ns.clear()
            self._convolutions.clear()
            self._call()
        self._rounds[nothing].append(self._readings_ns)

    def times_ns(self) -> list[tuple[float, float]]:
        """Return the time of all operators, and that of convolutions, for each clocked call."""
        own = _medians(self._rounds[True])
        found = []
        for readings in self._rounds[False]:
            times = [time - clock for time, clock in zip(readings, own, strict=True)]
            convolutions = compress(times, self._convolutions)
            found.append((sum(times), sum(convolutions)))
        return found

    def _wrapped(self, place: Place, *, nothing: bool) -> Function:
        function, tensor = getattr(place.owner, place.name), self._tensor
        readings_ns, convolutions = self._readings_ns, self._convolutions

        def clocked(*args: Any, **kwargs: Any) -> Any:
            start = perf_counter_ns()
            result = torch.resolve_conj(tensor) if nothing else function(*args, **kwargs)
            readings_ns.append(perf_counter_ns() - start)
            convolutions.append(place == CONVOLVE)
            return function(*args, **kwargs) if nothing else result

        return clocked


def _medians(rounds: Iterable[Sequence[int]]) -> list[float]:
    return [median(readings) for readings in zip(*rounds, strict=True)]


def operator_places(call: Call) -> list[Place]:
    """Return the places of the functions that run operators in this call."""
    where = places()
    marked = [_marked(getattr(*place), f"{MARK}{n}") for n, place in enumerate(where)]
    with replaced(where, marked):
        tree = profiled(call).result.experimental_event_tree()
    return [where[number] for number in sorted(set(_numbers(tree)))]


def _marked(function: Function, name: str) -> Function:
    def marked(*args: Any, **kwargs: Any) -> Any:
        with _RecordFunctionFast(name):
            return function(*args, **kwargs)

    return marked


def _numbers(nodes: Iterable[Node]) -> Iterator[int]:
    for node in nodes:
        if node.name.startswith(MARK) and any(is_operator(n.name) for n in node.children):
            yield int(node.name.removeprefix(MARK))
        if not is_operator(node.name):
            yield from _numbers(node.children)


class Script:
    """The operators of a model in a traced script, called from C++.

    ``stored``: convolutions do not run. Their results are inputs, since constants would be folded.
    """

    def __init__(self, model: nn.Module, image: torch.Tensor, *, stored: bool) -> None:
        results = _convolved(model, image) if stored else []
        self._inputs = (image, *results)
        traced = torch.jit.trace(_Traced(model).eval(), self._inputs, check_trace=False)
        # Frozen, it calls no modules: that takes up to a tenth of the call. Nothing is fused.
        self._script = torch.jit.freeze(traced, optimize_numerics=False)
        for _ in range(3):
            self()

    def __call__(self) -> object:
        """Run the operators once."""
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return self._script(*self._inputs)


class _Traced(nn.Module):
    """A model whose convolutions return these results, if there are any.

    It returns the convolutions' inputs too: a script leaves out whatever nothing needs.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor, *results: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the model."""
        waiting = iter(results)
        inputs: list[torch.Tensor] = []

        def stored(x: torch.Tensor, *_args: Any, **_kwargs: Any) -> torch.Tensor:
            inputs.append(x)
            return next(waiting)

        with replaced([CONVOLVE] if results else [], [stored] if results else []):
            return (self.model(image), *inputs)


def _convolved(model: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """Return the results of all convolutions of a call."""
    results: list[torch.Tensor] = []
    convolve = torch.conv2d

    def recorded(*args: Any, **kwargs: Any) -> torch.Tensor:
        results.append(convolve(*args, **kwargs))
        return results[-1]

    with replaced([CONVOLVE], [recorded]):
        model(image)
    return [result.clone() for result in results]
