"""MACs of torchvision's models against those that torchvision publishes, beside other counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import torch

from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.log import Line
from benchmarks.lib.tables import NOTHING, Table
from pytest_hiddencost.measure.macs.counting import count_macs

MOST_GMACS = 12.0
ALLOWED_SHARE, ALLOWED_MACS = 0.01, 500_000  # published figures are rounded to 1 MMAC
SHORT = ("mobilenet_v3_small", "squeezenet1_1", "quantized_shufflenet_v2_x0_5")

Counter = Callable[[torch.nn.Module, torch.Tensor], int]


def by_us(network: torch.nn.Module, image: torch.Tensor) -> int:
    """Return the count of this package."""
    return count_macs(lambda: network(image)).macs


def by_fvcore(network: torch.nn.Module, image: torch.Tensor) -> int:
    """Return the count of fvcore, which calls one multiply-accumulate a flop."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(network, image)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(analysis.total())


def by_torch(network: torch.nn.Module, image: torch.Tensor) -> int:
    """Return half the count of torch, which counts two flops per multiply-accumulate."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(image)
    return int(counter.get_total_flops()) // 2


def by_thop(network: torch.nn.Module, image: torch.Tensor) -> int:
    """Return the count of thop."""
    import thop

    return int(thop.profile(network, inputs=(image,), verbose=False)[0])


# thop comes last, because it leaves attributes on the model.
OTHERS: dict[str, Counter] = {"fvcore": by_fvcore, "torch": by_torch, "thop": by_thop}


def published() -> dict[str, Any]:
    """Return the weights of each classification model, quantized ones included, by its name."""
    from torchvision import models

    found = {}
    for module in (models, models.quantization):
        for name in models.list_models(module=module):
            weights = models.get_model_weights(name)
            fitting = [w for w in weights if w.meta["_ops"] <= MOST_GMACS]
            found.update({name: fitting[0]} if fitting else {})
    return found


def built(model: str, weights: Any) -> torch.nn.Module:
    """Build a model with random parameters; quantize it if its weights are quantized."""
    from torchvision import models

    options = {}
    if "backend" in weights.meta:
        torch.backends.quantized.engine = weights.meta["backend"]
        options = {"quantize": True}
    network: torch.nn.Module = models.get_model(model, weights=None, **options)
    return network.eval()


def measure(model: str) -> dict[str, Any]:
    """Count the MACs of one image through a model by every counter; None if one cannot."""
    weights = published()[model]
    [side] = weights.transforms().crop_size
    network, image = built(model, weights), torch.randn(1, 3, side, side)
    with torch.no_grad():
        ours = by_us(network, image)
        others = {name: _or_none(count, network, image) for name, count in OTHERS.items()}
    return {
        "published": round(weights.meta["_ops"] * 1e9),
        "torchvision": version("torchvision"),
        "side": side,
        "ours": ours,
        **others,
    }


def _or_none(count: Counter, network: torch.nn.Module, image: torch.Tensor) -> int | None:
    try:
        return count(network, image)
    except Exception:  # fvcore cannot trace quantized models
        return None


def run(measuring: Measuring) -> None:
    """Count each model once, in a process of its own."""
    models = SHORT if measuring.short else published()
    measuring.in_fresh_processes(measure, [{"model": model} for model in models])


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the counts by model, as differences from the published one."""
    headers = [
        "model", "pixels", "published, MMAC", "ours, MMAC", "ours", "met", *OTHERS,
    ]  # fmt: skip
    rows = [_row(line) for line in lines]
    yield Table("MACs of one image", headers, rows, lines, _note(lines))


def _row(line: Line) -> list[str]:
    figures = line.figures
    return [
        line.case["model"],
        f"{figures['side']} x {figures['side']}",
        f"{figures['published'] / 1e6:.0f}",
        f"{figures['ours'] / 1e6:.2f}",
        _difference(figures, "ours"),
        "yes" if _met(figures, "ours") else "no",
        *(_difference(figures, name) for name in OTHERS),
    ]


def _difference(figures: Any, name: str) -> str:
    if figures[name] is None:
        return NOTHING
    return f"{100 * (figures[name] / figures['published'] - 1):+.2f} %"


def _met(figures: Any, name: str) -> bool:
    published, counted = figures["published"], figures[name]
    allowed = max(ALLOWED_SHARE * published, ALLOWED_MACS)
    return counted is not None and abs(counted - published) <= allowed


def _note(lines: Sequence[Line]) -> str:
    """Return how many models each counter meets, and those that we miss."""
    names = {"ours": "this package", **{name: name for name in OTHERS}}
    met = {words: sum(_met(line.figures, name) for line in lines) for name, words in names.items()}
    missed = [line.case["model"] for line in lines if not _met(line.figures, "ours")]
    versions = ", ".join(sorted({line.figures["torchvision"] for line in lines}))
    return (
        f"Differences from the MACs in the weights of torchvision {versions}. A counter meets a "
        f"model within {100 * ALLOWED_SHARE:g} % or {ALLOWED_MACS / 1e6:g} MMAC. "
        f"Models met, of {len(lines)}: "
        + ", ".join(f"{words} {count}" for words, count in met.items())
        + f". This package misses: {', '.join(missed) or 'none'}."
    )


BENCHMARK = Benchmark(run=run, tables=tables, processes=(1, 1), threads=1)
