"""Generated kernels record events while a profiler session runs, and only then."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from pytest_hiddencost import Sampling, profile
from pytest_hiddencost.measure.operators.generated_kernels import marked_kernels
from pytest_hiddencost.measure.operators.profiler import profiled

KERNEL = "cpp_fused_add_relu_3"
BRIEF = Sampling(max_time_ns=1_000_000, min_samples=5)


def kernel(x: torch.Tensor) -> torch.Tensor:
    """Stand for code without operators."""
    return torch.from_numpy(x.numpy() + 1.0)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module as the compiler writes it: its code calls kernels by global names."""
    generated = ModuleType("generated")
    exec(f"def call(x):\n    return {KERNEL}(x).neg()", vars(generated))
    vars(generated).update({KERNEL: kernel, "cpp_fused_constant_1": 3.0, "other": kernel})
    compiler = SimpleNamespace(PyCodeCache=SimpleNamespace(modules=[generated]))
    monkeypatch.setitem(sys.modules, "torch._inductor.codecache", compiler)
    return generated


def names(generated: ModuleType) -> list[str]:
    nodes = profiled(lambda: generated.call(torch.ones(2))).result.experimental_event_tree()
    return [node.name for node in nodes if node.name != "[memory]"]


def test_a_kernel_has_an_event_among_the_operators(module: ModuleType) -> None:
    assert [name for name in names(module) if not name.startswith("aten::")] == [KERNEL]
    assert names(module)[-1] == "aten::neg"


def test_outside_of_sessions_the_kernels_are_the_compilers(module: ModuleType) -> None:
    before = dict(vars(module))
    with marked_kernels("cpu"):
        assert vars(module)[KERNEL] is not kernel
        assert vars(module)["cpp_fused_constant_1"] == 3.0
        assert vars(module)["other"] is kernel
    assert vars(module) == before


def test_an_error_of_a_kernel_reaches_the_user_and_leaves_no_mark(module: ModuleType) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("division by zero in the kernel")

    vars(module)[KERNEL] = broken
    with pytest.raises(RuntimeError, match="in the kernel"):
        names(module)
    assert vars(module)[KERNEL] is broken


@pytest.mark.parametrize(("device", "told"), [("cpu", False), ("cuda", True)])
def test_kernels_of_triton_are_told_of_a_session_on_an_accelerator(device: str, told: bool) -> None:
    profiler: Any = torch.autograd.profiler
    with marked_kernels(device):
        assert profiler._is_profiler_enabled is told
    assert not profiler._is_profiler_enabled


def test_a_profile_has_generated_kernels_in_a_group_of_their_own(module: ModuleType) -> None:
    result = profile(module.call, torch.ones(2), sampling=BRIEF)
    cost = result.operator(KERNEL)
    assert (cost.group, cost.calls) == ("fused", 1)
    assert result.uncosted == ()
