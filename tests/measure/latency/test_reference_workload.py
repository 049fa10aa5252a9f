"""The reference workload: its parts, its caches, and that no state of the user reaches it."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pytest_hiddencost.measure.latency.reference_workload import ReferenceWorkload


def test_every_part_runs_untimed_and_the_caches_are_filled_before_the_clock_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference = ReferenceWorkload(torch.device("cpu"))
    filled: list[bool] = []  # whether the caches were filled, for every run of a part
    before = reference._leftovers.clone()

    def part() -> None:
        filled.append(bool((reference._leftovers != before).all()))

    monkeypatch.setattr(reference, "_parts", (part, part))
    reference()
    assert filled == [False, False, True, True]
    assert reference._leftovers.nbytes >= 4 * 2**20


def test_every_part_weighs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = ReferenceWorkload(torch.device("cpu"))
    durations_ns = iter((100, 1_000, 10_000))
    monkeypatch.setattr(reference, "_timed", lambda part: next(durations_ns))
    assert reference() == 1_000


def test_it_takes_time_and_leaves_no_trace() -> None:
    state, grad = torch.get_rng_state(), torch.is_grad_enabled()
    reference = ReferenceWorkload(torch.device("cpu"))
    assert reference() > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() == grad
    assert not torch.is_inference_mode_enabled()


def test_modes_and_dtypes_of_the_user_do_not_reach_it() -> None:
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        torch.device("meta"),
        FakeTensorMode(),
    ):
        reference = ReferenceWorkload(torch.device("cpu"))
        assert reference() > 0
    torch.set_default_dtype(torch.float64)
    try:
        reference = ReferenceWorkload(torch.device("cpu"))
        tensors = [reference._image, reference._kernel, reference._rows]
        assert {tensor.dtype for tensor in tensors} == {torch.float32}
    finally:
        torch.set_default_dtype(torch.float32)
