"""The time that one measurement takes, and that each mode of a run allows for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_hiddencost import measure as measure_package
from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure import Call, one_call, passes
from pytest_hiddencost.measure.latency import reference_visits, sampler
from pytest_hiddencost.measure.latency.sampler import LatencySampler
from pytest_hiddencost.measure.operators import window_pass, windows
from pytest_hiddencost.measure.operators.folding import Window, fold
from pytest_hiddencost.measure.operators.window_pass import USUAL_WINDOWS
from pytest_hiddencost.run.markers import budgets_of
from pytest_hiddencost.run.modes import against_revision, interleaving
from pytest_hiddencost.run.modes.against_revision import UNJUDGED_SHARE, AgainstRevision
from pytest_hiddencost.run.modes.base import Mode, Request
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from pytest_hiddencost.run.modes.interleaved_side import BRIEF, InterleavedSide
from pytest_hiddencost.run.modes.interleaving import Interleaving
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
    vanished: list[str] = field(default_factory=list)
    modules: frozenset[str] = frozenset()
    collect_failed: bool = False
    startup_s: float = 0.0


class Idle:
    """Stands in for what starts processes, and for what tidies up after them."""

    def __init__(self, *_: object) -> None: ...

    def settle(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def against_main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AgainstRevision:
    monkeypatch.setattr(against_revision, "resolve", lambda *_: None)
    invocation = Invocation(tmp_path, tmp_path, None, (), WHOLE.max_time_ns)
    settings = Settings(sampling=WHOLE, against="main", invocation=invocation)
    monkeypatch.setattr(interleaving, "Reaper", Idle)
    monkeypatch.setattr(interleaving, "Starter", Idle)
    collected = Collected()
    workers = Interleaving(settings, collected, list, frozenset())
    return AgainstRevision(settings, collected, workers)


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


MS = 1_000_000
LONGEST_NS = 5_000 * MS  # of a call of 5 ms, with default settings
UNDISTURBED = 1e9  # times the median: the profiler's own clock is real, so its times are noise


class FakeMachine:
    """A call of 5 ms, the clock that it moves, and the sampler that times it.

    A run of the reference workload takes 4 ms, and so does the reading of the events of a window.
    Calls without the profiler take one of ``plain_ms`` in turns, profiled calls ``profiled_ms``.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plain_ms: list[float]) -> None:
        self.now_ns = 0
        self.calls = 0
        self.profiled_ms = 8.0
        self.samplers: list[LatencySampler] = []
        self._plain_ms = plain_ms
        for module in (one_call, passes, window_pass, sampler, reference_visits):
            monkeypatch.setattr(module, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(passes, "ReferenceWorkload", lambda _: self._reference)
        monkeypatch.setattr(passes, "LatencySampler", self._sampler)
        monkeypatch.setattr(windows, "fold", self._fold)
        monkeypatch.setattr(windows.OperatorWindows, "OUTLIER", UNDISTURBED)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        profiled = torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
        plain_ms = self._plain_ms[self.calls % len(self._plain_ms)]
        self.calls += 1
        self.now_ns += round(MS * (self.profiled_ms if profiled else plain_ms))
        return x.neg()

    def measured(self, undecided: Callable[[Profile], bool]) -> Profile:
        """Return the profile of the call with default settings and a budget."""
        call = Call(lambda x: self(x), (torch.ones(1),), {}, torch.device("cpu"))
        return one_call.measure(call, Sampling(), threads=1, undecided=undecided)

    def _reference(self) -> int:
        self.now_ns += 4 * MS
        return 4 * MS

    def _fold(self, *args: Any) -> Window:
        self.now_ns += 4 * MS
        return fold(*args)

    def _sampler(self, *args: Any, **kwargs: Any) -> LatencySampler:
        self.samplers.append(LatencySampler(*args, **kwargs))
        return self.samplers[-1]


STEADY, NOISY = [5.0], [4.0, 5.0, 6.0]


@pytest.mark.parametrize("plain_ms", [STEADY, NOISY])
def test_a_limit_that_stays_open_holds_a_call_of_5_ms_for_5_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch, plain_ms: list[float]
) -> None:
    machine = FakeMachine(monkeypatch, plain_ms)
    found = machine.measured(lambda _: True)
    assert machine.now_ns <= LONGEST_NS
    assert found.profiler.windows > USUAL_WINDOWS
    assert not machine.samplers[0].time_left


def test_a_limit_that_is_decided_costs_no_further_sample_or_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = FakeMachine(monkeypatch, STEADY)
    asked: list[int] = []

    def undecided(_: Profile) -> bool:
        asked.append(machine.calls)
        return False

    found = machine.measured(undecided)
    # MACs and memory, compared with those of the first calls, and a search for unseen work.
    later = passes.LATER_COUNTS + 1 + 1
    assert asked == [machine.calls - later]
    assert found.profiler.windows == USUAL_WINDOWS


def test_a_budget_gets_the_windows_of_an_interval_even_if_all_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = FakeMachine(monkeypatch, STEADY)
    machine.profiled_ms = 1_000.0
    found = machine.measured(lambda _: True)
    assert found.profiler.windows == USUAL_WINDOWS
