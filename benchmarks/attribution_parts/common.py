"""What the parts of the attribution benchmark share: the models, and runs side by side."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter_ns

import torch
from torch import nn

from pytest_hiddencost.profiling.assemble import Attribution, attribute
from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.folding import Node, Site, is_operator
from pytest_hiddencost.profiling.kineto import profiled
from pytest_hiddencost.profiling.macs import count_macs
from pytest_hiddencost.profiling.operators import OperatorWindows
from pytest_hiddencost.profiling.perturbation import calibrated, event_cost
from pytest_hiddencost.profiling.sites import root_sites
from pytest_hiddencost.study.models import REFERENCE_MODELS
from pytest_hiddencost.study.results import BACKENDS, DEFAULT_BACKEND, label_of
from pytest_hiddencost.taxonomy import DEFAULT

CPU = torch.device("cpu")


def reference_models() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    """Label, model and image of those named in the arguments, on both backends; default all."""
    names = sys.argv[1].split(",") if len(sys.argv) > 1 else None
    for model in REFERENCE_MODELS:
        if names is not None and model.name not in names:
            continue
        torch.manual_seed(0)
        network, image = model.build().eval(), torch.randn(1, 3, 32, 32)
        for backend in BACKENDS:
            print(f"  {label_of(model, backend)}", file=sys.stderr, flush=True)
            with torch.backends.mkldnn.flags(enabled=backend == DEFAULT_BACKEND):
                yield label_of(model, backend), network, image


class Profiled:
    """Our attribution of one model, window by window, so that others can be measured in turns."""

    def __init__(self, model: nn.Module, image: torch.Tensor) -> None:
        self.call = Call(model, (image,), {}, CPU)
        with self.call.gradients():
            self._macs = count_macs(self.call.run)
        self.sites: list[tuple[str, Site]] = root_sites(self.call)
        self.windows = OperatorWindows(self.call, self._macs.calls, DEFAULT, self.sites)
        self.windows.discard_cold()

    def attribution(self, latency_ns: float | None = None) -> Attribution:
        """What the windows so far say; by default of the plain latency measured around them."""
        kept = self.windows.kept
        cost = event_cost(calibrated(), self.windows.excesses())
        latency_ns = latency_ns or median(w.plain_ns for w in kept)
        return attribute(kept, latency_ns, self._macs, DEFAULT, cost)


def has_compiler() -> bool:
    """Whether C++ can be compiled here."""
    return bool(shutil.which(os.environ.get("CXX", "c++")) and shutil.which("ninja"))


def raw_roots(call: Callable[[], object]) -> list[tuple[str, int]]:
    """Name and duration (ns) of every root operator, as torch's profiler has them.

    The same numbers as in ``torch.profiler.profile``, less the Python objects it makes of them.
    """
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
    """Duration of one call, ns."""
    start = perf_counter_ns()
    result = call()
    duration = perf_counter_ns() - start
    del result
    return duration


@contextmanager
def measuring() -> Iterator[None]:
    """Inference mode, no garbage collection, nothing on stderr but progress."""
    gc.collect()
    gc.disable()
    with torch.inference_mode():
        yield
    gc.enable()


def report(result: object) -> None:
    """The result as the last line of output."""
    print(json.dumps(result), flush=True)
