"""The terminal summary: one row per profile, through pytest's own reporter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tabulate import tabulate

from pytest_hiddencost import units
from pytest_hiddencost.places import place_lines
from pytest_hiddencost.records import (
    FAIL,
    INCONCLUSIVE,
    NEW,
    PASS,
    Device,
    DeviceFigures,
    PairedComparison,
    Profile,
    call_name,
    stale,
)
from pytest_hiddencost.report.failure import (
    STALE,
    cost_table,
    growth_with_interval,
    listed,
    minor,
    revision_name,
)

if TYPE_CHECKING:
    import pytest

HEADERS = (
    "test",
    "p50 {duration}",
    "p95 {duration}",
    "{macs}",
    "{mac_rate}",
    "non-MAC",
    "largest hidden cost",
    "peak {bytes}",
    "verdict",
)
ALIGN = ("left", "right", "right", "right", "right", "right", "left", "right", "left")
LONGEST_NAME = 20
PLACES_EACH, PLACES_IN_ALL = 3, 20
COLORS = {PASS: "green", FAIL: "red", INCONCLUSIVE: "yellow", NEW: "cyan"}


def write_summary(
    reporter: pytest.TerminalReporter,
    profiles: Sequence[Profile],
    device: Device | None,
    verbosity: int,
    *,
    failed: bool | None = None,
) -> None:
    """Write the section; below verbosity 0 only where something failed.

    ``failed`` says whether a test that measured did; by default, whether a limit is broken.
    """
    if failed is None:
        failed = any(verdict_of(profile) == FAIL for profile in profiles)
    if verbosity < 0 and not failed:
        return
    reporter.ensure_newline()
    reporter.section("hidden costs", sep="=")
    if device is not None:
        for line in _device_lines(device, profiles, verbosity):
            reporter.write_line(line)
    _write_rows(reporter, profiles)
    for line in _remarks(profiles):
        reporter.write_line(line, yellow=True)
    if verbosity >= 1:
        for profile in profiles:
            _write_details(reporter, profile, verbosity)


def verdict_of(profile: Profile) -> str:
    """The worst verdict of a profile; empty where no limit applied."""
    found = {verdict.verdict for verdict in profile.verdicts}
    return next((v for v in (FAIL, INCONCLUSIVE, PASS, NEW) if v in found), "")


def change(profile: Profile) -> str:
    """Growth against the baseline and the smallest that would have been seen; empty without one."""
    if profile.paired is not None:
        return _paired_change(profile, profile.paired)
    found = profile.comparison
    if found is None:
        return ""
    parts = _calls_changed(profile)
    if found.growth is not None:
        parts.append(f"p50 {units.format_growth(found.growth)}")
    if found.smallest_growth is not None:
        parts.append(f"sees {units.format_growth(found.smallest_growth)}")
    return ", ".join(parts)


def _paired_change(profile: Profile, found: PairedComparison) -> str:
    """Growth of p50 and of non-MAC time against the other side, each with its interval."""
    parts = _calls_changed(profile)
    if found.ratio is not None and found.interval is not None:
        parts.append(f"p50 {growth_with_interval(found.ratio, found.interval)}")
    if found.non_mac_ratio is not None and found.non_mac_interval is not None:
        told = growth_with_interval(found.non_mac_ratio, found.non_mac_interval)
        parts.append(f"non-MAC {told}")
    return ", ".join(parts)


def _calls_changed(profile: Profile) -> list[str]:
    calls = [
        v for v in profile.verdicts if v.gate == "regression[calls]" and v.measured is not None
    ]
    if calls and calls[0].measured != calls[0].limit:
        return [f"{calls[0].measured - calls[0].limit:+.0f} calls"]  # type: ignore[operator]
    return []


def title(profile: Profile) -> str:
    """Test id, and label where there is one."""
    return call_name(profile.test, profile.label)


def largest_hidden_cost(profile: Profile) -> str:
    """The operator outside MAC kernels (or the time in no operator) that costs most."""
    hidden = [(o.self_ns * (1.0 - o.mac_share), o.name) for o in profile.operators]
    hidden.append((profile.outside_ns, "outside"))
    self_ns, name = max(hidden)
    short = name.removeprefix("aten::")
    short = short if len(short) <= LONGEST_NAME else f"{short[: LONGEST_NAME - 2]}.."
    return f"{short} {units.format_share(self_ns / profile.latency.median_ns)}"


def _device_lines(device: Device, profiles: Sequence[Profile], verbosity: int) -> list[str]:
    threads = "thread" if device.threads == 1 else "threads"
    lines = [
        f"{device.kind}: {device.model}, {device.cores} cores, {device.threads} {threads}, "
        f"torch {device.torch}"
    ]
    unfit = [profile for profile in profiles if not profile.fitness.fit]
    if unfit:
        lines.append(
            f"not fit for timing ({len(unfit)} of {len(profiles)}): "
            + "; ".join(unfit[0].fitness.reasons)
        )
    lines += _against(profiles)
    remarks = dict.fromkeys(text for profile in profiles for text in profile.fitness.remarks)
    lines += [f"remark: {text}" for text in remarks]
    unknown = dict.fromkeys(name for profile in profiles for name in profile.fitness.unknown)
    if unknown and verbosity >= 2:
        lines.append(f"not known of this device: {', '.join(unknown)}")
    return lines


@dataclass(frozen=True)
class _Row:
    profile: Profile
    cells: tuple[str, ...]


def _rows(profiles: Sequence[Profile]) -> tuple[list[str], list[_Row]]:
    columns: dict[units.Kind, list[float]] = {
        "duration": [p.latency.median_ns for p in profiles],
        "macs": [float(p.macs) for p in profiles],
        "mac_rate": [p.mac_rate for p in profiles],
        "bytes": [float(p.activation_peak_bytes or 0) for p in profiles],
    }
    chosen = {kind: units.column_unit(kind, values) for kind, values in columns.items()}

    def cell(kind: units.Kind, value: float | None) -> str:
        return "-" if value is None else units.format_number(kind, value, chosen[kind])

    rows = [
        _Row(
            p,
            (
                title(p),
                cell("duration", p.latency.median_ns),
                cell("duration", p.latency.p95_ns),
                cell("macs", p.macs),
                cell("mac_rate", p.mac_rate),
                units.format_share(p.non_mac_share),
                largest_hidden_cost(p),
                cell("bytes", p.activation_peak_bytes),
                verdict_of(p) or "-",
            ),
        )
        for p in profiles
    ]
    return [header.format(**chosen) for header in HEADERS], rows


def _against(profiles: Sequence[Profile]) -> list[str]:
    """The other side of a paired run, and what the two sides import of their own."""
    lines: dict[str, None] = {}
    for found in (profile.paired for profile in profiles):
        if found is not None and found.imported is not None:
            here, there = found.imported
            sides = (
                f"each side runs its own {here}" if here == there else f"{here} here, {there} there"
            )
            lines[f"against {revision_name(found)}: {sides}"] = None
    return list(lines)


def _write_rows(reporter: pytest.TerminalReporter, profiles: Sequence[Profile]) -> None:
    headers, rows = _rows(profiles)
    width = reporter._tw.fullwidth  # the reporter's own width: --color, COLUMNS and tests agree
    lines = _table(headers, [row.cells for row in rows])
    if max(map(len, lines)) <= width:
        _write_lines(reporter, lines[:2])
        for line, row in zip(lines[2:], rows, strict=True):
            verdict = row.cells[-1]
            _write_verdict(reporter, line[: line.rindex(verdict)], verdict, change(row.profile))
        return
    # Too wide for one line: test and verdict on a line of their own, the figures under them.
    head, *lines = _narrow(headers[1:-1], [row.cells[1:-1] for row in rows])
    reporter.write_line(head, bold=True)
    for line, row in zip(lines, rows, strict=True):
        _write_verdict(reporter, f"{row.cells[0]}  ", row.cells[-1], change(row.profile))
        reporter.write_line(line)


def _table(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    table = tabulate(cells, headers, tablefmt="simple", colalign=ALIGN, disable_numparse=True)
    return [line.rstrip() for line in table.splitlines()]


def _narrow(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    # As a row, since tabulate makes columns two wider than their headers.
    table = tabulate(
        [headers, *cells], tablefmt="plain", colalign=ALIGN[1:-1], disable_numparse=True
    )
    return ["  " + line.rstrip() for line in table.splitlines()]


def _write_lines(reporter: pytest.TerminalReporter, lines: Sequence[str]) -> None:
    for line in lines:
        reporter.write_line(line)


def _write_verdict(
    reporter: pytest.TerminalReporter, before: str, verdict: str, remark: str
) -> None:
    """A line that ends in a verdict, and the remark: behind it, or below where it is too long."""
    markup = {COLORS[verdict]: True} if verdict in COLORS else {}
    reporter.write(before)
    reporter.write(verdict, **markup)
    whole = f"{before}{verdict}  {remark}"
    if remark and len(whole) > reporter._tw.fullwidth:
        reporter.write_line("")
        reporter.write_line(f"  {remark}")
    else:
        reporter.write_line(f"  {remark}" if remark else "")


def _remarks(profiles: Sequence[Profile]) -> list[str]:
    """What a reader must know: undecided limits, varying structure, missing formulas."""
    lines = []
    for profile in profiles:
        reasons: dict[str, list[str]] = {}
        for v in profile.verdicts:
            if v.verdict == INCONCLUSIVE and not minor(v):
                reasons.setdefault(v.reason, []).append(v.gate)
        lines += [
            f"{title(profile)}: {listed(gates)} inconclusive: {reason}"
            for reason, gates in reasons.items()
        ]
        parts = sum(minor(v) and v.verdict == INCONCLUSIVE for v in profile.verdicts)
        if parts:  # each with a figure of its own, in the run file
            lines.append(f"{title(profile)}: time of {parts} groups and operators inconclusive")
        if stale(profile):
            assert profile.comparison is not None
            got_better = listed(profile.comparison.improved)
            lines.append(
                f"{title(profile)}: {STALE}: {got_better} got better: "
                "accept with --hiddencost-update"
            )
        if profile.structure_varies:
            lines.append(f"{title(profile)}: structure varies from call to call")
        if profile.uncosted:
            lines.append(f"{title(profile)}: no MAC formula for {', '.join(profile.uncosted)}")
    return [*lines, *_new(profiles)]


def _new(profiles: Sequence[Profile]) -> list[str]:
    """The calls that have no baseline, by reason."""
    reasons: dict[str, list[str]] = {}
    for profile in profiles:
        for v in profile.verdicts:
            if v.verdict == NEW:
                reasons.setdefault(v.reason, []).append(title(profile))
    return [f"new ({len(names)}): {listed(names)}: {why}" for why, names in reasons.items()]


def _write_details(reporter: pytest.TerminalReporter, profile: Profile, verbosity: int) -> None:
    reporter.write_line("")
    reporter.write_line(title(profile), bold=True)
    _write_lines(reporter, _groups(profile))
    if profile.mac_kinds:
        reporter.write_line("")
        _write_lines(reporter, _kinds(profile))
    if line := _device_figures(profile.fitness.figures):
        reporter.write_line("")
        reporter.write_line(line)
    if verbosity >= 2:
        reporter.write_line("")
        _write_lines(reporter, cost_table(profile).splitlines())
        if rough := _resolution(profile):
            reporter.write_line("")
            reporter.write_line(rough)
        if found := place_lines(profile.operators, PLACES_EACH, PLACES_IN_ALL):
            reporter.write_line("")
            _write_lines(reporter, found)
        for lines in _insides(profile):
            reporter.write_line("")
            _write_lines(reporter, lines)
        reporter.write_line("")
        reporter.write_line(_profiler_line(profile))


def _device_figures(found: DeviceFigures | None) -> str:
    """How busy the device was meanwhile, as far as it says."""
    if found is None:
        return ""
    parts = [
        f"{units.format_share(share)} {what}"
        for share, what in (
            (found.stolen_share, "of the processor stolen"),
            (found.waiting_share, "of the time some task waited for a core"),
        )
        if share is not None
    ]
    if found.involuntary_switches_per_cpu_s is not None:
        parts.append(
            f"{found.involuntary_switches_per_cpu_s:.3g} involuntary switches per second computed"
        )
    return f"device meanwhile: {', '.join(parts)}" if parts else ""


def _groups(profile: Profile) -> list[str]:
    latency_ns = profile.latency.median_ns
    calls: dict[str, int] = {}
    for operator in profile.operators:
        calls[operator.group] = calls.get(operator.group, 0) + operator.calls
    # A group may be called and take no time that can be told from the profiler's.
    found = {**dict.fromkeys(calls, 0.0), **profile.group_ns(), "outside": profile.outside_ns}
    rows = [
        (name, calls.get(name, ""), units.format_duration(ns), units.format_share(ns / latency_ns))
        for name, ns in sorted(found.items(), key=lambda item: -item[1])
    ]
    return _simple(rows, ["group", "calls", "time", "share"])


def _kinds(profile: Profile) -> list[str]:
    rows = [
        (
            kind.kind,
            kind.calls,
            units.format_macs(kind.macs),
            "-" if kind.self_ns is None else units.format_duration(kind.self_ns),
            "-" if kind.mac_rate is None else units.format_rate(kind.mac_rate),
        )
        for kind in profile.mac_kinds
    ]
    return _simple(rows, ["MAC kind", "calls", "MACs", "kernel time", "MAC rate"])


def _insides(profile: Profile) -> list[list[str]]:
    """For each composite that called others: what is inside it."""
    found = []
    for composite in profile.composites:
        if len(composite.inside) < 2:
            continue
        rows = [
            (
                cost.name,
                cost.calls,
                units.format_duration(cost.self_ns),
                units.format_share(cost.self_ns / composite.total_ns)
                if composite.total_ns
                else "-",
            )
            for cost in composite.inside
        ]
        head = f"inside {composite.name} ({units.format_quantity('calls', composite.calls)})"
        found.append(_simple(rows, [head, "calls", "time", "share"]))
    return found


def _simple(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> list[str]:
    align = ("left",) + ("right",) * (len(headers) - 1)
    table = tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)
    return table.splitlines()


def _resolution(profile: Profile) -> str:
    rough = [operator for operator in profile.operators if operator.below_resolution]
    if not rough:
        return ""
    total_ns = sum(operator.self_ns for operator in rough)
    doubt_ns = sum(operator.uncertainty_ns for operator in rough)
    return (
        "~ below resolution, too short to be told from profiler events one by one; "
        f"together {units.format_duration(total_ns)} +- {units.format_duration(doubt_ns)}"
    )


def _profiler_line(profile: Profile) -> str:
    cost = profile.profiler
    longer = "longer" if cost.inflation_share >= 0 else "less"
    return (
        f"profiler: {cost.events} events in each of {cost.windows} windows, "
        f"{units.format_duration(cost.event_cost_ns)} each "
        f"(calibrated: {units.format_duration(cost.calibrated_cost_ns)}), which are taken out; "
        f"profiled calls took {units.format_share(abs(cost.inflation_share))} {longer}, "
        f"{units.format_share(abs(cost.residual_share))} of the latency is left unexplained; "
        f"{len(profile.latency.samples_ns)} timed calls"
    )
