"""The likely reason why pairs of processes disagree, from the conditions that workers noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pytest_hiddencost.core.records import DeviceHealth
from pytest_hiddencost.core.units import format_share
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.reasons import Reason

MANY_FAULTS = 30  # pages a call; warm calls take none
MANY_PREEMPTIONS = 20.0  # a second of timed calls
WIDE = 0.3  # between neighbouring turns of the same side, as a share


@dataclass(frozen=True)
class Conditions:
    """The conditions that a pair's workers noticed while they timed calls.

    ``faults`` are pages a call. ``preemptions`` are a second of calls, and known for calls of one
    thread. ``scatter`` is the median difference between neighbouring turns of one side, as a share.
    """

    faults: float = 0.0
    preemptions: float = 0.0
    scatter: float = 0.0
    threads_share_cores: bool = False


def likely_reason(
    conditions: Sequence[Conditions], health: DeviceHealth
) -> tuple[Reason, dict[str, str]]:
    """Return the likely reason why pairs disagree, and the values of its own placeholders.

    ``health`` is that of the device.
    """
    faults = median(found.faults for found in conditions)
    preemptions = median(found.preemptions for found in conditions)
    scatter = median(found.scatter for found in conditions)
    if any(found.threads_share_cores for found in conditions):
        return reasons.PAIRS_OVERSUBSCRIBED, {}
    if faults >= MANY_FAULTS:
        return reasons.PAIRS_MEMORY, {"faults": f"{faults:.0f}"}
    if preemptions >= MANY_PREEMPTIONS:
        return reasons.PAIRS_BUSY, {"preemptions": f"{preemptions:.0f}"}
    if not health.fit:
        unfit = verdicts.unfit(health)
        return reasons.PAIRS_UNFIT, {"why": unfit.found, "remedies": unfit.remedy}
    if scatter >= WIDE:
        return reasons.PAIRS_VARY, {"scatter": format_share(scatter)}
    return reasons.PAIRS_OPEN, {}
