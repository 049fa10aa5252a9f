"""By how much each quantity may grow against its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pytest_hiddencost.core.taxonomy import GROUPS

STRUCTURE = ("calls", "macs", "allocated_bytes", "activation_memory")
TIMED = ("p50", "non_mac", "operators")
MOST_GROWTH = 10.0  # a share; a check that allows more is useless


@dataclass(frozen=True)
class Tolerances:
    """Allowed growth as shares: ``everywhere`` for timed quantities, ``own`` by key.

    ``own`` has keys of STRUCTURE (0 by default), keys of TIMED, groups, and operators or globs.
    ``everywhere`` is None if the run's setting applies.
    """

    everywhere: float | None = None
    own: Mapping[str, float] = field(default_factory=dict)

    def structural(self, quantity: str) -> float:
        """Return the share that one quantity of STRUCTURE may grow by."""
        return self.own.get(quantity, 0.0)

    def timed(self, key: str, default: float) -> float:
        """Return the share that ``p50``, ``non_mac``, a group or an operator may grow by."""
        if key in self.own:
            return self.own[key]
        if key not in TIMED and key not in GROUPS:
            for glob, share in self.own.items():
                if fnmatchcase(key, glob):
                    return share
        if key not in ("p50", "non_mac") and "operators" in self.own:
            return self.own["operators"]
        return default if self.everywhere is None else self.everywhere
