"""MACs of backward passes, against closed forms and against the operators of the profiler."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from pytest_hiddencost.measure.macs.counting import MacCount, count_macs
from tests.measure.macs.closed_forms import recurrent
from tests.measure.macs.test_counting import (
    Run,
    convolutions,
    in_plain_kernels,
    matched,
    shown_by_the_profiler,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch, about deprecations

GROUPED = 2 * 49 * 8 * 2 * 9  # 2 images of 7 by 7 positions, 4 channels to 8 in 2 groups, 3 by 3


def counted(run: Run) -> MacCount:
    with torch.enable_grad():
        return count_macs(run)


def step(function: Callable[..., torch.Tensor], *shapes: tuple[int, ...]) -> Run:
    """Return a forward and backward pass of ``function`` on inputs that need gradients."""
    inputs = [torch.randn(shape, requires_grad=True) for shape in shapes]
    return lambda: function(*inputs).sum().backward()


def first(layer: nn.Module) -> Callable[..., torch.Tensor]:
    """Return the first output of a layer that returns several."""

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = layer(*inputs)[0]
        return found

    return run


def penalty(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the squared gradient of a convolution, for a second backward pass."""
    loss = F.conv2d(x, weight, groups=2).pow(2).sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    return gradient.pow(2)


SCORES = 2 * 4 * 5 * 7  # pairs of query and key: 2 sequences, 4 heads, 5 queries, 7 keys
ATTENTION = [(2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)]

# A product costs one product forward, and one for the gradient of each of its operands.
STEPS: dict[str, tuple[Callable[[], Run], int]] = {
    "linear": (lambda: step(nn.Linear(8, 5), (2, 3, 8)), 3 * 6 * 8 * 5),
    "matmul": (lambda: step(torch.matmul, (2, 1, 4, 8), (3, 8, 5)), 3 * 24 * 8 * 5),
    "baddbmm": (lambda: step(torch.baddbmm, (3, 5), (2, 3, 8), (2, 8, 5)), 3 * 6 * 8 * 5),
    # Outer products and products with a number do not sum.
    "matrix by vector": (lambda: step(torch.mv, (3, 8), (8,)), 2 * 3 * 8),
    "dot": (lambda: step(torch.dot, (8,), (8,)), 8),
    "einsum": (
        lambda: step(lambda a, b: torch.einsum("bhqd,bhkd->bhqk", a, b), *ATTENTION[:2]),
        3 * SCORES * 8,
    ),
    # Forward, and for the gradient of input2: weight by input1, then by the other one.
    "bilinear": (
        lambda: step(nn.Bilinear(7, 9, 3), (4, 7), (4, 9)),
        4 * 3 * 9 * (2 * (7 + 1) + 2 * 7),
    ),
    "conv1d": (lambda: step(nn.Conv1d(4, 6, 3), (2, 4, 9)), 3 * 2 * 7 * 6 * 4 * 3),
    "conv2d": (lambda: step(nn.Conv2d(4, 6, 3), (2, 4, 9, 9)), 3 * 2 * 49 * 6 * 4 * 9),
    "conv2d, unbatched": (lambda: step(nn.Conv2d(4, 6, 3), (4, 9, 9)), 3 * 49 * 6 * 4 * 9),
    "conv2d grouped": (lambda: step(nn.Conv2d(4, 8, 3, groups=2), (2, 4, 9, 9)), 3 * GROUPED),
    "conv2d depthwise": (
        lambda: step(nn.Conv2d(8, 8, 3, groups=8), (2, 8, 9, 9)),
        3 * 2 * 49 * 8 * 9,
    ),
    "conv2d depthwise, strided and dilated": (
        lambda: step(nn.Conv2d(8, 16, 3, stride=2, dilation=2, groups=8), (2, 8, 9, 9)),
        3 * 2 * 9 * 16 * 9,
    ),
    "conv3d grouped": (
        lambda: step(nn.Conv3d(4, 6, 3, groups=2), (2, 4, 5, 5, 5)),
        3 * 2 * 27 * 6 * 2 * 27,
    ),
    "conv_transpose2d": (
        lambda: step(nn.ConvTranspose2d(4, 6, 3, stride=2), (2, 4, 9, 9)),
        3 * 2 * 81 * 4 * 6 * 9,
    ),
    "conv_transpose2d grouped": (
        lambda: step(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (2, 4, 9, 9)),
        3 * 2 * 81 * 4 * 3 * 9,
    ),
    "conv_transpose1d depthwise": (
        lambda: step(nn.ConvTranspose1d(4, 4, 3, groups=4), (2, 4, 9)),
        3 * 2 * 9 * 4 * 3,
    ),
    "conv_tbc": (
        lambda: step(torch.conv_tbc, (5, 2, 4), (3, 4, 6), (6,)),
        3 * (3 * 2 * 3 * 4 * 6),
    ),
    # Convolution, its gradient, and for each of the two: the gradients of both operands.
    "conv2d grouped, twice differentiated": (
        lambda: step(penalty, (2, 4, 9, 9), (8, 2, 3, 3)),
        6 * GROUPED,
    ),
    # The fused kernel computes the scores again: 5 products after the forward's 2.
    "attention": (
        lambda: step(F.scaled_dot_product_attention, *ATTENTION),
        SCORES * (2 + 5) * 8,
    ),
    "attention, step by step": (
        lambda: step(F.scaled_dot_product_attention, *ATTENTION[:2], (2, 4, 7, 12)),
        3 * SCORES * (8 + 12),
    ),
    "lstm": (lambda: step(first(nn.LSTM(8, 6)), (5, 2, 8)), 3 * recurrent(4, 10)),
    "lstm, deep": (
        lambda: step(first(nn.LSTM(8, 6, num_layers=2, bidirectional=True)), (5, 2, 8)),
        3 * recurrent(4, 10, layers=2, directions=2),
    ),
    # The first state is zero and needs no gradient: one product of 2 sequences less.
    "gru": (
        lambda: step(first(nn.GRU(8, 6)), (5, 2, 8)),
        3 * recurrent(3, 10) - 2 * 3 * 6 * 6,
    ),
    "lstm cell": (
        lambda: step(first(nn.LSTMCell(8, 6)), (2, 8)),
        3 * recurrent(4, 2) - 2 * 4 * 6 * 6,
    ),
}
STEPS |= {
    f"{name}, without oneDNN": (in_plain_kernels(build), expected)
    for name, (build, expected) in STEPS.items()
    if name.startswith("conv")
}


@pytest.mark.parametrize("name", STEPS)
def test_a_training_step_follows_the_closed_form(name: str) -> None:
    build, expected = STEPS[name]
    count = counted(build())
    assert count.macs == expected
    assert count.unformulated == ()


@pytest.mark.parametrize("name", STEPS)
def test_the_profiler_shows_the_counted_operators_of_a_training_step(name: str) -> None:
    run = STEPS[name][0]()
    run()
    calls = counted(run).calls
    assert matched(calls, shown_by_the_profiler(run)) == (len(calls), [])


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.booleans(), *[st.booleans()] * 2)
def test_each_gradient_of_any_convolution_costs_as_much_as_the_convolution(
    convolution: tuple[nn.Module, tuple[int, ...], int], onednn: bool, of_x: bool, of_weight: bool
) -> None:
    layer, shape, forward = convolution
    layer.weight.requires_grad_(of_weight)
    x = torch.randn(shape, requires_grad=of_x)
    with torch.backends.mkldnn.flags(enabled=onednn):
        output = layer(x)
        if not output.requires_grad:  # without bias and other parameters
            return
        gradients = counted(output.sum().backward).macs
    assert gradients == (of_x + of_weight) * forward


def test_a_bias_has_a_gradient_without_macs() -> None:
    layer = nn.Conv2d(4, 8, 3, groups=2)
    layer.weight.requires_grad_(False)
    output = layer(torch.randn(2, 4, 9, 9))
    assert counted(output.sum().backward).macs == 0


@pytest.mark.parametrize("groups", [2, 4])
def test_gradients_of_each_sample_cost_as_much_as_those_of_the_batch(groups: int) -> None:
    weight, batch = torch.randn(8, 4 // groups, 3, 3), torch.randn(5, 4, 9, 9)

    def loss(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x[None], weight, groups=groups).sum()

    of_each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))
    forward = 5 * 49 * prod(weight.shape)
    assert counted(lambda: of_each(weight, batch)).macs == 2 * forward


@pytest.mark.parametrize("name", ["linear", "matmul", "conv1d", "conv2d", "conv_transpose2d"])
def test_torch_counts_twice_as_many_flops_of_a_training_step(name: str) -> None:
    build, expected = STEPS[name]
    with FlopCounterMode(display=False) as flops:
        build()()
    assert flops.get_total_flops() == 2 * expected


def test_a_linear_layer_and_a_convolution_of_complex_numbers_cost_the_same() -> None:
    pixels = torch.randn(2, 4, 3, 3, dtype=torch.complex64)
    rows = pixels.permute(0, 2, 3, 1).reshape(18, 4)
    linear = nn.Linear(4, 6, dtype=torch.complex64)
    layers: list[tuple[Callable[..., torch.Tensor], torch.Tensor]] = [
        (linear, rows),
        (lambda x: torch.einsum("bi,oi->bo", x, linear.weight), rows),
        (nn.Conv1d(4, 6, 1, dtype=torch.complex64), pixels.flatten(2)),
        (nn.Conv2d(4, 6, 1, dtype=torch.complex64), pixels),
        (nn.ConvTranspose2d(4, 6, 1, dtype=torch.complex64), pixels),
    ]
    once = 3 * 18 * 4 * 6  # a complex product is three real ones
    for layer, x in layers:
        x = x.clone().requires_grad_()
        for mode in (torch.inference_mode, torch.no_grad):
            with mode():
                assert count_macs(lambda: layer(x)).macs == once  # noqa: B023
        assert counted(lambda: torch.view_as_real(layer(x)).sum().backward()).macs == 3 * once  # noqa: B023
