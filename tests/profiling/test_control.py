"""The control workload: what it is relative to, and that nothing of the user's reaches it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pytest_hiddencost.profiling import latency
from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.control import Control
from pytest_hiddencost.profiling.latency import Block, LatencySampler, control_time_of
from pytest_hiddencost.records import ControlTime, Sampling

MS = 1_000_000


def test_relative_is_block_by_block() -> None:
    # A machine at half its pace in the second block: neither p50 nor control alone tells.
    blocks = [Block(100, [1000, 1010, 990]), Block(100, [2000, 2020]), Block(300, [3000])]
    found = control_time_of(blocks, 300)
    # 1000 / 100, 2010 / 200, 3000 / 300
    assert found == ControlTime(median_ns=200.0, relative=10.0, blocks=3)


def test_a_block_without_samples_counts_for_nothing() -> None:
    assert control_time_of([Block(100, [500]), Block(100)], 100).relative == 5.0


def test_without_a_control_nothing_is_relative() -> None:
    assert control_time_of([Block(0, [500])], 0) == ControlTime()


def test_the_control_runs_between_blocks_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 0
    order: list[str] = []

    def model() -> None:
        nonlocal now_ns
        now_ns += 5 * MS
        order.append("call")

    def control() -> int:
        nonlocal now_ns
        now_ns += MS
        order.append("control")
        return MS

    monkeypatch.setattr(latency, "perf_counter_ns", lambda: now_ns)
    call = Call(model, (), {}, torch.device("cpu"))
    settings = Sampling(max_time_ns=200 * MS, min_samples=40)
    sampler = LatencySampler(call, settings, control=control)
    sampler.sample()
    assert "".join(word[1] for word in order) == "oaaaaa" * 8 + "o", "every 25 ms, and at the end"
    assert sampler.control_time() == ControlTime(MS, 5.0, 8)
    assert sampler.spent_ns == 200 * MS, "the control takes none of the time for calls"


def test_a_slow_control_runs_less_often() -> None:
    durations: Iterator[int] = iter(range(10**6))

    def control() -> int:
        next(durations)
        return 10 * MS

    call = Call(lambda: torch.ones(1), (), {}, torch.device("cpu"))
    sampler = LatencySampler(call, Sampling(max_time_ns=20 * MS, min_samples=20), control=control)
    sampler.sample()
    assert next(durations) == 2, "one before and one after: 5 % of 200 ms"


def test_the_control_takes_time_and_leaves_no_trace() -> None:
    state, grad = torch.get_rng_state(), torch.is_grad_enabled()
    control = Control(torch.device("cpu"))
    assert control() > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() == grad
    assert not torch.is_inference_mode_enabled()


def test_the_users_modes_do_not_reach_the_control() -> None:
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        torch.device("meta"),
        FakeTensorMode(),
    ):
        control = Control(torch.device("cpu"))
        assert control() > 0
    torch.set_default_dtype(torch.float64)
    try:
        assert Control(torch.device("cpu"))._source.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
