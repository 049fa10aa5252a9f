"""The front of the report: device and health, counts of verdicts, the table of all calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, NEW, PASS
from pytest_hiddencost.core.records import CallKey, Device, Profile
from pytest_hiddencost.report.html.call_costs import share_of
from pytest_hiddencost.report.html.changes import GrowthOver, growth_over
from pytest_hiddencost.report.html.escaping import short, visible
from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.report.terminal import column_units, largest_hidden_cost, title, verdict_of
from pytest_hiddencost.report.wording import check_in_words

OUTCOMES = (FAIL, INCONCLUSIVE, PASS, NEW)
NONE = "none"
MOST_BROKEN = 20  # failing checks that the front lists
MOST_CHANGED = 40  # calls in the chart of growths
MOST_BARS = 40  # calls in the chart of shares

BaseProfiles = Mapping[CallKey, Profile]
"""The profiles of the run that head is compared with, by call."""


@dataclass(frozen=True)
class TableCell:
    """A cell of the table: its text, and its sorting key."""

    text: str
    order: float | str | None
    column: str


@dataclass(frozen=True)
class TableRow:
    """A call in the table; ``search`` is what the filter looks at, in small letters."""

    number: int
    name: str
    outcome: str
    cells: tuple[TableCell, ...]
    search: str
    fit: bool


def call_rows(profiles: Sequence[Profile], base: BaseProfiles) -> tuple[list[str], list[TableRow]]:
    """Return the headers of the figures, with one unit for each, and a row for each call."""
    chosen = column_units(profiles)
    growths = [growth_over(p, base.get(p.key)) for p in profiles]
    compared, energy = any(growths), any(p.energy is not None for p in profiles)
    rows = []
    for number, (profile, growth) in enumerate(zip(profiles, growths, strict=True)):
        shown = growth if compared else None
        cells = _cells(profile, chosen, shown, compared=compared, energy=energy)
        outcome = verdict_of(profile) or NONE
        name = visible(title(profile))
        search = " ".join((name, visible(profile.model), outcome, cells[-1].text)).lower()
        rows.append(TableRow(number, name, outcome, cells, search, profile.health.fit))
    return [cell.column for cell in rows[0].cells] if rows else [], rows


def _cells(
    profile: Profile,
    chosen: Mapping[units.Kind, str],
    growth: GrowthOver | None,
    *,
    compared: bool,
    energy: bool,
) -> tuple[TableCell, ...]:
    def cell(column: str, kind: units.Kind, value: float | None) -> TableCell:
        header = f"{column} {chosen[kind]}".strip()
        text = "-" if value is None else units.format_number(kind, value, chosen[kind])
        return TableCell(text, value, header)

    hidden = largest_hidden_cost(profile) if profile.latency.median_ns > 0.0 else "-"
    cells = [
        cell("p50", "duration", profile.latency.median_ns),
        cell("p95", "duration", profile.latency.p95_ns),
        cell("", "macs", profile.macs),
        cell("", "mac_rate", profile.mac_rate),
        TableCell(units.format_share(profile.non_mac_share), profile.non_mac_share, "non-MAC"),
        cell("peak", "bytes", profile.activation_peak_bytes),
    ]
    if energy:
        cells.append(cell("energy", "energy", profile.energy.energy_nj if profile.energy else None))
    if compared:
        text, ratio = ("-", None) if growth is None else (growth.text, growth.ratio)
        cells.append(TableCell(text, ratio, "p50 change"))
    return (*cells, TableCell(visible(hidden), hidden, "largest hidden cost"))


def broken_checks(profiles: Sequence[Profile]) -> list[dict[str, Any]]:
    """Return the failing checks in words, with the number of their call."""
    found = [
        {
            "number": number,
            "name": visible(title(profile)),
            "text": visible(check_in_words(verdict)),
        }
        for number, profile in enumerate(profiles)
        for verdict in profile.verdicts
        if verdict.verdict == FAIL
    ]
    more = len(found) - MOST_BROKEN
    shown = found[:MOST_BROKEN]
    return [*shown, {"number": None, "name": f"{more} more", "text": ""}] if more > 0 else shown


def outcome_counts(rows: Sequence[TableRow]) -> list[tuple[str, int]]:
    """Return the number of calls with each outcome that occurs."""
    counts = Counter(row.outcome for row in rows)
    return [(name, counts[name]) for name in (*OUTCOMES, NONE) if counts[name]]


def device_facts(device: Device) -> list[tuple[str, str]]:
    """Return the device as terms and values."""
    facts = {
        "device": f"{device.kind}: {device.model}",
        "cores": str(device.cores),
        "threads": str(device.threads),
        "architecture": device.arch,
        "system": device.os,
        "Python": device.python,
        "torch": device.torch,
        "key": device.key,
    }
    return [(term, visible(value)) for term, value in facts.items() if value]


def run_facts(run: RunFile) -> list[tuple[str, str]]:
    """Return the time, the commit and the device of a run."""
    facts = [("measured", run.created), ("commit", run.commit)]
    return [(term, visible(value)) for term, value in facts if value] + device_facts(run.device)


def health_lines(profiles: Sequence[Profile]) -> dict[str, list[str]]:
    """Return objections, remarks and missing readings, each once, with the number of its calls."""
    healths = [profile.health for profile in profiles]
    unfit = Counter(
        "; ".join((*health.reasons, *health.remedies)) or "no reason given"
        for health in healths
        if not health.fit
    )
    count = len(profiles)
    remarks = dict.fromkeys(text for health in healths for text in health.remarks)
    unknown = dict.fromkeys(name for health in healths for name in health.unknown)
    return {
        "unfit": [f"{number} of {count} calls: {visible(why)}" for why, number in unfit.items()],
        "remarks": [visible(text) for text in remarks],
        "unknown": [visible(name) for name in unknown],
    }


def shares_chart(profiles: Sequence[Profile]) -> dict[str, Any]:
    """Return the share of MAC kernels, hidden operators and the rest for the first calls."""
    parts: dict[str, list[float]] = {"MAC kernels": [], "other operators": [], "outside": []}
    chosen = profiles[:MOST_BARS]
    for profile in chosen:
        latency_ns = profile.latency.median_ns
        operators_ns = sum(operator.self_ns for operator in profile.operators)
        parts["MAC kernels"].append(share_of(profile.mac_ns, latency_ns))
        parts["other operators"].append(share_of(operators_ns - profile.mac_ns, latency_ns))
        parts["outside"].append(share_of(profile.outside_ns, latency_ns))
    return {
        "names": [short(profile.label or title(profile)) for profile in chosen],
        "parts": parts,
        "left_out": len(profiles) - len(chosen),
    }


def growth_chart(profiles: Sequence[Profile], base: BaseProfiles) -> list[dict[str, Any]]:
    """Return the growths of the calls that changed most, largest growth first."""
    found = []
    for number, profile in enumerate(profiles):
        growth = growth_over(profile, base.get(profile.key))
        if growth is not None:
            name = short(profile.label or title(profile))
            found.append({**growth.data(), "name": name, "number": number})
    found.sort(key=lambda each: -abs(each["growth"]))
    return sorted(found[:MOST_CHANGED], key=lambda each: -each["growth"])


def only_in_one(profiles: Sequence[Profile], base: BaseProfiles) -> dict[str, list[str]]:
    """Return the calls that only one of the two runs measured."""
    head = {profile.key for profile in profiles}
    only_head = [visible(title(p)) for p in profiles if p.key not in base]
    only_base = [visible(title(p)) for key, p in base.items() if key not in head]
    return {"head": only_head, "base": only_base}
