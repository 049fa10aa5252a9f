"""An accelerator to measure on; every test here is skipped where there is none."""

from __future__ import annotations

import pytest
import torch

NAMES = ("cuda", "xpu", "mps")


@pytest.fixture
def accelerator() -> torch.device:
    """The first accelerator of any kind: latency, MACs and results are the same on all."""
    for name in NAMES:
        if torch.get_device_module(name).is_available():
            return torch.device(name)
    pytest.skip(f"no accelerator ({', '.join(NAMES)})")


@pytest.fixture
def cuda() -> torch.device:
    """A CUDA device: the plugin reads kernels and the allocator there."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")
