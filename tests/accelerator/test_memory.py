"""Memory of a call on CUDA, from the caching allocator, which rounds up to 512 bytes."""

from __future__ import annotations

import torch

from tests.accelerator.models import measured

MIB = 2**20
X_BYTES = 4 * MIB


def x_on(device: torch.device) -> torch.Tensor:
    return torch.ones(X_BYTES // 4, device=device)


def test_the_peak_is_that_of_live_outputs(cuda: torch.device) -> None:
    result = measured(lambda x: x.neg().neg().neg(), x_on(cuda))
    assert result.activation_peak_bytes == 2 * X_BYTES
    assert result.allocated_bytes == 3 * X_BYTES


def test_memory_from_before_the_call_does_not_count(cuda: torch.device) -> None:
    kept = [x_on(cuda) for _ in range(4)]
    result = measured(lambda x: x.neg(), x_on(cuda))
    assert result.activation_peak_bytes == result.allocated_bytes == X_BYTES
    assert len(kept) == 4


def test_a_model_that_keeps_memory_is_told(cuda: torch.device) -> None:
    kept: list[torch.Tensor] = []

    def hoarding(x: torch.Tensor) -> torch.Tensor:
        kept.append(x[:4096].neg())
        return x

    result = measured(hoarding, x_on(cuda))
    assert any("every call keeps 16 KiB more memory" in note for note in result.notes)
