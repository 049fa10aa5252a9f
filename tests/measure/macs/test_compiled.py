"""Compiled models count as in eager mode, also where no operator shows a product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import torch
from torch import nn

from pytest_hiddencost.core.records import GENERATED, Profile, Sampling
from pytest_hiddencost.measure import profile
from pytest_hiddencost.measure.macs import compiled
from pytest_hiddencost.measure.macs.compiled import CompiledCounter
from pytest_hiddencost.measure.macs.counting import MacCount, count_macs

# torch warns about hooks, which call sites need.
pytestmark = pytest.mark.filterwarnings("ignore:Using `torch.compile")
HAS_STANCE = hasattr(torch.compiler, "set_stance")
needs_stance = pytest.mark.skipif(
    not HAS_STANCE, reason="torch cannot run a compiled model eagerly"
)
BRIEF = Sampling(max_time_ns=1_000_000, min_samples=5)
X = torch.ones(3, 8)


@pytest.fixture(autouse=True)
def _compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def counted(run: Callable[[], object]) -> MacCount:
    with torch.inference_mode():
        run()
        return CompiledCounter(lambda: count_macs(run))()


def unseen(graph: Any, inputs: Any) -> Callable[..., Any]:
    """Compile a graph into code without operators: numpy multiplies here for a small matrix."""
    del inputs
    products = [n for n in graph.graph.nodes if "linear" in n.name or "matmul" in n.name]

    def run(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arrays = [tensor.detach().numpy() for tensor in tensors]
        matrices = [array for array in arrays if array.ndim == 2]
        assert products
        x = next(m for m in matrices if m.shape == tuple(X.shape))
        weight = next(m for m in matrices if m is not x)
        return (torch.from_numpy(x @ weight.T),)

    return run


def visible(graph: Any, _inputs: Any) -> Callable[..., Any]:
    """Compile a graph into code that runs its operators."""
    found: Callable[..., Any] = graph.forward
    return found


def compiled_layer(backend: Callable[..., Any] = unseen) -> Callable[[], object]:
    layer = nn.Linear(8, 5, bias=False).eval()
    model = torch.compile(layer, backend=backend)
    return lambda: model(X)


def test_the_stand_in_for_generated_code_computes_the_layer_without_operators() -> None:
    layer = nn.Linear(8, 5, bias=False).eval()
    model = torch.compile(layer, backend=unseen)
    with torch.inference_mode():
        torch.testing.assert_close(model(X), layer(X))
        assert count_macs(lambda: model(X)).macs == 0


@needs_stance
def test_products_that_run_in_generated_kernels_count() -> None:
    count = counted(compiled_layer())
    assert (count.macs, count.generated_macs) == (3 * 8 * 5, 3 * 8 * 5)
    assert (count.calls, count.unformulated) == ((), ())


@needs_stance
def test_products_that_operators_do_count_once() -> None:
    count = counted(compiled_layer(visible))
    assert (count.macs, count.generated_macs) == (3 * 8 * 5, 0)
    assert len(count.calls) == 1


@needs_stance
def test_a_compiled_part_of_a_model_counts_with_the_eager_rest() -> None:
    inside, outside = compiled_layer(), nn.Linear(8, 4)
    count = counted(lambda: (inside(), outside(X)))
    assert (count.macs, count.generated_macs) == (3 * 8 * (5 + 4), 3 * 8 * 5)


@needs_stance
def test_a_training_step_of_a_compiled_model_counts_as_in_eager_mode() -> None:
    layer = nn.Linear(8, 5)
    model = torch.compile(layer, backend="aot_eager")

    def step() -> None:
        model(X).sum().backward()

    step()
    assert CompiledCounter(lambda: count_macs(step))().macs == 2 * 3 * 8 * 5


@needs_stance
def test_the_model_stays_compiled_and_is_not_compiled_again() -> None:
    compilations: list[str] = []

    def backend(graph: Any, inputs: Any) -> Callable[..., Any]:
        compilations.append("once")
        return unseen(graph, inputs)

    run = compiled_layer(backend)
    counted(run)
    with torch.inference_mode():
        assert count_macs(run).macs == 0
    assert compilations == ["once"]


@needs_stance
def test_a_compiled_model_that_fails_in_eager_mode_is_told_to_be_incomplete() -> None:
    def only_compiled(x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            raise RuntimeError("compile me")
        return x @ torch.ones(5, 8).T

    model = torch.compile(only_compiled, backend=visible)
    count = counted(lambda: model(X))
    assert count.macs == 3 * 8 * 5
    assert count.unformulated == (GENERATED,)


def test_an_error_of_a_model_that_is_not_compiled_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "_process_has_compiled_code", lambda: True)
    runs = iter([X])  # enough for the count, and not for the one in eager mode
    with pytest.raises(StopIteration):
        CompiledCounter(lambda: count_macs(lambda: next(runs).relu()))()


@needs_stance
def test_a_model_that_is_not_compiled_has_no_generated_kernels_however_it_varies() -> None:
    compiled_layer()()  # the process has compiled code
    layers = [nn.Linear(8, 5), nn.Linear(8, 50)]
    seen = iter(layers * 9)
    count = counted(lambda: next(seen)(X))
    assert (count.macs, count.generated_macs) == (3 * 8 * 50, 0)


@needs_stance
@pytest.mark.parametrize(("has_compiled_code", "calls"), [(False, 3), (True, 4)])
def test_a_model_that_is_not_compiled_runs_at_most_once_more(
    has_compiled_code: bool, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_process_has_compiled_code", lambda: has_compiled_code)
    made: list[MacCount] = []

    def count() -> MacCount:
        made.append(count_macs(lambda: nn.Linear(8, 5)(X)))
        return made[-1]

    counter = CompiledCounter(count)
    assert {counter().macs for _ in range(3)} == {3 * 8 * 5}
    assert len(made) == calls


def runner(file: str, name: str) -> Callable[..., Any]:
    """Return a function that stands for one of torch's, by its file and name."""
    path = Path(torch.__path__[0]).parent / file
    code = compile(f"def {name}(run): return run()", str(path), "exec")
    body = next(constant for constant in code.co_consts if isinstance(constant, CodeType))
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert body.co_name == name
    found: Callable[..., Any] = scope[name]
    return found


@pytest.mark.parametrize("where", compiled._RUNNERS, ids=lambda where: where[0])
def test_generated_code_without_an_eager_form_is_told_to_be_incomplete(
    where: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_process_has_compiled_code", lambda: True)
    package, layer = runner(*where), nn.Linear(8, 5)
    count = counted(lambda: package(lambda: layer(X)))
    assert count.macs == 3 * 8 * 5
    assert count.unformulated == (GENERATED,)


def measured(model: Callable[..., object]) -> Profile:
    return profile(model, X, sampling=BRIEF)


@needs_stance
def test_a_profile_has_the_macs_of_generated_kernels_and_a_note() -> None:
    result = measured(torch.compile(nn.Linear(8, 5, bias=False).eval(), backend=unseen))
    assert result.macs == result.generated_macs == 3 * 8 * 5
    assert [(kind.kind, kind.self_ns) for kind in result.mac_kinds] == [(GENERATED, None)]
    assert (result.uncosted, result.varies) == ((), ())
    assert result.notes[0] == (
        "120 MAC ran in generated kernels, whose time counts as non-MAC time; "
        "limit p50 or macs instead of non_mac"
    )


@needs_stance
@pytest.mark.nightly
@pytest.mark.parametrize("batch", [1, 3, 32])
@pytest.mark.parametrize("sizes", [(64, 16), (8, 5)], ids=str)
def test_the_default_compiler_counts_as_in_eager_mode(batch: int, sizes: tuple[int, int]) -> None:
    model = torch.compile(nn.Sequential(nn.Linear(*sizes), nn.ReLU()).eval())
    x = torch.ones(batch, sizes[0])
    assert counted(lambda: model(x)).macs == batch * sizes[0] * sizes[1]
