"""Measuring head and base interleaved, for every mode that compares with a tree of files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import InterleavedComparison, Verdict
from pytest_hiddencost.judge.interleaved.comparison import Pair, RevisionPlan, compare_pairs
from pytest_hiddencost.run.modes.base import Measurement
from pytest_hiddencost.run.selection import Collected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.pairs import MeasuredCall, Pairs
from pytest_hiddencost.workers.revisions import Base, Tree, materialised
from pytest_hiddencost.workers.starting import Starter

LOCK_S = 1800.0


@dataclass(frozen=True)
class SharedTree:
    """The base's files, as a pytest-xdist worker has them from its controller."""

    path: str
    remarks: tuple[str, ...]


class Interleaving:
    """The worker processes of a run, and the trees of its bases; all made on first need.

    ``given``: what the controller of this pytest-xdist worker has from ``shared``.
    """

    def __init__(
        self,
        settings: Settings,
        collected: Collected,
        conftests: Callable[[], Iterable[Path]],
        plugins: frozenset[str],
        given: Mapping[str, Any] | None = None,
    ) -> None:
        assert settings.invocation is not None
        self._settings = settings
        self._invocation = settings.invocation
        self._collected = collected
        self._conftests = conftests
        self.plugins = plugins
        self._given = given
        self._trees: dict[Base, Tree] = {}
        self._pairs: dict[Base, Pairs] = {}
        self._compared = 0
        self._closing = ExitStack()

    @cached_property
    def reaper(self) -> Reaper:
        """The process that tidies up when this run has ended."""
        reaper = Reaper()
        self._closing.callback(reaper.close)
        return reaper

    @cached_property
    def starter(self) -> Starter:
        """The starter of the worker processes."""
        starter = Starter(self.reaper)
        self._closing.callback(starter.close)
        return starter

    def remarks(self) -> list[str]:
        """Return which files of the bases were added, and which are missing."""
        found = [
            f"against {base.name}: {remark}"
            for base, tree in self._trees.items()
            for remark in tree.remarks
        ]
        return [] if self._given is not None else found

    def shared(self, base: Base) -> dict[str, object]:
        """Return the tree of a base for pytest-xdist workers. Raises ``GitError``."""
        tree = self._tree(base)
        shared: dict[str, object] = encode(SharedTree(str(tree.path), tree.remarks))
        return shared

    def of(self, base: Base) -> Pairs:
        """Return the pairs of head and a base. Raises ``GitError``."""
        if base not in self._pairs:
            pairs = Pairs(self._tree(base), self._invocation, self.plugins, self.starter)
            self._closing.callback(pairs.close)
            self._pairs[base] = pairs
        return self._pairs[base]

    def _tree(self, base: Base) -> Tree:
        if base not in self._trees:
            if self._given is not None:
                shared = decode(SharedTree, self._given, "tree")
                self._trees[base] = Tree(base, Path(shared.path), shared.remarks)
            else:
                self._trees[base] = materialised(base, self.reaper, self._conftests())
        return self._trees[base]

    def compared(
        self,
        pairs: Pairs,
        measurement: Measurement,
        calls: int,
        show: Callable[[str], None],
        *,
        base_test: str = "",
        injection: str = "",
    ) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
        """Return the verdicts on one call, among so many of the session, and figures.

        ``base_test`` is the test's id in base if it differs. ``injection`` names a regression to
        inject into head. ``show`` gets what the run is doing. Raises ``InterleavingError``.
        """
        self._compared += 1
        profile = measurement.profile
        plan = self._plan(measurement, pairs.tree.base, max(calls, self._compared))
        call = MeasuredCall(
            profile.test,
            profile.label,
            profile.device,
            base_test,
            injection,
            measurement.device.threads,
        )
        name = profile.label or profile.test.rpartition("::")[2]
        show(f"{name}: waiting for another run on this machine")
        with _machine_lock():
            of_call = pairs.of_call(call)

            def launch() -> Pair:
                show(f"{name}: pair {of_call.measured + 1}, head and base in turns")
                return of_call()

            return compare_pairs(plan, launch)

    def _plan(self, measurement: Measurement, base: Base, calls: int) -> RevisionPlan:
        return RevisionPlan(
            revision=base.name,
            commit=base.commit,
            tolerance=self._settings.tolerance,
            confidence=self._settings.sampling.confidence,
            calls=calls,
            tolerances=measurement.tolerances,
            health=measurement.profile.health,
        )

    def close(self) -> None:
        """End the worker processes; remove the trees."""
        self._closing.close()


def _machine_lock() -> AbstractContextManager[object]:
    """Acquire the lock to hold while a pair measures: one at a time on this machine."""
    import filelock

    try:
        return filelock.FileLock(lock_file()).acquire(timeout=LOCK_S)
    except (filelock.Timeout, OSError) as error:
        why = f"another pair measures on this machine: {error}".rstrip(".")
        raise InterleavingError(why) from error


def lock_file() -> Path:
    """Return the lock that all runs of a user on this machine share."""
    name = f"hiddencost-{os.getuid() if hasattr(os, 'getuid') else 0}.lock"
    return Path(tempfile.gettempdir(), name)
