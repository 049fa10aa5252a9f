"""The taxonomy against its own rules, torch's dispatcher, and what models really call."""

# mypy: disable-error-code="no-untyped-call"
# (much of torch's Python is untyped)

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # before torch: its profiler prints to our stderr

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pytest_hiddencost.core import taxonomy_table
from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.taxonomy import DEFAULT, GROUPS

# Torch's warnings about workloads chosen for their rarity are not ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:TF32 acceleration"),
    pytest.mark.filterwarnings("ignore:LSTM with projections"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization"),
]

# Not in the dispatcher of a plain torch build: mobile and XNNPACK builds, torchvision, and
# operators that torch registers when quantization is imported.
OTHER_BUILDS = {
    "prepacked", "torchvision", "mkl", "mkldnn", "mkldnn_prepacked", "onednn",
    "quantized_decomposed",
}  # fmt: skip

# Uncovered on purpose: LAPACK (no group fits, nobody counts its MACs), sparse and nested tensors.
OUT_OF_SCOPE = re.compile(r"sparse|nested|linalg_|_test|backward|coo|cs[rc]|bs[rc]|semi_structured")


# --- the table itself --------------------------------------------------------------------------


def listed_names() -> list[str]:
    return [name for _, block in taxonomy_table.BLOCKS for name in taxonomy_table.full_names(block)]


def dispatcher_names() -> set[str]:
    return {name.partition(".")[0] for name in torch._C._dispatch_get_all_op_names()}


def test_no_name_is_listed_twice() -> None:
    repeated = [name for name, count in Counter(listed_names()).items() if count > 1]
    assert repeated == []


def test_every_group_of_operators_with_fixed_names_has_a_block() -> None:
    assert {group for group, _ in taxonomy_table.BLOCKS} == set(GROUPS) - {"fused", "unclassified"}


def test_no_listed_name_is_already_what_its_rule_would_say() -> None:
    """A listed variant (`add_` beside `add`) is a second place to keep in step."""
    names = set(listed_names())
    assert [name for name in names if name.endswith("_") and name[:-1] in names] == []


@pytest.mark.skipif(torch.__version__ < "2.13", reason="the table also lists newer operators")
def test_every_listed_name_is_an_operator_of_torch() -> None:
    known = dispatcher_names()
    known |= {name.removesuffix("_") for name in known}
    missing = [name for name in listed_names() if name not in known]
    assert [name for name in missing if name.partition("::")[0] not in OTHER_BUILDS] == []


def test_most_forward_operators_of_torch_are_classified() -> None:
    names = [n for n in dispatcher_names() if n.startswith("aten::") and not OUT_OF_SCOPE.search(n)]
    known = [name for name in names if DEFAULT.group(name) != "unclassified"]
    assert len(names) > 900
    assert len(known) / len(names) > 0.93


def test_unclassified_operators_of_torch_are_no_mac_kernels_in_disguise() -> None:
    names = [n for n in dispatcher_names() if n.startswith("aten::") and not OUT_OF_SCOPE.search(n)]
    assert [n for n in names if not DEFAULT.is_mac_kernel(n) and DEFAULT.looks_like_mac(n)] == []


def test_importing_the_taxonomy_does_not_import_torch() -> None:
    code = "import sys, pytest_hiddencost.core.taxonomy; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- lookup ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("aten::mkldnn_convolution", "mac"),
        ("aten::_slow_conv2d_forward", "mac"),
        ("aten::addmm_", "mac"),
        ("aten::addmv_", "mac"),
        ("aten::mv", "wrapper"),
        ("aten::conv2d", "wrapper"),
        ("aten::resolve_conj", "wrapper"),
        ("aten::is_floating_point", "wrapper"),
        ("aten::native_batch_norm", "normalization"),
        ("aten::batch_norm", "normalization"),
        ("aten::relu_", "activation"),
        ("aten::clamp_min_", "activation"),
        ("aten::max_pool2d_with_indices", "pooling"),
        ("aten::upsample_bilinear2d", "pooling"),
        ("torchvision::roi_align", "pooling"),
        ("aten::add_", "elementwise"),
        ("aten::add.Tensor", "elementwise"),
        ("aten::add_.Tensor", "elementwise"),
        ("aten::_foreach_add_", "elementwise"),
        ("aten::__iand__", "elementwise"),
        ("aten::special_expit", "elementwise"),
        ("quantized::add_out", "elementwise"),
        ("aten::cat", "concatenation"),
        ("aten::copy_", "data_movement"),
        ("aten::zero_", "data_movement"),
        ("aten::slice_copy", "data_movement"),
        ("aten::select_backward", "data_movement"),
        ("quantized::conv2d_prepack", "data_movement"),
        ("Memcpy HtoD (Pageable -> Device)", "data_movement"),
        ("cudaMemcpyAsync", "data_movement"),
        ("aten::narrow", "view"),
        ("aten::_unsafe_view", "view"),
        ("aten::squeeze_", "view"),
        ("detach", "view"),
        ("aten::empty", "allocation"),
        ("aten::resize_", "allocation"),
        ("cudaMalloc", "allocation"),
        ("aten::sum", "reduction"),
        ("aten::mse_loss", "reduction"),
        ("aten::mse_loss_backward", "reduction"),
        ("aten::special_logsumexp", "reduction"),
        ("aten::index_copy_", "indexing"),
        ("aten::embedding", "indexing"),
        ("cudaLaunchKernel", "wrapper"),
        ("autograd::engine::evaluate_function: AddmmBackward0", "wrapper"),
        ("AddmmBackward0", "wrapper"),
        ("cpp_fused_add_relu_3", "fused"),
        ("triton_red_fused_native_layer_norm_backward_12", "fused"),
        ("cpp_fused_0", "fused"),
        ("cpp_fused_add_relu", "unclassified"),
        ("runtime::cudaGraphLaunch", "unclassified"),
        ("mylib::whatever", "unclassified"),
        ("aten::no_such_operator", "unclassified"),
        ("my annotation", "unclassified"),
        ("", "unclassified"),
    ],
)
def test_group(name: str, group: str) -> None:
    assert DEFAULT.group(name) == group


def test_only_the_mac_group_is_mac_kernels() -> None:
    assert {DEFAULT.group(name) for name in listed_names() if DEFAULT.is_mac_kernel(name)} == {
        "mac"
    }


def test_mac_wrappers_are_distinguished_from_dispatch_helpers() -> None:
    assert DEFAULT.is_mac_wrapper("aten::_convolution")
    assert DEFAULT.is_mac_wrapper("aten::linear")
    assert not DEFAULT.is_mac_wrapper("aten::resolve_conj")
    assert not DEFAULT.is_mac_wrapper("aten::mkldnn_convolution")


@pytest.mark.parametrize(
    "name",
    [
        "mylib::fused_conv_bn_relu",
        "mylib::qconv2d",
        "mylib::batch_matmul",
        "mylib::int8_mm",
        "mylib::FusedLinear",
        "mylib::LSTMCell",
        "xyz::flash_attention",
        "xyz::sgemm_128x64",
        "aten::mkldnn_convolution",
        "aten::_a_new_scaled_dot_product",
    ],
)
def test_looks_like_mac(name: str) -> None:
    assert DEFAULT.looks_like_mac(name)


@pytest.mark.parametrize(
    "name",
    [
        "aten::upsample_bilinear2d",  # known, whatever its name says
        "aten::conv2d",  # known wrapper: its kernel is listed
        "aten::linspace",
        "mylib::convert_layout",
        "mylib::nonlinearity",
        "mylib::all_reduce_comm",
        "mylib::grunt",
        "mylib::norm",
        "",
    ],
)
def test_does_not_look_like_mac(name: str) -> None:
    assert not DEFAULT.looks_like_mac(name)


@given(st.text())
def test_any_text_has_a_group_and_asking_twice_gives_it_again(name: str) -> None:
    group = DEFAULT.group(name)
    assert group in GROUPS
    assert DEFAULT.group(name) == group
    assert DEFAULT.is_mac_kernel(name) == (group == "mac")
    assert not (DEFAULT.is_mac_wrapper(name) and DEFAULT.looks_like_mac(name))


@given(
    st.sampled_from(sorted(set(listed_names()))), st.sampled_from(["", ".out", ".Tensor_Scalar"])
)
def test_an_overload_has_the_group_of_its_operator(name: str, overload: str) -> None:
    assert DEFAULT.group(name + overload) == DEFAULT.group(name)


# --- a user's own entries ----------------------------------------------------------------------


def test_users_entries_win_over_the_table_and_leave_it_alone() -> None:
    mine = DEFAULT.extended({"aten::cat": "data_movement", "mylib::conv": "mac"})
    assert mine.group("aten::cat") == "data_movement"
    assert mine.is_mac_kernel("mylib::conv")
    assert mine.group("aten::add_") == "elementwise"
    assert DEFAULT.group("aten::cat") == "concatenation"
    assert DEFAULT.group("mylib::conv") == "unclassified"


def test_globs_cover_the_table_too_and_an_exact_name_wins_over_them() -> None:
    mine = DEFAULT.extended({"mylib::fused_*": "normalization", "mylib::fused_conv": "mac"})
    assert mine.group("mylib::fused_bn") == "normalization"
    assert mine.group("mylib::fused_conv") == "mac"
    assert mine.group("mylib::fused_conv.default") == "mac"
    assert DEFAULT.extended({"aten::*_": "wrapper"}).group("aten::add_") == "wrapper"


def test_the_first_of_two_globs_and_the_last_of_two_mappings_win() -> None:
    mine = DEFAULT.extended({"lib::a*": "view", "lib::*": "indexing"})
    assert (mine.group("lib::ab"), mine.group("lib::b")) == ("view", "indexing")
    assert mine.extended({"lib::*": "pooling"}).group("lib::ab") == "pooling"


def test_a_mac_kernel_can_be_declared_not_to_be_one() -> None:
    mine = DEFAULT.extended({"aten::dot": "reduction"})
    assert not mine.is_mac_kernel("aten::dot")
    assert not mine.looks_like_mac("aten::dot")


def test_an_unknown_group_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(HiddenCostError) as error:
        DEFAULT.extended({"mylib::x": "Normalisation"})
    message = str(error.value)
    assert "'mylib::x'" in message
    assert "did you mean 'normalization'" in message
    assert all(group in message for group in GROUPS)


def test_a_key_that_is_no_name_is_refused() -> None:
    with pytest.raises(HiddenCostError, match="not an operator name"):
        DEFAULT.extended({" ": "mac"})


# --- what models really call -------------------------------------------------------------------

Case = tuple[str, Callable[[], object]]


def profiled(run: Callable[[], object]) -> list[tuple[str, int]]:
    """Operators `run` calls, in order, each with its depth."""
    with (
        torch.no_grad(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as prof,
    ):
        run()
    assert prof.profiler is not None
    events = [e for e in prof.profiler.kineto_results.events() if e.name() != "[memory]"]
    events.sort(key=lambda event: (event.start_ns(), -event.end_ns()))
    ends: list[int] = []
    nested = []
    for event in events:
        while ends and ends[-1] <= event.start_ns():
            ends.pop()
        nested.append((event.name(), len(ends)))
        ends.append(event.end_ns())
    return nested


def applied(*modules: nn.Module, to: tuple[Tensor, ...]) -> Iterator[Case]:
    for module in modules:
        module.eval()
        title = repr(module).partition("\n")[0]
        yield title, partial(module, *to)


def mac_cases() -> Iterator[Case]:
    """Modules that multiply-accumulate, by every kernel a CPU build has."""
    r = torch.randn
    yield from applied(nn.Conv1d(4, 4, 3), nn.ConvTranspose1d(4, 4, 3), to=(r(2, 4, 9),))
    yield from applied(
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same", padding_mode="circular"),
        nn.ConvTranspose2d(4, 4, 3, stride=2),
        to=(r(1, 4, 9, 9),),
    )
    yield from applied(nn.Conv2d(32, 32, 3), to=(r(17, 32, 12, 12),))  # NNPACK takes large batches
    yield from applied(
        nn.Conv3d(4, 4, 3),
        nn.Conv3d(4, 4, 3, dilation=2),
        nn.ConvTranspose3d(4, 4, 3),
        to=(r(2, 4, 6, 6, 6),),
    )
    yield from applied(nn.Linear(8, 8), nn.Linear(8, 8, bias=False), to=(r(2, 3, 8),))
    yield from applied(nn.Bilinear(4, 4, 3), to=(r(2, 4), r(2, 4)))
    rnns = (nn.LSTM, nn.GRU, nn.RNN)
    yield from applied(
        *(rnn(8, 8, num_layers=2, bidirectional=True) for rnn in rnns), to=(r(3, 2, 8),)
    )
    yield from applied(nn.LSTM(8, 8, proj_size=4), to=(r(3, 2, 8),))
    yield from applied(nn.LSTMCell(8, 8), nn.GRUCell(8, 8), nn.RNNCell(8, 8), to=(r(2, 8),))
    x = r(2, 4, 8)
    yield from applied(nn.MultiheadAttention(8, 2, batch_first=True), to=(x, x, x))
    yield from applied(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), to=(x,))
    yield from applied(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), to=(x, x))
    yield "sdpa", lambda: F.scaled_dot_product_attention(x[None], x[None], x[None])
    yield "sdpa math", lambda: attend_by_math(x[None])
    yield "conv_tbc", lambda: torch.conv_tbc(r(5, 3, 8), r(3, 8, 8), r(8))
    yield "complex conv", lambda: F.conv2d(x.reshape(1, 4, 4, 4) * 1j, x.reshape(4, 4, 2, 2) * 1j)
    yield "double conv", lambda: F.conv_transpose2d(r(1, 2, 5, 5).double(), r(2, 2, 3, 3).double())
    yield "matmul", lambda: (x @ x.mT, x[0] @ x[0, 0], x[0, 0] @ x[0, 0], x[0].mm(x[0].T))
    yield "einsum", lambda: torch.einsum("bij,bkj->bik", x, x)
    yield "tensordot", lambda: torch.tensordot(x, x, dims=([2], [2]))
    yield "addbmm", lambda: (torch.addbmm(r(4, 4), x, x.mT), torch.baddbmm(r(2, 4, 4), x, x.mT))
    yield (
        "multi_dot",
        lambda: (torch.linalg.multi_dot([x[0], x[1].T, x[0]]), r(4, 4).matrix_power(3)),
    )
    yield "low precision", lambda: torch._int_mm(x[0].T.char().repeat(4, 8), x.char().view(32, 2))
    yield (
        "autocast",
        lambda: in_bfloat16(nn.Sequential(nn.Conv2d(4, 4, 3), nn.Flatten()), r(1, 4, 9, 9)),
    )
    yield "dynamically quantized", lambda: dynamically_quantized(r(3, 2, 8))
    yield "statically quantized", lambda: statically_quantized(r(1, 4, 9, 9))


def other_cases() -> Iterator[Case]:
    """The rest of torch.nn, and functions models are made of."""
    r = torch.randn
    x1, x2, x3 = r(2, 4, 8), r(2, 4, 8, 8), r(2, 4, 8, 8, 8)
    for x, norms in (
        (x1, (nn.BatchNorm1d(4), nn.InstanceNorm1d(4), nn.LayerNorm(8), nn.RMSNorm(8))),
        (
            x2,
            (nn.BatchNorm2d(4), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.LocalResponseNorm(2)),
        ),
        (x3, (nn.BatchNorm3d(4), nn.InstanceNorm3d(4, affine=True))),
    ):
        yield from applied(*norms, to=(x,))
    for dim, x in enumerate((x1, x2, x3), start=1):
        pools = ("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool")
        yield from applied(*(getattr(nn, f"{pool}{dim}d")(2) for pool in pools), to=(x,))
        yield from applied(getattr(nn, f"AdaptiveAvgPool{dim}d")(1), to=(x,))
        yield from applied(getattr(nn, f"LPPool{dim}d")(2, 2), to=(x,))
        pads = ("ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad", "ZeroPad")
        for pad in pads:
            module = getattr(nn, f"{pad}{dim}d")
            yield from applied(module(1, 0.0) if pad == "ConstantPad" else module(1), to=(x,))
    yield from applied(nn.FractionalMaxPool2d(2, output_size=4), to=(x2,))
    yield "unpool", lambda: F.max_unpool2d(*F.max_pool2d_with_indices(x2, [2, 2]), [2, 2])
    activations = [getattr(nn, name) for name in nn.modules.activation.__all__]
    plain = [a for a in activations if a not in (nn.Threshold, nn.MultiheadAttention, nn.Softmax2d)]
    softmaxes = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
    yield from applied(*(a(dim=-1) if a in softmaxes else a() for a in plain), to=(x1,))
    yield from applied(
        nn.Threshold(0.1, 20), nn.Softmax2d(), nn.ReLU6(inplace=True), to=(r(1, 2, 4, 4),)
    )
    for mode, x in (("linear", x1), ("bilinear", x2), ("bicubic", x2), ("trilinear", x3)):
        yield from applied(nn.Upsample(scale_factor=2, mode=mode), to=(x,))
    for mode in ("nearest", "nearest-exact"):
        for x in (x1, x2, x3):
            yield from applied(nn.Upsample(scale_factor=2, mode=mode), to=(x,))
    yield "antialias", lambda: F.interpolate(x2, size=4, mode="bilinear", antialias=True)
    yield "affine_grid", lambda: F.affine_grid(r(2, 2, 3), [2, 4, 5, 5], align_corners=False)
    yield "grid_sample", lambda: F.grid_sample(x2, r(2, 5, 5, 2), align_corners=False)
    yield from applied(
        nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2), nn.Unfold(3), nn.Flatten(),
        nn.Unflatten(1, (2, 2)), nn.Dropout(), nn.Dropout2d(), to=(x2,),
    )  # fmt: skip
    yield "fold", lambda: F.fold(r(1, 4 * 9, 4), (4, 4), 3)
    yield (
        "training",
        lambda: (F.dropout(x2), F.dropout2d(x2), F.alpha_dropout(x2), F.rrelu(x2, training=True)),
    )
    ids = torch.arange(6).view(2, 3)
    yield from applied(nn.Embedding(9, 4), nn.Embedding(9, 4, max_norm=1.0), to=(ids,))
    yield from applied(*(nn.EmbeddingBag(9, 4, mode=mode) for mode in ("sum", "max")), to=(ids,))
    yield (
        "distances",
        lambda: (torch.cdist(r(40, 3), r(40, 3)), F.pdist(x1[0]), F.cosine_similarity(x1, x1)),
    )
    yield (
        "packed sequence",
        lambda: nn.utils.rnn.pad_packed_sequence(
            nn.utils.rnn.pack_padded_sequence(r(4, 2, 3), torch.tensor([4, 2]))
        ),
    )
    yield "weight norm", lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))(r(2, 4))
    yield "sequences", lambda: nn.utils.rnn.pad_sequence([r(2, 3), r(4, 3)])
    yield from function_cases(x1, x2)


def function_cases(x: Tensor, image: Tensor) -> Iterator[Case]:
    rows = torch.tensor([0, 1])
    yield "arithmetic", lambda: (
        x + x, x - 1, 1 - x, x * x, x / x, x // 2, x % 2, x**2, -x, x.abs(), x.exp(), x.log1p(),
        x.sqrt(), x.rsqrt(), x.sin(), x.erf(), x.floor(), x.lerp(x, 0.5), torch.addcmul(x, x, x),
        torch.maximum(x, x), x.clamp(0, 1), x.sign(), x.reciprocal(),
        torch.outer(x[0, 0], x[0, 0]), torch.logaddexp(x, x), torch.special.expit(x),
        torch.special.i0e(x), x.nan_to_num(),
    )  # fmt: skip
    yield (
        "in place",
        lambda: x.clone().add_(1).mul_(2).relu_().clamp_(0, 1).zero_().fill_(2).sub_(x),
    )
    yield "comparison", lambda: (
        x > 0, x == x, x.isnan(), (x > 0) & (x < 1), ~(x > 0), torch.where(x > 0, x, 0.0),
        x.masked_fill(x > 0, 1), torch.equal(x, x), torch.allclose(x, x), bool((x > 9).any()),
    )  # fmt: skip
    yield "reduction", lambda: (
        x.sum(), x.mean(1), x.var(1), x.std(), x.prod(1), x.max(), x.max(1), x.amax(1),
        x.argmax(1), x.logsumexp(1), x.norm(), x.cumsum(1), x.cumprod(1), x.sort(), x.argsort(),
        x.topk(2), x.median(), x.quantile(0.5), x.kthvalue(1), x.unique(), x.all(), x.any(1),
        torch.linalg.vector_norm(x, dim=1), F.normalize(x), rows.bincount(),
        x.softmax(-1).flatten(0, 1).multinomial(1), x.cummax(1), torch.var_mean(x, 1),
        x.aminmax(dim=1), x.nansum(), x.histc(4), x.diff(),
    )  # fmt: skip
    yield "indexing", lambda: (
        x[rows], x[:, rows], x[x > 0], x.gather(1, rows.view(2, 1, 1)), x.index_select(1, rows),
        x.scatter(1, rows.view(2, 1, 1), 1.0), x.scatter_add(1, rows.view(2, 1, 1), x),
        x.nonzero(), x.take(rows), x.clone().index_add_(0, rows, x),
        x.clone().index_fill_(0, rows, 1.0), x.masked_select(x > 0),
        torch.bucketize(x, x[0, 0].sort()[0]), F.one_hot(rows), x.tril(),
        x.scatter_reduce(1, rows.view(2, 1, 1), x, "amax"), x.masked_scatter(x > 0, x),
        x.clone().index_put_((rows,), x), x.clone().index_copy_(0, rows, x),
        torch.take_along_dim(x, rows.view(2, 1, 1), 1), torch.isin(rows, rows),
    )  # fmt: skip
    yield "index assignment", lambda: x.clone().__setitem__(rows, 0.0)
    yield "shape", lambda: (
        x.view(-1), x.reshape(-1), x.mT.reshape(-1), x.permute(2, 0, 1), x.transpose(0, 1),
        x[0].t(), x.unsqueeze(0).squeeze(0), x[..., 1:, None], x.expand(3, 2, 4, 8), x.chunk(2),
        x.split(1), x.unbind(), x.narrow(1, 0, 1), x.select(1, 0), x.unfold(2, 2, 2),
        x.movedim(0, 1), x.diagonal(), torch.atleast_3d(x), x.tensor_split(2), x.swapaxes(0, 1),
        x.detach(), x.view_as(x), x.ravel(), torch.meshgrid(rows, rows, indexing="ij"),
        torch.broadcast_tensors(x, x[0]), x.unflatten(2, (2, 4)),
    )  # fmt: skip
    yield "concatenation", lambda: (
        torch.cat([x, x]), torch.stack([x, x]), torch.hstack([x, x]), torch.vstack([x, x]),
        torch.block_diag(x[0], x[0]), torch.column_stack([x[0], x[0]]),
    )  # fmt: skip
    yield "data movement", lambda: (
        x.clone(), x.mT.contiguous(), x.double(), x.to(torch.bfloat16), x.repeat(1, 2, 1),
        x.tile(2), x.roll(1, 1), x.flip(0), x.repeat_interleave(2), F.pad(x, (1, 1)),
        x.sum().item(), x[0, 0].tolist(), image.to(memory_format=torch.channels_last),
        torch.rot90(x), x[0].diag(), x.diag_embed(), x.copy_(x),
    )  # fmt: skip
    yield "allocation", lambda: (
        torch.zeros(2), torch.ones_like(x), torch.full((2,), 1.0), torch.arange(4),
        torch.linspace(0, 1, 4), torch.eye(3), x.new_zeros(2), torch.rand(2),
        torch.randint(4, (2,)), torch.randperm(4), torch.tensor(1.0), torch.empty(2).uniform_(),
        torch.bernoulli(x.sigmoid()), torch.tril_indices(3, 3), x.new_empty(2).normal_(),
        torch.randn_like(x), torch.hann_window(8), torch.full_like(x, 2),
    )  # fmt: skip
    yield "fourier", lambda: (
        torch.fft.rfft(x), torch.fft.fft2(x), torch.fft.ifft(x),
        torch.fft.irfft(torch.fft.rfft(x)), torch.fft.fftshift(x), torch.fft.fftfreq(8),
        torch.fft.fftn(x),
    )  # fmt: skip
    window = torch.hann_window(8)
    sound = torch.randn(1, 64)
    yield "stft", lambda: torch.stft(sound, 8, window=window, return_complex=True)
    yield (
        "istft",
        lambda: torch.istft(
            torch.stft(sound, 8, window=window, return_complex=True), 8, window=window
        ),
    )
    yield "complex", lambda: (
        torch.complex(x, x), torch.polar(x, x), (x * 1j).abs(), (x * 1j).angle(), (x * 1j).conj(),
        (x * 1j).conj().resolve_conj(), (x * 1j).real, torch.view_as_real(x * 1j),
        (x * 1j).imag.clone(),
    )  # fmt: skip
    yield "mkldnn tensors", lambda: F.relu(x.to_mkldnn()).to_dense()
    yield "fake quantization", lambda: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255)


def attend_by_math(x: Tensor) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(x, x, x, is_causal=True)


def in_bfloat16(model: nn.Module, x: Tensor) -> object:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model.eval()(x)


def dynamically_quantized(x: Tensor) -> object:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.LSTM(8, 8)).eval()
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear, nn.LSTM})(x)


def statically_quantized(x: Tensor) -> object:
    scale, zero = 0.1, 0
    quantized = torch.quantize_per_tensor(x, scale, zero, torch.quint8)
    conv = torch.ao.nn.quantized.Conv2d(4, 4, 3)
    linear = torch.ao.nn.quantized.Linear(4 * 49, 4)
    y = F.max_pool2d(conv(quantized), 1)
    y = torch.ops.quantized.add(y, y, scale, zero)
    y = torch.ops.quantized.cat([y.relu()], 1, scale, zero)
    return linear(y.flatten(1)).dequantize()


def unclassified(events: list[tuple[str, int]]) -> list[str]:
    assert events
    return sorted({name for name, _ in events if DEFAULT.group(name) == "unclassified"})


def with_callers(events: list[tuple[str, int]]) -> Iterator[tuple[str, list[str]]]:
    callers: list[str] = []
    for name, depth in events:
        del callers[depth:]
        yield name, list(callers)
        callers.append(name)


def parametrized(cases: Iterator[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("run", [pytest.param(run, id=name) for name, run in cases])


@pytest.fixture(params=[True, False], ids=["onednn", "no onednn"])
def onednn(request: pytest.FixtureRequest) -> Iterator[bool]:
    with torch.backends.mkldnn.flags(enabled=request.param):
        yield request.param


@parametrized(mac_cases())
def test_operators_of_models_that_multiply(run: Callable[[], object], onednn: bool) -> None:
    events = profiled(run)
    assert unclassified(events) == []
    kernels = [name for name, _ in events if DEFAULT.is_mac_kernel(name)]
    if not kernels:  # oneDNN's transposed convolution has no event of its own
        assert onednn
        assert [name for name, _ in events if DEFAULT.is_mac_wrapper(name)][
            -1
        ] == "aten::_convolution"
    for name, callers in with_callers(events):
        if DEFAULT.is_mac_kernel(name):  # else the outer one is a wrapper, and its self time is not
            assert [caller for caller in callers if DEFAULT.is_mac_kernel(caller)] == []


@parametrized(other_cases())
def test_operators_of_other_models(run: Callable[[], object]) -> None:
    events = profiled(run)
    assert unclassified(events) == []


def test_a_training_step_is_classified() -> None:
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(conv, nn.Flatten(), nn.Linear(36, 5))

    def step() -> None:
        with torch.enable_grad():
            F.cross_entropy(model(torch.randn(2, 3, 8, 8)), torch.tensor([0, 1])).backward()

    events = profiled(step)
    assert unclassified(events) == []
    assert "aten::convolution_backward" in {
        name for name, _ in events if DEFAULT.is_mac_kernel(name)
    }
