"""Pairs of workers: what they measure, in what order they start, and what ends them.

The workers are threads: see ``fake_workers``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS
from pytest_hiddencost.core.errors import InterleavingError, NotInBase, WorkerHangs
from pytest_hiddencost.core.records import Verdict
from pytest_hiddencost.judge.interleaved.comparison import (
    Pair,
    RevisionPlan,
    compare_pairs,
    pair_looks,
)
from pytest_hiddencost.workers import interleaved_plugin, pairs
from pytest_hiddencost.workers.alternation import Turns
from pytest_hiddencost.workers.imported_code import SameCode
from pytest_hiddencost.workers.invocation import Invocation
from pytest_hiddencost.workers.messages import Ready
from pytest_hiddencost.workers.pairs import (
    LEAST_BLOCKS,
    LEAST_WINDOWS,
    MOST_FAILED_STARTS,
    MeasuredCall,
    Pairs,
    PairsOfCall,
)
from pytest_hiddencost.workers.revisions import Base, Tree
from pytest_hiddencost.workers.starting import Starter
from pytest_hiddencost.workers.worker import Worker
from pytest_hiddencost.workers.worker_start import Start
from tests.profiles import MS
from tests.workers.fake_workers import FakeReaper, Log, ThreadWorker

HEAD, BASE = "this tree", "main"
A, B, C = (MeasuredCall(f"test_it.py::test_{name}", "") for name in "abc")
CALLS = 3
CONFIDENCE = 0.99


class Machine:
    """The places of workers: the trees of head and base."""

    def __init__(self, folder: Path) -> None:
        self.top, self.tree = folder / "project", folder / "base"
        for side in (self.top, self.tree):
            side.mkdir()
            (side / "test_it.py").touch()
        self.reaper = FakeReaper()
        self.log = Log(
            files={HEAD: {"net": self.top / "net.py"}, BASE: {"net": self.tree / "net.py"}}
        )

    def start(self, start: Start, folder: Path, starter: Starter, *, rests: bool) -> Worker:
        if self.log.unstartable:
            raise InterleavingError(f"{start.name}: pytest cannot be started: {len(self.log.done)}")
        return ThreadWorker(start, folder, starter, self.log, rests=rests)

    def pairs(self, *, python: Path | None = None) -> Pairs:
        return Pairs(
            Tree(Base(BASE, self.top, commit="0123abc", python=python), self.tree),
            Invocation(self.top, self.top, None, (), max_time_ns=100),
            frozenset(),
            cast("Starter", SimpleNamespace(reaper=self.reaper)),
            self.start,
        )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(pairs, "module_files", dict)
    monkeypatch.setattr(interleaved_plugin, "_ready", lambda _: Ready("2.13.0", room=False))
    yield made
    for worker in made.log.workers:
        worker.kill()


def measured(of_call: PairsOfCall, times: int) -> list[Pair]:
    return [of_call() for _ in range(times)]


# --- what a pair measures ----------------------------------------------------------------------


def test_a_pair_measures_head_and_base_in_turns(machine: Machine) -> None:
    machine.log.call_ns = {HEAD: 2 * MS, BASE: MS}
    found = machine.pairs().of_call(A)()
    assert found.changes == pytest.approx({"p50": 0.693, "non_mac": 0.693}, abs=0.001)
    assert found.blocks == LEAST_BLOCKS
    turns = [number for number, _ in machine.log.steps("turn")]
    assert turns.count(0) == turns.count(1) == 2 * LEAST_BLOCKS
    windows = [number for number, _ in machine.log.steps("window")]
    assert windows.count(0) == windows.count(1) == LEAST_WINDOWS


@pytest.mark.parametrize(("threads", "known"), [(1, True), (2, False)])
def test_preemptions_are_known_for_calls_of_one_thread(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, threads: int, known: bool
) -> None:
    """Threads that wait for each other yield, and the system counts that as well."""
    counts = count()
    monkeypatch.setattr(interleaved_plugin, "usage", lambda: (0, next(counts)))
    found = machine.pairs().of_call(replace(A, threads=threads))()
    assert (found.conditions.preemptions > 0.0) == known


def test_turns_take_a_share_of_the_longest_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    original = Turns.take

    def take(self: Any, duration_ns: float, *, fewest: int) -> None:
        asked.append((round(duration_ns), fewest))
        original(self, 0.0, fewest=1)

    monkeypatch.setattr(Turns, "take", take)
    machine.pairs().of_call(A)()
    assert asked == [(15, LEAST_BLOCKS)]


def test_the_first_pair_of_a_call_tells_profiles_and_imports(machine: Machine) -> None:
    made = machine.pairs()
    for call in (A, B):
        first, *others = measured(made.of_call(call), 3)
        assert first.head is not None
        assert first.base is not None
        assert (first.head.model, first.base.model) == ("MobileNet", "MobileNet")
        assert first.imported == ("net.py", "net.py")
        for pair in others:
            assert (pair.head, pair.base, pair.imported) == (None, None, None)
            assert pair.changes.keys() == first.changes.keys(), "by the first pair's profiles"


def test_pairs_after_the_first_assemble_no_profile(machine: Machine) -> None:
    measured(machine.pairs().of_call(A), 2)
    assert machine.log.steps("run whole", "run", "finish") == [
        (0, "run whole"), (1, "run whole"), (0, "finish"), (1, "finish"), (2, "run"), (3, "run"),
    ]  # fmt: skip


def test_every_pair_consists_of_two_new_processes(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A), 2)
    measured(made.of_call(B), 2)
    assert len(machine.log.workers) == 8
    asked = [number for number, _ in machine.log.steps("run", "run whole")]
    assert sorted(asked) == list(range(8)), "each for one call"


def test_pairs_are_counted(machine: Machine) -> None:
    of_call = machine.pairs().of_call(A)
    counts = []
    for _ in range(2):
        counts.append(of_call.measured)
        of_call()
    machine.log.dying = {(4, "turn")}
    with pytest.raises(InterleavingError):
        of_call()
    assert [*counts, of_call.measured] == [0, 1, 2]


def test_a_regression_is_injected_into_head_in_every_pair(machine: Machine) -> None:
    measured(machine.pairs().of_call(MeasuredCall(A.test, "", injection="slow")), 2)
    names = {worker.number: worker.name for worker in machine.log.workers}
    assert {(names[n], how) for n, how in machine.log.injections.items()} == {
        (HEAD, "slow"), (BASE, ""),
    }  # fmt: skip


def test_a_test_may_have_another_id_in_base(machine: Machine) -> None:
    (machine.tree / "test_it.py").rename(machine.tree / "test_old.py")
    found = machine.pairs().of_call(MeasuredCall(A.test, "", base_test="test_old.py::test_b"))()
    assert found.blocks == LEAST_BLOCKS
    modules = {worker.name: worker.start.modules for worker in machine.log.workers}
    assert modules == {HEAD: ("test_it.py",), BASE: ("test_old.py",)}


def test_a_resting_side_is_stopped_unless_it_waits_for_an_accelerator(machine: Machine) -> None:
    made = machine.pairs()
    made.of_call(A)()
    made.of_call(MeasuredCall(B.test, "", device="cuda:0"))()
    assert [worker.rests for worker in machine.log.workers] == [True, True, False, False]


# --- verdicts ----------------------------------------------------------------------------------


def verdicts(made: Pairs, call: MeasuredCall) -> dict[str, Verdict]:
    plan = RevisionPlan(BASE, "0123abc", tolerance=0.2, confidence=CONFIDENCE, calls=CALLS)
    found, _ = compare_pairs(plan, made.of_call(call))
    return {verdict.check.key: verdict for verdict in found}


def test_unchanged_code_passes_at_the_first_look(machine: Machine) -> None:
    found = verdicts(machine.pairs(), A)
    assert {verdict.verdict for verdict in found.values()} == {PASS}
    assert len(machine.log.workers) == 2 * pair_looks(CONFIDENCE, CALLS)[0].size


def test_slower_code_fails_by_pairs_of_processes(machine: Machine) -> None:
    machine.log.call_ns = {HEAD: 2 * MS, BASE: MS}
    p50 = verdicts(machine.pairs(), A)["p50"]
    assert p50.verdict == FAIL
    assert p50.reason == f"shown by {len(machine.log.workers) // 2} pairs of processes"


@pytest.mark.parametrize("step", ["greet", "ready", "turn", "window"])
@pytest.mark.parametrize("number", [4, 5])
def test_a_worker_of_a_later_pair_that_dies_leaves_the_timed_verdicts_open(
    machine: Machine, number: int, step: str
) -> None:
    machine.log.dying = {(number, step)}
    found = verdicts(machine.pairs(), A)
    for key in ("p50", "non_mac"):
        assert found[key].verdict == INCONCLUSIVE
        assert "only 2 of " in found[key].reason
        assert "the worker process ended with exit status -9" in found[key].reason
    assert not {4, 5} & set(machine.log.alive())


# --- order -------------------------------------------------------------------------------------


def test_the_side_that_starts_first_alternates_and_runs_first(machine: Machine) -> None:
    measured(machine.pairs().of_call(A), 4)
    assert machine.log.started() == [HEAD, BASE, BASE, HEAD, HEAD, BASE, BASE, HEAD]
    ran = [number for number, _ in machine.log.steps("run", "run whole")]
    assert ran == list(range(8))


def test_both_sides_start_before_one_is_waited_for(machine: Machine) -> None:
    machine.pairs().of_call(A)()
    assert machine.log.steps("start", "greet") == [
        (0, "start"), (1, "start"), (0, "greet"), (1, "greet"),
    ]  # fmt: skip


def test_without_room_one_side_is_ready_before_the_other_begins(machine: Machine) -> None:
    measured(machine.pairs().of_call(A), 2)
    assert machine.log.steps("run", "run whole", "ready") == [
        (0, "run whole"), (0, "ready"), (1, "run whole"), (1, "ready"),
        (2, "run"), (2, "ready"), (3, "run"), (3, "ready"),
    ]  # fmt: skip


def test_with_room_both_sides_begin_at_once_from_a_calls_second_pair_on(machine: Machine) -> None:
    machine.log.room = True
    made = machine.pairs()
    measured(made.of_call(A), 2)
    measured(made.of_call(B), 1)
    assert machine.log.steps("run", "run whole", "ready") == [
        (0, "run whole"), (0, "ready"), (1, "run whole"), (1, "ready"),
        (2, "run"), (3, "run"), (2, "ready"), (3, "ready"),
        (4, "run whole"), (4, "ready"), (5, "run whole"), (5, "ready"),
    ]  # fmt: skip


@pytest.mark.parametrize("oversubscribed", [False, True])
def test_pairs_tell_whether_a_calls_threads_share_cores(
    machine: Machine, oversubscribed: bool
) -> None:
    machine.log.oversubscribed = oversubscribed
    found = machine.pairs().of_call(A)()
    assert found.conditions.threads_share_cores == oversubscribed


def test_both_sides_take_their_turns_on_the_core_of_the_one_that_came_first(
    machine: Machine,
) -> None:
    machine.log.core_of = lambda number: 10 + number
    measured(machine.pairs().of_call(A), 2)
    assert [worker.core for worker in machine.log.workers] == [10, 10, 12, 12]


def test_no_core_is_given_if_a_side_has_none_to_choose(machine: Machine) -> None:
    machine.log.core_of = lambda number: None if number == 1 else 10
    machine.pairs().of_call(A)()
    assert [worker.core for worker in machine.log.workers] == [None, None]


# --- rest --------------------------------------------------------------------------------------


def test_one_side_at_most_is_awake_while_a_pair_measures(machine: Machine) -> None:
    """From the first turn to the last window; assembling profiles is nobody's turn."""
    machine.pairs().of_call(A)()
    done = machine.log.done
    first = next(i for i, (_, step) in enumerate(done) if step == "turn")
    last = max(i for i, (_, step) in enumerate(done) if step == "window")
    awake: set[int] = set()
    for i, (number, step) in enumerate(done):
        if step in ("start", "wake"):
            awake.add(number)
        elif step == "rest":
            awake.discard(number)
        if first <= i <= last:
            assert len(awake) <= 1, done[: i + 1]


def test_no_side_rests_once_its_pair_is_left(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A), 2)
    made.close()
    for worker in machine.log.workers:
        own = [step for number, step in machine.log.done if number == worker.number]
        after = own[own.index("dismiss") :]
        assert "wake" in after
        assert "rest" not in after


# --- ends --------------------------------------------------------------------------------------


def test_a_pair_ends_while_the_next_one_starts(machine: Machine) -> None:
    measured(machine.pairs().of_call(A), 2)
    assert machine.log.alive() == [2, 3]
    closing = [step for step in machine.log.steps("dismiss", "start", "close") if step[0] < 4]
    assert closing[2:8] == [
        (0, "dismiss"), (1, "dismiss"), (2, "start"), (3, "start"), (0, "close"), (1, "close"),
    ]  # fmt: skip


def test_no_pair_that_was_left_runs_while_another_one_measures(machine: Machine) -> None:
    measured(machine.pairs().of_call(A), 2)
    steps = machine.log.steps("close", "turn")
    first = next(i for i, (number, step) in enumerate(steps) if number >= 2 and step == "turn")
    assert {(0, "close"), (1, "close")} <= set(steps[:first])


def test_at_the_end_the_last_pair_is_waited_for(machine: Machine) -> None:
    made = machine.pairs()
    measured(made.of_call(A), 2)
    made.close()
    assert machine.log.alive() == []
    closed = machine.log.steps("close")
    made.close()
    assert machine.log.steps("close") == closed


def test_workers_write_to_folders_of_their_own_which_the_reaper_removes(machine: Machine) -> None:
    measured(machine.pairs().of_call(A), 2)
    [folder] = machine.reaper.folders
    folders = [worker.folder for worker in machine.log.workers]
    assert len(set(folders)) == 4
    assert all(path.parent == folder for path in folders)


# --- imports -----------------------------------------------------------------------------------


def test_a_base_that_runs_heads_code_is_refused_and_the_pair_ends(machine: Machine) -> None:
    machine.log.files[BASE] = machine.log.files[HEAD]
    with pytest.raises(SameCode, match="base imports net from head's tree"):
        machine.pairs().of_call(A)()
    assert machine.log.alive() == []


def test_another_interpreter_is_compared_by_its_torch(machine: Machine) -> None:
    machine.log.files[BASE] = machine.log.files[HEAD]
    found = machine.pairs(python=Path(sys.executable)).of_call(A)()
    assert found.imported == ("torch 2.0", "torch 2.1")


# --- what a side lacks -------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "lacking"), [(HEAD, False), (BASE, True)])
@pytest.mark.parametrize("room", [False, True])
def test_a_test_that_a_side_lacks_is_no_pair_and_spoils_no_other_call(
    machine: Machine, side: str, lacking: bool, room: bool
) -> None:
    machine.log.room = room
    machine.log.lacking = {side: {B.test}}
    made = machine.pairs()
    made.of_call(A)()
    with pytest.raises(
        InterleavingError, match=rf"^{side}: there is no test_it\.py::test_b$"
    ) as caught:
        made.of_call(B)()
    assert isinstance(caught.value, NotInBase) == lacking, "only base may lack a call"
    assert not {2, 3} & set(machine.log.alive())
    made.of_call(C)()


def test_a_file_that_base_lacks_starts_no_process(machine: Machine) -> None:
    made = machine.pairs()
    for _ in range(MOST_FAILED_STARTS + 1):
        with pytest.raises(NotInBase, match=r"^main has no test_new\.py$"):
            made.of_call(MeasuredCall("test_new.py::test_a", ""))()
    assert machine.log.workers == []


# --- workers that fail -------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["greet", "run whole", "ready", "turn", "window", "finish"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_dies_spoils_one_call_and_the_other_side_ends_with_it(
    machine: Machine, number: int, step: str
) -> None:
    machine.log.dying = {(number, step)}
    made = machine.pairs()
    name = (HEAD, BASE)[number]
    with pytest.raises(InterleavingError) as caught:
        made.of_call(A)()
    assert not isinstance(caught.value, NotInBase)
    assert str(caught.value) == f"{name}: the worker process ended with exit status -9"
    assert machine.log.alive() == []
    made.of_call(B)()
    assert machine.log.alive() == [2, 3]


def test_a_machine_without_room_for_temporary_files_has_no_pairs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(machine.top / "nowhere"))
    with pytest.raises(InterleavingError, match="no temporary folder can be made"):
        machine.pairs()


def test_a_run_that_is_interrupted_ends_both_sides(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for where in ("greet", "window"):
        with monkeypatch.context() as patched:
            patched.setattr(ThreadWorker, where, interrupted)
            with pytest.raises(KeyboardInterrupt):
                machine.pairs().of_call(A)()
        assert machine.log.alive() == []


def test_starts_are_given_up_after_some_failures_in_a_row(machine: Machine) -> None:
    made = machine.pairs()
    machine.log.unstartable = True
    messages = []
    for _ in range(MOST_FAILED_STARTS + 3):
        with pytest.raises(InterleavingError) as caught:
            made.of_call(A)()
        messages.append(str(caught.value))
        machine.log.done.append((0, "tried"))
    tried = [f"{HEAD}: pytest cannot be started: {i}" for i in range(MOST_FAILED_STARTS)]
    assert messages[:MOST_FAILED_STARTS] == tried
    assert set(messages[MOST_FAILED_STARTS:]) == {tried[-1]}, "it is not tried again"


OTHER = MeasuredCall("test_other.py::test_d", "")


def failed_starts(made: Pairs, call: MeasuredCall, machine: Machine) -> list[str]:
    """The messages of some more starts than are tried; each names the number of tries so far."""
    messages = []
    for _ in range(MOST_FAILED_STARTS + 1):
        with pytest.raises(InterleavingError) as caught:
            made.of_call(call)()
        messages.append(str(caught.value))
        machine.log.done.append((0, "tried"))
    return messages


def test_failed_starts_of_one_file_leave_the_others_alone(machine: Machine) -> None:
    """A conftest that fails in base spoils the tests of its folder, and of no other."""
    for side in (machine.top, machine.tree):
        (side / "test_other.py").touch()
    made = machine.pairs()
    machine.log.unstartable = True
    failed_starts(made, A, machine)
    found = failed_starts(made, OTHER, machine)
    assert len(set(found)) == MOST_FAILED_STARTS, "its own starts are tried"
    machine.log.unstartable = False
    with pytest.raises(InterleavingError, match="cannot be started"):
        made.of_call(B)()
    renamed = replace(OTHER, base_test=A.test)
    with pytest.raises(InterleavingError, match=f"there is no {OTHER.test}"):
        made.of_call(renamed)()
    assert machine.log.started(), "it has a base file of its own"


def test_starts_that_hang_are_given_up_for_every_file(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in (machine.top, machine.tree):
        (side / "test_other.py").touch()

    def hanging(worker: ThreadWorker) -> None:
        raise WorkerHangs(f"{worker.name}: the worker process hangs")

    made = machine.pairs()
    with monkeypatch.context() as patched:
        patched.setattr(ThreadWorker, "greet", hanging)
        failed_starts(made, A, machine)
    started = len(machine.log.workers)
    with pytest.raises(InterleavingError, match="hangs"):
        made.of_call(OTHER)()
    assert len(machine.log.workers) == started, "each would take minutes"


def test_a_start_that_works_forgets_earlier_failures(machine: Machine) -> None:
    made = machine.pairs()
    for _ in range(2):
        for _ in range(MOST_FAILED_STARTS - 1):
            machine.log.unstartable = True
            with pytest.raises(InterleavingError):
                made.of_call(A)()
        machine.log.unstartable = False
        made.of_call(A)()


def test_the_order_of_starts_goes_on_after_a_failure(machine: Machine) -> None:
    made = machine.pairs()
    machine.log.dying = {(1, "greet")}
    with pytest.raises(InterleavingError):
        made.of_call(A)()
    made.of_call(A)()
    assert machine.log.started() == [HEAD, BASE, BASE, HEAD]
