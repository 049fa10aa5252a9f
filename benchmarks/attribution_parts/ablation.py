"""By ablation: operators added to a model, the growth of its latency and what is booked to them."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter_ns

import torch
from common import CPU, Profiled, measuring, raw_roots, report, timed_ns
from torch import nn

from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.study.models import REFERENCE_MODELS
from pytest_hiddencost.study.results import DEFAULT_BACKEND, ONEDNN_OFF

ROUNDS_S = 8.0
FEWEST, MOST = 9, 61
PLACES = 5  # in the model
MODELS = (("MobileNet", DEFAULT_BACKEND), ("ResNet50", DEFAULT_BACKEND), ("MobileNet", ONEDNN_OFF))

TIMES = {"MobileNet": (2, 8), "ResNet50": (8, 24)}  # at each place

Added = Callable[[torch.Tensor], object]


def copy_transposed(x: torch.Tensor) -> None:
    """What a stray ``.contiguous()`` costs."""
    x.transpose(2, 3).contiguous()


def cat(x: torch.Tensor) -> None:
    """What a needless concatenation costs."""
    torch.cat((x, x), 1)


def narrow_and_add(x: torch.Tensor) -> None:
    """What the sum of two parts costs."""
    half = x.shape[1] // 2
    torch.add(x.narrow(1, 0, half), x.narrow(1, half, half))


class Also(nn.Module):
    """A layer, and something besides that changes nothing.

    It works on a tensor large enough for Python's part to be small: that is no operator's time.
    """

    def __init__(self, layer: nn.Module, added: Added, times: int) -> None:
        super().__init__()
        self.layer, self.added, self.times = layer, added, times
        self.besides = torch.randn(1, 64, 64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(x)
        for _ in range(self.times):
            self.added(self.besides)
        return result


def compared(model: nn.Module, image: torch.Tensor, added: Added, times: int) -> dict[str, float]:
    """Growth of the plain latency, of what we book to the operators, and of what torch reports."""
    names = [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)][:PLACES]
    extended = copy.deepcopy(model)
    for name in names:
        extended.set_submodule(name, Also(extended.get_submodule(name), added, times))
    before, after = Call(model, (image,), {}, CPU).run, Profiled(extended, image)
    run = after.call.run
    growths_ns: list[int] = []
    plain_ns: list[int] = []
    raw_ns: list[int] = []
    start = perf_counter_ns()
    while len(raw_ns) < FEWEST or (
        len(raw_ns) < MOST and (perf_counter_ns() - start) / 1e9 < ROUNDS_S
    ):
        for _ in range(3):
            before()
            plain_ns.append(timed_ns(before))
            run()
            growths_ns.append(timed_ns(run) - plain_ns[-1])
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
                for added in (copy_transposed, cat, narrow_and_add):
                    for times in TIMES[name]:
                        label = f"{name}, {backend}: {PLACES * times} x {added.__name__}"
                        print(f"  {label}", file=sys.stderr, flush=True)
                        results[label] = compared(model, image, added, times)
    report(results)


if __name__ == "__main__":
    main()
