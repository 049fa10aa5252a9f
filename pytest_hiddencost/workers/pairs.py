"""Pairs of worker processes: those that stay for other tests, and fresh ones.

Both sides of a pair are processes of their own, started alike. What earlier tests, coverage or a
debugger do to the process of this run would be on one side only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.judge.interleaved.comparison import MOST_PAIRS, Pair
from pytest_hiddencost.judge.interleaved.ratios import (
    FEWEST,
    Estimate,
    WindowTime,
    from_blocks,
    of_windows,
    shares_changed,
    sure_enough,
)
from pytest_hiddencost.system.memory import available_bytes
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.alternation import Refills, take_turns, take_windows
from pytest_hiddencost.workers.imported_code import import_roots, module_files, refuse_same_code
from pytest_hiddencost.workers.invocation import Invocation
from pytest_hiddencost.workers.messages import Ready
from pytest_hiddencost.workers.revisions import Tree
from pytest_hiddencost.workers.worker import (
    NotInBase,
    Start,
    Worker,
    base_start,
    head_start,
    modules_of,
)

ROOM = 4.0  # times what a pair holds is to be left, or it does not stay
WINDOWS_SHARE = 0.3  # of max-time, at most
MOST_FAILED_STARTS = 3  # in a row; each may take minutes


@dataclass
class _Sides:
    """A pair of processes; ``head_first`` says which one was started first.

    ``start_ns``: the time that starting took, for each test that the pair is for. ``used``: it has
    run a test.
    """

    head: Worker
    base: Worker
    head_first: bool
    start_ns: float
    used: bool = False

    @property
    def alive(self) -> bool:
        return self.head.alive and self.base.alive

    def in_order(self) -> tuple[Worker, Worker]:
        return (self.head, self.base) if self.head_first else (self.base, self.head)

    def resident_bytes(self) -> int:
        return self.head.resident_bytes() + self.base.resident_bytes()

    def dismiss(self) -> None:
        for worker in self.in_order():
            worker.dismiss()

    def close(self) -> None:
        for worker in self.in_order():
            worker.close()

    def kill(self) -> None:
        for worker in self.in_order():
            worker.kill()


@dataclass(frozen=True)
class PairPlan:
    """What pairs are started from and for.

    ``tests`` gives the ids of those that use the fixture. ``runs``: how many runs like this one
    there are at the same time.
    """

    tree: Tree
    invocation: Invocation
    plugins: frozenset[str]
    sampling: Sampling
    tests: Callable[[], Sequence[str]]
    runs: int = 1


class Pairs:
    """The pairs of one run. ``start`` starts one worker process."""

    def __init__(
        self,
        plan: PairPlan,
        reaper: Reaper,
        start: Callable[[Start, Path, Reaper, int], Worker] = Worker,
    ) -> None:
        self._plan = plan
        self._reaper = reaper
        self._start = start
        self._standing: dict[int, _Sides] = {}
        self._folder: Path | None = None
        self._started = 0
        self._failed_starts = 0
        self._why_failed = ""
        self._room = False  # for the threads of both sides at once

    def of_call(self, test: str, label: str) -> PairsOfCall:
        """Return pairs that measure this call."""
        return PairsOfCall(self, test, label)

    def close(self) -> None:
        """End all pairs."""
        for sides in self._standing.values():
            sides.dismiss()
        for sides in self._standing.values():
            sides.close()
        self._standing.clear()

    def stands(self, number: int) -> bool:
        """Return whether this pair is there, and waits for tests."""
        return number in self._standing and self._standing[number].alive

    def may_stand(self, number: int, device: str) -> bool:
        """Return whether there is room for this pair to stay for other tests.

        Boards have little memory, accelerators less. A pair that is there stays as long as another
        one would fit.
        """
        if number >= MOST_PAIRS or device != "cpu" or self._plan.runs > 1:
            return False
        more = 1.0 if self.stands(number) else ROOM
        return available_bytes() >= more * self._standing[0].resident_bytes()

    def release(self, number: int) -> None:
        """End this pair and those after it: a fresh pair needs their memory."""
        for later in [key for key in self._standing if key >= number]:
            self._standing.pop(later).kill()

    def standing(self, number: int) -> _Sides:
        """Return a pair that stays, a new one if it has ended. Raises ``InterleavingError``."""
        if self.stands(number):
            return self._standing[number]
        if number in self._standing:
            self._standing[number].kill()
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise InterleavingError(self._why_failed)
        try:
            self._standing[number] = self.started(self._plan.tests())
        except InterleavingError as error:
            self._failed_starts += 1
            self._why_failed = str(error)
            raise
        self._failed_starts = 0
        return self._standing[number]

    def started(self, tests: Iterable[str]) -> _Sides:
        """Start two processes that wait for work; which of them starts first alternates."""
        asked_ns = perf_counter_ns()
        tests = list(tests)
        head_first = self._started % 2 == 0
        starts = self._starts(tests)
        found: dict[str, Worker] = {}
        try:
            for name in sorted(starts, reverse=head_first):
                folder = self._own_folder() / f"{self._started} {name}"
                max_time_ns = self._plan.sampling.max_time_ns
                found[name] = self._start(starts[name], folder, self._reaper, max_time_ns)
            self._started += 1
            for worker in found.values():
                worker.greet()
        except BaseException:
            for worker in found.values():
                worker.kill()
            raise
        start_ns = (perf_counter_ns() - asked_ns) / max(1, len(tests))
        return _Sides(found["head"], found["base"], head_first, start_ns)

    def _starts(self, tests: Sequence[str]) -> dict[str, Start]:
        head = head_start(
            self._plan.invocation,
            self._plan.plugins,
            import_roots(module_files(), self._plan.tree.base.top),
            modules_of(tests),
        )
        return {"head": head, "base": base_start(head, self._plan.tree)}

    def _own_folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="hiddencost-workers-")).resolve()
            self._reaper.folder(self._folder)
        return self._folder

    def measured(
        self, sides: _Sides, test: str, label: str, refills: Refills, *, first: bool
    ) -> Pair:
        """Measure one call on both sides in turns; check the imports at the ``first`` one."""
        fresh, sides.used = not sides.used, True
        asked_ns = perf_counter_ns()
        head, base = self._prepared(sides, test, label, tell_files=first)
        imported = self._imported(head, base) if first else None
        ready_ns = perf_counter_ns()
        before_ns = sides.start_ns + ready_ns - asked_ns
        changes = self._turns(sides, refills, before_ns)
        windows = self._windows(sides, before_ns + perf_counter_ns() - ready_ns)
        for worker in sides.in_order():
            worker.finish()
        head_profile, base_profile = sides.head.profile(), sides.base.profile()
        estimates: dict[str, Estimate] = {"p50": from_blocks(changes)}
        non_mac = of_windows(windows, estimates["p50"], head_profile, base_profile)
        if non_mac is not None:
            estimates["non_mac"] = non_mac
        return Pair(
            estimates,
            len(changes),
            head_profile,
            base_profile,
            imported,
            fresh,
            oversubscribed=not self._room,
        )

    def _turns(self, sides: _Sides, refills: Refills, before_ns: float) -> list[float]:
        most_ns = self._plan.sampling.max_time_ns

        def enough(changes: Sequence[float], spent_ns: int) -> bool:
            return spent_ns >= most_ns or sure_enough("p50", changes, spent_ns, before_ns)

        return take_turns(sides.head, sides.base, enough, refills, fewest=FEWEST)

    def _windows(self, sides: _Sides, before_ns: float) -> list[tuple[WindowTime, WindowTime]]:
        most_ns = WINDOWS_SHARE * self._plan.sampling.max_time_ns
        start_ns = perf_counter_ns()

        def enough(windows: Sequence[tuple[WindowTime, WindowTime]]) -> bool:
            spent_ns = perf_counter_ns() - start_ns
            return spent_ns >= most_ns or sure_enough(
                "non_mac", shares_changed(windows), spent_ns, before_ns
            )

        return take_windows(sides.head, sides.base, enough, fewest=FEWEST)

    def _prepared(
        self, sides: _Sides, test: str, label: str, *, tell_files: bool
    ) -> tuple[Ready, Ready]:
        """Bring both sides to the call, warm.

        One comes after the other, unless there is room for both: threads of two calls on the same
        cores wait for each other for seconds.
        """
        ready: dict[Worker, Ready] = {}
        for worker in sides.in_order():
            worker.run(test, label, tell_files=tell_files)
            if not self._room:
                ready[worker] = worker.ready()
        for worker in sides.in_order():
            if worker not in ready:
                ready[worker] = worker.ready()
        self._room = all(found.room for found in ready.values())
        core = _common_core([ready[worker] for worker in sides.in_order()])
        for worker in ready:
            worker.core = core
        return ready[sides.head], ready[sides.base]

    def _imported(self, head: Ready, base: Ready) -> tuple[str, str]:
        """Return what the sides import. Raises ``SameCode`` if base runs head's code."""
        tree = self._plan.tree
        if tree.base.python is not None:
            return f"torch {head.torch}", f"torch {base.torch}"
        of_head, of_base = (
            {name: Path(path) for name, path in found.files.items()} for found in (head, base)
        )
        return refuse_same_code(of_head, of_base, tree.base.top, tree.path)


def _common_core(ready: Sequence[Ready]) -> int | None:
    """The core for both sides' turns: where the system put the one that came first."""
    cores = [found.core for found in ready]
    return None if None in cores else cores[0]


class PairsOfCall:
    """One call, measured by one pair after the other."""

    def __init__(self, pairs: Pairs, test: str, label: str) -> None:
        self._pairs, self._test, self._label = pairs, test, label
        self._next = 0  # of those that stay
        self._device = "cpu"
        self._refills = Refills()

    @property
    def stays(self) -> bool:
        """Whether the next pair may stay for other tests."""
        return self._pairs.may_stand(self._next, self._device)

    def __call__(self, *, fresh: bool) -> Pair:
        """Measure by one more pair: a fresh one, or whichever costs less.

        A pair that is started anew is fresh, and may stay all the same. Raises
        ``InterleavingError``.
        """
        first = self._next == 0
        if first or (self.stays and not (fresh and self._pairs.stands(self._next))):
            self._next += 1
            found = self._by_standing(self._pairs.standing(self._next - 1), first=first)
            self._device = found.head.device
            return found
        if not self.stays:
            self._pairs.release(self._next)
        sides = self._pairs.started([self._test])
        try:
            return self._measured(sides, first=False)
        finally:
            sides.kill()

    def _by_standing(self, sides: _Sides, *, first: bool) -> Pair:
        try:
            return self._measured(sides, first=first)
        except NotInBase:
            if sides.alive:  # the other one stands at the call, and waits for turns
                for worker in sides.in_order():
                    worker.leave()
            raise
        except BaseException:
            sides.kill()
            raise

    def _measured(self, sides: _Sides, *, first: bool) -> Pair:
        return self._pairs.measured(sides, self._test, self._label, self._refills, first=first)
