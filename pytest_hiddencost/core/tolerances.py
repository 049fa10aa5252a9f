"""By how much each quantity may grow against its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pytest_hiddencost.core.taxonomy import GROUPS

STRUCTURE = ("calls", "macs", "allocated_bytes", "activation_memory")
TIMED = ("p50", "non_mac", "operators")
MOST_GROWTH = 10.0  # a share; who allows more than that wants no gate


@dataclass(frozen=True)
class Tolerances:
    """Allowed growth, shares: ``everywhere`` for timed quantities, ``own`` for named ones.

    Keys of ``own``: those of STRUCTURE, which are exact otherwise; those of TIMED; a group; an
    operator or glob, for its time. None everywhere: what the run's setting says.
    """

    everywhere: float | None = None
    own: Mapping[str, float] = field(default_factory=dict)

    def structural(self, quantity: str) -> float:
        """For one of STRUCTURE."""
        return self.own.get(quantity, 0.0)

    def timed(self, key: str, default: float) -> float:
        """For ``p50``, ``non_mac``, a group or an operator."""
        if key in self.own:
            return self.own[key]
        if key not in TIMED and key not in GROUPS:
            for pattern, share in self.own.items():
                if fnmatchcase(key, pattern):
                    return share
        if key not in ("p50", "non_mac") and "operators" in self.own:
            return self.own["operators"]
        return default if self.everywhere is None else self.everywhere
