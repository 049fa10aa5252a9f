"""Quantized models: MACs of the float model, kernels by name, conversions as data movement."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.measure.deployed.models import (
    Deployable,
    all_models,
    deployable,
    each_model,
    measured,
    unclassified,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
ENGINES = [name for name in torch.backends.quantized.supported_engines if name != "none"]


@all_models
@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16], ids=str)
def test_dynamic_quantization_keeps_the_macs(name: str, dtype: torch.dtype) -> None:
    given = deployable(name)
    model = torch.ao.quantization.quantize_dynamic(given.model, {nn.Linear, nn.LSTM}, dtype=dtype)
    found = measured(model, given.x)
    assert (found.macs, found.uncosted) == (given.macs, ())
    assert unclassified(found) == []


def static(given: Deployable, engine: str) -> Callable[..., object]:
    from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx

    mapping = get_default_qconfig_mapping(engine)
    prepared = quantize_fx.prepare_fx(given.model, mapping, (given.x,))
    prepared(given.x)
    converted: Callable[..., object] = quantize_fx.convert_fx(prepared)
    return converted


@each_model
@pytest.mark.parametrize("engine", ENGINES)
def test_static_quantization_keeps_the_macs(
    name: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.quantized, "engine", engine)
    given = deployable(name)
    macs = given.macs
    found = measured(static(given, engine), given.x)
    assert (found.macs, found.uncosted) == (macs, ())
    assert unclassified(found) == []


def pt2e(given: Deployable) -> nn.Module:
    """Return the exported model, quantized, in eval mode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchao.quantization.pt2e import move_exported_model_to_eval
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
            X86InductorQuantizer,
            get_default_x86_inductor_quantization_config,
        )

    quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(given.model, (given.x,)).module(), quantizer)
    prepared(given.x)
    converted: nn.Module = convert_pt2e(prepared)
    move_exported_model_to_eval(converted)
    return converted


@each_model
def test_quantization_of_an_exported_model_keeps_the_macs(name: str) -> None:
    given = deployable(name)
    found = measured(pt2e(given), given.x)
    assert (found.macs, found.uncosted, found.notes) == (given.macs, (), ())
    assert unclassified(found) == []
    conversions = [cost for cost in found.operators if "quantize_per" in cost.name]
    assert {cost.group for cost in conversions} == {"data_movement"}


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@each_model
def test_a_compiled_quantized_model_keeps_the_macs(name: str) -> None:
    given = deployable(name)
    torch._dynamo.reset()
    with torch._inductor.config.patch(freezing=True):  # as an option, it comes too late
        found = measured(torch.compile(pt2e(given)), given.x)
    assert (found.macs, found.uncosted) == (given.macs, ())
    # torch 2.13 adds the result of the block to its input in place: a note tells that.
    assert not any("training mode" in note for note in found.notes)
    assert unclassified(found) == []
    kernels = [cost for cost in found.operators if cost.name.startswith("onednn::q")]
    assert kernels
    assert {cost.group for cost in kernels} == {"mac"}
