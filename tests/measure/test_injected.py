"""Injected regressions: a tenth more time outside any operator, or copies of the output."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.measure import injected, measure
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.injected import COPIES, EXTRA_COPIES, SLOW, with_injection

CPU = torch.device("cpu")
MODEL = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
X = torch.ones(2, 4)


def call(model: object = MODEL) -> Call:
    return Call(model, (X,), {}, CPU)  # type: ignore[arg-type]


def calls(profile: Profile) -> dict[str, int]:
    return {operator.name: operator.calls for operator in profile.operators}


def test_copies_add_calls_and_change_nothing_else() -> None:
    short = Sampling(max_time_ns=1_000_000)
    plain, worse = measure(call(), short), measure(with_injection(call(), COPIES), short)
    assert calls(worse)["aten::clone"] == EXTRA_COPIES
    more = {name: n - calls(plain).get(name, 0) for name, n in calls(worse).items()}
    copying = {"aten::clone", "aten::copy_", "aten::empty_like", "aten::empty_strided"}
    assert {name for name, n in more.items() if n} <= copying
    assert min(more.values()) >= 0
    assert worse.macs == plain.macs
    assert (worse.model, worse.parameters) == (plain.model, plain.parameters)


def test_slow_adds_a_tenth_of_the_time_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 0

    def clock() -> int:
        nonlocal now_ns
        now_ns += 1_000
        return now_ns

    def model(x: torch.Tensor) -> str:
        nonlocal now_ns
        now_ns += 5_000_000
        return "result"

    monkeypatch.setattr(injected, "perf_counter_ns", clock)
    assert with_injection(call(model), SLOW).run() == "result"
    assert 5_500_000 <= now_ns <= 5_510_000


def test_the_state_of_an_injected_model_is_preserved() -> None:
    training = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    before = {name: value.clone() for name, value in training.state_dict().items()}
    for injection in (SLOW, COPIES):
        measure(with_injection(call(training), injection), Sampling(max_time_ns=1_000_000))
    assert all(torch.equal(before[name], value) for name, value in training.state_dict().items())


def test_copies_can_be_injected_into_a_model_that_returns_no_tensor() -> None:
    worse = measure(with_injection(call(lambda x: x.sum().item()), COPIES), Sampling(1_000_000))
    assert calls(worse)["aten::clone"] == EXTRA_COPIES
