"""Call sites: the module path and the line of the user's code that called each operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.modules import module as module_hooks

from pytest_hiddencost import Sampling, profile
from pytest_hiddencost.core.records import OperatorCost
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.folding import CallSite
from pytest_hiddencost.measure.operators.tracing import root_call_sites

SHORT = Sampling(max_time_ns=20_000_000)
CPU = torch.device("cpu")
# pytest imports this file from the folder of its top package.
THIS_FILE = Path(__file__).relative_to(Path(__file__).parents[3]).as_posix()


class Shuffle(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        y = x.view(n, 2, c // 2, h, w).transpose(1, 2)
        return y.contiguous().view(n, c, h, w)  # line: shuffle


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.shuffle = Shuffle()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)  # line: conv
        y = y + x  # line: add
        half = y[:, :2]  # line: slice
        return torch.cat([half, self.shuffle(y)[:, 2:]], dim=1)  # line: cat


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[Block() for _ in range(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.blocks(x).relu()  # line: relu
        return result


def line(mark: str) -> str:
    """Return the path and number of the line of this file with this mark."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = [i for i, text in enumerate(lines, 1) if text.endswith(f"# line: {mark}")]
    return f"{THIS_FILE}:{number}"


def call_sites_of(
    model: object, *args: object, grad_mode: str = "inference"
) -> list[tuple[str, CallSite]]:
    return root_call_sites(Call(model, args, {}, CPU, grad_mode))  # type: ignore[arg-type]


IMAGE = torch.randn(1, 4, 8, 8)


@pytest.mark.parametrize("grad_mode", ["inference", "no_grad", "grad"])
def test_every_root_operator_has_its_module_and_line(grad_mode: str) -> None:
    found = call_sites_of(Net().eval(), IMAGE, grad_mode=grad_mode)
    for i in range(3):
        assert ("aten::conv2d", CallSite(f"blocks.{i}.conv", line("conv"))) in found
        assert ("aten::add", CallSite(f"blocks.{i}", line("add"))) in found
        assert ("aten::slice", CallSite(f"blocks.{i}", line("slice"))) in found
        assert ("aten::contiguous", CallSite(f"blocks.{i}.shuffle", line("shuffle"))) in found
        assert ("aten::cat", CallSite(f"blocks.{i}", line("cat"))) in found
    assert found[-1] == ("aten::relu", CallSite("", line("relu")))


def test_the_profile_holds_the_call_sites_of_each_operator() -> None:
    result = profile(Net().eval(), IMAGE, sampling=SHORT)
    # contiguous() calls it, and convolutions may.
    copies = result.operator("aten::copy_")
    assert {(s.module, s.line) for s in copies.call_sites} >= {
        (f"blocks.{i}.shuffle", line("shuffle")) for i in range(3)
    }
    assert {s.root for s in copies.call_sites if s.line == line("shuffle")} == {"aten::contiguous"}
    for operator in result.operators:
        assert sum(s.calls for s in operator.call_sites) == operator.calls, operator.name
        assert sum(s.self_ns for s in operator.call_sites) == pytest.approx(
            operator.self_ns, rel=0.5, abs=5_000
        )


def by_path(operator: OperatorCost) -> Iterator[tuple[str, str]]:
    return ((s.module, s.line) for s in operator.call_sites)


def test_modules_in_a_container_of_torch_have_a_path_and_no_line() -> None:
    result = profile(nn.Sequential(nn.ReLU(), nn.Sigmoid()), IMAGE, sampling=SHORT)
    assert list(by_path(result.operator("aten::sigmoid"))) == [("1", "")]


def test_modules_inside_a_function_are_named_by_their_class() -> None:
    net = Net().eval()
    found = call_sites_of(lambda x: net(x).sigmoid(), IMAGE)  # line: function
    assert ("aten::conv2d", CallSite("Net.blocks.0.conv", line("conv"))) in found
    assert found[-1] == ("aten::sigmoid", CallSite("", line("function")))


def test_tracing_keeps_fast_paths_on() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    x = torch.randn(2, 5, 16)
    names = [name for name, _ in call_sites_of(encoder, x)]
    assert names.count("aten::_transformer_encoder_layer_fwd") == 2
    result = profile(encoder, x, sampling=SHORT)
    fused = next(c for c in result.composites if c.name == "aten::_transformer_encoder_layer_fwd")
    assert fused.calls == 2
    norms = result.operator("aten::native_layer_norm")
    assert {module for module, _ in by_path(norms)} == {"layers.0", "layers.1"}


class Raises(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError(f"no {tuple(x.shape)}")


def global_hooks() -> tuple[int, int, int]:
    return (
        len(module_hooks._global_forward_pre_hooks),
        len(module_hooks._global_forward_hooks),
        len(module_hooks._global_forward_hooks_always_called),
    )


def test_no_hook_is_left() -> None:
    before = global_hooks()
    model = Net().eval()
    call_sites_of(model, IMAGE)
    assert global_hooks() == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_no_hook_is_left_if_the_model_raises() -> None:
    before = global_hooks()
    with pytest.raises(ValueError, match="no"):
        call_sites_of(nn.Sequential(nn.ReLU(), Raises()), IMAGE)
    assert global_hooks() == before


class CannotBeTraced(nn.Module):
    """Raises under the dispatch mode of the tracing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

        modes = [type(mode).__name__ for mode in _get_current_dispatch_mode_stack()]
        if "_Marks" in modes:
            raise RuntimeError("not like this")
        return x.relu()


def test_a_model_that_cannot_be_traced_is_measured_without_call_sites() -> None:
    result = profile(CannotBeTraced().eval(), IMAGE, sampling=SHORT)
    assert result.operator("aten::relu").calls == 1
    assert result.operator("aten::relu").call_sites == ()
    assert result.notes == (
        "the call sites of the operators are not known: RuntimeError: not like this",
    )


def test_a_structure_that_varies_has_call_sites_up_to_the_first_difference() -> None:
    calls = iter(range(10**6))

    def sometimes_more(x: torch.Tensor) -> torch.Tensor:
        y = x.sigmoid()
        return y.relu() if next(calls) % 2 else y.tanh()

    result = profile(sometimes_more, IMAGE, sampling=SHORT)
    assert result.structure_varies
    (call_site,) = result.operator("aten::sigmoid").call_sites
    assert call_site.line.startswith(f"{THIS_FILE}:")
