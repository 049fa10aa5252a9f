"""Pairs of worker processes: standing ones, which stay for other tests, and fresh ones.

Both sides of a pair are processes of their own, started alike. This process itself is not a side:
earlier tests, coverage or a debugger may have slowed it, and base would not be slowed alike.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.judge.baseline.store import split_node_id
from pytest_hiddencost.judge.interleaved.comparison import MOST_PAIRS, Pair
from pytest_hiddencost.judge.interleaved.ratios import (
    FEWEST,
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
from pytest_hiddencost.workers.worker import NotInBase, Start, Worker, base_start

ROOM = 4.0  # times the memory of a pair must be left, or the pair does not stay
WINDOWS_SHARE = 0.3  # of max-time, at most
MOST_FAILED_STARTS = 3  # in a row; each may take minutes


@dataclass
class _Sides:
    """A pair of processes; ``in_order``: the one that was started first comes first.

    ``start_ns``: the time that starting took, for each test that the pair is for. ``used``: it has
    run a test.
    """

    head: Worker
    base: Worker
    in_order: tuple[Worker, ...]
    start_ns: float
    used: bool = False

    @property
    def alive(self) -> bool:
        return self.head.alive and self.base.alive

    def kill(self) -> None:
        for worker in self.in_order:
            worker.kill()


@dataclass(frozen=True)
class PairPlan:
    """What pairs are started from and for.

    ``tests`` returns the ids of the tests that use the plugin. ``runs`` counts the runs like this
    one at the same time: the workers of pytest-xdist.
    """

    tree: Tree
    invocation: Invocation
    plugins: frozenset[str]
    tests: Callable[[], Sequence[str]]
    runs: int = 1


class Pairs:
    """The pairs of one run. ``start`` starts one worker process.

    ``room``: the cores hold the threads of both sides at once, as far as pairs have shown.
    """

    def __init__(
        self,
        plan: PairPlan,
        reaper: Reaper,
        start: Callable[[Start, Path, Reaper], Worker] = Worker,
    ) -> None:
        self.room = False
        self._plan = plan
        self._reaper = reaper
        self._start = start
        self._folder = Path(tempfile.mkdtemp(prefix="hiddencost-workers-")).resolve()
        reaper.folder(self._folder)
        self._standing: dict[int, _Sides] = {}
        self._started = 0
        self._failed_starts: list[InterleavingError] = []  # in a row

    def of_call(self, test: str, label: str) -> PairsOfCall:
        """Return pairs that measure this call."""
        return PairsOfCall(self, self._plan, test, label)

    def close(self) -> None:
        """End all pairs."""
        workers = [worker for sides in self._standing.values() for worker in sides.in_order]
        for worker in workers:  # all take down their fixtures at the same time
            worker.dismiss()
        for worker in workers:
            worker.close()
        self._standing.clear()

    def stands(self, number: int) -> bool:
        """Return whether this standing pair has been started and still runs."""
        return number in self._standing and self._standing[number].alive

    def may_stand(self, number: int, device: str) -> bool:
        """Return whether memory has room for this pair to stay for other tests.

        Boards have little memory, accelerators less. A pair that stands may stay as long as
        another one would fit.
        """
        if number >= MOST_PAIRS or device != "cpu" or self._plan.runs > 1:
            return False
        more = 1.0 if self.stands(number) else ROOM
        held = sum(worker.resident_bytes() for worker in self._standing[0].in_order)
        return available_bytes() >= more * held

    def release(self, number: int) -> None:
        """End this standing pair and those after it: a fresh pair needs their memory."""
        for later in [key for key in self._standing if key >= number]:
            self._standing.pop(later).kill()

    def standing(self, number: int) -> _Sides:
        """Return a standing pair, a new one if it has ended. Raises ``InterleavingError``."""
        if self.stands(number):
            return self._standing[number]
        if number in self._standing:
            self._standing[number].kill()
        if len(self._failed_starts) >= MOST_FAILED_STARTS:
            raise InterleavingError(str(self._failed_starts[-1]))
        try:
            self._standing[number] = self.started(self._plan.tests())
        except NotInBase:  # nothing was started
            raise
        except InterleavingError as error:
            self._failed_starts.append(error)
            raise
        self._failed_starts.clear()
        return self._standing[number]

    def started(self, tests: Sequence[str]) -> _Sides:
        """Start two processes that wait for work; which of them starts first alternates.

        Raises ``InterleavingError``.
        """
        asked_ns = perf_counter_ns()
        starts = self._starts(tests)
        found: dict[str, Worker] = {}
        try:
            for name in sorted(starts, reverse=self._started % 2 == 0):
                folder = self._folder / f"{self._started} {name}"
                found[name] = self._start(starts[name], folder, self._reaper)
            self._started += 1
            for worker in found.values():
                worker.greet()
        except BaseException:
            for worker in found.values():
                worker.kill()
            raise
        start_ns = (perf_counter_ns() - asked_ns) / max(1, len(tests))
        return _Sides(found["head"], found["base"], tuple(found.values()), start_ns)

    def _starts(self, tests: Sequence[str]) -> dict[str, Start]:
        plan = self._plan
        head = Start(
            plan.invocation,
            plan.plugins,
            sys.executable,
            path=tuple(import_roots(module_files(), plan.tree.base.top)),
            modules=tuple(dict.fromkeys(split_node_id(test)[0] for test in tests)),
            name="this tree",
        )
        return {"head": head, "base": base_start(head, plan.tree)}


class PairsOfCall:
    """One call, measured by one pair after the other."""

    def __init__(self, pairs: Pairs, plan: PairPlan, test: str, label: str) -> None:
        self._pairs, self._tree, self._test, self._label = pairs, plan.tree, test, label
        self._max_time_ns = plan.invocation.max_time_ns
        self._next = 0  # of the standing pairs
        self._device = "cpu"
        self._refills = Refills()

    @property
    def stays(self) -> bool:
        """Whether the next pair may stay for other tests."""
        return self._pairs.may_stand(self._next, self._device)

    def __call__(self, *, fresh: bool) -> Pair:
        """Measure by one more pair: a fresh one, or whichever costs less.

        A standing pair that is started for this call is fresh too. Raises ``InterleavingError``.
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
                for worker in sides.in_order:
                    worker.leave()
            raise
        except BaseException:
            sides.kill()
            raise

    def _measured(self, sides: _Sides, *, first: bool) -> Pair:
        """Measure on both sides in turns; check the imports if this pair is the ``first``."""
        fresh, sides.used = not sides.used, True
        asked_ns = perf_counter_ns()
        head, base = self._ready(sides, tell_files=first)
        imported = self._imported(head, base) if first else None
        ready_ns = perf_counter_ns()
        before_ns = sides.start_ns + ready_ns - asked_ns
        changes = self._turns(sides, before_ns)
        windows = self._windows(sides, before_ns + perf_counter_ns() - ready_ns)
        for worker in sides.in_order:
            worker.finish()
        head_profile, base_profile = sides.head.profile(), sides.base.profile()
        p50 = from_blocks(changes)
        non_mac = of_windows(windows, p50, head_profile, base_profile)
        return Pair(
            {"p50": p50} if non_mac is None else {"p50": p50, "non_mac": non_mac},
            len(changes),
            head_profile,
            base_profile,
            imported,
            fresh,
            oversubscribed=not self._pairs.room,
        )

    def _ready(self, sides: _Sides, *, tell_files: bool) -> tuple[Ready, Ready]:
        """Bring both sides to the call, warm.

        One comes after the other, unless the cores have room for both: threads of two calls on the
        same cores wait for each other for seconds.
        """
        ready: dict[Worker, Ready] = {}
        for worker in sides.in_order:
            worker.run(self._test, self._label, tell_files=tell_files)
            if not self._pairs.room:
                ready[worker] = worker.ready()
        for worker in sides.in_order:
            if worker not in ready:
                ready[worker] = worker.ready()
        self._pairs.room = all(found.room for found in ready.values())
        # Both take their turns on the core that the system chose for the first.
        cores = [found.core for found in ready.values()]
        for worker in ready:
            worker.core = None if None in cores else cores[0]
        return ready[sides.head], ready[sides.base]

    def _imported(self, head: Ready, base: Ready) -> tuple[str, str]:
        """Return what the sides import. Raises ``SameCode`` if base runs head's code."""
        tree = self._tree
        if tree.base.python is not None:
            return f"torch {head.torch}", f"torch {base.torch}"
        of_head, of_base = (
            {name: Path(path) for name, path in found.files.items()} for found in (head, base)
        )
        return refuse_same_code(of_head, of_base, tree.base.top, tree.path)

    def _turns(self, sides: _Sides, before_ns: float) -> list[float]:
        def enough(changes: Sequence[float], spent_ns: int) -> bool:
            return spent_ns >= self._max_time_ns or sure_enough("p50", changes, spent_ns, before_ns)

        return take_turns(sides.head, sides.base, enough, self._refills, fewest=FEWEST)

    def _windows(self, sides: _Sides, before_ns: float) -> list[tuple[WindowTime, WindowTime]]:
        start_ns = perf_counter_ns()

        def enough(windows: Sequence[tuple[WindowTime, WindowTime]]) -> bool:
            spent_ns = perf_counter_ns() - start_ns
            return spent_ns >= WINDOWS_SHARE * self._max_time_ns or sure_enough(
                "non_mac", shares_changed(windows), spent_ns, before_ns
            )

        return take_windows(sides.head, sides.base, enough, fewest=FEWEST)
