"""Measuring head and base interleaved, for every mode that compares with a tree of files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import HiddenCostError, InterleavingError, LacksFiles
from pytest_hiddencost.core.lengthy import WORTH_SAYING_S, format_wait
from pytest_hiddencost.core.records import InterleavedComparison, Verdict
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.interleaved.comparison import (
    Launcher,
    Pair,
    RevisionPlan,
    compare_pairs,
    pair_looks,
)
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.run.modes.base import Measurement
from pytest_hiddencost.run.selection import Collected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.carried import named
from pytest_hiddencost.workers.pairs import MeasuredCall, Pairs, PairsOfCall
from pytest_hiddencost.workers.revisions import ACCEPTED, Base, Tree, materialised
from pytest_hiddencost.workers.starting import Starter

LOCK_S = 6 * 3600.0  # calls of minutes are measured for hours; a run that ends frees the lock


@dataclass(frozen=True)
class SharedTree:
    """The base's files, as a pytest-xdist worker has them from its controller."""

    path: str
    remarks: tuple[str, ...]
    pointers: tuple[str, ...] = ()


class Interleaving:
    """The worker processes of a run, and the trees of its bases; all made on first need.

    ``given``: the data that the controller of this pytest-xdist worker got from ``shared``.
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
        self._untreed: dict[Base, HiddenCostError] = {}
        self._pairs: dict[Base, Pairs] = {}
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
        """Return remarks on files of the bases that were added, or that are missing."""
        found = [
            f"against {base.name}: {remark}"
            for base, tree in self._trees.items()
            for remark in tree.remarks
        ]
        return [] if self._given is not None else found

    def shared(self, base: Base) -> dict[str, object]:
        """Return the tree of a base for pytest-xdist workers.

        Raises ``GitError`` and ``InterleavingError``.
        """
        tree = self._tree(base)
        shared: dict[str, object] = encode(SharedTree(str(tree.path), tree.remarks, tree.pointers))
        return shared

    def of(self, base: Base) -> Pairs:
        """Return the pairs of head and a base. Raises ``GitError`` and ``InterleavingError``."""
        if base not in self._pairs:
            pairs = Pairs(self._tree(base), self._invocation, self.plugins, self.starter)
            self._closing.callback(pairs.close)
            self._pairs[base] = pairs
        return self._pairs[base]

    def _tree(self, base: Base) -> Tree:
        """Return the tree of a base; one that could not be made is not tried again."""
        if base in self._untreed:
            raise self._untreed[base]
        if base not in self._trees:
            if self._given is not None:
                shared = decode(SharedTree, self._given, "tree")
                self._trees[base] = Tree(base, Path(shared.path), shared.remarks, shared.pointers)
            else:
                try:
                    self._trees[base] = materialised(
                        base, self.reaper, self._conftests(), self._settings.carry
                    )
                except HiddenCostError as error:
                    self._untreed[base] = error
                    raise
        return self._trees[base]

    def compared(
        self,
        pairs: Pairs,
        measurement: Measurement,
        calls: float,
        show: Callable[[str], None],
        *,
        base_test: str = "",
        base_label: str | None = None,
        injection: str = "",
    ) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
        """Return the verdicts on a call that has 1/``calls`` of the session's risk, and figures.

        ``base_test`` and ``base_label`` are the test's id and the label in base if they differ.
        ``injection`` names a regression to inject into head. ``show`` gets the progress.
        Raises ``InterleavingError``.
        """
        profile = measurement.profile
        plan = self._plan(measurement, pairs.tree.base, max(1, calls))
        call = MeasuredCall(
            profile.test,
            profile.label,
            profile.device,
            base_test,
            injection,
            measurement.device.threads,
            base_label,
            call_ns=profile.latency.median_ns,
            test_s=measurement.test_s,
            startup_s=self._collected.startup_s,
        )
        name = profile.label or profile.test.rpartition("::")[2]
        show(f"{name}: waiting for another run on this machine")
        with _machine_lock():
            begun_s = monotonic()
            launcher = _told(plan, pairs.of_call(call), lambda text: show(f"{name}: {text}"))
            found, comparison = compare_pairs(plan, launcher)
            return found, replace(comparison, spent_ns=round((monotonic() - begun_s) * 1e9))

    def _plan(self, measurement: Measurement, base: Base, calls: float) -> RevisionPlan:
        return RevisionPlan(
            revision=base.name,
            commit=base.commit,
            tolerance=self._settings.tolerance,
            confidence=self._settings.sampling.confidence,
            calls=calls,
            tolerances=measurement.tolerances,
            health=measurement.profile.health,
            structure=base.name != ACCEPTED,
        )

    def close(self) -> None:
        """End the worker processes; remove the trees."""
        self._closing.close()


def _told(plan: RevisionPlan, pairs: PairsOfCall, show: Callable[[str], None]) -> Launcher:
    """Return a launcher that measures one more pair, and shows its number and the time left."""
    fewest = pair_looks(plan.confidence, plan.calls)[0].size
    begun_s = monotonic()

    def launch() -> Pair:
        measured, spent_s, left = pairs.measured, monotonic() - begun_s, ""
        if 0 < measured < fewest and spent_s >= WORTH_SAYING_S * measured:
            wait = format_wait(spent_s / measured * (fewest - measured))
            left = f", about {wait} to a decision"
        show(f"pair {measured + 1}, head and base in turns{left}")
        return pairs()

    return launch


def lacks_files(error: LacksFiles) -> Reason:
    """Return the reason of a comparison for which base lacks files."""
    reason = reasons.LACKS_LFS if error.pointers else reasons.LACKS_FILES
    return reason.filled(why=error, files=named(error.files))


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
