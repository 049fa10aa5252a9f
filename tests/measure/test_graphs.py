"""Kernels that a graph hides from the dispatcher and the profiler."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from pytest_hiddencost import Sampling, latency_budget, profile
from pytest_hiddencost.core.checks import INCONCLUSIVE
from pytest_hiddencost.judge.budgets import check
from pytest_hiddencost.measure.graphs import fused_kernels


def test_macs_of_a_model_optimised_for_inference_are_inconclusive() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = torch.jit.optimize_for_inference(torch.jit.script(net))
    found = profile(model, torch.ones(1, 3, 8, 8), sampling=Sampling(1_000_000))
    assert found.macs == 144 * 2  # without those of the fused convolution
    assert found.uncosted == ("prim::mkldnn_convolution",)
    for verdict in check(found, latency_budget(macs="100 kMAC")):
        assert verdict.verdict == INCONCLUSIVE
        assert "no formula for prim::mkldnn_convolution" in verdict.reason


def test_a_script_module_without_fused_kernels_has_none() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = torch.jit.script(nn.Linear(2, 2))
        empty = torch.jit.script(nn.ModuleList([nn.ReLU()]))
    model(torch.ones(1, 2))
    assert fused_kernels([model, empty, nn.Linear(2, 2)]) == ()
