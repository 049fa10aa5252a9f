"""Pairs of worker processes, one pair after the other for each call.

Both sides of a pair are processes of their own, started alike. This process itself is not a side:
earlier tests, coverage or a debugger may have slowed it, and base would not be slowed alike.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from pytest_hiddencost.core.errors import InterleavingError, LacksFiles, NotInBase, WorkerHangs
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.baseline.store import split_node_id
from pytest_hiddencost.judge.interleaved.comparison import Pair
from pytest_hiddencost.judge.interleaved.ratios import non_mac_change
from pytest_hiddencost.workers.alternation import Turns, take_windows
from pytest_hiddencost.workers.carried import lacking
from pytest_hiddencost.workers.imported_code import (
    SameCode,
    import_roots,
    module_files,
    outside,
    refuse_same_code,
)
from pytest_hiddencost.workers.invocation import Invocation, selection_of
from pytest_hiddencost.workers.messages import Ready
from pytest_hiddencost.workers.revisions import ACCEPTED, Tree, temporary_folder
from pytest_hiddencost.workers.starting import Starter
from pytest_hiddencost.workers.worker import Worker
from pytest_hiddencost.workers.worker_start import Start, base_start

TURNS_SHARE = 0.15  # of max-time, for the turns of one pair
WINDOWS_SHARE = 0.06  # of max-time, for its windows
LEAST_BLOCKS = 3
LEAST_WINDOWS = 1
MOST_FAILED_STARTS = 3  # in a row: of one test file; of any, if they hang for minutes each


@dataclass(frozen=True)
class MeasuredCall:
    """The call that pairs measure: its test, its label, its device, its intra-op threads.

    ``base_test`` and ``base_label`` are the test's id and the label in base, if they differ.
    ``injection`` names a regression that is injected into head.
    In this run the call took ``call_ns``, its test ``test_s`` seconds until it was measured, and
    the collection ``startup_s`` seconds.
    """

    test: str
    label: str
    device: str = "cpu"
    base_test: str = ""
    injection: str = ""
    threads: int = 1
    base_label: str | None = None
    call_ns: float = field(default=0.0, compare=False)
    test_s: float = field(default=0.0, compare=False)
    startup_s: float = field(default=0.0, compare=False)

    @property
    def on_host(self) -> bool:
        """Whether the CPU runs the call, so that a resting side can be stopped."""
        return self.device == "cpu"


_Files: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]  # test files of head and of base


@dataclass
class _Sides:
    """A pair of processes; ``in_order``: the one that was started first comes first."""

    head: Worker
    base: Worker
    in_order: tuple[Worker, ...]


class Pairs:
    """The pairs of one run and one base. ``start`` starts one worker.

    Raises ``InterleavingError`` if their folder cannot be made.
    """

    def __init__(
        self,
        tree: Tree,
        invocation: Invocation,
        plugins: frozenset[str],
        starter: Starter,
        start: Callable[..., Worker] = Worker,
    ) -> None:
        self.tree = tree
        self.invocation = invocation
        self._plugins = plugins
        self._starter = starter
        self._start = start
        self._folder = temporary_folder("hiddencost-workers-", starter.reaper)
        self._started = 0
        self._failed: defaultdict[_Files, list[InterleavingError]] = defaultdict(list)
        self._hanging: list[InterleavingError] = []
        self._leaving: tuple[Worker, ...] = ()

    def of_call(self, call: MeasuredCall) -> PairsOfCall:
        """Return pairs that measure this call."""
        return PairsOfCall(self, call)

    def started(self, call: MeasuredCall) -> _Sides:
        """Start two processes that wait for work; which of them starts first alternates.

        Raises ``InterleavingError``.
        """
        starts = self._starts(call)
        failed = self._failed[starts["head"].modules, starts["base"].modules]
        for errors in (failed, self._hanging):
            if len(errors) >= MOST_FAILED_STARTS:
                raise InterleavingError(str(errors[-1]))
        found: dict[str, Worker] = {}
        try:
            for name in sorted(starts, reverse=self._started % 2 == 0):
                folder = self._folder / f"{self._started} {name}"
                found[name] = self._start(starts[name], folder, self._starter, rests=call.on_host)
            self._started += 1
            for worker in found.values():
                worker.greet()
        except BaseException as error:
            for worker in found.values():
                worker.kill()
            if isinstance(error, InterleavingError):
                failed.append(error)
            if isinstance(error, WorkerHangs):
                self._hanging.append(error)
            raise
        failed.clear()
        self._hanging.clear()
        return _Sides(found["head"], found["base"], tuple(found.values()))

    def leave(self, sides: _Sides) -> None:
        """Let a pair take down its fixtures while the next one starts."""
        for worker in sides.in_order:
            worker.dismiss()
        self._leaving += sides.in_order

    def close(self) -> None:
        """Wait until the pairs that were left have ended."""
        for worker in self._leaving:
            worker.close()
        self._leaving = ()

    def _starts(self, call: MeasuredCall) -> dict[str, Start]:
        head = Start(
            self.invocation,
            self._plugins,
            sys.executable,
            path=tuple(import_roots(module_files(), self.tree.base.top)),
            modules=(selection_of(call.test),),
            name="this tree",
            startup_s=call.startup_s,
            test_s=call.test_s,
        )
        of_base = selection_of(call.base_test or call.test)
        return {"head": head, "base": base_start(head, self.tree, [of_base])}


class PairsOfCall:
    """One call, measured by one pair after the other."""

    def __init__(self, pairs: Pairs, call: MeasuredCall) -> None:
        self._pairs, self._call = pairs, call
        self._max_time_ns = pairs.invocation.max_time_ns
        self._profiles: tuple[Profile, Profile] | None = None  # of head and base
        self.measured = 0
        """The number of pairs so far."""
        self._room = False  # the cores hold the threads of both sides at once

    def __call__(self) -> Pair:
        """Measure by one more pair. Raises ``InterleavingError``."""
        try:
            sides = self._pairs.started(self._call)
            try:
                found = self._measured(sides)
            except BaseException:
                for worker in sides.in_order:
                    worker.kill()
                raise
        except InterleavingError as error:
            if (explained := self._explained(error)) is None:
                raise
            raise explained from error
        self._pairs.leave(sides)
        self.measured += 1
        return found

    def _explained(self, error: InterleavingError) -> LacksFiles | None:
        """Return the error with the files that base lacks; None if they do not explain it."""
        tree, why = self._pairs.tree, str(error)
        if not tree.base.commit or not why.startswith(f"{tree.base.name}: "):
            return None
        invocation = self._pairs.invocation
        module = invocation.root / split_node_id(self._call.base_test or self._call.test)[0]
        folders = [invocation.directory, invocation.root, module.parent]
        files = lacking(why, tree.base.top, tree.path, [path.resolve() for path in folders])
        if files:
            return LacksFiles(why, files, pointers=False)
        if tree.pointers:
            return LacksFiles(why, tree.pointers, pointers=True)
        return None

    def _measured(self, sides: _Sides) -> Pair:
        """Measure on both sides in turns; the first pair also has profiles and imports."""
        first = self._profiles is None
        head, base = self._ready(sides, whole=first)
        imported = self._imported(head, base) if first else None
        self._pairs.close()  # those before this one
        turns = Turns(sides.head, sides.base, call_ns=self._call.call_ns)
        turns.take(TURNS_SHARE * self._max_time_ns, fewest=LEAST_BLOCKS)
        windows = take_windows(
            sides.head,
            sides.base,
            WINDOWS_SHARE * self._max_time_ns,
            fewest=LEAST_WINDOWS,
        )
        if first:
            for worker in sides.in_order:
                worker.finish()
            self._profiles = sides.head.profile(), sides.base.profile()
        assert self._profiles is not None
        p50 = turns.change
        non_mac = non_mac_change(windows, p50, *self._profiles)
        oversubscribed = head.oversubscribed or base.oversubscribed
        conditions = turns.conditions(threads_share_cores=oversubscribed)
        if self._call.threads > 1:  # OpenMP yields at its barriers, and the system counts that too
            conditions = replace(conditions, preemptions=0.0)
        found = Pair(
            {"p50": p50} if non_mac is None else {"p50": p50, "non_mac": non_mac},
            turns.blocks,
            conditions,
        )
        if not first:
            return found
        of_head, of_base = self._profiles
        return replace(found, head=of_head, base=of_base, imported=imported)

    def _ready(self, sides: _Sides, *, whole: bool) -> tuple[Ready, Ready]:
        """Bring both sides to the call, warm.

        One comes after the other, unless the cores have room for both: threads of two calls on the
        same cores wait for each other for seconds.
        """
        call = self._call
        base_label = call.label if call.base_label is None else call.base_label
        asked = {
            sides.head: (call.test, call.label),
            sides.base: (call.base_test or call.test, base_label),
        }
        ready: dict[Worker, Ready] = {}
        for worker in sides.in_order:
            injection = call.injection if worker is sides.head else ""
            worker.run(*asked[worker], whole=whole, injection=injection)
            if not self._room:
                ready[worker] = _warm(worker, sides)
        for worker in sides.in_order:
            if worker not in ready:
                ready[worker] = _warm(worker, sides)
        self._room = all(found.room for found in ready.values())
        # Both take their turns on the core that was chosen for the first.
        cores = [found.core for found in ready.values()]
        for worker in ready:
            worker.core = None if None in cores else cores[0]
        return ready[sides.head], ready[sides.base]

    def _imported(self, head: Ready, base: Ready) -> tuple[str, str]:
        """Return the packages that each side imports. Raises ``SameCode`` if both run one code."""
        tree = self._pairs.tree
        if tree.base.python is not None:
            return f"torch {head.torch}", f"torch {base.torch}"
        of_head, of_base = (
            {name: Path(path) for name, path in found.files.items()} for found in (head, base)
        )
        top, code = tree.base.top, base.code
        if not outside(code, of_base, top, tree.path):
            return refuse_same_code(of_head, of_base, top, tree.path)
        if tree.base.name != ACCEPTED:
            raise SameCode(
                f"head and base both have {code} from outside of their trees, so it would be "
                "compared with itself; compare with another interpreter (installed:PYTHON)"
            )
        return code, code


def _warm(worker: Worker, sides: _Sides) -> Ready:
    """Wait until a worker's call is warm; a call that head does not come to is not base's lack."""
    try:
        return worker.ready()
    except NotInBase as error:
        if worker is sides.base:
            raise
        raise InterleavingError(str(error)) from error
