"""Profiles of every reference model on every convolution backend of this device."""

from __future__ import annotations

import pytest
import torch

from pytest_hiddencost.run.fixture import HiddenCost
from pytest_hiddencost.study.models import REFERENCE_MODELS, ReferenceModel
from pytest_hiddencost.study.results import BACKENDS, ONEDNN_OFF, label_of


@pytest.mark.parametrize("model", REFERENCE_MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("backend", BACKENDS)
def test_reference_model(
    hiddencost: HiddenCost, hiddencost_device: torch.device, model: ReferenceModel, backend: str
) -> None:
    """The measured model has exactly the parameters and MACs of the papers' model."""
    onednn = torch.backends.mkldnn
    if backend == ONEDNN_OFF and (hiddencost_device.type != "cpu" or not onednn.is_available()):
        pytest.skip("oneDNN runs no convolutions on this device: only the default backend exists")

    torch.manual_seed(0)
    network = model.build().eval().to(hiddencost_device)
    image = torch.randn(1, 3, 32, 32, device=hiddencost_device)
    previous = onednn.set_flags(False) if backend == ONEDNN_OFF else None
    try:
        profile = hiddencost(network, image, label=label_of(model, backend))
    finally:
        if previous is not None:
            onednn.set_flags(previous[0])
    assert profile.parameters == model.parameters
    assert profile.macs == model.operator_macs
    assert profile.thop_macs in (model.thop_macs, None), profile.thop_note
