"""An accelerator to measure on; every test here is skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
NAMES = ("cuda", "xpu", "mps")
FOUND = [name for name in NAMES if torch.get_device_module(name).is_available()]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            needs_cuda = "cuda" in getattr(item, "fixturenames", ())
            if not FOUND or (needs_cuda and "cuda" not in FOUND):
                needed = "CUDA device" if needs_cuda else f"accelerator ({', '.join(NAMES)})"
                item.add_marker(pytest.mark.skip(reason=f"no {needed}"))


@pytest.fixture
def accelerator() -> torch.device:
    """The first accelerator of any kind: latency, MACs and results are the same on all."""
    return torch.device(FOUND[0])


@pytest.fixture
def cuda() -> torch.device:
    """A CUDA device: the plugin reads kernels and the allocator there."""
    return torch.device("cuda")
