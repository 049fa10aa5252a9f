"""Compiled models: MACs of eager mode, and generated kernels with what they fuse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pytest_hiddencost.core.fused_kernels import fused_operators
from tests.measure.deployed.models import deployable, each_model, measured, unclassified

# torch warns about hooks, which call sites need.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Using `torch.compile"),
    pytest.mark.skipif(
        not hasattr(torch.compiler, "set_stance"), reason="torch cannot run compiled models eagerly"
    ),
]
needs_cpp = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def _compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@each_model
def test_a_compiled_model_has_the_macs_of_eager_mode(name: str) -> None:
    given = deployable(name)
    found = measured(torch.compile(given.model, backend="aot_eager"), given.x)
    assert (found.macs, found.uncosted) == (given.macs, ())
    assert unclassified(found) == []


@pytest.mark.nightly
@needs_cpp
@each_model
@pytest.mark.parametrize(
    "options",
    [{}, {"dynamic": True}, {"mode": "max-autotune"}, {"options": {"freezing": True}}],
    ids=["default", "dynamic", "max-autotune", "freezing"],
)
def test_the_default_compiler_keeps_the_macs_and_shows_its_kernels(
    name: str, options: dict[str, Any]
) -> None:
    given = deployable(name)
    found = measured(torch.compile(given.model, **options), given.x)
    assert (found.macs, found.uncosted) == (given.macs, ())
    assert unclassified(found) == []
    kernels = [cost.name for cost in found.operators if cost.group == "fused"]
    assert kernels or name == "tagger"  # some recurrent layers leave nothing to fuse
    assert all(fused_operators(kernel) for kernel in kernels)
