"""Ways to find change points: the package's, and Apache Otava's with the same limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pytest_hiddencost.history.change_points import SIGNIFICANCE, SMALLEST_CHANGE, noisy_changes

OURS, OTAVA = "ours", "Otava"


class Found(NamedTuple):
    """The number of the first run after a change, and the growth as a share."""

    run: int
    growth: float


def ours(values: Sequence[float]) -> list[Found]:
    """Return the change points that the package finds."""
    return [Found(change.index, change.growth) for change in noisy_changes(values)]


def otava(values: Sequence[float]) -> list[Found]:
    """Return the change points that Otava finds, with its own window."""
    from otava.analysis import compute_change_points

    found, _ = compute_change_points(
        list(values), max_pvalue=SIGNIFICANCE, min_magnitude=SMALLEST_CHANGE
    )
    return [Found(int(one.index), float(one.stats.forward_rel_change())) for one in found]


FINDERS: dict[str, Callable[[Sequence[float]], list[Found]]] = {OURS: ours, OTAVA: otava}
