"""Tables of a run for data frames: calls, operators and samples, with the columns of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pytest_hiddencost.core.records import OperatorCost, Profile
from pytest_hiddencost.core.taxonomy import GROUPS
from pytest_hiddencost.report.exports.call_quantities import operator_calls
from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.report.terminal import verdict_of

CellKind = Literal["text", "int", "float", "bool"]
ExportCell: TypeAlias = str | int | float | bool | None
T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    """A column: its name, and the type of its cells, which may also be None."""

    name: str
    kind: CellKind


@dataclass(frozen=True)
class ExportTable:
    """A table: its columns, and its rows in the order of the run."""

    columns: tuple[Column, ...]
    rows: list[list[ExportCell]]


@dataclass(frozen=True)
class _Source(Generic[T]):
    """A column, and the function that reads its cell from the subject of a row."""

    name: str
    kind: CellKind
    read: Callable[[T], ExportCell]


def _interval(profile: Profile, end: int) -> float | None:
    interval = profile.latency.median_ci_ns
    return None if interval is None else interval[end]


def _energy_interval(profile: Profile, end: int) -> float | None:
    interval = None if profile.energy is None else profile.energy.interval_nj
    return None if interval is None else interval[end]


def _group(name: str) -> Callable[[Profile], float]:
    return lambda profile: profile.group_ns().get(name, 0.0)


_CALLS: tuple[_Source[Profile], ...] = (
    _Source("model", "text", lambda p: p.model),
    _Source("device", "text", lambda p: p.device),
    _Source("grad_mode", "text", lambda p: p.grad_mode),
    _Source("verdict", "text", verdict_of),
    _Source("p50_ns", "float", lambda p: p.latency.median_ns),
    _Source("p50_low_ns", "float", lambda p: _interval(p, 0)),
    _Source("p50_high_ns", "float", lambda p: _interval(p, 1)),
    _Source("confidence", "float", lambda p: p.latency.confidence),
    _Source("p95_ns", "float", lambda p: p.latency.p95_ns),
    _Source("p99_ns", "float", lambda p: p.latency.p99_ns),
    _Source("min_ns", "float", lambda p: p.latency.min_ns),
    _Source("samples", "int", lambda p: len(p.latency.samples_ns)),
    _Source("reference_ns", "float", lambda p: p.reference.mean_ns or None),
    _Source("fit", "bool", lambda p: p.health.fit),
    _Source("parameters", "int", lambda p: p.parameters),
    _Source("macs", "int", lambda p: p.macs),
    _Source("thop_macs", "int", lambda p: p.thop_macs),
    _Source("mac_rate", "float", lambda p: p.mac_rate),
    _Source("mac_ns", "float", lambda p: p.mac_ns),
    _Source("non_mac_ns", "float", lambda p: p.latency.median_ns - p.mac_ns),
    _Source("non_mac_share", "float", lambda p: p.non_mac_share),
    _Source("outside_ns", "float", lambda p: p.outside_ns),
    _Source("waiting_for_host_ns", "float", lambda p: p.waiting_for_host_ns),
    _Source("operator_calls", "int", operator_calls),
    _Source("activation_peak_bytes", "int", lambda p: p.activation_peak_bytes),
    _Source("allocated_bytes", "int", lambda p: p.allocated_bytes),
    _Source("energy_nj", "float", lambda p: p.energy.energy_nj if p.energy else None),
    _Source("energy_low_nj", "float", lambda p: _energy_interval(p, 0)),
    _Source("energy_high_nj", "float", lambda p: _energy_interval(p, 1)),
    _Source("power_w", "float", lambda p: p.energy.power_w if p.energy else None),
    _Source("idle_w", "float", lambda p: p.energy.idle_w if p.energy else None),
    _Source("energy_meter", "text", lambda p: p.energy.meter if p.energy else None),
    *(_Source(f"{group}_ns", "float", _group(group)) for group in GROUPS if group != "mac"),
)

_OperatorOf: TypeAlias = tuple[Profile, OperatorCost]
_OPERATORS: tuple[_Source[_OperatorOf], ...] = (
    _Source("operator", "text", lambda row: row[1].name),
    _Source("group", "text", lambda row: row[1].group),
    _Source("calls", "int", lambda row: row[1].calls),
    _Source("self_ns", "float", lambda row: row[1].self_ns),
    _Source("self_share", "float", lambda row: row[1].self_ns / row[0].latency.median_ns),
    _Source("uncertainty_ns", "float", lambda row: row[1].uncertainty_ns),
    _Source("below_resolution", "bool", lambda row: row[1].below_resolution),
    _Source("raw_self_ns", "float", lambda row: row[1].raw_self_ns),
    _Source("macs", "int", lambda row: row[1].macs),
    _Source("mac_share", "float", lambda row: row[1].mac_share),
)

_SampleOf: TypeAlias = tuple[int, int]
_SAMPLES: tuple[_Source[_SampleOf], ...] = (
    _Source("number", "int", lambda row: row[0]),
    _Source("latency_ns", "int", lambda row: row[1]),
)


def calls_table(run: RunFile) -> ExportTable:
    """Return a row for each call, with the time of each operator group."""
    return _table(run, _CALLS, lambda profile: [profile])


def operators_table(run: RunFile) -> ExportTable:
    """Return a row for each operator of each call."""
    return _table(run, _OPERATORS, lambda profile: [(profile, o) for o in profile.operators])


def samples_table(run: RunFile) -> ExportTable:
    """Return a row for each timed call, in the order in which they were timed."""
    return _table(run, _SAMPLES, lambda profile: list(enumerate(profile.latency.samples_ns)))


EXPORT_TABLES: dict[str, Callable[[RunFile], ExportTable]] = {
    "calls": calls_table,
    "operators": operators_table,
    "samples": samples_table,
}
"""The tables by name; every row begins with time, commit, device, test and label."""


def _table(
    run: RunFile, sources: Sequence[_Source[T]], things: Callable[[Profile], Sequence[T]]
) -> ExportTable:
    def rows() -> Iterator[list[ExportCell]]:
        for profile in run.profiles:
            key: list[ExportCell] = [*about, profile.test, profile.label]
            yield from ([*key, *(s.read(thing) for s in sources)] for thing in things(profile))

    about = (run.created, run.commit, run.device.key, run.device.torch)
    names = ("created", "commit", "device_key", "torch", "test", "label")
    columns: list[Any] = [Column(name, "text") for name in names]
    columns += [Column(source.name, source.kind) for source in sources]
    return ExportTable(tuple(columns), list(rows()))
