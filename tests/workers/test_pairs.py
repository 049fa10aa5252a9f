"""Pairs of workers: which ones stay, which are fresh, in what order they start, and what ends them.

The workers are threads: see ``fake_workers``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_hiddencost.core.checks import FAIL, PASS
from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import Verdict
from pytest_hiddencost.judge.interleaved.comparison import (
    MOST_PAIRS,
    PAIR_LOOKS,
    Pair,
    RevisionPlan,
    compare_pairs,
)
from pytest_hiddencost.judge.interleaved.ratios import FEWEST
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers import interleaved_plugin, pairs
from pytest_hiddencost.workers.imported_code import SameCode
from pytest_hiddencost.workers.invocation import Invocation
from pytest_hiddencost.workers.messages import PROTOCOL, Ready, RunTest
from pytest_hiddencost.workers.pairs import MOST_FAILED_STARTS, PairPlan, Pairs, PairsOfCall
from pytest_hiddencost.workers.revisions import Base, Tree
from pytest_hiddencost.workers.worker import NotInBase, Start, Worker
from tests.profiles import MS
from tests.workers.fake_workers import MB, Log, ThreadWorker

HEAD, BASE = "this tree", "main"
A, B, C = (f"test_it.py::test_{name}" for name in "abc")


class FakeReaper:
    """Keeps what it is to tidy up."""

    def __init__(self) -> None:
        self.folders: list[Path] = []

    def folder(self, path: Path) -> None:
        self.folders.append(path)


class Machine:
    """Where workers run: the trees of head and base, and the memory that is left."""

    def __init__(self, folder: Path) -> None:
        self.top, self.tree = folder / "project", folder / "base"
        for side in (self.top, self.tree):
            side.mkdir()
            (side / "test_it.py").touch()
        self.free_bytes = 1e12
        self.reaper = FakeReaper()
        self.log = Log(
            files={HEAD: {"net": self.top / "net.py"}, BASE: {"net": self.tree / "net.py"}}
        )

    def start(self, start: Start, folder: Path, reaper: Reaper) -> Worker:
        if self.log.unstartable:
            raise InterleavingError(f"{start.name}: pytest cannot be started: {len(self.log.done)}")
        return ThreadWorker(start, folder, reaper, self.log)

    def pairs(
        self, *, runs: int = 1, python: Path | None = None, module: str = "test_it.py"
    ) -> Pairs:
        base = Base(BASE, self.top, commit="0123abc", python=python)
        plan = PairPlan(
            Tree(base, self.tree),
            Invocation(self.top, self.top, None, (), max_time_ns=100 * MS),
            frozenset(),
            lambda: [f"{module}::test_{name}" for name in "abc"],
            runs,
        )
        return Pairs(plan, cast("Reaper", self.reaper), self.start)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(pairs, "module_files", dict)
    monkeypatch.setattr(pairs, "available_bytes", lambda: made.free_bytes)
    monkeypatch.setattr(
        interleaved_plugin, "_ready", lambda request: Ready(request.number, "2.13.0", False)
    )
    yield made
    for worker in made.log.workers:
        worker.kill()


def measured(of_call: PairsOfCall, times: int, *, fresh: bool = False) -> list[Pair]:
    return [of_call(fresh=fresh) for _ in range(times)]


# --- what a pair measures ----------------------------------------------------------------------


def test_a_pair_measures_head_and_base_in_turns(machine: Machine) -> None:
    machine.log.call_ns = {HEAD: 2 * MS, BASE: MS}
    found = machine.pairs().of_call(A, "")(fresh=False)
    assert found.estimates["p50"].change == pytest.approx(0.693, abs=0.001)
    assert found.estimates["non_mac"].change == pytest.approx(0.693, abs=0.001)
    assert found.blocks == FEWEST, "blocks that agree are enough"
    assert (found.head.model, found.base.model) == ("MobileNet", "MobileNet")
    turns = [number for number, _ in machine.log.steps("turn")]
    assert turns.count(0) == turns.count(1) == 2 * FEWEST


def test_the_next_pair_needs_no_refills_if_the_first_one_noticed_none(machine: Machine) -> None:
    of_call = machine.pairs().of_call(A, "")
    refills: list[int] = []

    def noted(turn: Any) -> Any:
        def noting(self: Worker, duration_ns: int, *, refill: int) -> Any:
            refills.append(refill)
            return turn(self, duration_ns, refill=refill)

        return noting

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ThreadWorker, "turn", noted(ThreadWorker.turn))
        measured(of_call, 2)
    half = len(refills) // 2
    assert any(refills[:half])
    assert not any(refills[half:])


# --- pairs that stay, and fresh ones -----------------------------------------------------------


def test_pairs_stay_for_later_tests(machine: Machine) -> None:
    made = machine.pairs()
    first = measured(made.of_call(A, ""), 3)
    assert [pair.fresh for pair in first] == [True] * 3
    workers = list(machine.log.workers)
    assert len(workers) == 6
    later = measured(made.of_call(B, ""), 3)
    assert [pair.fresh for pair in later] == [False] * 3
    assert machine.log.workers == workers
    assert machine.log.alive() == list(range(6))


def test_a_fresh_pair_is_added_to_those_that_stay(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 2)
    of_call = made.of_call(B, "")
    measured(of_call, 2)
    assert len(machine.log.workers) == 4
    assert of_call(fresh=True).fresh
    assert machine.log.alive() == list(range(6)), "it stays as well"
    again = made.of_call(C, "")
    assert [pair.fresh for pair in measured(again, 3)] == [False] * 3


def test_where_every_pair_that_may_stay_is_used_a_fresh_one_ends_after_its_call(
    machine: Machine,
) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 2)
    of_call = made.of_call(B, "")
    measured(of_call, 1)
    assert of_call(fresh=True).fresh
    assert machine.log.alive() == list(range(4))
    assert not of_call(fresh=False).fresh, "the pair that stays is still there"
    assert len(machine.log.workers) == 6


def test_no_more_pairs_stay_than_a_call_may_need(machine: Machine) -> None:
    of_call = machine.pairs().of_call(A, "")
    measured(of_call, MOST_PAIRS)
    assert len(machine.log.alive()) == 2 * MOST_PAIRS
    assert not of_call.stays
    assert of_call(fresh=True).fresh
    assert len(machine.log.alive()) == 2 * MOST_PAIRS


@pytest.mark.parametrize("place", ["small board", "accelerator", "beside another run"])
def test_where_memory_is_scarce_only_the_first_pair_stays(machine: Machine, place: str) -> None:
    machine.free_bytes = 300 * MB if place == "small board" else 1e12
    machine.log.device = "cuda:0" if place == "accelerator" else "cpu"
    made = machine.pairs(runs=2 if place == "beside another run" else 1)
    for test in (A, B):
        of_call = made.of_call(test, "")
        first, *others = measured(of_call, 3)
        assert first.fresh == (test == A)
        assert all(pair.fresh for pair in others)
        assert not of_call.stays
        assert machine.log.alive() == [0, 1]
    assert len(machine.log.workers) == 2 + 4 + 4


def test_pairs_are_ended_when_memory_becomes_short(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 3)
    assert machine.log.alive() == list(range(6))
    machine.free_bytes = 1.0
    of_call = made.of_call(B, "")
    assert not of_call(fresh=False).fresh, "the first pair is needed"
    assert of_call(fresh=False).fresh
    assert machine.log.alive() == [0, 1]


def test_a_pair_that_stands_may_stay_with_less_memory_than_a_new_one_needs(
    machine: Machine,
) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 2)
    machine.free_bytes = 300 * MB  # each pair holds 200 MB, and four times as much is to be left
    assert [pair.fresh for pair in measured(made.of_call(B, ""), 3)] == [False, False, True]
    assert machine.log.alive() == list(range(4))


def test_the_first_pair_of_a_call_is_never_refused_for_memory(machine: Machine) -> None:
    machine.free_bytes = 0.0
    assert machine.pairs().of_call(A, "")(fresh=False).fresh


def test_at_the_end_every_pair_is_dismissed_before_one_is_waited_for(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 2)
    machine.log.done.clear()
    made.close()
    assert [step for _, step in machine.log.steps("dismiss", "close")][:4] == ["dismiss"] * 4
    assert [number for number, step in machine.log.done if step == "close"] == [0, 1, 2, 3]
    assert machine.log.alive() == []


def test_workers_write_to_folders_of_their_own_which_the_reaper_removes(machine: Machine) -> None:
    measured(machine.pairs().of_call(A, ""), 2)
    [folder] = machine.reaper.folders
    folders = [worker.folder for worker in machine.log.workers]
    assert len(set(folders)) == 4
    assert all(path.parent == folder for path in folders)


# --- confirming --------------------------------------------------------------------------------


def verdicts(made: Pairs, test: str) -> dict[str, Verdict]:
    plan = RevisionPlan(BASE, "0123abc", tolerance=0.2, confidence=0.99, calls=3)
    found, _ = compare_pairs(plan, made.of_call(test, ""))
    return {verdict.check.key: verdict for verdict in found}


def test_unchanged_code_passes_by_one_pair_where_there_is_room(machine: Machine) -> None:
    machine.log.room = True
    found = verdicts(machine.pairs(), A)
    assert {verdict.verdict for verdict in found.values()} == {PASS}
    assert len(machine.log.workers) == 2


def test_unchanged_code_takes_three_pairs_where_threads_share_cores(machine: Machine) -> None:
    found = verdicts(machine.pairs(), A)
    assert {verdict.verdict for verdict in found.values()} == {PASS}
    assert len(machine.log.workers) == 2 * PAIR_LOOKS[0].size


def test_slower_code_is_confirmed_by_fresh_pairs_for_each_test(machine: Machine) -> None:
    machine.log.room = True
    machine.log.call_ns = {HEAD: 2 * MS, BASE: MS}
    made = machine.pairs()
    p50 = verdicts(made, A)["p50"]
    assert (p50.verdict, p50.reason) == (FAIL, "shown by 5 pairs of processes, 5 of them fresh")
    p50 = verdicts(made, B)["p50"]
    assert (p50.verdict, p50.reason) == (FAIL, "shown by 5 pairs of processes, 2 of them fresh")


# --- order -------------------------------------------------------------------------------------


def test_the_side_that_starts_first_alternates_and_runs_first(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 4)
    assert machine.log.started() == [HEAD, BASE, BASE, HEAD, HEAD, BASE, BASE, HEAD]
    ran = [number for number, _ in machine.log.steps("run", "run files")]
    assert ran == list(range(8))
    machine.log.done.clear()
    measured(made.of_call(B, ""), 4)
    assert [number for number, _ in machine.log.steps("run", "run files")] == ran


def test_both_sides_start_before_one_is_waited_for(machine: Machine) -> None:
    machine.pairs().of_call(A, "")(fresh=False)
    assert machine.log.steps("start", "greet") == [
        (0, "start"), (1, "start"), (0, "greet"), (1, "greet"),
    ]  # fmt: skip


def test_without_room_one_side_is_ready_before_the_other_begins(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 2)
    assert machine.log.steps("run", "run files", "ready") == [
        (0, "run files"), (0, "ready"), (1, "run files"), (1, "ready"),
        (2, "run"), (2, "ready"), (3, "run"), (3, "ready"),
    ]  # fmt: skip


def test_with_room_both_sides_begin_at_once_from_the_second_pair_on(machine: Machine) -> None:
    machine.log.room = True
    made = machine.pairs()
    measured(made.of_call(A, ""), 2)
    measured(made.of_call(B, ""), 1)
    assert machine.log.steps("run", "run files", "ready") == [
        (0, "run files"), (0, "ready"), (1, "run files"), (1, "ready"),
        (2, "run"), (3, "run"), (2, "ready"), (3, "ready"),
        (0, "run files"), (1, "run files"), (0, "ready"), (1, "ready"),
    ]  # fmt: skip


def test_pairs_without_room_are_oversubscribed(machine: Machine) -> None:
    made = machine.pairs()
    assert made.of_call(A, "")(fresh=False).oversubscribed
    machine.log.room = True
    assert not made.of_call(B, "")(fresh=False).oversubscribed
    machine.log.room = False
    assert made.of_call(C, "")(fresh=False).oversubscribed, "a call may take more threads"


def test_both_sides_take_their_turns_on_the_core_of_the_one_that_came_first(
    machine: Machine,
) -> None:
    machine.log.core_of = lambda number: 10 + number
    measured(machine.pairs().of_call(A, ""), 2)
    assert [worker.core for worker in machine.log.workers] == [10, 10, 12, 12]


def test_no_core_is_given_where_a_side_has_several_threads(machine: Machine) -> None:
    made = machine.pairs()
    machine.log.core_of = lambda number: 10 + number
    made.of_call(A, "")(fresh=False)
    machine.log.core_of = lambda number: None if number == 1 else 10
    made.of_call(B, "")(fresh=False)
    assert [worker.core for worker in machine.log.workers] == [None, None]


# --- imports -----------------------------------------------------------------------------------


def test_the_imports_of_a_call_are_checked_by_its_first_pair_only(machine: Machine) -> None:
    made = machine.pairs()
    for test in (A, B):
        found = measured(made.of_call(test, ""), 2)
        assert [pair.imported for pair in found] == [("net.py", "net.py"), None]


def test_a_base_that_runs_heads_code_is_refused_and_the_pair_ends(machine: Machine) -> None:
    machine.log.files[BASE] = machine.log.files[HEAD]
    with pytest.raises(SameCode, match="base imports net from head's tree"):
        machine.pairs().of_call(A, "")(fresh=False)
    assert machine.log.alive() == []


def test_another_interpreter_is_compared_by_its_torch(machine: Machine) -> None:
    machine.log.files[BASE] = machine.log.files[HEAD]
    found = machine.pairs(python=Path(sys.executable)).of_call(A, "")(fresh=False)
    assert found.imported == ("torch 2.0", "torch 2.1")


# --- what a side lacks -------------------------------------------------------------------------


@pytest.mark.parametrize("side", [HEAD, BASE])
@pytest.mark.parametrize("room", [False, True])
def test_a_test_that_a_side_lacks_is_no_pair_and_both_workers_stay(
    machine: Machine, side: str, room: bool
) -> None:
    machine.log.room = room
    machine.log.lacking = {side: {B}}
    made = machine.pairs()
    made.of_call(A, "")(fresh=False)
    with pytest.raises(NotInBase, match=rf"^{side}: there is no test_it\.py::test_b$"):
        made.of_call(B, "")(fresh=False)
    assert [number for number, _ in machine.log.steps("leave")] == [0, 1]
    assert machine.log.alive() == [0, 1]
    assert not made.of_call(C, "")(fresh=False).fresh, "they go on with the next test"


def test_a_label_that_base_lacks_is_no_pair(machine: Machine) -> None:
    with pytest.raises(NotInBase, match=r"no hiddencost call with label 'new'; labels of its cal"):
        machine.pairs().of_call(A, "new")(fresh=False)


def test_a_test_file_that_base_lacks_starts_no_worker(machine: Machine) -> None:
    (machine.top / "test_new.py").touch()
    made = machine.pairs(module="test_new.py")
    for _ in range(MOST_FAILED_STARTS + 2):  # this is no start that failed
        with pytest.raises(NotInBase, match=r"^main has no test_new\.py$"):
            made.of_call("test_new.py::test_a", "")(fresh=False)
    assert machine.log.workers == []


# --- workers that fail -------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["run files", "ready", "turn"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_dies_spoils_one_call_and_its_pair_is_started_anew(
    machine: Machine, number: int, step: str
) -> None:
    machine.log.dying = {(number, step)}
    made = machine.pairs()
    name = (HEAD, BASE)[number]
    with pytest.raises(InterleavingError) as caught:
        made.of_call(A, "")(fresh=False)
    assert not isinstance(caught.value, NotInBase)
    assert str(caught.value) == f"{name}: the worker process ended with exit status -9"
    assert machine.log.alive() == [], "the other side ends with it"
    assert made.of_call(B, "")(fresh=False).fresh
    assert machine.log.alive() == [2, 3]


def test_a_pair_that_died_between_two_tests_is_started_anew(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 2)
    machine.log.workers[1].kill()
    assert [pair.fresh for pair in measured(made.of_call(B, ""), 2)] == [True, False]
    assert machine.log.alive() == [2, 3, 4, 5]


def test_a_fresh_pair_that_dies_ends_and_leaves_those_that_stay(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A, ""), 2)
    of_call = made.of_call(B, "")
    of_call(fresh=False)
    machine.log.dying = {(5, "turn")}
    with pytest.raises(InterleavingError, match="exit status -9"):
        of_call(fresh=True)
    assert machine.log.alive() == list(range(4))


def test_a_worker_that_dies_while_it_starts_ends_the_other_one(machine: Machine) -> None:
    machine.log.dying = {(1, "greet")}
    with pytest.raises(InterleavingError, match="exit status -9"):
        machine.pairs().of_call(A, "")(fresh=False)
    assert machine.log.alive() == []


def test_starts_are_given_up_after_some_failures_in_a_row(machine: Machine) -> None:
    made = machine.pairs()
    machine.log.unstartable = True
    messages = []
    for _ in range(MOST_FAILED_STARTS + 3):
        with pytest.raises(InterleavingError) as caught:
            made.of_call(A, "")(fresh=False)
        messages.append(str(caught.value))
        machine.log.done.append((0, "tried"))
    tried = [f"{HEAD}: pytest cannot be started: {i}" for i in range(MOST_FAILED_STARTS)]
    assert messages[:MOST_FAILED_STARTS] == tried
    assert set(messages[MOST_FAILED_STARTS:]) == {tried[-1]}, "it is not tried again"


def test_a_start_that_works_forgets_earlier_failures(machine: Machine) -> None:
    made = machine.pairs()
    for _ in range(2):
        for _ in range(MOST_FAILED_STARTS - 1):
            machine.log.unstartable = True
            with pytest.raises(InterleavingError):
                made.of_call(A, "")(fresh=False)
        machine.log.unstartable = False
        made.of_call(A, "")(fresh=False)
        machine.log.workers[-1].kill()
    assert made.of_call(A, "")(fresh=False).fresh


def test_the_order_of_starts_goes_on_after_a_failure(machine: Machine) -> None:
    made = machine.pairs()
    machine.log.dying = {(1, "greet")}
    with pytest.raises(InterleavingError):
        made.of_call(A, "")(fresh=False)
    made.of_call(A, "")(fresh=False)
    assert machine.log.started() == [HEAD, BASE, BASE, HEAD]


def test_the_protocol_that_workers_speak_is_this_ones() -> None:
    """A change of a message or of its meaning needs another number."""
    assert PROTOCOL == 7
    assert RunTest.__dataclass_fields__.keys() == {"test", "label", "number", "tell_files"}
