"""Pairs of processes that measure a call in turns: those that stay for other tests, and fresh ones.

Both sides of a pair are processes of their own, started alike: what earlier tests, coverage or a
debugger do to the process of this run would be on one side only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns

from pytest_hiddencost.errors import PairingError
from pytest_hiddencost.memory_left import available_bytes
from pytest_hiddencost.records import Sampling
from pytest_hiddencost.regression.paired import peers
from pytest_hiddencost.regression.paired.channel import Message
from pytest_hiddencost.regression.paired.imports import import_roots, module_files, two_sides
from pytest_hiddencost.regression.paired.judge import LOOKS, Pair
from pytest_hiddencost.regression.paired.keeper import Keeper
from pytest_hiddencost.regression.paired.peers import Peer
from pytest_hiddencost.regression.paired.ratios import (
    FEWEST,
    from_blocks,
    of_windows,
    shares_changed,
    sure_enough,
)
from pytest_hiddencost.regression.paired.revisions import Tree
from pytest_hiddencost.regression.paired.turns import Refills, Window, take_turns, take_windows
from pytest_hiddencost.regression.replicas import Invocation

STANDING = 1 + LOOKS[-1]  # pairs that may stay for other tests
ROOM = 4.0  # times what a pair holds is to be left, or it does not stay
WINDOWS_SHARE = 0.3  # of max-time, at most
MOST_FAILED_STARTS = 3  # in a row; each may take minutes


@dataclass
class _Sides:
    """A pair of processes; ``here_first`` says which one was started first."""

    here: Peer
    there: Peer
    here_first: bool
    start_ns: float  # what starting them took, for each test that they are for
    used: bool = False  # whether a test was run

    @property
    def alive(self) -> bool:
        return self.here.alive and self.there.alive

    def in_order(self) -> tuple[Peer, Peer]:
        return (self.here, self.there) if self.here_first else (self.there, self.here)

    def resident_bytes(self) -> int:
        return self.here.resident_bytes() + self.there.resident_bytes()

    def dismiss(self) -> None:
        for peer in self.in_order():
            peer.dismiss()

    def close(self) -> None:
        for peer in self.in_order():
            peer.close()

    def kill(self) -> None:
        for peer in self.in_order():
            peer.kill()


class Pairs:
    """The pairs of one run. ``tests`` gives the ids of those that use the fixture.

    ``workers``: how many runs like this one there are at the same time.
    """

    def __init__(
        self,
        tree: Tree,
        keeper: Keeper,
        invocation: Invocation,
        plugins: frozenset[str],
        sampling: Sampling,
        tests: Callable[[], Sequence[str]],
        workers: int = 1,
    ) -> None:
        self._tree = tree
        self._keeper = keeper
        self._invocation = invocation
        self._plugins = plugins
        self._sampling = sampling
        self._tests = tests
        self._workers = workers
        self._standing: dict[int, _Sides] = {}
        self._folder: Path | None = None
        self._started = 0
        self._failed_starts = 0
        self._why_failed = ""
        self._room = False  # for the threads of both sides at once

    def of_call(self, test: str, label: str) -> PairsOfCall:
        """Pairs that measure this call."""
        return PairsOfCall(self, test, label)

    def close(self) -> None:
        """End them all."""
        for sides in self._standing.values():
            sides.dismiss()
        for sides in self._standing.values():
            sides.close()
        self._standing.clear()

    def stands(self, number: int) -> bool:
        """Whether this one is there, and waits for tests."""
        return number in self._standing and self._standing[number].alive

    def may_stand(self, number: int, device: str) -> bool:
        """Whether there is room for this one to stay: boards have little, accelerators less.

        One that is there goes on as long as another one would fit.
        """
        if number >= STANDING or device != "cpu" or self._workers > 1:
            return False
        more = 1.0 if self.stands(number) else ROOM
        return available_bytes() >= more * self._standing[0].resident_bytes()

    def release(self, number: int) -> None:
        """End this one and those after it: what is measured now needs the memory."""
        for later in [key for key in self._standing if key >= number]:
            self._standing.pop(later).kill()

    def standing(self, number: int) -> _Sides:
        """One of those that stay; a new one where it has ended. Raises ``PairingError``."""
        if self.stands(number):
            return self._standing[number]
        if number in self._standing:
            self._standing[number].kill()
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise PairingError(self._why_failed)
        try:
            self._standing[number] = self.started(self._tests())
        except PairingError as error:
            self._failed_starts += 1
            self._why_failed = str(error)
            raise
        self._failed_starts = 0
        return self._standing[number]

    def started(self, tests: Iterable[str]) -> _Sides:
        """Two processes that wait for work; which of them starts first alternates."""
        asked_ns = perf_counter_ns()
        tests = list(tests)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="hiddencost-peers-")).resolve()
            self._keeper.folder(self._folder)
        here = peers.here(
            self._invocation,
            self._plugins,
            import_roots(module_files(), self._tree.reference.top),
            peers.modules_of(tests),
        )
        starts = {"here": here, "there": peers.there(here, self._tree)}
        here_first = self._started % 2 == 0
        found: dict[str, Peer] = {}
        try:
            for name in sorted(starts, reverse=not here_first):
                folder = self._folder / f"{self._started} {name}"
                found[name] = Peer(starts[name], folder, self._keeper, self._sampling.max_time_ns)
            self._started += 1
            for peer in found.values():
                peer.greet()
        except BaseException:
            for peer in found.values():
                peer.kill()
            raise
        start_ns = (perf_counter_ns() - asked_ns) / max(1, len(tests))
        return _Sides(found["here"], found["there"], here_first, start_ns)

    def measured(
        self, sides: _Sides, test: str, label: str, refills: Refills, *, first: bool
    ) -> Pair:
        """One call on both sides in turns; at the ``first`` one is seen what they import."""
        fresh, sides.used = not sides.used, True
        asked_ns = perf_counter_ns()
        here, there = self._prepared(sides, test, label, tell_files=first)
        ready_ns = perf_counter_ns()
        imported = self._imported(here, there) if first else None
        most_ns = self._sampling.max_time_ns
        before_ns = sides.start_ns + ready_ns - asked_ns

        def enough(changes: Sequence[float], spent_ns: int) -> bool:
            return spent_ns >= most_ns or sure_enough("p50", changes, spent_ns, before_ns)

        changes = take_turns(sides.here, sides.there, enough, refills, fewest=FEWEST)
        turned_ns = perf_counter_ns()

        def enough_windows(windows: Sequence[tuple[Window, Window]]) -> bool:
            spent_ns = perf_counter_ns() - turned_ns
            return spent_ns >= WINDOWS_SHARE * most_ns or sure_enough(
                "non_mac",
                shares_changed(windows),
                spent_ns,
                before_ns + turned_ns - ready_ns,
            )

        windows = take_windows(sides.here, sides.there, enough_windows, fewest=FEWEST)
        for peer in sides.in_order():
            peer.finish()
        ours, theirs = sides.here.profile(), sides.there.profile()
        estimates = {"p50": from_blocks(changes)}
        if (non_mac := of_windows(windows, estimates["p50"], ours, theirs)) is not None:
            estimates["non_mac"] = non_mac
        return Pair(estimates, len(changes), ours, theirs, imported, fresh, crowded=not self._room)

    def _prepared(
        self, sides: _Sides, test: str, label: str, *, tell_files: bool
    ) -> tuple[Message, Message]:
        """Both sides at the call, warm; what they say of themselves.

        One after the other, unless there is room for both: threads of two calls on the same cores
        wait for each other for seconds.
        """
        told = {}
        for peer in sides.in_order():
            peer.run(test, label, tell_files=tell_files)
            if not self._room:
                told[peer] = peer.ready()
        for peer in sides.in_order():
            if peer not in told:
                told[peer] = peer.ready()
        self._room = all(message["room"] for message in told.values())
        core = _common_core([told[peer] for peer in sides.in_order()])
        for peer in told:
            peer.core = core
        return told[sides.here], told[sides.there]

    def _imported(self, here: Message, there: Message) -> tuple[str, str]:
        """What the sides import. Raises ``SameCode`` where the other runs code of this one."""
        if self._tree.reference.python is not None:
            return f"torch {here['torch']}", f"torch {there['torch']}"
        ours, theirs = (
            {name: Path(path) for name, path in message["files"].items()}
            for message in (here, there)
        )
        return two_sides(ours, theirs, self._tree.reference.top, self._tree.path)


def _common_core(told: Sequence[Message]) -> int | None:
    """Where both sides are to take their turns: where the system put the one that came first."""
    cores = [message["core"] for message in told]
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
        """By one more pair, ``fresh`` or whichever costs less. Raises ``PairingError``.

        A pair that is started anew is fresh, and may stay all the same.
        """
        first = self._next == 0
        if first or (self.stays and not (fresh and self._pairs.stands(self._next))):
            self._next += 1
            found = self._by(self._pairs.standing(self._next - 1), first=first)
            self._device = found.here.device
            return found
        if not self.stays:
            self._pairs.release(self._next)
        sides = self._pairs.started([self._test])
        try:
            return self._measured(sides, first=False)
        finally:
            sides.kill()

    def _by(self, sides: _Sides, *, first: bool) -> Pair:
        try:
            return self._measured(sides, first=first)
        except peers.NotThere:
            if sides.alive:  # the other one stands at the call, and waits for turns
                for peer in sides.in_order():
                    peer.leave()
            raise
        except BaseException:
            sides.kill()
            raise

    def _measured(self, sides: _Sides, *, first: bool) -> Pair:
        return self._pairs.measured(sides, self._test, self._label, self._refills, first=first)
