"""The message of a test that fails: the failing checks, their figures, the costly operators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import (
    FAIL,
    INCONCLUSIVE,
    NEW,
    OPERATORS,
    REGRESSION,
    Check,
    Outcome,
)
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import InterleavedComparison, Profile, Verdict, stale
from pytest_hiddencost.report.cost_tables import (
    aligned,
    costliest_call_sites,
    costs_of,
    macs_table,
    time_table,
)
from pytest_hiddencost.report.wording import (
    allowed,
    check_in_words,
    grouped,
    growth_with_interval,
    interval_text,
    quantity,
    revision_name,
    stale_line,
)

WITHOUT_TABLE = frozenset({"activation_memory", "allocated_bytes", "calls", ""})
OF_ALL_OPERATORS = frozenset({"p50", "non_mac", "energy"})  # growths that all operators share


def failure_messages(profiles: Iterable[Profile], *, strict: bool = False) -> list[str]:
    """Return the message of every profile that fails its test; those of stale baselines go last.

    ``strict``: inconclusive verdicts, and new and stale baselines, fail the test as well.
    """
    found = list(profiles)
    failing = [p for p in found if any(v.verdict in _failing(strict) for v in p.verdicts)]
    if strict:
        failing += [p for p in found if stale(p) and p not in failing]
    return [failure_message(profile, strict=strict) for profile in failing]


def _failing(strict: bool) -> tuple[Outcome, ...]:
    return (FAIL, INCONCLUSIVE, NEW) if strict else (FAIL,)


def failure_message(profile: Profile, *, strict: bool = False) -> str:
    """Return every check of the profile, failing ones first, then the operators that cost it."""
    broken = [v for v in profile.verdicts if v.verdict in _failing(strict)]
    # The summary lists what has no baseline.
    rest = [v for v in profile.verdicts if v not in broken and v.verdict != NEW]
    shown = [*broken, *rest]
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
    """Return the line for pytest's short summary: the first failing check, then their number."""
    count = _count(profile, broken)
    if not broken:
        assert profile.comparison is not None
        return f"{stale_line(profile.comparison)}; {count}"
    return f"{check_in_words(broken[0])}; {count}"


def _count(profile: Profile, broken: Sequence[Verdict]) -> str:
    model = profile.model + (f" ({profile.label})" if profile.label else "")
    limits = [v for v in profile.verdicts if v.verdict != NEW or v in broken]
    return f"{len(broken)} of {len(limits)} limits broken by {model} on {profile.device}"


def _checks_table(verdicts: Sequence[Verdict], confidence: float) -> str:
    rows = [
        (
            str(v.check),
            v.verdict.upper() if v.verdict == FAIL else v.verdict,
            "-" if v.measured is None else quantity(v, v.measured),
            interval_text(v),
            allowed(v),
        )
        for v in verdicts
    ]
    interval = f"{units.format_confidence(confidence)} interval"
    headers = ["limit", "verdict", "measured", interval, "allowed"]
    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)


def _reasons(verdicts: Sequence[Verdict]) -> list[str]:
    """Return each reason with its remedy, once for all checks that share it."""
    checks = grouped(((v.verdict, v.explanation), str(v.check)) for v in verdicts if v.reason)
    lines = [f"{listed(names)}: {verdict}: {why}" for (verdict, why), names in checks.items()]
    return ["\n".join(lines)] if lines else []


def _against_baseline(profile: Profile) -> list[str]:
    """Return the origin of the baseline, the growth over it, and the differences of structure."""
    found = profile.comparison
    if found is None:
        return []
    parts = ["against the baseline" + (f" of {found.baseline}" if found.baseline else "")]
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
    """Return the differences of structure, unless they are the reason of a verdict above."""
    reason = "; ".join(differences)
    return () if any(reason in v.reason for v in profile.verdicts) else differences


def _against_revision(profile: Profile) -> list[str]:
    """Return the name of the base, the growth over it, and the operators that changed."""
    found = profile.interleaved
    if found is None or found.ratio is None or found.interval is None:
        return []
    parts = [
        f"against {revision_name(found)}: p50 {growth_with_interval(found.ratio, found.interval)}",
        f"{found.blocks} blocks in turns",
        f"{found.launches} pair{'s' * (found.launches > 1)} of processes",
    ]
    lines = [", ".join(parts), *_unsaid(profile, found.differences)]
    return ["\n".join(lines), f"Changed operators:\n\n{_changes_table(found)}"]


def _changes_table(found: InterleavedComparison) -> str:
    rows = [
        (
            change.name,
            f"{change.base_calls} -> {change.head_calls}"
            if change.head_calls or change.base_calls
            else "",
            units.format_duration(change.base_ns),
            units.format_duration(change.head_ns),
            units.format_signed("duration", change.head_ns - change.base_ns),
        )
        for change in found.operators
    ]
    return aligned(rows, ["operator", "calls", "base", "head", "change"], last="left")


def _costs(profile: Profile, broken: Sequence[Verdict]) -> list[str]:
    """Return one table for each question that the failing checks ask."""
    tables = dict(_question(profile, verdict.check) for verdict in broken)
    return [f"{title}\n\n{table}" for title, table in tables.items() if table]


def _question(profile: Profile, check: Check) -> tuple[str, str]:
    """Return the title and the table for one failing check; empty if no operator explains it."""
    key, outside = check.key, True
    parts = [(o, 1.0) for o in profile.operators]
    if check.kind != OPERATORS and key in WITHOUT_TABLE:
        return "", ""
    if check.kind != OPERATORS and key == "macs":
        return "Operators with MACs:", macs_table(profile)
    if check.kind == OPERATORS or (check.kind == REGRESSION and key not in OF_ALL_OPERATORS):
        title = f"Time in {key}:"
        parts, outside = operators_of(profile, key), False
    elif key in ("non_mac", "mac_rate"):
        title = "Time outside MAC kernels:"
        parts = [(o, 1.0 - o.mac_share) for o in profile.operators if o.mac_share < 1.0]
    else:
        title = "Where the latency goes:"
    costs = costs_of(profile, parts, outside=outside)
    table = time_table(profile, costs) if costs else ""
    return title, "\n\n".join(filter(None, (table, costliest_call_sites(profile, costs))))
