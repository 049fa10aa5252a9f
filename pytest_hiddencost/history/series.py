"""A quantity of one call on one device, run by run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_hiddencost.core.records import call_name
from pytest_hiddencost.history.database import HistoryDatabase
from pytest_hiddencost.history.questions import Asked

if TYPE_CHECKING:
    from datetime import datetime

QUANTITIES = {
    "p50": "p50_ns",
    "non_mac": "non_mac_ns",
    "mac": "mac_ns",
    "macs": "macs",
    "peak_bytes": "peak_bytes",
    "energy": "energy_nj",
    "operator": "self_ns",
}
"""The column of each quantity that a series can have."""
EXACT = {"macs", "peak_bytes"}
"""Quantities without noise: any difference is a change."""
UNSCALED = {"energy"}
"""Quantities with noise that do not follow the speed of the device."""
COMPARABLE_SHARE = 0.9  # of a series that must have a reference time, or absolute times are used


@dataclass(frozen=True)
class RunPoint:
    """One run of a call. ``scaled``: the value divided by the time of the reference workload."""

    run_id: str
    time: datetime
    value: float
    scaled: float | None
    reference_version: int | None
    fit: bool


@dataclass(frozen=True)
class CallSeries:
    """The runs of a call on one device, in the order of time; ``runs`` has the facts of each."""

    device: str
    test: str
    label: str
    quantity: str
    points: tuple[RunPoint, ...]
    runs: Mapping[str, Mapping[str, Any]]

    @property
    def call(self) -> str:
        """The test's id, with the label."""
        return call_name(self.test, self.label)

    @property
    def fit_points(self) -> tuple[RunPoint, ...]:
        """The runs in which the device was fit; all of them for a quantity without noise."""
        if self.quantity in EXACT:
            return self.points
        return tuple(point for point in self.points if point.fit)

    def comparable(self) -> tuple[tuple[RunPoint, ...], bool]:
        """Return the points whose values can be compared, and whether they are relative ones.

        They are relative to the reference workload if its time is known for nearly all runs, by
        one version of it: then the speed of the device cancels out. Values of 0 and less are left
        out, for they have no logarithm: MAC time may exceed the latency a little.
        """
        if self.quantity in EXACT:
            return self.fit_points, False
        found = tuple(point for point in self.fit_points if point.value > 0)
        if self.quantity in UNSCALED or not found:
            return found, False
        version = found[-1].reference_version
        scaled = tuple(p for p in found if p.scaled and p.reference_version == version)
        if version is None or len(scaled) < COMPARABLE_SHARE * len(found):
            return found, False
        return scaled, True


def each_series(
    database: HistoryDatabase,
    asked: Asked,
    quantity: str,
    function: Callable[[CallSeries], None],
) -> None:
    """Call a function with the series of each call and device, one after another."""
    names, rows = database.rows("SELECT * FROM runs")
    runs = {row[names.index("run_id")]: dict(zip(names, row, strict=True)) for row in rows}
    condition, values = asked.condition()

    def taken(row: tuple[Any, ...]) -> None:
        device, test, label, points = row
        found = (RunPoint(**point) for point in points)
        ordered = sorted(found, key=lambda point: (point.time, point.run_id))
        function(CallSeries(device, test, label, quantity, tuple(ordered), runs))

    database.each(_series_sql(asked, quantity, condition), values, taken)


def _series_sql(asked: Asked, quantity: str, condition: str) -> str:
    column = QUANTITIES[quantity]
    scaled = f"{column} / nullif(p50_ns, 0) * relative"
    point = (
        f"{{'run_id': run_id::stored_run, 'time': time, 'value': {column}::DOUBLE, "
        f"'scaled': {scaled}, 'reference_version': reference_version, 'fit': coalesce(fit, true)}}"
    )
    source = "profiles"
    if quantity == "operator":
        calls = "run_id, test, label, p50_ns, relative, reference_version, fit"
        source = f"operators JOIN (SELECT {calls} FROM profiles) USING (run_id, test, label)"
    if asked.of_runs:
        source += " JOIN (SELECT run_id, branch, torch FROM runs) USING (run_id)"
    return (
        f"SELECT device, test, label, list({point}) FROM {source} "
        f"WHERE ({condition}) AND {column} IS NOT NULL "
        "GROUP BY device, test, label ORDER BY test, label, device"
    )
