"""The mode of a run that compares with another revision, head and base interleaved."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import HiddenCostError, InterleavingError, SettingError
from pytest_hiddencost.core.records import InterleavedComparison, Sampling, Verdict
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.interleaved.comparison import Plan, compare_pairs
from pytest_hiddencost.run.modes.base import (
    Ending,
    FinishedRun,
    Judgement,
    Line,
    Measurement,
    with_limits,
)
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from pytest_hiddencost.run.selection import Collected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.imported_code import SameCode
from pytest_hiddencost.workers.pairs import PairPlan, Pairs
from pytest_hiddencost.workers.revisions import Tree, materialised, resolve
from pytest_hiddencost.workers.worker import NotInBase

LOCK_S = 1800.0
UNJUDGED_SHARE = 0.25  # of max_time is enough for a call whose time only pairs judge


@dataclass(frozen=True)
class SharedTree:
    """The base's files as a pytest-xdist worker gets them from its controller."""

    path: str
    remarks: tuple[str, ...]


class AgainstRevision(BudgetsOnly):
    """Has pairs of worker processes measure each call again, and compares head with base.

    ``given``: the tree that the controller of this worker has made already. Raises
    ``SettingError`` if there is nothing of that name to compare with.
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
        try:
            self.base = resolve(settings.against, self._invocation.root, self._invocation.directory)
        except InterleavingError as error:
            raise SettingError(f"{settings.against_option}: {error}") from error
        self._tree: Tree | None = None
        if given is not None:
            shared = decode(SharedTree, given, "tree")
            self._tree = Tree(self.base, Path(shared.path), shared.remarks)
        self._reaper: Reaper | None = None
        self._pairs: Pairs | None = None
        self._judged = 0

    @property
    def reaper(self) -> Reaper:
        """The process that tidies up when this run has ended."""
        if self._reaper is None:
            self._reaper = Reaper()
        return self._reaper

    @property
    def tree(self) -> Tree:
        """The files of the base, made on first need. Raises ``GitError``."""
        if self._tree is None:
            self._tree = materialised(self.base, self.reaper, self._conftests())
        return self._tree

    @property
    def pairs(self) -> Pairs:
        """The worker processes, started as they are needed. Raises ``GitError``."""
        if self._pairs is None:
            plan = PairPlan(
                self.tree,
                self._invocation,
                self._plugins,
                self._settings.sampling,
                lambda: self._collected.ours,
                self._settings.xdist_workers,
            )
            self._pairs = Pairs(plan, self.reaper)
        return self._pairs

    def for_xdist_workers(self) -> dict[str, object] | None:
        """Give workers the base's tree. Raises ``SettingError``."""
        if self._settings.disable:
            return None
        try:
            shared: dict[str, object] = encode(SharedTree(str(self.tree.path), self.tree.remarks))
        except HiddenCostError as error:
            raise SettingError(f"{self._settings.against_option}: {error}") from error
        return shared

    def judge(self, measurement: Measurement) -> Judgement:
        """Check the budget, then compare head with base."""
        profile = with_limits(measurement)
        try:
            pairs = self.pairs  # outside of what makes a call new: without a tree no test has one
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
        profile = measurement.profile
        try:
            with _machine_lock():
                return compare_pairs(
                    self._plan(measurement), pairs.of_call(profile.test, profile.label)
                )
        except SameCode as error:
            raise InterleavingError(f"--hiddencost-against={self.base.name}: {error}") from error
        except InterleavingError as error:
            lacking = isinstance(error, NotInBase)
            reason = (reasons.NOT_IN_BASE if lacking else reasons.NO_PAIR).filled(why=error)
            return (verdicts.new(reason),), InterleavedComparison(self.base.name, self.base.commit)

    def _plan(self, measurement: Measurement) -> Plan:
        return Plan(
            revision=self.base.name,
            commit=self.base.commit,
            tolerance=self._settings.tolerance,
            confidence=self._settings.sampling.confidence,
            calls=max(len(self._collected.ours), self._judged),
            tolerances=measurement.tolerances,
        )

    def _sampling(self, *, decide: bool) -> Sampling:
        sampling = self._settings.sampling
        if decide:
            return sampling
        return replace(sampling, max_time_ns=max(1, int(sampling.max_time_ns * UNJUDGED_SHARE)))

    def end(self, run: FinishedRun) -> Ending:
        """Say what a reader must know of the base's files."""
        remarks = () if self._tree is None else self._tree.remarks
        return Ending(
            tuple(Line(f"against {self.base.name}: {remark}", "yellow") for remark in remarks)
        )

    def close(self) -> None:
        """End the worker processes; remove what was made."""
        if self._pairs is not None:
            self._pairs.close()
            self._pairs = None
        if self._reaper is not None:
            self._reaper.close()
            self._reaper = None


@contextmanager
def _machine_lock() -> Iterator[None]:
    """Hold a lock while a pair measures: one at a time on this machine."""
    import filelock

    lock = filelock.FileLock(lock_file())
    try:
        lock.acquire(timeout=LOCK_S)
    except (filelock.Timeout, OSError) as error:
        why = f"another pair measures on this machine: {error}".rstrip(".")
        raise InterleavingError(why) from error
    try:
        yield
    finally:
        lock.release()


def lock_file() -> Path:
    """Return the lock that all runs of a user on this machine share."""
    name = f"hiddencost-{os.getuid() if hasattr(os, 'getuid') else 0}.lock"
    return Path(tempfile.gettempdir(), name)
