"""The time that each mode of a run allows for the measurement of one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_hiddencost import measure as measure_package
from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure import Call
from pytest_hiddencost.run.markers import budgets_of
from pytest_hiddencost.run.modes import against_revision
from pytest_hiddencost.run.modes.against_revision import UNJUDGED_SHARE, AgainstRevision
from pytest_hiddencost.run.modes.base import Mode, Request
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from pytest_hiddencost.run.modes.interleaved_side import BRIEF, InterleavedSide
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.workers.invocation import Invocation

WHOLE = Sampling(max_time_ns=40_000_000, min_samples=5)


class _Asked(Exception):
    """Ends a measurement that would begin now."""


@dataclass
class Collected:
    ids: list[str] = field(default_factory=list)
    ours: list[str] = field(default_factory=list)
    deselected: list[str] = field(default_factory=list)
    collect_failed: bool = False


@pytest.fixture
def against_main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AgainstRevision:
    monkeypatch.setattr(against_revision, "resolve", lambda *_: None)
    invocation = Invocation(tmp_path, tmp_path, None, (), WHOLE.max_time_ns)
    settings = Settings(sampling=WHOLE, against="main", invocation=invocation)
    return AgainstRevision(settings, Collected(), list, frozenset())


def allowed_ns(monkeypatch: pytest.MonkeyPatch, mode: Mode, **limits: Any) -> int:
    """Return the ``max_time`` of a call with these limits."""
    samplings: list[Sampling] = []

    def asked(call: Call, sampling: Sampling, **_: object) -> Profile:
        samplings.append(sampling)
        raise _Asked

    monkeypatch.setattr(measure_package, "measure", asked)
    budgets = budgets_of([[pytest.mark.latency_budget(**limits).mark]]) if limits else ()
    call = Call(torch.relu, (torch.ones(2),), {}, torch.device("cpu"))
    budget = budgets[0] if budgets else None
    with pytest.raises(_Asked):
        mode.measure(Request("t.py::t", "", call, budget, DEFAULT))
    [sampling] = samplings
    return sampling.max_time_ns


def test_a_call_gets_the_time_that_the_user_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    mode = BudgetsOnly(Settings(sampling=WHOLE))
    assert allowed_ns(monkeypatch, mode) == WHOLE.max_time_ns


def test_a_call_that_pairs_of_processes_judge_gets_a_share(
    monkeypatch: pytest.MonkeyPatch, against_main: AgainstRevision
) -> None:
    share_ns = WHOLE.max_time_ns * UNJUDGED_SHARE
    assert allowed_ns(monkeypatch, against_main) == share_ns
    assert allowed_ns(monkeypatch, against_main, macs=10) == share_ns


def test_a_call_with_a_timed_limit_gets_all_the_time(
    monkeypatch: pytest.MonkeyPatch, against_main: AgainstRevision
) -> None:
    assert allowed_ns(monkeypatch, against_main, p50="1s") == WHOLE.max_time_ns


def test_a_worker_process_hurries_past_calls_that_are_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NothingAsked:
        def pace(self, test: str, label: str) -> None:
            return None

    side: Any = NothingAsked()
    mode = InterleavedSide(Settings(sampling=WHOLE, worker="interleaved"), side)
    assert allowed_ns(monkeypatch, mode) == BRIEF.max_time_ns
