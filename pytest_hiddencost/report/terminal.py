"""The terminal summary: one row per profile."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import (
    FAIL,
    INCONCLUSIVE,
    NEW,
    PASS,
    REGRESSION,
    Outcome,
    regression,
)
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.core.records import Device, Profile, call_name, stale
from pytest_hiddencost.report.details import detail_lines
from pytest_hiddencost.report.wording import (
    device_line,
    grouped,
    growth_with_interval,
    inert,
    revision_name,
    stale_line,
    unfit_line,
    unknown_energies,
    waiting_lines,
)
from pytest_hiddencost.report.writer import Writer

HEADERS = (
    "test",
    "p50 {duration}",
    "p95 {duration}",
    "{macs}",
    "{mac_rate}",
    "non-MAC",
    "largest hidden cost",
    "peak {bytes}",
)
ENERGY_HEADER = "energy {energy}"
"""The header of a column that is there if any call has its energy measured."""
TO_THE_LEFT = frozenset({"test", "largest hidden cost", "verdict"})
LONGEST_NAME = 20
COLORS = {PASS: "green", FAIL: "red", INCONCLUSIVE: "yellow", NEW: "cyan"}


def write_count(writer: Writer, profiles: Sequence[Profile], unused: int) -> None:
    """Write the counts of undecided calls and unused entries, which a quiet run does not list."""
    found = [verdict_of(profile) for profile in profiles]
    counts = {
        "inconclusive": found.count(INCONCLUSIVE),
        "new": sum(any(v.verdict == NEW for v in profile.verdicts) for profile in profiles),
        "unused": unused,
    }
    text = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    if text:
        writer.ensure_newline()
        write_wrapped(writer, f"hiddencost: {text}; run without -q to see which", yellow=True)


def write_summary(
    writer: Writer,
    profiles: Sequence[Profile],
    device: Device | None,
    verbosity: int,
    kind: str = "",
) -> None:
    """Write the section of the summary; ``kind`` is that of the device, in a fleet."""
    writer.ensure_newline()
    writer.section(f"hidden costs on {kind}" if kind else "hidden costs")
    if device is not None:
        for line in device_lines(device, profiles, verbosity):
            write_wrapped(writer, line)
    _write_rows(writer, profiles)
    for line in _remarks(profiles):
        write_wrapped(writer, line, yellow=True)
    if verbosity >= 1:
        for profile in profiles:
            writer.write_line("")
            writer.write_line(title(profile), bold=True)
            for line in detail_lines(profile, verbosity):
                if "  " in line:  # of a table
                    writer.write_line(line)
                else:
                    write_wrapped(writer, line)


def write_wrapped(writer: Writer, text: str, **markup: bool) -> None:
    """Write a text, on several lines if it is wider than the terminal."""
    for line in wrap(
        text, writer.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ) or [""]:
        writer.write_line(inert(line), **markup)


def verdict_of(profile: Profile) -> Outcome | None:
    """Return the worst verdict of a profile; None if it has none."""
    found = {verdict.verdict for verdict in profile.verdicts}
    worst_first: tuple[Outcome, ...] = (FAIL, INCONCLUSIVE, PASS, NEW)
    return next((verdict for verdict in worst_first if verdict in found), None)


def change(profile: Profile) -> str:
    """Return the growth over base or baseline in words; empty if nothing was compared."""
    base, baseline = profile.interleaved, profile.comparison
    if base is None and baseline is None:
        return ""
    growths = [v for v in profile.verdicts if v.check.kind == REGRESSION]
    parts = [
        f"{v.measured - v.limit:+.0f} calls"
        for v in growths
        if v.check == regression("calls") and v.measured not in (None, v.limit)
    ]
    if growths and verdict_of(profile) != PASS and all(v.verdict == PASS for v in growths):
        parts.insert(0, "no regression")
    if base is not None:
        if base.ratio is not None and base.interval is not None:
            parts.append(f"p50 {growth_with_interval(base.ratio, base.interval)}")
            parts += [
                f"at most {units.format_growth(v.limit)}"
                for v in profile.verdicts
                if v.check == regression("p50")
            ]
        if base.non_mac_ratio is not None and base.non_mac_interval is not None:
            growth = growth_with_interval(base.non_mac_ratio, base.non_mac_interval)
            parts.append(f"non-MAC {growth}")
    elif baseline is not None:
        if baseline.growth is not None:
            parts.append(f"p50 {units.format_growth(baseline.growth)}")
        if baseline.smallest_growth is not None:
            parts.append(f"detects {units.format_growth(baseline.smallest_growth)}")
    return ", ".join(parts)


def title(profile: Profile) -> str:
    """Return the test id, and the label if there is one, as one line."""
    return inert(printable(call_name(profile.test, profile.label)))


def largest_hidden_cost(profile: Profile) -> str:
    """Return the operator outside MAC kernels, or the time outside operators, that costs most."""
    hidden = [(o.self_ns * (1.0 - o.mac_share), o.name) for o in profile.operators]
    hidden += [(part_ns, name) for name, part_ns in profile.outside_parts_ns().items()]
    self_ns, name = max(hidden)
    short = name.removeprefix("aten::")
    short = short if len(short) <= LONGEST_NAME else f"{short[: LONGEST_NAME - 2]}.."
    return f"{short} {units.format_share(self_ns / profile.latency.median_ns)}"


def device_lines(device: Device, profiles: Sequence[Profile], verbosity: int) -> list[str]:
    """Return the lines on the device, its health, and the sides of a comparison."""
    lines = [device_line(device)]
    if unfit := unfit_line(profiles):
        lines.append(unfit)
    lines += _sides(profiles)
    remarks = dict.fromkeys(text for profile in profiles for text in profile.health.remarks)
    lines += [f"remark: {text}" for text in remarks]
    unknown = dict.fromkeys(name for profile in profiles for name in profile.health.unknown)
    if unknown and verbosity >= 2:
        lines.append(f"unknown on this device: {', '.join(unknown)}")
    return lines


def column_units(profiles: Sequence[Profile]) -> dict[units.Kind, str]:
    """Return the unit of each column of calls."""
    columns: dict[units.Kind, list[float]] = {
        "duration": [p.latency.median_ns for p in profiles],
        "macs": [float(p.macs) for p in profiles],
        "mac_rate": [p.mac_rate for p in profiles],
        "bytes": [float(p.activation_peak_bytes or 0) for p in profiles],
        "energy": [p.energy.energy_nj for p in profiles if p.energy is not None],
    }
    return {kind: units.column_unit(kind, values) for kind, values in columns.items()}


def summary_rows(profiles: Sequence[Profile]) -> tuple[list[str], list[Sequence[str]]]:
    """Return the headers, with one unit for each column, and the cells of each profile."""
    chosen = column_units(profiles)

    def cell(kind: units.Kind, value: float | None) -> str:
        return "-" if value is None else units.format_number(kind, value, chosen[kind])

    energy = any(p.energy is not None for p in profiles)
    rows: list[Sequence[str]] = [
        (
            title(p),
            cell("duration", p.latency.median_ns),
            cell("duration", p.latency.p95_ns),
            cell("macs", p.macs),
            cell("mac_rate", p.mac_rate),
            units.format_share(p.non_mac_share),
            largest_hidden_cost(p),
            cell("bytes", p.activation_peak_bytes),
            *([cell("energy", p.energy.energy_nj if p.energy else None)] if energy else []),
            verdict_of(p) or "-",
        )
        for p in profiles
    ]
    headers = (*HEADERS, *([ENERGY_HEADER] if energy else []), "verdict")
    return [header.format(**chosen) for header in headers], rows


def alignment(headers: Sequence[str]) -> list[str]:
    """Return left or right for each column of the summary."""
    return ["left" if header in TO_THE_LEFT else "right" for header in headers]


def _sides(profiles: Sequence[Profile]) -> list[str]:
    """Return the base of an interleaved run, and the packages that head and base import."""
    lines: dict[str, None] = {}
    for found in (profile.interleaved for profile in profiles):
        if found is not None and found.imported is not None:
            head, base = found.imported
            both = f"head and base each import their own {head}"
            sides = both if head == base else f"head imports {head}, base imports {base}"
            lines[f"against {revision_name(found)}: {sides}"] = None
    return list(lines)


def _write_rows(writer: Writer, profiles: Sequence[Profile]) -> None:
    from tabulate import tabulate

    headers, rows = summary_rows(profiles)
    columns = alignment(headers)
    table = tabulate(rows, headers, tablefmt="simple", colalign=columns, disable_numparse=True)
    lines = [line.rstrip() for line in table.splitlines()]
    if max(map(len, lines)) <= writer.width:
        for line in lines[:2]:
            writer.write_line(line)
        for line, cells, profile in zip(lines[2:], rows, profiles, strict=True):
            verdict = cells[-1]
            _write_verdict(writer, line[: line.rindex(verdict)], verdict, change(profile))
        return
    # Too wide for one line: test and verdict on a line of their own, the figures under them.
    # The headers are a row, since tabulate makes columns two wider than their headers.
    inner = [headers[1:-1], *(cells[1:-1] for cells in rows)]
    table = tabulate(inner, tablefmt="plain", colalign=columns[1:-1], disable_numparse=True)
    head, *lines = ["  " + line.rstrip() for line in table.splitlines()]
    writer.write_line(head, bold=True)
    for line, cells, profile in zip(lines, rows, profiles, strict=True):
        _write_verdict(writer, f"{cells[0]}  ", cells[-1], change(profile))
        writer.write_line(line)


def _write_verdict(writer: Writer, before: str, verdict: str, remark: str) -> None:
    """Write a line that ends in a verdict, and the remark after it, or below if it is too long."""
    markup = {COLORS[verdict]: True} if verdict in COLORS else {}
    writer.write(before)
    writer.write(verdict, **markup)
    fits = len(f"{before}{verdict}  {remark}") <= writer.width
    writer.write_line(f"  {remark}" if remark and fits else "")
    if remark and not fits:
        writer.write_line(f"  {remark}")


def _remarks(profiles: Sequence[Profile]) -> list[str]:
    """Return the remarks on each call, then the new calls by reason."""
    new = grouped(
        (v.explanation, title(p)) for p in profiles for v in p.verdicts if v.verdict == NEW
    )
    return [
        *(f"{title(p)}: {remark}" for p in profiles for remark in remarks_on(p)),
        *unknown_energies(profiles),
        *(f"new ({len(names)}): {listed(names)}: {why}" for why, names in new.items()),
    ]


def remarks_on(profile: Profile) -> list[str]:
    """Return a line for undecided checks, a stale baseline, varying structure, missing formulas."""
    return _undecided(profile) + other_remarks(profile)


def other_remarks(profile: Profile) -> list[str]:
    """Return the remarks on a call but those on its undecided checks."""
    lines = []
    if profile.comparison is not None and stale(profile):
        lines.append(stale_line(profile.comparison))
    if profile.structure_varies:
        lines.append("the structure varies from call to call")
    if profile.unseen_ns:
        time = units.format_duration(profile.unseen_ns)
        lines.append(f"{time} of CPU time of each call ran unseen, in other threads or processes")
    if profile.uncosted:
        lines.append(f"no MAC formula for {', '.join(profile.uncosted)}")
    return lines + waiting_lines(profile)


def _undecided(profile: Profile) -> list[str]:
    """Return every reason of an inconclusive check once."""
    found = [v for v in profile.verdicts if v.verdict == INCONCLUSIVE]
    checks = grouped((v.explanation, str(v.check)) for v in found)
    return [f"{listed(names)} inconclusive: {why}" for why, names in checks.items()]
