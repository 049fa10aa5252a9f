"""The mode of a run that compares with another revision, head and base interleaved."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import HiddenCostError, InterleavingError, SettingError
from pytest_hiddencost.core.records import InterleavedComparison, Sampling, Verdict
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.interleaved.comparison import RevisionPlan, compare_pairs
from pytest_hiddencost.run.modes.base import (
    Ending,
    FinishedRun,
    Judgement,
    Line,
    Measurement,
    Mode,
    with_limits,
)
from pytest_hiddencost.run.selection import Collected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.imported_code import SameCode
from pytest_hiddencost.workers.pairs import PairPlan, Pairs
from pytest_hiddencost.workers.revisions import Tree, materialised, resolve
from pytest_hiddencost.workers.worker import NotInBase

LOCK_S = 1800.0
UNJUDGED_SHARE = 0.25  # of max-time is enough for a call whose time only pairs judge


@dataclass(frozen=True)
class SharedTree:
    """The base's files, as a pytest-xdist worker has them from its controller."""

    path: str
    remarks: tuple[str, ...]


class AgainstRevision(Mode):
    """Lets pairs of worker processes measure each call again, and compares head with base.

    ``given``: what the controller of this pytest-xdist worker has from ``for_xdist_workers``.
    Raises ``SettingError`` if there is no base of that name.
    """

    def __init__(
        self,
        settings: Settings,
        collected: Collected,
        conftests: Callable[[], Iterable[Path]],
        plugins: frozenset[str],
        given: Mapping[str, Any] | None = None,
    ) -> None:
        assert settings.against is not None
        assert settings.invocation is not None
        super().__init__(settings)
        self._invocation = settings.invocation
        self._collected = collected
        self._conftests = conftests
        self._plugins = plugins
        self._given = given
        try:
            self.base = resolve(settings.against, self._invocation.root, self._invocation.directory)
        except InterleavingError as error:
            raise SettingError(f"{settings.against_option}: {error}") from error
        self._remarks: tuple[str, ...] = ()
        self._judged = 0
        self._closing = ExitStack()

    @cached_property
    def reaper(self) -> Reaper:
        """The process that tidies up when this run has ended."""
        reaper = Reaper()
        self._closing.callback(reaper.close)
        return reaper

    @cached_property
    def tree(self) -> Tree:
        """The files of the base, made on first need. Raises ``GitError``."""
        if self._given is not None:
            shared = decode(SharedTree, self._given, "tree")
            return Tree(self.base, Path(shared.path), shared.remarks)
        tree = materialised(self.base, self.reaper, self._conftests())
        self._remarks = tree.remarks
        return tree

    @cached_property
    def pairs(self) -> Pairs:
        """The worker processes, started as they are needed. Raises ``GitError``."""
        plan = PairPlan(
            self.tree,
            self._invocation,
            self._plugins,
            lambda: self._collected.ours,
            self._settings.xdist_workers,
        )
        pairs = Pairs(plan, self.reaper)
        self._closing.callback(pairs.close)
        return pairs

    def for_xdist_workers(self) -> dict[str, object] | None:
        """Give workers the base's tree. Raises ``SettingError``."""
        if self._settings.disable:
            return None
        try:
            shared: dict[str, object] = encode(SharedTree(str(self.tree.path), self.tree.remarks))
            return shared
        except HiddenCostError as error:
            raise SettingError(f"{self._settings.against_option}: {error}") from error

    def judge(self, measurement: Measurement) -> Judgement:
        """Check the budget, then compare head with base."""
        profile = with_limits(measurement)
        try:
            pairs = self.pairs  # fails the test: without a tree no call could be compared
            self._judged += 1
            found, comparison = self._compared(pairs, measurement)
        except HiddenCostError as error:
            return Judgement(profile, error=str(error))
        return Judgement(
            replace(profile, verdicts=(*profile.verdicts, *found), interleaved=comparison)
        )

    def _compared(
        self, pairs: Pairs, measurement: Measurement
    ) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
        profile, base = measurement.profile, self.base
        plan = RevisionPlan(
            revision=base.name,
            commit=base.commit,
            tolerance=self._settings.tolerance,
            confidence=self._settings.sampling.confidence,
            calls=max(len(self._collected.ours), self._judged),
            tolerances=measurement.tolerances,
        )
        try:
            with _machine_lock():
                return compare_pairs(plan, pairs.of_call(profile.test, profile.label))
        except SameCode as error:
            raise InterleavingError(f"--hiddencost-against={base.name}: {error}") from error
        except InterleavingError as error:
            lacking = isinstance(error, NotInBase)
            reason = (reasons.NOT_IN_BASE if lacking else reasons.NO_PAIR).filled(why=error)
            return (verdicts.new(reason),), InterleavedComparison(base.name, base.commit)

    def _sampling(self, *, timed: bool) -> Sampling:
        sampling = self._settings.sampling
        if timed:
            return sampling
        return replace(sampling, max_time_ns=max(1, int(sampling.max_time_ns * UNJUDGED_SHARE)))

    def end(self, run: FinishedRun) -> Ending:
        """Add the remarks on the base's files to the summary."""
        name = self.base.name
        return Ending(tuple(Line(f"against {name}: {text}", "yellow") for text in self._remarks))

    def close(self) -> None:
        """End the worker processes; remove the base's tree."""
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
