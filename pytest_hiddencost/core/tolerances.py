"""The growth against its baseline that each quantity is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

STRUCTURE = ("calls", "macs", "allocated_bytes", "activation_memory")
TIMED = ("p50", "non_mac")
ENERGY = "energy"
"""The quantity that is compared only if a marker allows it a growth."""
MOST_GROWTH = 10.0  # a share; a check that allows more is useless


@dataclass(frozen=True)
class Tolerances:
    """Allowed growth as shares: ``everywhere`` for timed quantities, ``own`` by key.

    ``own`` has keys of STRUCTURE (0 by default) and of TIMED, and ENERGY. ``everywhere`` is None if
    the run's setting applies.
    """

    everywhere: float | None = None
    own: Mapping[str, float] = field(default_factory=dict)

    def structural(self, quantity: str) -> float:
        """Return the share that one quantity of STRUCTURE may grow by."""
        return self.own.get(quantity, 0.0)

    def timed(self, key: str, default: float, non_mac_share: float = 1.0) -> float:
        """Return the share that ``p50`` or ``non_mac`` may grow by.

        Without a tolerance of its own, non-MAC time may grow by that share of the whole call:
        ``non_mac_share`` is the share of the call that it takes.
        """
        if key in self.own:
            return self.own[key]
        whole = default if self.everywhere is None else self.everywhere
        if key != "non_mac":
            return whole
        return min(MOST_GROWTH, whole / max(non_mac_share, 1e-9))
