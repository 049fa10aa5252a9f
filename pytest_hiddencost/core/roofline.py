"""The roofline: which of the device's limits explains the time of an operator.

Three floors lie below the time of an operator: its MACs at the peak MAC rate, its bytes at the rate
of a copy of as many bytes, and the time of a call. The highest of them bounds the operator if it
explains at least half of the time. Otherwise the kernel itself is slow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from pytest_hiddencost.core.operator_rates import OperatorRate, Peaks

Bound: TypeAlias = Literal["compute", "memory", "overhead", "kernel"]
BOUNDS: tuple[Bound, ...] = ("compute", "memory", "overhead", "kernel")
EXPLAINED_SHARE = 0.5  # of the time: one floor explains more of it than everything else


def floors_ns(found: OperatorRate, peaks: Peaks) -> dict[Bound, float]:
    """Return the shortest possible time by each of the device's limits."""
    return {
        "compute": found.macs / peaks.mac_rate * 1e9,
        "memory": found.moved_bytes / peaks.byte_rate(found.working_bytes) * 1e9,
        "overhead": peaks.call_ns,
    }


def bound_by(found: OperatorRate, peaks: Peaks) -> Bound:
    """Return the limit that explains at least half of an operator's time; else ``kernel``."""
    floors = floors_ns(found, peaks)
    highest = max(floors, key=lambda bound: floors[bound])
    explained = floors[highest] >= EXPLAINED_SHARE * found.repetition_ns
    return highest if explained else "kernel"


def shares_by_bound(replays: Iterable[OperatorRate], peaks: Peaks) -> dict[Bound, float]:
    """Return the share of the replayed time by bound."""
    totals_ns = dict.fromkeys(BOUNDS, 0.0)
    for found in replays:
        totals_ns[bound_by(found, peaks)] += found.total_ns
    whole_ns = sum(totals_ns.values())
    return {bound: ns / whole_ns if whole_ns else 0.0 for bound, ns in totals_ns.items()}
