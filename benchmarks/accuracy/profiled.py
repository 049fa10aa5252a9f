"""The plugin's attribution of one call, window by window, and the instruments beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from statistics import median
from time import perf_counter_ns

import torch
from torch import nn

from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.macs.counting import count_macs
from pytest_hiddencost.measure.operators.attribution import NO_CLOCK, Attribution, attribute
from pytest_hiddencost.measure.operators.clock import clocked_shares
from pytest_hiddencost.measure.operators.folding import CallSite, Node, Root, is_operator
from pytest_hiddencost.measure.operators.overhead import calibrated, event_cost
from pytest_hiddencost.measure.operators.profiler import profiled
from pytest_hiddencost.measure.operators.tracing import root_call_sites
from pytest_hiddencost.measure.operators.windows import OperatorWindows


class Profiled:
    """A model whose windows are taken one by one, in turns with other measurements."""

    def __init__(self, model: nn.Module, image: torch.Tensor) -> None:
        self.call = Call(model, (image,), {}, torch.device("cpu"))
        with self.call.gradients():
            self._macs = count_macs(self.call.run)
        self.call_sites: list[tuple[str, CallSite]] = root_call_sites(self.call)
        self.windows = OperatorWindows(self.call, self._macs.calls, DEFAULT, self.call_sites)
        self.windows.discard_cold()

    def shares(self) -> dict[Root, float]:
        """Return the share of the latency of each root operator, by the plugin's clock now."""
        plain_ns = median(window.plain_ns for window in self.windows.kept)
        return clocked_shares(self.call, self.call_sites, plain_ns)

    def attribution(self, latency_ns: float | None = None, *, clocked: bool = True) -> Attribution:
        """Attribute a latency, by default that of the plain calls around the windows.

        Without ``clocked``, the profiler's windows alone tell the times of operators.
        """
        kept = self.windows.kept
        cost = event_cost(calibrated(), self.windows.excesses())
        latency_ns = latency_ns or median(window.plain_ns for window in kept)
        shares = self.shares() if clocked else NO_CLOCK
        return attribute(kept, latency_ns, self._macs, DEFAULT, cost, clocked=shares)


def has_compiler() -> bool:
    """Return whether C++ can be compiled on this machine."""
    return bool(shutil.which(os.environ.get("CXX", "c++")) and shutil.which("ninja"))


def raw_roots(call: Callable[[], object]) -> list[tuple[str, int]]:
    """Return name and duration in ns of every root operator, as torch's profiler reports them."""
    return _roots(profiled(call).result.experimental_event_tree())


def _roots(nodes: Iterable[Node]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for node in nodes:
        if is_operator(node.name):
            found.append((node.name, node.duration_time_ns))
        else:  # an annotation, such as TorchScript's of a function
            found += _roots(node.children)
    return found


def timed_ns(call: Callable[[], object]) -> int:
    """Return the duration of one call in ns; its result is freed after the clock has stopped."""
    start = perf_counter_ns()
    result = call()
    duration = perf_counter_ns() - start
    del result
    return duration
