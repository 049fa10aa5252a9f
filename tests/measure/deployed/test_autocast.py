"""Lower precision changes no MACs; the casts are data movement."""

from __future__ import annotations

import pytest
import torch

from tests.measure.deployed.models import all_models, deployable, measured, unclassified

each_dtype = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)


@pytest.mark.parametrize("name", ["residual", "attention", "perceptron"])  # oneDNN may lack LSTMs
@each_dtype
def test_autocast_changes_no_macs(name: str, dtype: torch.dtype) -> None:
    given = deployable(name)

    def cast(x: torch.Tensor) -> object:
        with torch.autocast("cpu", dtype):
            return given.model(x)

    found = measured(cast, given.x)
    assert (found.macs, found.uncosted) == (given.macs, ())
    assert unclassified(found) == []
    assert found.operator("aten::copy_").group == "data_movement"


@all_models
@each_dtype
def test_a_model_of_lower_precision_has_the_same_macs(name: str, dtype: torch.dtype) -> None:
    given, macs = deployable(name), deployable(name).macs
    found = measured(given.model.to(dtype), given.x.to(dtype))
    assert (found.macs, found.uncosted) == (macs, ())
    assert unclassified(found) == []
