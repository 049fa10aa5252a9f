"""Calls of seconds and minutes, on a fake clock: as few of them as an answer needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat
from typing import Any

import pytest
import torch

from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.measure import Call, Wanted, arguments, one_call, outlook, passes
from pytest_hiddencost.measure.latency import reference_visits, sampler
from pytest_hiddencost.measure.macs import compiled
from pytest_hiddencost.measure.operators import window_pass, windows
from pytest_hiddencost.measure.outlook import CallProgress
from tests.profiles import MS, S

P50 = Wanted(samples=True)
NON_MAC = Wanted(samples=True, windows=True)
UNDISTURBED = 1e9  # the profiler's own clock is real, so its times are noise


class Model:
    """A model whose calls take given times, and the clock that they move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = self.calls = self.setups = 0
        self.times_ns: Iterator[int] = repeat(MS)
        self.setup_ns = 0
        for module in (
            one_call,
            passes,
            window_pass,
            sampler,
            reference_visits,
            outlook,
            arguments,
        ):
            monkeypatch.setattr(module, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(windows.OperatorWindows, "OUTLIER", UNDISTURBED)
        monkeypatch.setattr(passes, "ReferenceWorkload", lambda _: lambda: 4 * MS)
        # Else MACs are counted once more, in eager mode.
        monkeypatch.setattr(compiled, "_process_has_compiled_code", lambda: False)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.now_ns += next(self.times_ns)
        return x.neg()

    def setup(self) -> tuple[torch.Tensor]:
        self.setups += 1
        self.now_ns += self.setup_ns
        return (torch.ones(1),)

    def measured(
        self, times_ns: Iterator[int], wanted: Wanted | None = None, **how: Any
    ) -> Profile:
        """Return the profile of a model with these times, by default settings."""
        self.times_ns = times_ns
        given = () if self.setup_ns else self.setup()
        setup = self.setup if self.setup_ns else None
        call = Call(self, given, {}, torch.device("cpu"), setup=setup)
        undecided: Callable[[Profile], bool] | None = None
        if wanted is not None and wanted.samples:
            undecided = lambda _: True  # noqa: E731  # the limit stays open
        sampling = how.pop("sampling", Sampling())
        return one_call.measure(
            call, sampling, threads=1, undecided=undecided, wanted=wanted or Wanted(), **how
        )


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    return Model(monkeypatch)


@pytest.mark.parametrize(
    ("seconds", "wanted", "calls"),
    [
        (2, None, 14), (2, P50, 17), (2, NON_MAC, 22),
        (14, None, 11), (14, P50, 16), (14, NON_MAC, 22),
        (90, None, 11), (90, P50, 16), (90, NON_MAC, 22),
    ],
)  # fmt: skip
def test_a_call_of_seconds_is_made_as_often_as_its_answer_needs(
    model: Model, seconds: int, wanted: Wanted | None, calls: int
) -> None:
    found = model.measured(repeat(seconds * S), wanted)
    assert found.latency.median_ns == seconds * S
    assert (model.calls, found.calls_made) == (calls, calls)
    assert found.spent_ns == calls * seconds * S
    assert (found.latency.median_ci_ns is not None) == (wanted is not None)
    assert (found.varies, found.structure_varies) == ((), False)


def test_more_time_gives_a_call_of_seconds_more_samples(model: Model) -> None:
    found = model.measured(repeat(14 * S), P50, sampling=Sampling(max_time_ns=300 * S))
    assert len(found.latency.samples_ns) == 22
    assert found.profiler.windows >= window_pass.USUAL_WINDOWS


def test_only_the_first_call_is_slow(model: Model) -> None:
    """Limits and numbers of calls follow the later ones, as without the lazy start."""
    found = model.measured(chain([20 * S], repeat(5 * MS)))
    lazily = model.calls
    assert found.latency.median_ns == 5 * MS
    model.calls = 0
    model.measured(repeat(5 * MS))
    assert lazily == pytest.approx(model.calls, abs=2)
    assert model.calls > 100


def test_a_call_of_very_different_lengths_is_not_made_more_often(model: Model) -> None:
    found = model.measured(cycle([1 * S, 20 * S, 7 * S]))
    assert model.calls <= 13
    assert found.latency.min_ns < found.latency.p95_ns


def test_a_slow_setup_counts_as_part_of_the_call(model: Model) -> None:
    model.setup_ns = 10 * S
    found = model.measured(repeat(5 * MS))
    assert found.latency.median_ns == 5 * MS
    assert model.setups <= 25
    assert found.profiler.windows >= window_pass.FEWEST_LENGTHY_WINDOWS


def test_a_very_short_call_with_a_slow_setup_ends_as_well(model: Model) -> None:
    """A block beside the reference workload would take 60 such calls, and as many setups."""
    model.setup_ns = 10 * S
    model.measured(repeat(MS // 20))
    assert model.setups <= 25


def test_a_call_that_nobody_asked_for_is_made_five_times(model: Model) -> None:
    found = model.measured(
        repeat(14 * S), Wanted(thop=False, checks=False), sampling=Sampling(max_time_ns=MS)
    )
    assert model.calls == 5
    assert found.activation_peak_bytes is not None, "a test may use it"


@pytest.mark.parametrize(
    ("seconds", "wanted", "note"),
    [
        (14, Wanted(), "a call takes longer than --hiddencost-max-time"),
        (1, Wanted(), ""),
        (14, Wanted(thop=False), ""),
    ],
)
def test_thop_gets_a_call_that_fits_into_the_time(
    model: Model, monkeypatch: pytest.MonkeyPatch, seconds: int, wanted: Wanted, note: str
) -> None:
    asked: list[Call] = []

    def counted(call: Call) -> tuple[int, str]:
        asked.append(call)
        return 7, ""

    monkeypatch.setattr(passes, "thop_macs", counted)
    found = model.measured(repeat(seconds * S), wanted)
    assert found.thop_note == note
    assert found.thop_macs == (7 if seconds == 1 else None)
    assert len(asked) == (1 if seconds == 1 else 0)


@pytest.mark.parametrize("seconds", [1, 2, 5, 14, 90])
@pytest.mark.parametrize("wanted", [None, P50, NON_MAC])
def test_the_number_of_calls_is_foreseen(model: Model, seconds: int, wanted: Wanted | None) -> None:
    told: list[CallProgress] = []
    model.measured(repeat(seconds * S), wanted, tell=told.append)
    assert {progress.of for progress in told if progress.pass_name == "timed"} == {model.calls}


def test_the_progress_says_which_call_of_how_many_and_how_long_is_left(model: Model) -> None:
    told: list[CallProgress] = []
    model.measured(repeat(14 * S), tell=told.append)
    assert [progress.number for progress in told] == list(range(1, 12))
    assert {progress.of for progress in told[3:]} == {11}
    left = [progress.left_ns / S for progress in told[3:]]
    assert left == [14 * calls for calls in range(8, 0, -1)]
    assert str(told[3]) == "call 4 of 11 (timed), about 112 s left"
    assert str(told[1]) == "call 2 (MACs), the longest so far took 14 s"
    assert [progress.lengthy for progress in told] == [False] + [True] * 10


def test_more_calls_than_foreseen_are_told_as_well(model: Model) -> None:
    told: list[CallProgress] = []
    model.measured(cycle([1 * S, 20 * S]), NON_MAC, tell=told.append)
    assert all(progress.number <= progress.of for progress in told[3:])
    assert all(progress.left_ns > 0 for progress in told[3:])


def test_short_calls_are_not_watched_while_they_are_timed(model: Model) -> None:
    told: list[CallProgress] = []
    model.measured(repeat(5 * MS), tell=told.append)
    assert len(told) < 50 < model.calls
    assert "timed" not in {progress.pass_name for progress in told}
    assert not any(progress.lengthy for progress in told)
