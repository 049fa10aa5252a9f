"""Paired comparison in one run: both sides as peers, and the verdicts on each call.

Both sides of a pair are processes of their own, started alike: what earlier tests, coverage or a
debugger do to the process of this run would be on one side only.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from pytest_hiddencost.errors import PairingError
from pytest_hiddencost.intervals import samples_needed
from pytest_hiddencost.memory_left import available_bytes
from pytest_hiddencost.records import NEW, PairedComparison, Profile, Verdict
from pytest_hiddencost.regression.paired import judge, peers
from pytest_hiddencost.regression.paired.channel import Message
from pytest_hiddencost.regression.paired.imports import (
    SameCode,
    import_roots,
    module_files,
    two_sides,
)
from pytest_hiddencost.regression.paired.keeper import Keeper
from pytest_hiddencost.regression.paired.peers import Peer
from pytest_hiddencost.regression.paired.ratios import SMALL_ERROR, from_blocks, of_windows
from pytest_hiddencost.regression.paired.revisions import Tree, materialised, resolve
from pytest_hiddencost.regression.paired.turns import take_turns, take_windows
from pytest_hiddencost.settings import Settings
from pytest_hiddencost.tolerances import Tolerances

WINDOWS_SHARE = 0.5  # of max-time, for the profiler windows of both sides
LOCK_S = 1800.0
ROOM = 4.0  # times what a pair holds is to be left, or it does not stay
MOST_FAILED_STARTS = 3  # in a row; each may take minutes


@dataclass
class _Sides:
    """A pair of processes; ``here_first`` says which one was started first."""

    here: Peer
    there: Peer
    here_first: bool
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


class PairedRun:
    """The two sides of this run. ``tests`` gives the ids of those that use the fixture.

    ``given``: the tree that the controller of this worker has made already. Raises
    ``PairingError`` where there is nothing of that name to compare with.
    """

    def __init__(
        self,
        settings: Settings,
        tests: Callable[[], Sequence[str]],
        conftests: Callable[[], Iterable[Path]],
        plugins: frozenset[str],
        given: Mapping[str, Any] | None = None,
    ) -> None:
        assert settings.against is not None
        assert settings.invocation is not None
        self._settings = settings
        self._invocation = settings.invocation
        self._tests = tests
        self._conftests = conftests
        self._plugins = plugins
        self.reference = resolve(
            settings.against, self._invocation.root, self._invocation.directory
        )
        self._tree: Tree | None = None
        if given is not None:
            self._tree = Tree(self.reference, Path(given["path"]), tuple(given["remarks"]))
        self._keeper: Keeper | None = None
        self._folder: Path | None = None
        self._standing: dict[int, _Sides] = {}
        self._started = 0
        self._failed_starts = 0
        self._why_failed = ""
        self._judged = 0

    @property
    def keeper(self) -> Keeper:
        """What tidies up when this run has ended."""
        if self._keeper is None:
            self._keeper = Keeper()
        return self._keeper

    @property
    def folder(self) -> Path:
        """For what the peers write."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="hiddencost-peers-")).resolve()
            self.keeper.folder(self._folder)
        return self._folder

    @property
    def tree(self) -> Tree:
        """The files of the other side, made on first need. Raises ``PairingError``."""
        if self._tree is None:
            self._tree = materialised(self.reference, self.keeper, self._conftests())
        return self._tree

    def shared(self) -> dict[str, Any]:
        """The tree, for a worker of this run. Raises ``PairingError``."""
        return {"path": str(self.tree.path), "remarks": list(self.tree.remarks)}

    def remarks(self) -> list[str]:
        """What a reader must know of the other side."""
        return [] if self._tree is None else list(self._tree.remarks)

    def close(self) -> None:
        """End the peers, remove what was made."""
        for sides in self._standing.values():
            sides.dismiss()
        for sides in self._standing.values():
            sides.close()
        self._standing.clear()
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def judged(self, profile: Profile, tolerances: Tolerances) -> Profile:
        """The profile with its verdicts against the other side.

        Raises ``PairingError`` where both sides would run the same code, or there is no other.
        """
        _ = self.tree
        self._judged += 1
        plan = self._plan(tolerances)
        try:
            with self._lock():
                pairs = self._pairs(profile.test, profile.label)
                with closing(pairs):
                    verdicts, comparison = judge.judge(next(pairs), plan, pairs.__next__)
        except SameCode as error:
            raise PairingError(f"--hiddencost-against={self.reference.name}: {error}") from error
        except PairingError as error:
            verdicts = (Verdict("regression", NEW, None, 0.0, str(error), unit="share"),)
            comparison = PairedComparison(self.reference.name, self.reference.commit)
        return replace(profile, verdicts=(*profile.verdicts, *verdicts), paired=comparison)

    def _plan(self, tolerances: Tolerances) -> judge.Plan:
        return judge.Plan(
            reference=self.reference,
            tolerance=self._settings.tolerance,
            confidence=self._settings.sampling.confidence,
            gates=len(judge.TIMED) * max(len(self._tests()), self._judged),
            tolerances=tolerances,
        )

    # --- pairs of processes -----------------------------------------------------------------------

    def _pairs(self, test: str, label: str) -> Generator[judge.Pair, None, None]:
        """The call measured by one pair of processes after the other. Raises ``PairingError``.

        First by those that accompany this run, as far as there is room for them: starting them
        takes longer than measuring. Then by new ones, which end when they have measured.
        """
        found = self._by_standing(0, test, label)
        yield found
        for number in range(1, judge.STANDING):
            if not self._room_for(number, found.here.device):
                break
            yield self._by_standing(number, test, label)
        while True:
            sides = self._new_sides([test])
            try:
                yield self._measured(sides, test, label)
            finally:
                sides.kill()

    def _by_standing(self, number: int, test: str, label: str) -> judge.Pair:
        """By one of the pairs that accompany this run; a new one where it has ended."""
        sides = self._standing_sides(number)
        try:
            return self._measured(sides, test, label)
        except peers.NotThere:
            if sides.alive:  # the other one stands at the call, and waits for turns
                for peer in sides.in_order():
                    peer.leave()
            raise
        except BaseException:
            sides.kill()
            raise

    def _standing_sides(self, number: int) -> _Sides:
        found = self._standing.get(number)
        if found is not None:
            if found.alive:
                return found
            found.kill()
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise PairingError(self._why_failed)
        try:
            self._standing[number] = self._new_sides(self._tests())
        except PairingError as error:
            self._failed_starts += 1
            self._why_failed = str(error)
            raise
        self._failed_starts = 0
        return self._standing[number]

    def _room_for(self, number: int, device: str) -> bool:
        """Whether this pair may stay: a board has little memory, an accelerator least of all."""
        if number in self._standing:
            return True
        if device != "cpu" or self._settings.workers > 1:  # every worker has its own
            return False
        return available_bytes() >= ROOM * self._standing[0].resident_bytes()

    def _new_sides(self, tests: Iterable[str]) -> _Sides:
        """Two processes that wait for work; which of them starts first alternates."""
        here = peers.here(
            self._invocation,
            self._plugins,
            import_roots(module_files(), self.reference.top),
            peers.modules_of(tests),
        )
        starts = {"here": here, "there": peers.there(here, self.tree)}
        here_first = self._started % 2 == 0
        found: dict[str, Peer] = {}
        try:
            for name in sorted(starts, reverse=not here_first):
                folder = self.folder / f"{self._started} {name}"
                max_time_ns = self._settings.sampling.max_time_ns
                found[name] = Peer(starts[name], folder, self.keeper, max_time_ns)
            self._started += 1
            for peer in found.values():
                peer.greet()
        except BaseException:
            for peer in found.values():
                peer.kill()
            raise
        return _Sides(found["here"], found["there"], here_first)

    def _measured(self, sides: _Sides, test: str, label: str) -> judge.Pair:
        """One call on both sides in turns."""
        fresh, sides.used = not sides.used, True
        for peer in sides.in_order():
            peer.run(test, label)
        there, here = sides.there.ready(), sides.here.ready()
        imported = self._imported(here, there)
        sampling = self._settings.sampling
        fewest = samples_needed(0.5, sampling.confidence)

        def enough(ratios: Sequence[float], spent_ns: int) -> bool:
            error = from_blocks(ratios, sampling.confidence).error
            return spent_ns >= sampling.max_time_ns or error <= SMALL_ERROR["p50"]

        def enough_windows(windows: Sequence[tuple[int, int]]) -> bool:
            ratios = [math.log(max(1, ours) / max(1, theirs)) for ours, theirs in windows]
            error = from_blocks(ratios, sampling.confidence).error
            spent_ns = perf_counter_ns() - start_ns
            return (
                spent_ns >= WINDOWS_SHARE * sampling.max_time_ns or error <= SMALL_ERROR["non_mac"]
            )

        ratios = take_turns(sides.here, sides.there, enough, fewest=2 * fewest)
        start_ns = perf_counter_ns()
        windows = take_windows(sides.here, sides.there, enough_windows, fewest=fewest)
        for peer in sides.in_order():
            peer.finish()
        ours, theirs = sides.here.profile(), sides.there.profile()
        estimates = {"p50": from_blocks(ratios, sampling.confidence)}
        if (non_mac := of_windows(windows, ours, theirs, sampling.confidence)) is not None:
            estimates["non_mac"] = non_mac
        return judge.Pair(estimates, len(ratios), ours, theirs, imported, fresh)

    def _imported(self, here: Message, there: Message) -> tuple[str, str]:
        """What the sides import. Raises ``SameCode`` where the other runs code of this one."""
        if self.reference.python is not None:
            return f"torch {here['torch']}", f"torch {there['torch']}"
        ours, theirs = (
            {name: Path(path) for name, path in message["files"].items()}
            for message in (here, there)
        )
        return two_sides(ours, theirs, self.reference.top, self.tree.path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Held while a pair measures: one at a time on this machine. Raises ``PairingError``."""
        import filelock

        lock = filelock.FileLock(lock_file())
        try:
            lock.acquire(timeout=LOCK_S)
        except (filelock.Timeout, OSError) as error:
            raise PairingError(f"another pair measures on this machine: {error}") from error
        try:
            yield
        finally:
            lock.release()


def lock_file() -> Path:
    """What a user's runs on this machine have in common."""
    name = f"hiddencost-{os.getuid() if hasattr(os, 'getuid') else 0}.lock"
    return Path(tempfile.gettempdir(), name)
