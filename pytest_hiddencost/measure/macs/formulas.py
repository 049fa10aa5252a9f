"""Formulas: the MACs of one call of an operator, from the shapes of its arguments.

A formula counts the multiplications of the dense kernel. Masked and causal attention count as
full attention, a sparse operand counts as dense, and padding counts as data. Bias, scale and
elementwise products do not count. ``torch.utils.flop_counter`` counts in the same way (in FLOPs,
2 per MAC). But it lacks most kernels of CPU inference, and counts the weight gradient of a grouped
convolution as dense.

A backward kernel counts the products of each gradient that it computes. A complex product counts as
``REAL_PRODUCTS`` real ones in every operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch

Arguments = Mapping[str, Any]
"""The arguments of one operator call, by their names in the operator's schema."""

REAL_PRODUCTS = 3
"""Real products of a complex one: torch's complex convolution runs three real convolutions."""

Formula = Callable[[Arguments, Any], tuple[str, int]]
"""Takes the arguments and the result of one call; returns its MAC kind and its MACs."""


def contraction(operand: str, kind: str = "matmul") -> Formula:
    """Formula of a matrix product: each element of the result sums over the last dimension."""

    def formula(arguments: Arguments, result: torch.Tensor) -> tuple[str, int]:
        return kind, prod(result.shape) * arguments[operand].shape[-1]

    return formula


def reduced_batch_product(arguments: Arguments, _result: torch.Tensor) -> tuple[str, int]:
    """MACs of a sum of ``b`` products ``(n, m) @ (m, p)``."""
    return "matmul", prod(arguments["batch1"].shape) * arguments["batch2"].shape[-1]


def two_products(arguments: Arguments, result: torch.Tensor) -> tuple[str, int]:
    """MACs of ``a @ b + c @ d``."""
    return "matmul", prod(result.shape) * (arguments["a"].shape[-1] + arguments["c"].shape[-1])


def grouped_product(arguments: Arguments, _result: torch.Tensor) -> tuple[str, int]:
    """MACs of products of groups of rows, columns or matrices, each with its own matrix."""
    left, right = arguments["self"].shape, arguments["mat2"].shape
    columns_are_grouped = len(left) == 3 and len(right) == 2
    return "matmul", prod(left[1:] if columns_are_grouped else left) * right[-1]


def convolution(source: str = "input", weight: str = "weight", transposed: bool = False) -> Formula:
    """Formula of a convolution: every position of the result uses every weight once.

    In a transposed convolution, every position of the input does.
    """

    def formula(arguments: Arguments, result: torch.Tensor) -> tuple[str, int]:
        x = arguments[source]
        w = _unpacked(arguments[weight if weight in arguments else "weight"])
        is_transposed = arguments.get("transposed", transposed)
        positions = x.shape if is_transposed else result.shape
        channels = (result if is_transposed else x).shape[1]
        groups = arguments.get("groups") or channels // w.shape[1]
        kind = _convolution_kind(x.shape, w.shape, groups, is_transposed)
        return kind, positions[0] * prod(positions[2:]) * prod(w.shape)

    return formula


def _unpacked(weight: Any) -> torch.Tensor:
    """Return the weight of a prepacked parameter (quantized, oneDNN, XNNPACK) as a tensor."""
    while not isinstance(weight, torch.Tensor):
        if hasattr(weight, "unpack"):
            weight = weight.unpack()
        elif not isinstance(weight, (list, tuple)):
            weight = weight.__getstate__()
        weight = weight[0]
    return weight


def _convolution_kind(x: torch.Size, weight: torch.Size, groups: int, transposed: bool) -> str:
    spatial = len(x) - 2
    name = f"conv_transpose{spatial}d" if transposed else f"conv{spatial}d"
    if groups > 1:
        return f"{name} depthwise" if groups == x[1] else f"{name} grouped"
    return f"{name} {'x'.join(map(str, weight[-spatial:]))}"


def convolution_backward(source: str = "input", transposed: bool = False) -> Formula:
    """Formula of a convolution's gradients: each of input and weight costs a convolution."""

    def formula(arguments: Arguments, _result: Any) -> tuple[str, int]:
        is_transposed = arguments.get("transposed", transposed)
        positions = arguments[source if is_transposed else "grad_output"].shape
        once = positions[0] * prod(positions[2:]) * prod(arguments["weight"].shape)
        return "convolution", _products(arguments) * once

    return formula


def linear_backward(arguments: Arguments, _result: Any) -> tuple[str, int]:
    """MACs of the gradients of a linear layer's input and weight."""
    once = prod(arguments["grad_output"].shape) * arguments["weight"].shape[-1]
    return "linear", _products(arguments) * once


def _products(arguments: Arguments) -> int:
    """Return the number of gradients that need a product: those of input and weight."""
    return sum(arguments.get("output_mask", (True, True))[:2])


def time_first_convolution(arguments: Arguments, result: torch.Tensor) -> tuple[str, int]:
    """MACs of ``conv_tbc``: (time, batch, channels) by a weight of (kernel, in, out)."""
    weight = arguments["weight"].shape
    return f"conv1d {weight[0]}", prod(result.shape[:2]) * prod(weight)


def _attention_shapes(arguments: Arguments) -> Iterator[torch.Size]:
    return (arguments[name].shape for name in ("query", "key", "value"))


def attention(arguments: Arguments, _result: Any) -> tuple[str, int]:
    """MACs of attention scores and weighted values of (..., heads, length, features).

    Heads of a group share their keys, which changes no count.
    """
    query, key, value = _attention_shapes(arguments)
    return "attention", prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def packed_attention(arguments: Arguments, _result: Any) -> tuple[str, int]:
    """MACs of attention over (..., length, heads, features), or over packed sequences."""
    query, key, value = _attention_shapes(arguments)
    starts_q = arguments.get("cum_seq_q", arguments.get("cu_seqlens_q"))
    starts_k = arguments.get("cum_seq_k", arguments.get("cu_seqlens_k"))
    if starts_q is None or not starts_q.numel():  # backward kernels may get an empty tensor
        pairs = prod(query[:-2]) * key[-3]
    else:
        pairs = int((starts_q.diff() * starts_k.diff()).sum())
    return "attention", pairs * query[-2] * (query[-1] + value[-1])


def attention_backward(forward: Formula) -> Formula:
    """Formula of an attention kernel's gradients, from the formula of its two products.

    The kernel keeps no scores: it computes them again. The gradients of scores and values need
    one product each with the values' features, those of query and key with the query's.
    """

    def formula(arguments: Arguments, _result: Any) -> tuple[str, int]:
        kind, both = forward(arguments, None)
        features, of_values = (arguments[name].shape[-1] for name in ("query", "value"))
        return kind, both * (3 * features + 2 * of_values) // max(1, features + of_values)

    return formula


def multi_head_attention(arguments: Arguments, _result: Any) -> tuple[str, int]:
    """MACs of multi-head attention with its four projections."""
    return "attention", _multi_head_macs(*_attention_shapes(arguments))


def encoder_layer(arguments: Arguments, _result: torch.Tensor) -> tuple[str, int]:
    """MACs of multi-head self-attention and of the two products of the feed-forward block."""
    source = arguments["src"].shape
    weights = prod(arguments["ffn_weight_1"].shape) + prod(arguments["ffn_weight_2"].shape)
    return "attention", _multi_head_macs(source, source, source) + prod(source[:-1]) * weights


def _multi_head_macs(query: torch.Size, key: torch.Size, value: torch.Size) -> int:
    features = query[-1]
    projected = 2 * prod(query) + prod(key) + prod(value)
    return features * (projected + 2 * prod(query[:-1]) * key[-2])


def recurrent_layers(*weights: str) -> Formula:
    """Formula of recurrent layers: every step of every sequence uses every weight once."""

    def formula(arguments: Arguments, _result: Any) -> tuple[str, int]:
        steps = prod(arguments["input"].shape[:-1])
        tensors = (tensor for name in weights for tensor in _as_list(arguments[name]))
        return "rnn", steps * sum(prod(t.shape) for t in tensors if t.dim() > 1)

    return formula


def recurrent_backward(*weights: str) -> Formula:
    """Formula of the gradients of recurrent layers: those of the data, and those of the weights."""
    forward = recurrent_layers(*weights)

    def formula(arguments: Arguments, result: Any) -> tuple[str, int]:
        kind, once = forward(arguments, result)
        weights_too = arguments.get("output_mask", (True,))[-1]
        return kind, (1 + weights_too) * once

    return formula


def quantized_layers(gates: int) -> Formula:
    """Formula of recurrent layers with packed weights, or of one step of a cell."""

    def formula(arguments: Arguments, _result: Any) -> tuple[str, int]:
        source = arguments["input" if "input" in arguments else "data"].shape
        hidden = _as_list(arguments["hx"])[0].shape[-1]
        directions = 2 if arguments.get("bidirectional") else 1
        deeper = (arguments.get("num_layers", 1) - 1) * (directions * hidden + hidden)
        per_step = directions * gates * hidden * (source[-1] + hidden + deeper)
        return "rnn", prod(source[:-1]) * per_step

    return formula


def _as_list(value: Any) -> Sequence[torch.Tensor]:
    return [value] if isinstance(value, torch.Tensor) else value


def trilinear(arguments: Arguments, _result: torch.Tensor) -> tuple[str, int]:
    """MACs of the kernel's two products: ``(i1 * i2)``, summed, then ``* i3``, summed.

    The kernel runs both in a loop over ``unroll_dim``, so only the second sums over it.
    """
    sizes = [_expanded(arguments[f"i{n}"].shape, arguments[f"expand{n}"]) for n in (1, 2, 3)]
    if not all(map(prod, sizes)):
        return "bilinear", 0
    unrolled, summed = arguments.get("unroll_dim", 1), set(arguments["sumdim"])
    summed_first = summed & set(arguments["expand3"]) - {unrolled}
    extent = [max(dimension) for dimension in zip(*sizes, strict=True)]
    pair = [max(left, right) for left, right in zip(sizes[0], sizes[1], strict=True)]
    rest = [size for dimension, size in enumerate(extent) if dimension not in summed_first]
    first, second = bool(summed_first) * prod(pair), bool(summed - summed_first) * prod(rest)
    return "bilinear", first + second


def _expanded(shape: torch.Size, dimensions: Iterable[int]) -> list[int]:
    sizes = list(shape)
    for dimension in sorted(dimensions):
        sizes.insert(dimension, 1)
    return sizes
