"""Quantized models: MACs of the float model, kernels by name, conversions as data movement."""

from __future__ import annotations

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
