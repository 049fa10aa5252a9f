"""Kernels of CUDA: booked to the operators that launched them, on every stream and in graphs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pytest_hiddencost import Profile
from tests.accelerator.models import SMALL_NET_MACS, OneLarge, many_small, measured, small_net

pytestmark = pytest.mark.xdist_group("clock")


def explained_share(result: Profile) -> float:
    operators_ns = sum(cost.self_ns for cost in result.operators)
    return (operators_ns + result.outside_ns) / result.latency.median_ns


def test_kernels_are_booked_to_their_operators(cuda: torch.device) -> None:
    result = measured(small_net().to(cuda), torch.ones(1, 3, 32, 32, device=cuda))
    launching = {cost.name for cost in result.operators if cost.self_ns > 0}
    assert "aten::cudnn_convolution" in launching
    assert {"aten::clamp_min", "aten::addmm"} <= launching
    assert result.macs == SMALL_NET_MACS
    assert {kind.kind for kind in result.mac_kinds} == {"conv2d 3x3", "linear"}
    assert all(kind.self_ns for kind in result.mac_kinds)
    assert result.uncosted == ()
    assert explained_share(result) == pytest.approx(1.0, abs=0.1)


def test_a_large_product_is_mac_time(cuda: torch.device) -> None:
    result = measured(OneLarge(cuda))
    assert result.macs == OneLarge.SIZE**3
    assert result.non_mac_share < 0.2


def test_kernels_of_a_training_step_are_booked_too(cuda: torch.device) -> None:
    layer = nn.Linear(512, 512).to(cuda)
    x = torch.ones(64, 512, device=cuda)

    def step() -> None:
        layer.zero_grad()
        layer(x).sum().backward()

    result = measured(step, grad_mode="grad")
    assert result.macs == 2 * 64 * 512 * 512  # x needs no gradient
    assert result.mac_ns > 0


class TwoStreams:
    """One product on each of two streams."""

    def __init__(self, device: torch.device) -> None:
        self.matrix = torch.ones(2048, 2048, device=device)
        self.side = torch.cuda.Stream(device)

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        here = torch.cuda.current_stream()
        self.side.wait_stream(here)
        with torch.cuda.stream(self.side):
            first = self.matrix @ self.matrix
        second = self.matrix @ self.matrix
        here.wait_stream(self.side)
        return first, second


def test_kernels_of_several_streams_all_count(cuda: torch.device) -> None:
    result = measured(TwoStreams(cuda))
    assert result.macs == 2 * 2048**3
    assert result.operator("aten::mm").calls == 2
    assert result.operator("aten::mm").self_ns > 0
    assert result.waiting_for_host_ns is not None
    assert result.waiting_for_host_ns < result.latency.median_ns


def captured(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """Return a function that replays ``run``, captured as a graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), torch.inference_mode():
        run()  # warm-up, as torch's documentation asks for
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        output = run()

    def replay() -> torch.Tensor:
        graph.replay()
        return output

    return replay


def test_a_captured_graph_is_one_launch_with_the_time_of_its_kernels(cuda: torch.device) -> None:
    x = torch.ones(4, device=cuda)
    result = measured(captured(lambda: many_small(x)))
    launch = result.operator("runtime::cudaGraphLaunch")
    assert launch.calls == 1
    assert launch.self_ns > 0
    assert result.uncosted == ("runtime::cudaGraphLaunch",)


def test_a_captured_graph_waits_less_for_the_host(cuda: torch.device) -> None:
    x = torch.ones(4, device=cuda)
    eager = measured(lambda: many_small(x)).waiting_for_host_ns
    graph = measured(captured(lambda: many_small(x))).waiting_for_host_ns
    assert eager is not None
    assert graph is not None
    assert graph < 0.5 * eager


def test_many_small_kernels_wait_for_the_host(cuda: torch.device) -> None:
    result = measured(many_small, torch.ones(4, device=cuda))
    assert result.waiting_for_host_ns is not None
    assert result.waiting_for_host_ns > 0.3 * result.latency.median_ns


def test_a_large_kernel_does_not_wait_for_the_host(cuda: torch.device) -> None:
    result = measured(OneLarge(cuda))
    assert result.waiting_for_host_ns is not None
    assert result.waiting_for_host_ns < 0.1 * result.latency.median_ns


@pytest.mark.nightly
def test_kernels_of_triton_are_a_group_with_what_they_fuse(cuda: torch.device) -> None:
    pytest.importorskip("triton")
    model = torch.compile(nn.Sequential(nn.LayerNorm(256), nn.GELU()).to(cuda).eval())
    result = measured(model, torch.ones(512, 256, device=cuda))
    fused = [cost for cost in result.operators if cost.group == "fused"]
    assert fused
    assert sum(cost.self_ns for cost in fused) > 0
