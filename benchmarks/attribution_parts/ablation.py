"""By ablation: operators in a model, the growth of its latency and what is booked to them.

The model has so many added operators, on one element each, or on a tensor of a size that a model
may have. What differs is the operators' own work. They are called from C++ where there is a
compiler: Python between them, its data driven out of the first-level cache by theirs, would be
slower with the large ones, and that is in no operator. One thread: two wait for each other on a
machine with noisy neighbours.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from functools import cache
from statistics import median
from time import perf_counter_ns
from typing import Any

import torch
from common import Profiled, has_compiler, measuring, raw_roots, report, timed_ns
from torch import nn

from pytest_hiddencost.intervals import median_interval
from pytest_hiddencost.profiling.assemble import Attribution
from pytest_hiddencost.study.models import REFERENCE_MODELS
from pytest_hiddencost.study.results import DEFAULT_BACKEND, ONEDNN_OFF

ROUNDS_S = 90.0
FEWEST = 9  # rounds, and more until the growth of the latency is known to
SURE = 0.03
PLACES = 5  # in the model
MODELS = (("MobileNet", DEFAULT_BACKEND), ("ResNet50", DEFAULT_BACKEND), ("MobileNet", ONEDNN_OFF))

TIMES = {  # at each place
    DEFAULT_BACKEND: {"MobileNet": (20, 80), "ResNet50": (120, 300)},
    ONEDNN_OFF: {"MobileNet": (120, 300)},
}
CHANNELS, SIDE = 8, 32  # 32 KiB: more drives the model's own data out of the caches


SOURCE = """
void copies(at::Tensor result, at::Tensor source, int64_t times) {
  for (int64_t i = 0; i < times; i++) result.copy_(source);
}
void cats(at::Tensor result, at::Tensor first, at::Tensor second, int64_t times) {
  for (int64_t i = 0; i < times; i++) at::cat_out(result, {first, second}, 3);
}
void sums(at::Tensor result, at::Tensor whole, int64_t side, int64_t times) {
  for (int64_t i = 0; i < times; i++)
    at::add_out(result, whole.narrow(3, 0, side), whole.narrow(3, side, side));
}
"""


class InPython:
    """The same where there is no compiler."""

    @staticmethod
    def copies(result: torch.Tensor, source: torch.Tensor, times: int) -> None:
        for _ in range(times):
            result.copy_(source)

    @staticmethod
    def cats(result: torch.Tensor, first: torch.Tensor, second: torch.Tensor, times: int) -> None:
        for _ in range(times):
            torch.cat((first, second), 3, out=result)

    @staticmethod
    def sums(result: torch.Tensor, whole: torch.Tensor, side: int, times: int) -> None:
        for _ in range(times):
            torch.add(whole.narrow(3, 0, side), whole.narrow(3, side, side), out=result)


@cache
def loops() -> Any:
    """``copies``, ``cats`` and ``sums``, compiled once per machine."""
    if not has_compiler():
        return InPython
    from torch.utils.cpp_extension import load_inline

    return load_inline("hiddencost_ablation", SOURCE, functions=["copies", "cats", "sums"])


class Copy(nn.Module):
    """What a stray ``.contiguous()`` does."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.source = torch.randn(1, channels, side, side).transpose(2, 3)
        # Into a result that is there: who frees one is no operator either.
        self.result = torch.empty(1, channels, side, side)

    def run(self, times: int) -> None:
        """So many times."""
        loops().copies(self.result, self.source, times)


class Cat(nn.Module):
    """A needless concatenation."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.parts = torch.randn(2, 1, channels, side, side // 2).unbind()
        self.result = torch.empty(1, channels, side, side)

    def run(self, times: int) -> None:
        """So many times."""
        loops().cats(self.result, *self.parts, times)


class NarrowAndAdd(nn.Module):
    """The sum of two parts of a tensor."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.whole = torch.randn(1, channels, side, 2 * side)
        self.result = torch.empty(1, channels, side, side)

    def run(self, times: int) -> None:
        """So many times."""
        loops().sums(self.result, self.whole, self.side, times)


ADDED: dict[str, type[Copy | Cat | NarrowAndAdd]] = {
    "copy": Copy,
    "cat": Cat,
    "narrow + add": NarrowAndAdd,
}


class Also(nn.Module):
    """A layer, and so many ``times`` something besides that changes nothing."""

    def __init__(self, layer: nn.Module, what: str, times: int) -> None:
        super().__init__()
        self.layer, self.times = layer, times
        self.full, self.least = ADDED[what](CHANNELS, SIDE), ADDED[what](1, 2)
        self.run = self.full.run

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(x)
        # Either way their data is brought in once: what that drives out of the caches, and costs
        # the operators of the model, is no work of theirs.
        self.full.run(1)
        self.run(self.times)
        return result


def compared(model: nn.Module, image: torch.Tensor, what: str, times: int) -> dict[str, float]:
    """Growth of the plain latency, of what we book to the operators, and of what torch reports."""
    names = [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)][:PLACES]
    extended = copy.deepcopy(model)
    places = []
    for name in names:
        places.append(Also(extended.get_submodule(name), what, times))
        extended.set_submodule(name, places[-1])

    def switch(*, full: bool) -> None:
        # The same model both times: a copy of it elsewhere in memory may be slower or faster.
        for place in places:
            place.run = place.full.run if full else place.least.run

    sides = {full: Profiled(extended, image) for full in (False, True)}
    run = sides[True].call.run
    growths_ns: list[float] = []
    plain_ns: list[float] = []
    raw_ns: list[float] = []
    start = perf_counter_ns()
    while len(raw_ns) < FEWEST or (
        not known(growths_ns) and (perf_counter_ns() - start) / 1e9 < ROUNDS_S
    ):
        for _ in range(3):
            durations = []
            for full in (False, True, False):
                switch(full=full)
                run()
                durations.append(timed_ns(run))
            plain_ns.append((durations[0] + durations[2]) / 2)
            growths_ns.append(durations[1] - plain_ns[-1])
        raw = {}
        for full, side in sides.items():
            switch(full=full)
            side.windows.add()
            raw[full] = raw_at(names, side)
        raw_ns.append(raw[True] - raw[False])
    latency_ns, grown_ns = median(plain_ns), median(growths_ns)
    with_them = booked_ns(names, sides[True].attribution(latency_ns + grown_ns))
    return {
        "effect_share": grown_ns / latency_ns,
        "grown_us": grown_ns / 1e3,
        "ours_us": (with_them - booked_ns(names, sides[False].attribution(latency_ns))) / 1e3,
        "raw_us": median(raw_ns) / 1e3,
    }


def known(growths_ns: Sequence[float]) -> bool:
    """Whether the interval of their median, at 90 %, reaches no further than so small a share."""
    bounds = median_interval(growths_ns, 0.9)
    return bounds is not None and bounds[1] - bounds[0] <= 2 * SURE * median(growths_ns)


def booked_ns(names: Sequence[str], attribution: Attribution) -> float:
    """What we book to the operators at these places of the model."""
    return sum(
        site.self_ns
        for operator in attribution.operators
        for site in operator.sites
        if site.module in names
    )


def raw_at(names: Sequence[str], side: Profiled) -> float:
    """What torch's profiler books to them, ns."""
    roots = raw_roots(side.call.run)
    return sum(
        duration
        for (_, duration), (_, site) in zip(roots, side.sites, strict=True)
        if site.module in names
    )


def main() -> None:
    torch.set_num_threads(1)
    by_name = {model.name: model for model in REFERENCE_MODELS}
    loops()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    results = {}
    with measuring():
        for name, backend in MODELS:
            torch.manual_seed(0)
            model, image = by_name[name].build().eval(), torch.randn(1, 3, 32, 32)
            with torch.backends.mkldnn.flags(enabled=backend == DEFAULT_BACKEND):
                for what in ADDED:
                    for times in TIMES[backend][name]:
                        label = f"{name}, {backend}: {PLACES * times} x {what}"
                        if wanted not in label:
                            continue
                        print(f"  {label}", file=sys.stderr, flush=True)
                        results[label] = compared(model, image, what, times)
    report(results)


if __name__ == "__main__":
    main()
