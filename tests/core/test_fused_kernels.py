"""Generated kernels: the operators that a name says are fused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.fused_kernels import fused_operators, is_fused_kernel
from pytest_hiddencost.core.taxonomy_table import BLOCKS, full_names

ATEN = sorted(
    name.removeprefix("aten::")
    for _, block in BLOCKS
    for name in full_names(block)
    if name.startswith("aten::")
)
PREFIXES = st.sampled_from(["cpp", "triton_poi", "triton_red", "triton_per", "graph_0_cpp"])


@pytest.mark.parametrize(
    ("kernel", "operators"),
    [
        ("cpp_fused_add_relu_3", ("add", "relu")),
        (
            "cpp_fused__native_batch_norm_legit_no_training_relu_0",
            ("_native_batch_norm_legit_no_training", "relu"),
        ),
        ("cpp_fused__softmax__to_copy__unsafe_view_1", ("_softmax", "_to_copy", "_unsafe_view")),
        ("cpp_fused_max_pool2d_with_indices_5", ("max_pool2d_with_indices",)),
        ("graph_12_cpp_fused_native_layer_norm_2", ("native_layer_norm",)),
        ("triton_poi_fused_convolution_relu_0", ("convolution", "relu")),
        ("triton_red_fused_gelu_backward_sum_7", ("gelu_backward", "sum")),
        ("cpp_fused_dequantize_per_tensor_quantize_per_tensor_relu_4",
         ("dequantize_per_tensor", "quantize_per_tensor", "relu")),
        ("cpp_fused_add_my_own_block_9", ("add", "my_own_block")),
        ("cpp_fused_0", ()),
        ("aten::add", ()),
    ],
)  # fmt: skip
def test_the_name_of_a_kernel_says_what_it_fuses(kernel: str, operators: tuple[str, ...]) -> None:
    assert fused_operators(kernel) == operators


@pytest.mark.parametrize(
    "name",
    [
        "aten::add",
        "cpp_fused_add_relu",
        "fused_add_0",
        "triton_fused_add_0",
        "my cpp_fused_a_0",
        "",
    ],
)
def test_other_names_are_no_generated_kernels(name: str) -> None:
    assert not is_fused_kernel(name)
    assert fused_operators(name) == ()


@given(prefix=PREFIXES, name=st.sampled_from(ATEN), number=st.integers(0, 10**4))
def test_a_kernel_of_one_operator_names_it(prefix: str, name: str, number: int) -> None:
    kernel = f"{prefix}_fused_{name}_{number}"
    assert is_fused_kernel(kernel)
    assert fused_operators(kernel) == (name,)


@given(prefix=PREFIXES, names=st.sets(st.sampled_from(ATEN), min_size=1, max_size=12))
def test_every_split_is_into_known_operators_and_loses_nothing(
    prefix: str, names: set[str]
) -> None:
    joined = "_".join(sorted(names))
    found = fused_operators(f"{prefix}_fused_{joined}_0")
    assert "_".join(found) == joined
    assert set(found) <= set(ATEN)
    assert len(found) <= len(names)


@given(text=st.text(alphabet="_ab", max_size=20))
def test_any_name_is_split_without_a_loss(text: str) -> None:
    found = fused_operators(f"cpp_fused_{text}_0")
    assert "_".join(found) == text
    assert all(found)
