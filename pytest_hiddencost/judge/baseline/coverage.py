"""Which tests a run could have measured, so that a baseline entry it did not use has no test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.core.records import CallKey
from pytest_hiddencost.judge.baseline.store import Baselines


@dataclass(frozen=True)
class Coverage:
    """What one run collected, measured and passed.

    ``collected``: every node id found, deselected ones included. ``measured``: keys of calls.
    ``passed``: tests. ``whole``: modules and folders collected in full; None if that is unknown.
    """

    collected: frozenset[str]
    measured: frozenset[CallKey]
    passed: frozenset[str]
    whole: tuple[Path, ...] | None
    root: Path

    def unused(self, baselines: Baselines) -> list[CallKey]:
        """Return the entries whose test is gone, or passed without that call."""
        if self.whole is None:
            return []
        found = []
        for module in baselines.modules():
            in_full = self._in_full(module)
            for test, label in baselines.entries(module):
                node_id = f"{module}::{test}"
                gone = in_full and node_id not in self.collected
                silent = node_id in self.passed and (node_id, label) not in self.measured
                if gone or silent:
                    found.append((node_id, label))
        return sorted(found)

    def _in_full(self, module: str) -> bool:
        path = (self.root / module).resolve()
        return any(path == place or place in path.parents for place in self.whole or ())
