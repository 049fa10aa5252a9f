"""Change points of series in words: quantity, call, size, and the commits around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pytest_hiddencost.core.units import format_share
from pytest_hiddencost.history.by_otava import otava_changes
from pytest_hiddencost.history.change_points import (
    FEWEST,
    ChangePoint,
    exact_changes,
    noisy_changes,
)
from pytest_hiddencost.history.database import HistoryDatabase
from pytest_hiddencost.history.questions import Asked
from pytest_hiddencost.history.series import EXACT, CallSeries, RunPoint, each_series

Finder = Callable[[Sequence[float]], list[ChangePoint]]
FINDERS: dict[str, Finder] = {"ranks": noisy_changes, "otava": otava_changes}
"""Ways to find the change points of a quantity with noise."""


@dataclass(frozen=True)
class FoundChange:
    """One change point. ``from_end`` counts runs from it to the newest, itself included.

    ``relative``: times were divided by those of the reference workload.
    """

    quantity: str
    call: str
    device: str
    growth: float
    commit_before: str
    commit_at: str
    run_id: str
    time: datetime
    p: float | None
    before: int
    after: int
    from_end: int
    relative: bool

    def data(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def changes_of(series: CallSeries, finder: Finder = noisy_changes) -> list[FoundChange]:
    """Return the change points of a series, oldest first."""
    return _changes_among(series, *series.comparable(), finder)


def _changes_among(
    series: CallSeries, points: Sequence[RunPoint], relative: bool, finder: Finder
) -> list[FoundChange]:
    """Return the change points among the comparable points of a series."""
    found = change_points_of(series.quantity, points, relative, finder)
    return [_found(series, points, relative, change) for change in found]


def change_points_of(
    quantity: str, points: Sequence[RunPoint], relative: bool, finder: Finder = noisy_changes
) -> list[ChangePoint]:
    """Return the change points of comparable points; ``finder`` is for quantities with noise."""
    values = comparable_values(points, relative)
    if quantity in EXACT:
        return exact_changes(values)
    return finder(values)


def comparable_values(points: Sequence[RunPoint], relative: bool) -> list[float]:
    """Return relative or absolute values."""
    return [point.scaled or 0.0 if relative else point.value for point in points]


def _found(
    series: CallSeries, points: Sequence[RunPoint], relative: bool, change: ChangePoint
) -> FoundChange:
    before, at = points[change.index - 1], points[change.index]
    return FoundChange(
        series.quantity, series.call, series.device, change.growth,
        _commit(series, before), _commit(series, at), at.run_id, at.time, change.p,
        change.before, change.after, len(points) - change.index, relative,
    )  # fmt: skip


def _commit(series: CallSeries, point: RunPoint) -> str:
    facts = series.runs.get(point.run_id, {})
    commit = str(facts.get("commit") or "")[:10]
    return f"{commit} with changes" if commit and facts.get("dirty") else commit


def all_changes(
    database: HistoryDatabase, asked: Asked, quantity: str, finder: str = "ranks"
) -> tuple[list[FoundChange], int]:
    """Return the change points of all calls that were asked for, and the number of series.

    ``finder`` is one of ``FINDERS``.
    """
    found: list[FoundChange] = []
    count = 0

    def taken(series: CallSeries) -> None:
        nonlocal count
        count += 1
        found.extend(changes_of(series, FINDERS[finder]))

    each_series(database, asked, quantity, taken)
    return found, count


@dataclass(frozen=True)
class Gated:
    """The rises within the last runs, and the number of series that were asked for.

    ``short``: series with fewer runs than a change point needs. ``unfit``: other series, without a
    comparable run among the last ones. The gate says nothing about both.
    """

    rises: tuple[FoundChange, ...]
    series: int
    short: int
    unfit: int


def gated(
    database: HistoryDatabase, asked: Asked, quantity: str, last: int, finder: str = "ranks"
) -> Gated:
    """Return the rises within the ``last`` runs of all calls that were asked for."""
    rises: list[FoundChange] = []
    count: Counter[str] = Counter()

    def taken(series: CallSeries) -> None:
        points, relative = series.comparable()
        count["series"] += 1
        if len(points) < fewest_runs(quantity):
            count["short"] += 1
        elif points[-1] not in series.points[-last:]:
            count["unfit"] += 1
        found = _changes_among(series, points, relative, FINDERS[finder])
        rises.extend(one for one in found if one.growth > 0 and one.from_end <= last)

    each_series(database, asked, quantity, taken)
    return Gated(tuple(rises), count["series"], count["short"], count["unfit"])


def fewest_runs(quantity: str) -> int:
    """Return the number of comparable runs without which a series has no change point."""
    return 2 if quantity in EXACT else 2 * FEWEST


def change_line(change: FoundChange, operator: str = "") -> str:
    """Return a change in one line."""
    name = {"non_mac": "non-MAC time", "mac": "MAC time", "macs": "MACs", "peak_bytes": "peak"}
    name |= {"energy": "energy"}
    quantity = operator if change.quantity == "operator" else name.get(change.quantity, "p50")
    moved = "rose" if change.growth > 0 else "fell"
    size = format_share(abs(change.growth))
    day = f"{change.time:%Y-%m-%d}"
    where = f"at commit {change.commit_at} ({day})" if change.commit_at else f"on {day}"
    after = f", after {change.commit_before}" if change.commit_before else ""
    absolute = "in absolute terms" if change.quantity == "energy" else "in absolute time"
    scale = "relative to the reference workload" if change.relative else absolute
    noise = "exact" if change.p is None else f"p = {change.p:.1g}, {scale}"
    return (
        f"{quantity} of {change.call} on {change.device} {moved} {size} {where}{after}, {noise}; "
        f"{change.before} runs before, {change.after} after"
    )
