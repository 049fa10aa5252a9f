"""How long the fixture measures a call, by what is made of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pytest_hiddencost import measure as profiling
from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.measure.passes import measure
from pytest_hiddencost.run.fixture import BRIEF, INTERLEAVED_SHARE, HiddenCost
from pytest_hiddencost.run.markers import budgets_of
from pytest_hiddencost.run.settings import Settings

WHOLE = Sampling(max_time_ns=40_000_000, min_samples=5)
NS = WHOLE.max_time_ns


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The time allowed for one call under these settings."""

    def of(settings: Settings, *limits: pytest.Mark) -> int:
        seen: list[Sampling] = []

        def watched(call: object, sampling: Sampling, **how: object) -> Profile:
            seen.append(sampling)
            return measure(call, sampling, **how)  # type: ignore[arg-type]  # passed on

        monkeypatch.setattr(profiling, "measure", watched)
        budgets: tuple[Budget, ...] = budgets_of([list(limits)]) if limits else ()
        device = torch.device("cpu")
        HiddenCost("t.py::t", settings, budgets, DEFAULT, lambda: device)(torch.relu, torch.ones(2))
        [sampling] = seen
        return sampling.max_time_ns

    return of


def test_a_call_gets_what_the_user_allows(asked_for: Callable[..., int]) -> None:
    assert asked_for(Settings(sampling=WHOLE)) == NS


def test_pairs_of_processes_leave_little_to_be_measured(asked_for: Callable[..., int]) -> None:
    settings = Settings(sampling=WHOLE, against="main")
    assert asked_for(settings) == NS * INTERLEAVED_SHARE
    structure = pytest.mark.latency_budget(macs=10).mark
    assert asked_for(settings, structure) == NS * INTERLEAVED_SHARE


def test_a_limit_on_time_is_measured_in_full_all_the_same(asked_for: Callable[..., int]) -> None:
    limit = pytest.mark.latency_budget(p50="1s").mark
    assert asked_for(Settings(sampling=WHOLE, against="main"), limit) == NS


def test_a_peer_hurries_past_what_it_is_not_asked_about(asked_for: Callable[..., int]) -> None:
    assert asked_for(Settings(sampling=WHOLE, worker=True)) == BRIEF.max_time_ns
