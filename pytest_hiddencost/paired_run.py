"""Paired comparison in one run: the other side's tree, and the verdicts on each call."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_hiddencost.errors import PairingError
from pytest_hiddencost.records import NEW, PairedComparison, Profile, Verdict
from pytest_hiddencost.regression.paired import judge
from pytest_hiddencost.regression.paired.imports import SameCode
from pytest_hiddencost.regression.paired.keeper import Keeper
from pytest_hiddencost.regression.paired.pairs import Pairs
from pytest_hiddencost.regression.paired.revisions import Tree, materialised, resolve
from pytest_hiddencost.settings import Settings
from pytest_hiddencost.tolerances import Tolerances

LOCK_S = 1800.0


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
        self._pairs: Pairs | None = None
        self._judged = 0

    @property
    def keeper(self) -> Keeper:
        """What tidies up when this run has ended."""
        if self._keeper is None:
            self._keeper = Keeper()
        return self._keeper

    @property
    def tree(self) -> Tree:
        """The files of the other side, made on first need. Raises ``GitError``."""
        if self._tree is None:
            self._tree = materialised(self.reference, self.keeper, self._conftests())
        return self._tree

    @property
    def pairs(self) -> Pairs:
        """The processes of both sides, started as they are needed. Raises ``GitError``."""
        if self._pairs is None:
            self._pairs = Pairs(
                self.tree,
                self.keeper,
                self._invocation,
                self._plugins,
                self._settings.sampling,
                self._tests,
                self._settings.workers,
            )
        return self._pairs

    def shared(self) -> dict[str, Any]:
        """The tree, for a worker of this run. Raises ``GitError``."""
        return {"path": str(self.tree.path), "remarks": list(self.tree.remarks)}

    def remarks(self) -> list[str]:
        """What a reader must know of the other side."""
        return [] if self._tree is None else list(self._tree.remarks)

    def close(self) -> None:
        """End the peers, remove what was made."""
        if self._pairs is not None:
            self._pairs.close()
            self._pairs = None
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def judged(self, profile: Profile, tolerances: Tolerances) -> Profile:
        """The profile with its verdicts against the other side.

        Raises ``PairingError`` where both sides would run the same code, ``GitError`` where the
        other cannot be checked out.
        """
        pairs = self.pairs  # outside of what makes a call new: without a tree no test has one
        self._judged += 1
        plan = self._plan(tolerances)
        try:
            with self._lock():
                verdicts, comparison = judge.judge(plan, pairs.of_call(profile.test, profile.label))
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
            calls=max(len(self._tests()), self._judged),
            tolerances=tolerances,
        )

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
