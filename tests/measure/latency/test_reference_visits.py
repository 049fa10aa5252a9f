"""Visits: the calls that alternate with the reference workload, and the time relative to it."""

from __future__ import annotations

import pytest
import torch

from pytest_hiddencost.core.records import ReferenceTime, Sampling
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.latency import reference_visits, sampler
from pytest_hiddencost.measure.latency.reference_visits import ReferenceVisits
from pytest_hiddencost.measure.latency.reference_workload import VERSION
from pytest_hiddencost.measure.latency.sampler import LatencySampler

MS = 1_000_000


class Machine:
    """A clock, and the durations of a call ("m") and of the reference workload ("r") on it.

    ``slowness`` multiplies all durations; ``order`` records the runs.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, call_ns: float, reference_ns: float
    ) -> None:
        self.now_ns = 0
        self.slowness = 1.0
        self.order = ""
        self._call_ns, self._reference_ns = call_ns, reference_ns
        monkeypatch.setattr(sampler, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(reference_visits, "perf_counter_ns", lambda: self.now_ns)

    def model(self) -> None:
        self.runs("m", self._call_ns)

    def reference(self) -> int:
        return self.runs("r", self._reference_ns)

    def runs(self, name: str, duration_ns: float) -> int:
        taken_ns = round(self.slowness * duration_ns)
        self.now_ns += taken_ns
        self.order += name
        return taken_ns

    def sampler(self, max_time_ns: int, min_samples: int) -> LatencySampler:
        call = Call(self.model, (), {}, torch.device("cpu"))
        settings = Sampling(max_time_ns=max_time_ns, min_samples=min_samples)
        return LatencySampler(call, settings, reference=self.reference)

    def visit(self, visits: ReferenceVisits, *calls_ns: float) -> None:
        """One block of calls with these durations."""
        durations_ns = iter(calls_ns)
        visits.visit(lambda: self.runs("m", next(durations_ns)), 1)


def rounded(found: ReferenceTime) -> tuple[float, float, int]:
    return round(found.mean_ns, 3), round(found.relative, 6), found.blocks


# --- when the sampler visits --------------------------------------------------------------------


def test_visits_alternate_with_plain_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 10 * MS, MS)
    sampler = machine.sampler(500 * MS, 18)
    sampler.sample()
    # 50 ms of visit, a call or two that refill the caches, then 50 ms of samples.
    visit = "r" + "mr" * 5
    even, odd = visit + "mm" + "mmmmmm", visit + "m" + "mmmmmm"
    assert machine.order == even + odd + even
    assert len(sampler.result().samples_ns) == 18, "the calls of a visit are no samples"
    assert sampler.spent_ns == 330 * MS, "max_time is spent by calls alone"
    assert rounded(sampler.reference_time()) == (MS, 10.0, 15)


@pytest.mark.parametrize("reference_ms", [40, 200, 1_000])
def test_a_slow_reference_workload_takes_no_longer_than_the_calls(
    monkeypatch: pytest.MonkeyPatch, reference_ms: int
) -> None:
    machine = Machine(monkeypatch, 5 * MS, reference_ms * MS)
    sampler = machine.sampler(2_000 * MS, 20)
    sampler.sample()
    *_, samples = machine.order.rpartition("r")
    of_calls_ns = 5 * MS * machine.order.count("m")
    last_visit_ns = 2 * reference_ms * MS if len(samples) * 5 < 2 * reference_ms else 0
    assert reference_ms * MS * machine.order.count("r") - last_visit_ns <= of_calls_ns


def test_short_calls_share_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, MS, MS)
    machine.sampler(500 * MS, 20).sample()
    assert machine.order.startswith("rmmmrmmmr")


@pytest.mark.parametrize("max_time_ms", [30, 100, 500, 2_000])
@pytest.mark.parametrize(
    ("one_ms", "other_ms"), [(30.0, 1.0), (1.0, 30.0), (2.0, 1.0), (70.0, 1.0)]
)
def test_both_kinds_of_calls_of_a_model_that_alternates_are_sampled_equally(
    monkeypatch: pytest.MonkeyPatch, max_time_ms: int, one_ms: float, other_ms: float
) -> None:
    machine = Machine(monkeypatch, MS, 0.3 * MS)

    def uneven() -> None:
        even = machine.order.count("m") % 2
        machine.runs("m", (other_ms if even else one_ms) * MS)

    call = Call(uneven, (), {}, torch.device("cpu"))
    settings = Sampling(max_time_ns=max_time_ms * MS, min_samples=40)
    sampler = LatencySampler(call, settings, reference=machine.reference)
    sampler.sample()
    sampler.sample_more()
    samples = sampler.result().samples_ns
    slow = sum(duration > 1.5 * MS for duration in samples)
    assert abs(2 * slow - len(samples)) <= 2, f"{slow} of {len(samples)}"


def test_visits_are_short_if_max_time_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 0.1 * MS, MS)
    sampler = machine.sampler(20 * MS, 40)
    sampler.sample()
    assert len(sampler.result().samples_ns) >= 40
    assert sampler.reference_time().blocks >= 2


def test_long_calls_are_samples_even_in_a_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 100 * MS, MS)
    sampler = machine.sampler(1_000 * MS, 10)
    sampler.sample()
    assert machine.order == ("rmr" + "m") * 5
    assert len(sampler.result().samples_ns) == 10
    assert sampler.reference_time().blocks == 5


def test_another_round_visits_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 10 * MS, MS)
    sampler = machine.sampler(1_000 * MS, 4)
    sampler.sample()
    blocks = sampler.reference_time().blocks
    sampler.sample_more()
    assert sampler.reference_time().blocks > blocks


def test_without_a_reference_workload_no_time_is_relative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, 10 * MS, MS)
    call = Call(machine.model, (), {}, torch.device("cpu"))
    sampler = LatencySampler(call, Sampling(max_time_ns=100 * MS, min_samples=10))
    sampler.warm_up()
    sampler.sample()
    assert sampler.reference_time() == ReferenceTime()
    assert set(machine.order) == {"m"}


# --- the result of the visits -------------------------------------------------------------------


def test_a_block_is_relative_to_the_reference_workload_before_and_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, MS, MS)
    references_ns = iter((1 * MS, 3 * MS))
    visits = ReferenceVisits(lambda: next(references_ns))
    machine.visit(visits, 10 * MS)
    assert rounded(visits.result()) == (2 * MS, 5.0, 1)


def test_a_block_counts_with_the_median_of_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, MS, MS)
    visits = ReferenceVisits(machine.reference)
    machine.visit(visits, 0.5 * MS, 0.5 * MS, 2.5 * MS)
    assert rounded(visits.result()) == (MS, 0.5, 1)


def test_the_speed_of_the_whole_machine_is_not_in_the_ratio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, 10 * MS, MS)
    visits = ReferenceVisits(machine.reference)
    call = Call(machine.model, (), {}, torch.device("cpu"))
    for slowness in (1.0, 2.0, 3.0):
        machine.slowness = slowness
        with sampler.timed_calls(call) as time_one:
            visits.visit(time_one, 50 * MS)
    assert visits.result().relative == pytest.approx(10.0)
    assert visits.result().version == VERSION
    assert machine.order.count("m") == 5 + 3 + 2, "each visit takes 50 ms, one call at least"


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.3])
@pytest.mark.parametrize("slow_share", [0.3, 0.5, 0.7])
def test_visits_at_two_speeds_equal_visits_at_a_speed_between(
    monkeypatch: pytest.MonkeyPatch, exponent: float, slow_share: float
) -> None:
    machine = Machine(monkeypatch, MS, MS)
    visits = ReferenceVisits(machine.reference)
    for visit in range(20):
        machine.slowness = 1.5 if visit < 20 * slow_share else 1.0
        machine.visit(visits, 10 * MS * machine.slowness ** (exponent - 1.0))
    found = visits.result()
    assert found.relative == pytest.approx(10.0 * (found.mean_ns / MS) ** (exponent - 1.0))


def test_a_few_odd_blocks_keep_call_and_reference_workload_at_one_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, MS, MS)
    visits = ReferenceVisits(machine.reference)
    for visit in range(20):
        machine.slowness = 1.5 if visit < 11 else 1.0
        odd = 0.88 if visit < 2 else 1.0
        machine.visit(visits, 10 * MS * machine.slowness**0.2 * odd)
    found = visits.result()
    assert found.relative == pytest.approx(10.0 * (found.mean_ns / MS) ** 0.2, rel=0.02)


def test_a_disturbed_block_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, MS, MS)
    visits = ReferenceVisits(machine.reference)
    for call_ns in (10 * MS, 30 * MS, 10 * MS, 10 * MS):
        machine.visit(visits, call_ns)
    assert rounded(visits.result()) == (MS, 10.0, 3)


def test_one_of_two_blocks_that_differ_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, MS, MS)
    visits = ReferenceVisits(machine.reference)
    for call_ns in (30 * MS, 10 * MS):
        machine.visit(visits, call_ns)
    assert rounded(visits.result()) == (MS, 10.0, 1)
