"""By ablation: operators added to a model, the growth of its latency and what is booked to them."""

from __future__ import annotations

import copy
import sys
from statistics import median
from time import perf_counter_ns

import torch
from common import CPU, Profiled, measuring, raw_roots, report, timed_ns
from torch import nn

from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.study.models import REFERENCE_MODELS
from pytest_hiddencost.study.results import DEFAULT_BACKEND, ONEDNN_OFF

ROUNDS_S = 12.0
FEWEST, MOST = 9, 61
PLACES = 5  # in the model
MODELS = (("MobileNet", DEFAULT_BACKEND), ("ResNet50", DEFAULT_BACKEND), ("MobileNet", ONEDNN_OFF))

TIMES = {  # at each place
    DEFAULT_BACKEND: {"MobileNet": (2, 8), "ResNet50": (10, 30)},
    ONEDNN_OFF: {"MobileNet": (10, 30)},
}
# 256 KiB, along the last dimension: enough to do for Python's part in calling an operator, which is
# no operator's time, to be small, and not so much that the model's own data leaves the caches.
CHANNELS, SIDE = 64, 32


class Copy(nn.Module):
    """What a stray ``.contiguous()`` does."""

    def __init__(self) -> None:
        super().__init__()
        self.source = torch.randn(1, CHANNELS, SIDE, SIDE).transpose(2, 3)
        # Into a result that is there: large ones are given back to the system, by no operator.
        self.result = torch.empty(1, CHANNELS, SIDE, SIDE)

    def run(self) -> None:
        """Once."""
        self.result.copy_(self.source)


class Cat(nn.Module):
    """A needless concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = torch.randn(2, 1, CHANNELS, SIDE, SIDE // 2).unbind()
        self.result = torch.empty(1, CHANNELS, SIDE, SIDE)

    def run(self) -> None:
        """Once."""
        torch.cat(self.parts, 3, out=self.result)


class NarrowAndAdd(nn.Module):
    """The sum of two parts of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = torch.randn(1, CHANNELS, SIDE, 2 * SIDE)
        self.result = torch.empty(1, CHANNELS, SIDE, SIDE)

    def run(self) -> None:
        """Once."""
        whole = self.whole
        first, second = whole.narrow(3, 0, SIDE), whole.narrow(3, SIDE, SIDE)
        torch.add(first, second, out=self.result)


ADDED: dict[str, type[Copy | Cat | NarrowAndAdd]] = {
    "copy": Copy,
    "cat": Cat,
    "narrow + add": NarrowAndAdd,
}


class Also(nn.Module):
    """A layer, and something besides that changes nothing."""

    def __init__(self, layer: nn.Module, added: Copy | Cat | NarrowAndAdd, times: int) -> None:
        super().__init__()
        self.layer, self.run, self.times = layer, added.run, times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(x)
        run = self.run
        for _ in range(self.times):
            run()
        return result


def compared(model: nn.Module, image: torch.Tensor, what: str, times: int) -> dict[str, float]:
    """Growth of the plain latency, of what we book to the operators, and of what torch reports."""
    names = [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)][:PLACES]
    extended = copy.deepcopy(model)
    for name in names:
        extended.set_submodule(name, Also(extended.get_submodule(name), ADDED[what](), times))
    before, after = Call(model, (image,), {}, CPU).run, Profiled(extended, image)
    run = after.call.run
    growths_ns: list[float] = []
    plain_ns: list[float] = []
    raw_ns: list[int] = []
    start = perf_counter_ns()
    while len(raw_ns) < FEWEST or (
        len(raw_ns) < MOST and (perf_counter_ns() - start) / 1e9 < ROUNDS_S
    ):
        for _ in range(3):
            before()
            first_ns = timed_ns(before)
            run()
            extended_ns = timed_ns(run)
            before()
            plain_ns.append((first_ns + timed_ns(before)) / 2)
            growths_ns.append(extended_ns - plain_ns[-1])
        after.windows.add()
        roots = raw_roots(run)
        raw_ns.append(
            sum(
                duration
                for (_, duration), (_, site) in zip(roots, after.sites, strict=True)
                if site.module in names
            )
        )
    latency_ns, grown_ns = median(plain_ns), median(growths_ns)
    attribution = after.attribution(latency_ns + grown_ns)
    ours_ns = sum(
        site.self_ns
        for operator in attribution.operators
        for site in operator.sites
        if site.module in names
    )
    return {
        "effect_share": grown_ns / latency_ns,
        "grown_us": grown_ns / 1e3,
        "ours_us": ours_ns / 1e3,
        "raw_us": median(raw_ns) / 1e3,
    }


def main() -> None:
    by_name = {model.name: model for model in REFERENCE_MODELS}
    results = {}
    with measuring():
        for name, backend in MODELS:
            torch.manual_seed(0)
            model, image = by_name[name].build().eval(), torch.randn(1, 3, 32, 32)
            with torch.backends.mkldnn.flags(enabled=backend == DEFAULT_BACKEND):
                for what in ADDED:
                    for times in TIMES[backend][name]:
                        label = f"{name}, {backend}: {PLACES * times} x {what}"
                        print(f"  {label}", file=sys.stderr, flush=True)
                        results[label] = compared(model, image, what, times)
    report(results)


if __name__ == "__main__":
    main()
