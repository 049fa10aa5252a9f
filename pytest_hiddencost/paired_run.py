"""Paired comparison in one run: the other side, its peer, and the verdicts on each call."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pytest_hiddencost.errors import PairingError
from pytest_hiddencost.intervals import samples_needed
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
from pytest_hiddencost.regression.paired.peers import NotThere, Peer, Start
from pytest_hiddencost.regression.paired.ratios import Estimate, from_blocks, growth_of
from pytest_hiddencost.regression.paired.revisions import Tree, materialised, resolve
from pytest_hiddencost.regression.paired.turns import take_turns, take_windows
from pytest_hiddencost.settings import Settings
from pytest_hiddencost.tolerances import Tolerances

if TYPE_CHECKING:
    from pytest_hiddencost.profiling.latency import LatencySampler
    from pytest_hiddencost.profiling.measure import Windows

WINDOWS = 8  # of each process of a fresh pair
LEAST_SHARE = 0.5  # of max-time, for each side: what lasts less has not seen the machine's noise
FRESH_SHARE = 0.5  # of max-time, for each side of a fresh pair
MOST_FAILED_STARTS = 3  # in a row; each may take minutes
LOCK_S = 1800.0


class PairedRun:
    """The other side of this run. ``tests`` gives the ids of those that use the fixture.

    ``given``: the tree that the controller of this worker has made already.
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
        self._peer: Peer | None = None
        self._started = 0
        self._here_first = True
        self._failed_starts = 0
        self._why_failed = ""
        self._pairings: dict[tuple[str, str], Pairing] = {}

    # --- the sides ------------------------------------------------------------------------------

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

    def close(self) -> None:
        """End the peers, remove what was made."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def remarks(self) -> list[str]:
        """What a reader must know of the other side."""
        return [] if self._tree is None else list(self._tree.remarks)

    def _start(self, tests: Iterable[str] | None = None) -> Start:
        path = import_roots(module_files(), self.reference.top)
        modules = peers.modules_of(self._tests() if tests is None else tests)
        return peers.here(self._invocation, self._plugins, path, modules)

    def _new_peer(self, start: Start) -> Peer:
        self._started += 1
        folder = self.folder / str(self._started)
        return Peer(start, folder, self.keeper, self._settings.sampling.max_time_ns)

    def peer(self) -> Peer:
        """The peer that accompanies this run, a new one where the last has ended."""
        if self._peer is not None and self._peer.alive:
            return self._peer
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise PairingError(self._why_failed)
        try:
            self._peer = self._new_peer(peers.there(self._start(), self.tree))
            self._peer.greet()
        except PairingError as error:
            self._failed_starts += 1
            self._why_failed = str(error)
            raise
        self._failed_starts = 0
        return self._peer

    # --- one call -------------------------------------------------------------------------------

    def turns(self, test: str, label: str, tolerances: Tolerances) -> Pairing:
        """The pace of one call of the fixture, a context; the result is kept for ``judged``."""
        pairing = self._pairings[test, label] = Pairing(self, test, label, tolerances)
        return pairing

    def plan(self, tolerances: Tolerances) -> judge.Plan:
        """What a call with these tolerances is held to."""
        return judge.Plan(
            reference=self.reference,
            tolerance=self._settings.tolerance,
            confidence=self._settings.sampling.confidence,
            gates=len(judge.TIMED) * max(1, len(self._tests()), len(self._pairings)),
            tolerances=tolerances,
        )

    def judged(self, profile: Profile, tolerances: Tolerances) -> Profile:
        """The profile with its verdicts against the other side. Raises ``PairingError``."""
        pairing = self._pairings.get((profile.test, profile.label))
        if pairing is None:
            return profile
        if pairing.refused:
            raise PairingError(f"--hiddencost-against={self.reference.name}: {pairing.refused}")
        if pairing.pair is None:
            verdict = Verdict("regression", NEW, None, 0.0, pairing.trouble, unit="share")
            return replace(
                profile,
                verdicts=(*profile.verdicts, verdict),
                paired=PairedComparison(self.reference.name, self.reference.commit),
            )
        first = replace(pairing.pair, here=profile)

        def launcher() -> judge.Pair:
            return self._fresh_pair(profile.test, profile.label)

        with self.lock():
            verdicts, comparison = judge.judge(profile, first, self.plan(tolerances), launcher)
        comparison = replace(comparison, imported=pairing.imported)
        return replace(profile, verdicts=(*profile.verdicts, *verdicts), paired=comparison)

    def _fresh_pair(self, test: str, label: str) -> judge.Pair:
        """The same call in two fresh processes; which one starts first alternates."""
        self._here_first = not self._here_first
        start = self._start([test])
        starts = {"here": start, "there": peers.there(start, self.tree)}
        order = ["here", "there"] if self._here_first else ["there", "here"]
        with ExitStack() as stack:
            sides: dict[str, Peer] = {}
            for name in order:
                sides[name] = stack.enter_context(_closing(self._new_peer(starts[name])))
                sides[name].run(test, label)
            for name in order:
                sides[name].greet()
                sides[name].ready()
            here, there = sides["here"], sides["there"]
            max_time_ns = self._settings.sampling.max_time_ns

            def enough(ratios: Sequence[float], spent_ns: int) -> bool:
                return spent_ns >= 2 * FRESH_SHARE * max_time_ns

            ratios = take_turns(
                here, there, enough, fewest=self.fewest, here_first=self._here_first
            )
            left = iter(range(WINDOWS, -1, -1))
            take_windows(here, there, lambda: next(left) > 0)
            return judge.Pair(
                from_blocks(ratios, self._settings.sampling.confidence),
                len(ratios),
                here.finish(),
                there.finish(),
            )

    @property
    def fewest(self) -> int:
        """Blocks without which there is no interval."""
        return samples_needed(0.5, self._settings.sampling.confidence)

    def enough(self, tolerances: Tolerances) -> Callable[[Sequence[float], int], bool]:
        """Whether blocks taken in turns decide on p50, or time is over."""
        sampling, plan = self._settings.sampling, self.plan(tolerances)

        def decided(ratios: Sequence[float], spent_ns: int) -> bool:
            if spent_ns >= 2 * sampling.max_time_ns:
                return True
            if spent_ns < 2 * LEAST_SHARE * sampling.max_time_ns:
                return False
            allowed = plan.allowed("p50")
            found = growth_of([from_blocks(ratios, sampling.confidence)], allowed, plan.confidence)
            return not found.low <= allowed < found.high

        return decided

    def estimate(self, ratios: Sequence[float]) -> Estimate:
        """What the blocks say."""
        return from_blocks(ratios, self._settings.sampling.confidence)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held while a pair measures: one at a time on this machine. Raises ``PairingError``."""
        import filelock

        name = f"hiddencost-{os.getuid() if hasattr(os, 'getuid') else 0}.lock"
        lock = filelock.FileLock(Path(tempfile.gettempdir(), name))
        try:
            lock.acquire(timeout=LOCK_S)
        except (filelock.Timeout, OSError) as error:
            raise PairingError(f"another pair measures on this machine: {error}") from error
        try:
            yield
        finally:
            lock.release()

    def imported(self, message: Message) -> tuple[str, str]:
        """What both sides import. Raises ``SameCode`` where the other runs code of this one."""
        theirs = {name: Path(path) for name, path in message["files"].items()}
        if self.reference.python is None:
            return two_sides(module_files(), theirs, self.reference.top, self.tree.path)
        import torch  # for its version; it is imported by the call

        return f"torch {torch.__version__}", f"torch {message['torch']}"


class Pairing:
    """One call that takes turns with the other side's: the pace of the fixture's measurement.

    ``pair`` is what came of it; without one, ``trouble`` says why. ``refused``: the two sides are
    not two, or there is no other side at all.
    """

    def __init__(self, run: PairedRun, test: str, label: str, tolerances: Tolerances) -> None:
        self._run = run
        self._test, self._label = test, label
        self._enough = run.enough(tolerances)
        self._held = ExitStack()
        self._peer: Peer | None = None
        self._ratios: list[float] = []
        self.pair: judge.Pair | None = None
        self.imported: tuple[str, str] | None = None
        self.trouble = ""
        self.refused = ""

    def __enter__(self) -> Pairing:
        try:
            _ = self._run.tree
        except PairingError as error:
            self.refused = str(error)
            return self
        try:
            self._held.enter_context(self._run.lock())
            self._peer = self._run.peer()
            self._peer.run(self._test, self._label)  # gets ready while this side does
        except PairingError as error:
            self._gave_up(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and self._peer is not None:
            self._peer.kill()  # it waits for turns that nobody takes
        self._held.close()

    def latency(self, sampler: LatencySampler) -> None:
        """Blocks in turns; all at once where the other side does not come to this call."""
        from pytest_hiddencost.profiling.measure import AtOnce

        if self._peer is not None:
            try:
                self.imported = self._run.imported(self._peer.ready())
                here = _Here(sampler)
                self._ratios = take_turns(here, self._peer, self._enough, fewest=self._run.fewest)
                return
            except PairingError as error:
                self._gave_up(error)
        AtOnce().latency(sampler)

    def windows(self, windows: Windows) -> None:
        """Profiler windows in turns."""
        from pytest_hiddencost.profiling.measure import AtOnce

        if self._peer is not None:
            try:
                take_windows(_Here(windows=windows), self._peer, lambda: windows.wanted > 0)
                return
            except PairingError as error:
                self._gave_up(error)
        AtOnce().windows(windows)

    def partner_s(self) -> float:
        """What the other side has used."""
        return 0.0 if self._peer is None else self._peer.used_s

    def done(self, profile: Profile) -> None:
        """This side is measured: fetch the other's."""
        if self._peer is None:
            return
        try:
            there = self._peer.finish()
        except PairingError as error:
            self._gave_up(error)
        else:
            estimate = self._run.estimate(self._ratios)
            self.pair = judge.Pair(estimate, len(self._ratios), profile, there)

    def _gave_up(self, error: PairingError) -> None:
        if isinstance(error, SameCode):
            self.refused = str(error)
        self.trouble = str(error)
        if self._peer is not None and not isinstance(error, NotThere):
            self._peer.kill()
        self._peer = None


class _Here:
    """This process as a side."""

    def __init__(
        self, sampler: LatencySampler | None = None, windows: Windows | None = None
    ) -> None:
        self._sampler, self._windows = sampler, windows

    def turn(self, duration_ns: int) -> Sequence[int]:
        assert self._sampler is not None
        return self._sampler.turn(duration_ns)

    def prepare(self) -> None:
        assert self._windows is not None
        self._windows.prepare()

    def window(self) -> None:
        assert self._windows is not None
        self._windows.add()


@contextmanager
def _closing(peer: Peer) -> Iterator[Peer]:
    try:
        yield peer
    finally:
        peer.kill()
