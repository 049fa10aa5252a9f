"""Latency on an accelerator: whole calls, by the host's clock, as the device's events confirm."""

from __future__ import annotations

from statistics import median

import pytest
import torch

from tests.accelerator.models import SMALL_NET_MACS, OneLarge, many_small, measured, small_net

pytestmark = pytest.mark.xdist_group("clock")


def events_ns(model: OneLarge, calls: int = 20) -> float:
    """Return the median time of a call in ns, by events on the device."""
    found: list[float] = []
    for _ in range(calls):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        model()
        after.record()
        after.synchronize()
        found.append(before.elapsed_time(after) * 1e6)
    return median(found)


def test_a_call_ends_when_the_device_has_finished(cuda: torch.device) -> None:
    model = OneLarge(cuda)
    latency_ns = measured(model).latency.median_ns
    assert latency_ns == pytest.approx(events_ns(model), rel=0.2)


def test_every_sample_waits_for_the_device(cuda: torch.device) -> None:
    model = OneLarge(cuda)
    result = measured(model)
    assert result.latency.min_ns > 0.5 * events_ns(model)


def test_a_model_is_measured_on_its_accelerator(accelerator: torch.device) -> None:
    result = measured(small_net().to(accelerator), torch.ones(1, 3, 32, 32, device=accelerator))
    assert torch.device(result.device).type == accelerator.type
    assert result.macs == SMALL_NET_MACS
    assert result.latency.median_ns > 0
    assert result.reference.mean_ns > 0


def test_the_model_is_left_as_it_was(accelerator: torch.device) -> None:
    model = small_net().train().to(accelerator)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measured(model, torch.ones(1, 3, 32, 32, device=accelerator))
    assert model.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_small_kernels_take_longer_than_they_compute(cuda: torch.device) -> None:
    result = measured(many_small, torch.ones(4, device=cuda))
    assert result.operator("aten::neg").self_ns < 0.9 * result.latency.median_ns
