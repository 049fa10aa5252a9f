"""MACs by hand, for tests."""

from __future__ import annotations


def recurrent(gates: int, steps: int, layers: int = 1, directions: int = 1, proj: int = 0) -> int:
    """Return the MACs of recurrent layers with 8 inputs and 6 hidden features."""
    result = proj or 6
    inputs = [8] + [directions * result] * (layers - 1)
    matrices = sum(gates * 6 * (width + result) + proj * 6 for width in inputs)
    return steps * directions * matrices
