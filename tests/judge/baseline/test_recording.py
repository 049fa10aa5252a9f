"""Recording: several launches of each call, or none of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.judge.baseline.recording import Note, Recording, record
from tests.judge.baseline.stored_entries import entry, store
from tests.judge.launches import MS, launch
from tests.profiles import energy_use

A, B = (f"test_models.py::test_{name}" for name in "ab")
NOTE = Note("2024-05-01T10:00:00Z", "0123abc", "faster kernel")


class Relaunching:
    """Relaunches in which the n-th process measures what ``make`` says; it is asked by test."""

    def __init__(self, make: Callable[[int, str], Profile | None], trouble: str = "") -> None:
        self.trouble = trouble
        self._make = make
        self.asked: list[tuple[str, ...]] = []

    def launch(self, tests: Sequence[str], injection: str = "") -> Mapping[CallKey, Profile]:
        assert not injection
        found = [self._make(len(self.asked), test) for test in tests]
        self.asked.append(tuple(tests))
        return {(p.test, p.label): p for p in found if p is not None}


def measured(number: int, test: str) -> Profile:
    return launch((10 + number) * MS, test=test)


def recorded(
    folder: Path, profiles: Sequence[Profile], relaunching: Relaunching, **options: Any
) -> Recording:
    return record(profiles, store(folder), relaunching, 3, NOTE, **{"own": True, **options})


def latencies(folder: Path, test: str) -> tuple[int, ...]:
    module, name = test.split("::")
    found = store(folder).entry(module, name, "")
    assert found is not None
    assert (found.created, found.commit, found.reason) == (NOTE.created, NOTE.commit, NOTE.reason)
    return found.p50_ns


def mark(folder: Path, test: str) -> str:
    """Why the device was unfit, as the entry keeps it."""
    module, name = test.split("::")
    found = store(folder).entry(module, name, "")
    assert found is not None
    return found.unfit


def test_this_process_counts_as_a_launch_where_it_measured_alone(tmp_path: Path) -> None:
    relaunching = Relaunching(measured)
    done = recorded(tmp_path, [launch(9 * MS, test=A)], relaunching)
    assert (done.added, done.rewritten, done.dropped, done.refused) == (1, 0, 0, {})
    assert latencies(tmp_path, A) == (9 * MS, 10 * MS, 11 * MS)
    assert relaunching.asked == [(A,)] * 2


def test_a_call_whose_kernels_seem_longer_than_it_is_recorded(tmp_path: Path) -> None:
    """A window may show more time in MAC kernels than the plain calls took."""
    longer = launch(10 * MS, test=A, mac_ns=11.0 * MS)
    assert recorded(tmp_path, [longer], Relaunching(measured)).added == 1
    module, name = A.split("::")
    found = store(tmp_path).entry(module, name, "")
    assert found is not None
    assert found.non_mac_ns == (0, 4 * MS, round(4.4 * MS))


def test_this_process_does_not_count_where_others_measured_meanwhile(tmp_path: Path) -> None:
    relaunching = Relaunching(measured)
    recorded(tmp_path, [launch(9 * MS, test=A)], relaunching, own=False)
    assert latencies(tmp_path, A) == (10 * MS, 11 * MS, 12 * MS)


def test_this_process_does_not_count_for_a_call_with_an_energy(tmp_path: Path) -> None:
    """It neither keeps its memory nor binds its threads, as the later relaunch that is judged."""

    def metered(number: int, test: str) -> Profile:
        return replace(measured(number, test), energy=energy_use((10.0 + number) * 1e6))

    relaunching = Relaunching(metered)
    recorded(tmp_path, [launch(9 * MS, test=A, energy=energy_use(99e6))], relaunching)
    assert latencies(tmp_path, A) == (10 * MS, 11 * MS, 12 * MS)
    found = store(tmp_path).entry("test_models.py", "test_a", "")
    assert found is not None
    assert found.energy_nj == (10_000_000, 11_000_000, 12_000_000)


def test_all_calls_are_measured_by_the_same_relaunches(tmp_path: Path) -> None:
    relaunching = Relaunching(measured)
    done = recorded(tmp_path, [launch(test=B), launch(test=A)], relaunching)
    assert done.added == 2
    assert relaunching.asked == [(A, B)] * 2
    assert len(done.files) == 1


def test_a_call_measured_on_an_unfit_device_is_stored_and_marked(tmp_path: Path) -> None:
    """Its structure is exact all the same."""

    def unfit_at_first(number: int, test: str) -> Profile:
        unfit = "throttled" if number == 0 and test == A else ""
        return launch((10 + number) * MS, test=test, unfit=unfit)

    relaunching = Relaunching(unfit_at_first)
    done = recorded(tmp_path, [launch(9 * MS, test=A), launch(9 * MS, test=B)], relaunching)
    assert done.refused == {}
    assert done.added == 2
    assert done.unfit == {(A, ""): "throttled"}
    assert latencies(tmp_path, A) == latencies(tmp_path, B) == (9 * MS, 10 * MS, 11 * MS)
    assert [mark(tmp_path, test) for test in (A, B)] == ["throttled", ""]


def test_an_unfit_device_takes_no_more_launches_than_were_asked_for(tmp_path: Path) -> None:
    def always_unfit(number: int, test: str) -> Profile:
        return launch((10 + number) * MS, test=test, unfit="hot")

    relaunching = Relaunching(always_unfit)
    done = recorded(tmp_path, [launch(test=A)], relaunching)
    assert relaunching.asked == [(A,)] * 2
    assert (done.added, done.unfit) == (1, {(A, ""): "hot"})


def test_a_call_recorded_on_a_fit_device_again_is_no_longer_marked(tmp_path: Path) -> None:
    recorded(tmp_path, [launch(test=A, unfit="hot")], Relaunching(measured))
    done = recorded(tmp_path, [launch(test=A)], Relaunching(measured))
    assert (done.rewritten, done.unfit) == (1, {})
    assert mark(tmp_path, A) == ""


@pytest.mark.parametrize(
    ("trouble", "why"),
    [("", "no relaunch measured it"), ("a relaunch ended with exit status 3", None)],
)
def test_a_call_that_a_relaunch_does_not_measure_is_refused_at_once(
    tmp_path: Path, trouble: str, why: str | None
) -> None:
    relaunching = Relaunching(lambda *_: None, trouble)
    done = recorded(tmp_path, [launch(test=A)], relaunching)
    assert relaunching.asked == [(A,)], "it is not tried again"
    assert done.refused == {(A, ""): f"1 of 3 launches: {why or trouble}"}
    assert store(tmp_path).modules() == []


def test_others_are_measured_on_where_one_call_is_refused(tmp_path: Path) -> None:
    relaunching = Relaunching(lambda n, test: measured(n, test) if test == B or n else None)
    done = recorded(tmp_path, [launch(9 * MS, test=A), launch(9 * MS, test=B)], relaunching)
    assert relaunching.asked == [(A, B), (B,)]
    assert set(done.refused) == {(A, "")}
    assert latencies(tmp_path, B) == (9 * MS, 10 * MS, 11 * MS)


def test_a_refused_call_keeps_its_earlier_entry_and_others_are_rewritten(tmp_path: Path) -> None:
    store(tmp_path).update(
        {("test_models.py", "test_a", ""): entry(1), ("test_models.py", "test_b", ""): entry(2)}
    )
    relaunching = Relaunching(lambda n, test: measured(n, test) if test == B else None)
    done = recorded(tmp_path, [launch(test=A), launch(test=B)], relaunching)
    assert (done.added, done.rewritten, set(done.refused)) == (0, 1, {(A, "")})
    assert store(tmp_path).entry("test_models.py", "test_a", "") == entry(1)
    assert latencies(tmp_path, B) == (10 * MS, 10 * MS, 11 * MS)


def test_entries_to_drop_are_dropped_in_the_same_update(tmp_path: Path) -> None:
    store(tmp_path).update({("test_models.py", "test_gone", "b1"): entry(1)})
    gone = ("test_models.py::test_gone", "b1")
    done = recorded(tmp_path, [launch(test=A)], Relaunching(measured), drop=[gone])
    assert (done.added, done.dropped) == (1, 1)
    assert set(store(tmp_path).entries("test_models.py")) == {("test_a", "")}


def test_a_relaunch_may_measure_more_than_was_asked_for(tmp_path: Path) -> None:
    class Generous(Relaunching):
        def launch(self, tests: Sequence[str], injection: str = "") -> Mapping[CallKey, Profile]:
            found = super().launch(tests, injection)
            return {**found, (A, "other label"): launch(test=A, label="other label")}

    done = recorded(tmp_path, [launch(test=A)], Generous(measured))
    assert (done.added, done.refused) == (1, {})
    assert set(store(tmp_path).entries("test_models.py")) == {("test_a", "")}
