"""Convolutions against a clock: time in every convolution of the reference models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter_ns
from typing import Any

import torch
import torch.nn.functional as F
from common import Profiled, measuring, raw_roots, reference_models, report, timed_ns
from torch import nn

ROUNDS_S = 4.0
FEWEST, MOST = 7, 31
convolve: Callable[..., torch.Tensor] = torch.conv2d
nothing: Callable[[torch.Tensor], torch.Tensor] = torch.resolve_conj


class Clock:
    """Timestamps around each convolution of a call, less what taking them costs there.

    That is what they say, in calls of their own, of an operator that does nothing, called from
    Python in the same place: Python's way into torch is no part of the operator.
    """

    def __init__(self) -> None:
        self._durations_ns: list[int] = []

    def convolutions_ns(self, call: Callable[[], object]) -> list[int]:
        """Run once with the clock around each convolution, in their order."""
        return self._run(call, self._timed)

    def own_ns(self, call: Callable[[], object]) -> list[int]:
        """Run once with the clock around nothing, before each convolution."""
        return self._run(call, self._nothing_timed)

    def _run(self, call: Callable[[], object], conv2d: Callable[..., torch.Tensor]) -> list[int]:
        self._durations_ns = []
        F.conv2d = conv2d
        try:
            call()
        finally:
            F.conv2d = convolve
        return self._durations_ns

    def _timed(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start = perf_counter_ns()
        result = convolve(*args, **kwargs)
        self._durations_ns.append(perf_counter_ns() - start)
        return result

    def _nothing_timed(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start = perf_counter_ns()
        nothing(args[0])
        self._durations_ns.append(perf_counter_ns() - start)
        return convolve(*args, **kwargs)


def compared(model: nn.Module, image: torch.Tensor) -> dict[str, float]:
    """Errors of ours and of the raw profiler's times, in percent of the clock's."""
    ours = Profiled(model, image)
    clock = Clock()
    run = ours.call.run
    run()
    clocked: list[list[float]] = []
    own: list[list[float]] = []
    raw: list[list[float]] = []
    start = perf_counter_ns()
    while len(clocked) < FEWEST or (
        len(clocked) < MOST and (perf_counter_ns() - start) / 1e9 < ROUNDS_S
    ):
        # In shares of a plain call next to it: this machine's speed changes all the time.
        run()
        plain_ns = timed_ns(run)
        clocked.append([ns / plain_ns for ns in clock.convolutions_ns(run)])
        own.append([ns / plain_ns for ns in clock.own_ns(run)])
        ours.windows.add()
        run()
        plain_ns = timed_ns(run)
        raw.append([ns / plain_ns for name, ns in raw_roots(run) if name == "aten::conv2d"])
    modules = [site.module for name, site in ours.sites if name == "aten::conv2d"]
    overhead = by_module(modules, own)
    truth = {m: share - overhead[m] for m, share in by_module(modules, clocked).items()}
    attribution = ours.attribution(1.0)
    mine = dict.fromkeys(truth, 0.0)
    for operator in attribution.operators:
        for site in operator.sites:
            if site.module in mine:
                mine[site.module] += site.self_ns
    latency_ns = median(w.plain_ns for w in ours.windows.kept)
    whole = median(map(sum, clocked)) - median(map(sum, own))
    conv2d = next(c for c in attribution.composites if c.name == "aten::conv2d")
    found = {
        "clock_ms": whole * latency_ns / 1e6,
        "clock_own_us": median(map(sum, own)) * latency_ns / 1e3 / len(modules),
        "ours_sum_error": 100 * (conv2d.total_ns / whole - 1),
        "raw_sum_error": 100 * (median(map(sum, raw)) / whole - 1),
    }
    for name, shares in (("ours", mine), ("raw", by_module(modules, raw))):
        errors = [abs(shares[module] / truth[module] - 1) for module in truth]
        found[f"{name}_median_error"] = 100 * median(errors)
    return found


def by_module(modules: Sequence[str], rounds: Sequence[Sequence[float]]) -> dict[str, float]:
    """The median share of each module's calls, added up."""
    totals: dict[str, float] = {}
    for module, shares in zip(modules, zip(*rounds, strict=True), strict=True):
        totals[module] = totals.get(module, 0.0) + median(shares)
    return totals


def main() -> None:
    with measuring():
        report({label: compared(model, image) for label, model, image in reference_models()})


if __name__ == "__main__":
    main()
