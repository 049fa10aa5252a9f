"""The tests that a run covered, and the baseline entries that it did not use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.core.records import CallKey
from pytest_hiddencost.judge.baseline.store import Baselines
from pytest_hiddencost.options import MODELS


@dataclass(frozen=True)
class Coverage:
    """The node ids and calls of one run; tests that were taken out again count as collected.

    ``whole``: modules and folders collected in full; None if that is not known. ``models``: every
    named model was collected that the ini file names. ``modules``: the ids of collected modules,
    without those that the run left out.
    """

    collected: frozenset[str]
    measured: frozenset[CallKey]
    passed: frozenset[str]
    whole: tuple[Path, ...] | None
    root: Path
    models: bool = False
    modules: frozenset[str] = frozenset()

    def unused(self, baselines: Baselines) -> list[CallKey]:
        """Return the entries whose test is gone, or passed without that call."""
        if self.whole is None:
            return []
        found = []
        for module in baselines.modules():
            path = (self.root / module).resolve()
            in_full = not {path, *path.parents}.isdisjoint(self.whole)
            if module not in self.modules and path.exists():
                in_full = False  # a plugin or an ini file left the module out
            if module == MODELS:  # no file; a command line may name any of them
                in_full = self.models
            for test, label in baselines.entries(module):
                node_id = f"{module}::{test}"
                gone = in_full and node_id not in self.collected
                silent = node_id in self.passed and (node_id, label) not in self.measured
                if gone or silent:
                    found.append((node_id, label))
        return sorted(found)

    def other_models(self, baselines: Baselines) -> list[CallKey]:
        """Return the entries of named models that the run did not collect."""
        found = ((f"{MODELS}::{test}", label) for test, label in baselines.entries(MODELS))
        return sorted(key for key in found if key[0] not in self.collected)
