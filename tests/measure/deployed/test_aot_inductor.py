"""Packages of AOTInductor: they have no eager form, so their MACs are incomplete."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.measure.deployed.models import (
    deployable,
    each_model,
    macs_are_incomplete,
    measured,
    unclassified,
)

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
    pytest.mark.skipif(
        not hasattr(torch._inductor, "aoti_load_package"), reason="torch has no such packages"
    ),
]


def packaged(
    name: str, folder: Path, settings: dict[str, Any] | None = None
) -> tuple[Callable[..., object], torch.Tensor]:
    given = deployable(name)
    path = torch._inductor.aoti_compile_and_package(
        torch.export.export(given.model, (given.x,)),
        package_path=str(folder / "net.pt2"),
        inductor_configs=settings or {},
    )
    return torch._inductor.aoti_load_package(path), given.x


@each_model
def test_the_macs_of_a_package_are_incomplete(name: str, tmp_path: Path) -> None:
    found = measured(*packaged(name, tmp_path))
    assert macs_are_incomplete(found)
    assert found.macs <= deployable(name).macs
    assert unclassified(found) == []


@each_model
def test_a_package_that_was_built_with_kernel_profiles_shows_its_kernels(
    name: str, tmp_path: Path
) -> None:
    found = measured(*packaged(name, tmp_path, {"cpp.enable_kernel_profile": True}))
    assert macs_are_incomplete(found)
    assert [cost.name for cost in found.operators if cost.group == "fused"]
    assert unclassified(found) == []
