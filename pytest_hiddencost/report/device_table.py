"""The papers' table of a run on several devices: each call, device against device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import correlation

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.core.taxonomy import DEFAULT, GROUPS
from pytest_hiddencost.report.terminal import title
from pytest_hiddencost.report.writer import Writer

FEWEST_FOR_CORRELATION = 3
CONV2D = "aten::conv2d"
ALL_CALLS = "all calls"
DeviceCalls = Mapping[str, Mapping[CallKey, Profile]]
"""The calls that each device measured, by the name of its column."""
CallRows = tuple[str, list[list[str]]]
"""A call's title, and its rows: a label, then a cell for each device."""


@dataclass(frozen=True)
class _Row:
    """A quantity of a call; ``value`` is None for a device that has none."""

    label: str
    value: Callable[[Profile], float | None]
    text: Callable[[float], str]

    def cells(self, found: Sequence[Profile | None]) -> list[str]:
        """Return a cell for each device; none at all if no device has the quantity."""
        values = [None if profile is None else self.value(profile) for profile in found]
        if all(value is None for value in values):
            return []
        return ["-" if value is None else self.text(value) for value in values]


def bookkeeping_share(profile: Profile) -> float | None:
    """Return the share of Conv2D's time outside the convolution kernel; None without Conv2D."""
    for composite in profile.composites:
        if composite.name == CONV2D and composite.total_ns:
            kernels = (c.self_ns for c in composite.inside if DEFAULT.is_mac_kernel(c.name))
            return 1.0 - sum(kernels) / composite.total_ns
    return None


def write_device_table(writer: Writer, devices: DeviceCalls, verbosity: int) -> None:
    """Write every call with a column for each device; nothing for fewer than two devices.

    ``verbosity`` 1 adds the operator groups. If the names of the devices are too wide for the
    terminal, columns have numbers.
    """
    measured = {name: calls for name, calls in devices.items() if calls}
    if len(measured) < 2:
        return
    blocks = list(_blocks(measured, verbosity))
    names = list(measured)
    lines = _grid(names, blocks)
    writer.write_line("")
    if max(map(len, lines)) > writer.width:
        numbers = [f"#{i}" for i in range(1, len(names) + 1)]
        lines = _grid(numbers, blocks)
        for number, name in zip(numbers, names, strict=True):
            writer.write_line(f"{number}: {name}")
    writer.write_line(lines[0], bold=True)
    figures = iter(lines[1:])
    for name, rows in blocks:
        writer.write_line(name)
        for line in islice(figures, len(rows)):
            writer.write_line(line)


def _grid(names: Sequence[str], blocks: Sequence[CallRows]) -> list[str]:
    """Return the line of the names, then the lines of all rows, in common columns."""
    from tabulate import tabulate

    rows = [["", *names], *(row for _, rows in blocks for row in rows)]
    align = ("left", *("right" for _ in names))
    table = tabulate(rows, tablefmt="plain", colalign=align, disable_numparse=True)
    return [f"  {line.rstrip()}" for line in table.splitlines()]


def _blocks(devices: DeviceCalls, verbosity: int) -> Iterator[CallRows]:
    """Yield the rows of each call, then those of all calls."""
    profiles = [profile for calls in devices.values() for profile in calls.values()]
    unit = units.column_unit("duration", [p.latency.median_ns for p in profiles])
    titles = {profile.key: title(profile) for profile in profiles}
    for key, name in titles.items():
        found = [calls.get(key) for calls in devices.values()]
        rows = _rows(found, unit, verbosity)
        yield name, [[row.label, *cells] for row in rows if (cells := row.cells(found))]
    correlations = [mac_time_correlation(list(calls.values())) for calls in devices.values()]
    if any(value is not None for value in correlations):
        cells = ["-" if value is None else f"{value:.2f}" for value in correlations]
        yield ALL_CALLS, [["correlation of MACs and p50", *cells]]


def _rows(found: Sequence[Profile | None], unit: str, verbosity: int) -> Iterator[_Row]:
    fastest_ns = min(p.latency.median_ns for p in found if p is not None)
    yield _Row(
        f"p50 {unit}",
        lambda p: p.latency.median_ns,
        lambda ns: units.format_number("duration", ns, unit),
    )
    yield _Row("times the fastest", lambda p: p.latency.median_ns / fastest_ns, "{:.2f}".format)
    yield _Row("non-MAC", lambda p: p.non_mac_share, units.format_share)
    yield _Row("bookkeeping in Conv2D", bookkeeping_share, units.format_share)
    if verbosity >= 1:
        for group in GROUPS:
            yield _Row(group, _share_of(group), units.format_share)
        yield _Row(
            "outside operators",
            lambda p: p.outside_ns / p.latency.median_ns,
            units.format_share,
        )


def _share_of(group: str) -> Callable[[Profile], float | None]:
    """Return a function that gives the group's share of p50; None if it was not called."""

    def share(profile: Profile) -> float | None:
        self_ns = profile.group_ns().get(group)
        return None if self_ns is None else self_ns / profile.latency.median_ns

    return share


def mac_time_correlation(profiles: Sequence[Profile]) -> float | None:
    """Return Pearson's correlation of MACs and p50; None for too few calls, or equal ones."""
    macs = [float(profile.macs) for profile in profiles]
    p50_ns = [profile.latency.median_ns for profile in profiles]
    if len(profiles) < FEWEST_FOR_CORRELATION or 1 in (len(set(macs)), len(set(p50_ns))):
        return None
    return correlation(macs, p50_ns)
