"""Two runs of one suite, call by call: structure exactly, times side by side.

Two runs are two processes at two times. So the growth between them has no verdict: a verdict needs
calls in turns (:mod:`pytest_hiddencost.judge.interleaved`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from pytest_hiddencost.core import units
from pytest_hiddencost.core.operator_changes import changes_between, operator_figures
from pytest_hiddencost.core.records import CallKey, OperatorChange, Profile
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.structure import check_structure
from pytest_hiddencost.report.cost_tables import aligned
from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.report.terminal import title, write_wrapped
from pytest_hiddencost.report.wording import device_line, unfit_line
from pytest_hiddencost.report.writer import Writer

_MOST_OPERATORS = 5
_LEAST_CHANGE = 0.01  # of A's p50, for an operator to be listed
NO_VERDICT = (
    "A and B were measured one after the other, not in turns: growth of time has no verdict here. "
    "To decide, run pytest --hiddencost-against=REV."
)
OTHER_DEVICE = "A and B are two devices: a difference of time is the devices', and has no verdict."


@dataclass(frozen=True)
class CallPair:
    """One call in run A and in run B, and the lines on its structure."""

    a: Profile
    b: Profile
    differences: tuple[str, ...]
    varies: bool

    @property
    def growth(self) -> float:
        """Growth of p50 from A to B, as a share."""
        return self.b.latency.median_ns / self.a.latency.median_ns - 1.0

    def changes(self) -> list[OperatorChange]:
        """Return the operators of both, those whose time changed most first."""
        found = changes_between(operator_figures(self.a), operator_figures(self.b))
        return sorted(found, key=lambda o: -abs(o.head_ns - o.base_ns))


@dataclass(frozen=True)
class RunComparison:
    """Two runs: the calls of both, and those that only one of them has."""

    a: RunFile
    b: RunFile
    pairs: tuple[CallPair, ...]
    only_a: tuple[Profile, ...]
    only_b: tuple[Profile, ...]

    @property
    def same_device(self) -> bool:
        """Whether both runs have the same device key."""
        return self.a.device.key == self.b.device.key

    @property
    def different(self) -> list[CallPair]:
        """The calls whose structure differs."""
        return [pair for pair in self.pairs if pair.differences]

    @property
    def equal(self) -> bool:
        """Whether both runs have the same calls, with the same structure."""
        return not (self.different or self.only_a or self.only_b)

    @property
    def reference_growth(self) -> float | None:
        """Growth of the reference workload's time from A to B: the device's, not the code's."""
        growths = [
            pair.b.reference.mean_ns / pair.a.reference.mean_ns - 1.0
            for pair in self.pairs
            if pair.a.reference.mean_ns > 0
            and pair.b.reference.mean_ns > 0
            and pair.a.reference.version == pair.b.reference.version
        ]
        return median(growths) if growths and self.same_device else None


def compared_runs(a: RunFile, b: RunFile) -> RunComparison:
    """Compare every call of run A with the call of the same test and label in run B."""
    of_a, of_b = _by_call(a), _by_call(b)
    return RunComparison(
        a,
        b,
        tuple(_pair(profile, of_b[key]) for key, profile in of_a.items() if key in of_b),
        tuple(profile for key, profile in of_a.items() if key not in of_b),
        tuple(profile for key, profile in of_b.items() if key not in of_a),
    )


def _by_call(run: RunFile) -> dict[CallKey, Profile]:
    return {profile.key: profile for profile in run.profiles}


def _pair(a: Profile, b: Profile) -> CallPair:
    structure = check_structure(b, entry_of([a]), Tolerances())
    varies = a.structure_varies or b.structure_varies or bool(a.varies or b.varies)
    return CallPair(a, b, structure.differences, varies)


def write_comparison(writer: Writer, found: RunComparison, verbosity: int) -> None:
    """Write the comparison: both runs, a row for each call, then the differences of each."""
    for name, run in (("A", found.a), ("B", found.b)):
        parts = (device_line(run.device), run.created, run.commit and f"commit {run.commit}")
        write_wrapped(writer, f"{name}: {', '.join(filter(None, parts))}")
        if unfit := unfit_line(run.profiles):
            write_wrapped(writer, f"{name}: {unfit}", yellow=True)
    if found.pairs:
        write_wrapped(writer, NO_VERDICT if found.same_device else OTHER_DEVICE, yellow=True)
        if found.reference_growth is not None:
            moved = units.format_growth(found.reference_growth)
            write_wrapped(
                writer,
                f"the reference workload changed by {moved}: the device explains as much growth",
            )
        writer.write_line("")
        _write_rows(writer, found.pairs)
    for pair in found.pairs:
        _write_pair(writer, pair, verbosity)
    for name, only in (("A", found.only_a), ("B", found.only_b)):
        for profile in only:
            write_wrapped(writer, f"only in {name}: {title(profile)}", yellow=True)
    _write_end(writer, found)


_HEADERS = (
    "call", "A p50 {0}", "B p50 {0}", "growth", "A non-MAC", "B non-MAC", "calls", "MACs", "bytes",
)  # fmt: skip


def _write_rows(writer: Writer, pairs: tuple[CallPair, ...]) -> None:
    """Write a row for each call; if that is too wide, each name stands above its figures."""
    from tabulate import tabulate

    unit = units.column_unit(
        "duration", [p.latency.median_ns for pair in pairs for p in (pair.a, pair.b)]
    )
    headers = [header.format(unit) for header in _HEADERS]
    rows = [(title(pair.a), *_cells(pair, unit)) for pair in pairs]
    lines = aligned(rows, headers).splitlines()
    if max(map(len, lines)) <= writer.width:
        for line in lines:
            writer.write_line(line.rstrip())
        return
    inner = [headers[1:], *(row[1:] for row in rows)]
    align = ["right"] * len(inner[0])
    table = tabulate(inner, tablefmt="plain", colalign=align, disable_numparse=True)
    head, *lines = [f"  {line.rstrip()}" for line in table.splitlines()]
    writer.write_line(head, bold=True)
    for row, line in zip(rows, lines, strict=True):
        writer.write_line(row[0])
        writer.write_line(line)


def _cells(pair: CallPair, unit: str) -> list[str]:
    a, b = pair.a, pair.b
    return [
        units.format_number("duration", a.latency.median_ns, unit),
        units.format_number("duration", b.latency.median_ns, unit),
        units.format_growth(pair.growth),
        units.format_share(a.non_mac_share),
        units.format_share(b.non_mac_share),
        _more("calls", sum(o.calls for o in a.operators), sum(o.calls for o in b.operators)),
        _more("macs", a.macs, b.macs),
        _more("bytes", a.allocated_bytes, b.allocated_bytes),
    ]


def _more(kind: units.Kind, a: int | None, b: int | None) -> str:
    if a is None or b is None:
        return "-"
    if a == b:
        return "="
    text = str(abs(b - a)) if kind == "calls" else units.format_quantity(kind, abs(b - a))
    return f"{'+' if b > a else '-'}{text}"


def _write_pair(writer: Writer, pair: CallPair, verbosity: int) -> None:
    """Write the structure's differences of one call, and its operators that changed most."""
    changes = pair.changes()
    if verbosity < 1:
        least_ns = _LEAST_CHANGE * pair.a.latency.median_ns
        changes = [o for o in changes if abs(o.head_ns - o.base_ns) >= least_ns][:_MOST_OPERATORS]
    if not (pair.differences or changes or pair.varies):
        return
    writer.write_line("")
    writer.write_line(title(pair.a), bold=True)
    for line in pair.differences:
        write_wrapped(writer, line)
    if pair.varies:
        write_wrapped(writer, "the structure varies from call to call", yellow=True)
    if changes:
        for line in _changes_table(changes).splitlines():
            writer.write_line(line.rstrip())


def _changes_table(changes: list[OperatorChange]) -> str:
    rows = [
        (
            o.name,
            str(o.base_calls)
            if o.base_calls == o.head_calls
            else f"{o.base_calls} to {o.head_calls}",
            units.format_duration(o.base_ns),
            units.format_duration(o.head_ns),
            units.format_signed("duration", o.head_ns - o.base_ns),
        )
        for o in changes
    ]
    return aligned(rows, ["operator", "calls", "A", "B", "change"])


def _write_end(writer: Writer, found: RunComparison) -> None:
    writer.write_line("")
    text = ", ".join(_counts(found))
    write_wrapped(writer, text, **{"green" if found.equal else "red": True})


def _counts(found: RunComparison) -> Iterator[str]:
    calls = "call" if len(found.pairs) == 1 else "calls"
    yield f"{len(found.pairs)} {calls} in both runs"
    yield f"{len(found.different) or 'none'} of them with a different structure"
    for name, only in (("A", found.only_a), ("B", found.only_b)):
        if only:
            yield f"{len(only)} only in {name}"
