"""The message of a test that fails: which checks, by how much, and what cost it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import (
    FAIL,
    INCONCLUSIVE,
    LIMIT,
    NEW,
    OPERATORS,
    REGRESSION,
    Outcome,
)
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import InterleavedComparison, Profile, Verdict, stale
from pytest_hiddencost.report.cost_tables import (
    Cost,
    aligned,
    all_costs,
    costliest_call_sites,
    costs_of,
    macs_table,
    outside,
    time_table,
)
from pytest_hiddencost.report.wording import (
    growth_with_interval,
    listed,
    minor,
    quantity,
    revision_name,
    stale_line,
)

WITHOUT_TABLE = frozenset({"activation_memory", "allocated_bytes", "calls", ""})


def failure_messages(profiles: Iterable[Profile], *, strict: bool = False) -> list[str]:
    """Return the message of every profile that fails its test, failing checks before stale ones.

    ``strict``: inconclusive, new and stale ones fail as well.
    """
    found = list(profiles)
    failing = [p for p in found if any(v.verdict in _failing(strict) for v in p.verdicts)]
    if strict:
        failing += [p for p in found if stale(p) and p not in failing]
    return [failure_message(profile, strict=strict) for profile in failing]


def _failing(strict: bool) -> tuple[Outcome, ...]:
    return (FAIL, INCONCLUSIVE, NEW) if strict else (FAIL,)


def failure_message(profile: Profile, *, strict: bool = False) -> str:
    """Return every check of the profile, failing ones first, then what those went on."""
    broken = [v for v in profile.verdicts if v.verdict in _failing(strict)]
    rest = [v for v in profile.verdicts if v not in broken]
    shown = [v for v in (*broken, *rest) if v.verdict == FAIL or not minor(v)]
    parts = [
        _head(profile, broken),
        _checks_table(shown, profile.latency.confidence),
        *_reasons(shown),
        *_against_baseline(profile),
        *_against_revision(profile),
        *_costs(profile, broken),
    ]
    return "\n\n".join(parts)


def _head(profile: Profile, broken: Sequence[Verdict]) -> str:
    """One line that pytest's short summary can show: the first failing check leads."""
    count = _count(profile, broken)
    if not broken:
        assert profile.comparison is not None
        return f"{stale_line(profile.comparison)}; {count}"
    first = broken[0]
    if first.verdict == NEW:
        return f"new: {first.reason}; {count}"
    if first.measured is None:  # a limit that checked nothing
        return f"{first.check}: {first.reason.partition(';')[0]}; {count}"
    inconclusive = "is inconclusive: " if first.verdict == INCONCLUSIVE else ""
    measured = quantity(first, first.measured)
    return f"{first.check} {inconclusive}{measured}, {_allowed(first)}; {count}"


def _count(profile: Profile, broken: Sequence[Verdict]) -> str:
    model = profile.model + (f" ({profile.label})" if profile.label else "")
    limits = [v for v in profile.verdicts if v.verdict != NEW or v in broken]
    return f"{len(broken)} of {len(limits)} limits broken by {model} on {profile.device}"


def _allowed(verdict: Verdict) -> str:
    return f"at {'least' if verdict.at_least else 'most'} {quantity(verdict, verdict.limit)}"


def _checks_table(verdicts: Sequence[Verdict], confidence: float) -> str:
    rows = [
        (
            str(v.check),
            v.verdict.upper() if v.verdict == FAIL else v.verdict,
            "-" if v.measured is None else quantity(v, v.measured),
            _interval(v),
            _allowed(v),
        )
        for v in verdicts
    ]
    interval = f"{units.format_confidence(confidence)} interval"
    headers = ["limit", "verdict", "measured", interval, "allowed"]
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


def _interval(verdict: Verdict) -> str:
    if verdict.interval is None or verdict.measured is None:
        return "-"
    low, high = verdict.interval
    if low == high:
        return "exact"
    unit = units.column_unit(verdict.unit, [high])
    return (
        f"{units.format_number(verdict.unit, low, unit)} to "
        f"{units.format_quantity(verdict.unit, high, unit=unit)}"
    )


def _reasons(verdicts: Sequence[Verdict]) -> list[str]:
    """What was found, and what to do, once for all checks that share it."""
    checks: dict[tuple[str, str], list[str]] = {}
    for v in verdicts:
        if v.reason:
            checks.setdefault((v.verdict, v.explanation), []).append(str(v.check))
    lines = [f"{listed(names)}: {verdict}: {why}" for (verdict, why), names in checks.items()]
    return ["\n".join(lines)] if lines else []


def _against_baseline(profile: Profile) -> list[str]:
    """What the baseline is, and how the structure differs."""
    found = profile.comparison
    if found is None:
        return []
    parts = [
        f"against the baseline of {found.baseline}" if found.baseline else "against the baseline"
    ]
    if found.growth is not None:
        low, high = map(units.format_growth, found.interval or (found.growth, found.growth))
        parts.append(f"p50 {units.format_growth(found.growth)} ({low} to {high})")
    if found.reference_growth is not None:
        parts.append(f"reference workload {units.format_growth(found.reference_growth)}")
    parts.append(f"{found.launches} recorded launches, {found.fresh} relaunches")
    lines = [", ".join(parts)]
    if stale(profile):
        lines.append(stale_line(found))
    return ["\n".join([*lines, *_unsaid(profile, found.differences)])]


def _unsaid(profile: Profile, differences: Sequence[str]) -> Sequence[str]:
    """Differences of the structure, unless they are the reason of a verdict above."""
    told = "; ".join(differences)
    return () if any(told in v.reason for v in profile.verdicts) else differences


def _against_revision(profile: Profile) -> list[str]:
    """What the base is, and what differs between head and base."""
    found = profile.interleaved
    if found is None or found.ratio is None or found.interval is None:
        return []
    parts = [
        f"against {revision_name(found)}: p50 {growth_with_interval(found.ratio, found.interval)}",
        f"{found.blocks} blocks in turns",
        f"{found.launches} pair{'s' * (found.launches > 1)} of processes",
    ]
    lines = [", ".join(parts), *_unsaid(profile, found.differences)]
    return ["\n".join(lines), f"What changed:\n\n{_changes_table(found)}"]


def _changes_table(found: InterleavedComparison) -> str:
    rows = [
        (
            change.name,
            f"{change.base_calls} -> {change.head_calls}"
            if change.head_calls or change.base_calls
            else "",
            units.format_duration(change.base_ns),
            units.format_duration(change.head_ns),
            _signed_duration(change.head_ns - change.base_ns),
        )
        for change in found.operators
    ]
    return aligned(rows, ["operator", "calls", "base", "head", "change"])


def _signed_duration(ns: float) -> str:
    return f"{'+' if ns >= 0 else '-'}{units.format_duration(abs(ns))}"


def _costs(profile: Profile, broken: Sequence[Verdict]) -> list[str]:
    """One table for each kind of question that the failing checks ask."""
    tables: dict[str, str] = {}
    for verdict in broken:
        key = verdict.check.key
        if verdict.check.kind != OPERATORS and key in WITHOUT_TABLE:
            continue
        if verdict.check.kind != OPERATORS and key == "macs":
            title, table = "Where the MACs are:", macs_table(profile)
        else:
            title, costs = _question(profile, verdict)
            table = time_table(profile, costs) if costs else ""
            table += costliest_call_sites(profile, costs)
        if table:
            tables.setdefault(title, f"{title}\n\n{table}")
    return list(tables.values())


def _question(profile: Profile, verdict: Verdict) -> tuple[str, list[Cost]]:
    kind, key = verdict.check.kind, verdict.check.key
    if kind == OPERATORS or (kind == REGRESSION and key not in ("p50", "non_mac")):
        return f"What {key} is spent on:", costs_of(profile, operators_of(profile, key))
    if key == "non_mac" or (kind == LIMIT and key == "mac_rate"):
        hidden = [(o, 1.0 - o.mac_share) for o in profile.operators if o.mac_share < 1.0]
        return "What is spent outside MAC kernels:", [*costs_of(profile, hidden), outside(profile)]
    return "Where the latency goes:", all_costs(profile)
