"""Everything that the page shows of one call, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.energy_records import EnergyUse
from pytest_hiddencost.core.records import Profile, Verdict
from pytest_hiddencost.report.html.call_costs import (
    groups_chart,
    hidden_costs,
    kinds_chart,
    memory_chart,
)
from pytest_hiddencost.report.html.changes import changes
from pytest_hiddencost.report.html.escaping import visible
from pytest_hiddencost.report.html.icicle import icicle
from pytest_hiddencost.report.html.roofline_chart import roofline_of_call
from pytest_hiddencost.report.html.samples import samples_chart
from pytest_hiddencost.report.terminal import other_remarks, title, verdict_of
from pytest_hiddencost.report.wording import (
    allowed,
    energy_text,
    interval_text,
    power_text,
    quantity,
    unknown_energies,
)


@dataclass(frozen=True)
class Detail:
    """The samples and nodes of each call: a report of many calls must stay small."""

    samples: int = 2000
    nodes: int = 600
    call_sites: int = 8  # of each hidden cost
    memory: int = 200  # points over the call
    replays: int = 100


def call_data(profile: Profile, base: Profile | None, base_name: str, detail: Detail) -> Any:
    """Return the figures, charts and tables of one call as JSON data."""
    confidence = units.format_confidence(profile.latency.confidence)
    return {
        "name": visible(title(profile)),
        "outcome": verdict_of(profile) or "none",
        "facts": _facts(profile),
        "interval": f"{confidence} interval",
        "verdicts": [_verdict(verdict) for verdict in profile.verdicts],
        "remarks": _remarks(profile),
        "icicle": icicle(profile, detail.nodes),
        "groups": groups_chart(profile),
        "samples": samples_chart(profile, detail.samples),
        "kinds": kinds_chart(profile),
        "roofline": roofline_of_call(profile, detail.replays),
        "memory": memory_chart(profile, detail.memory),
        "hidden": hidden_costs(profile, detail.call_sites),
        "changes": changes(profile, base, base_name),
    }


def _facts(profile: Profile) -> list[tuple[str, str]]:
    latency = profile.latency
    facts: list[tuple[str, str | None]] = [
        ("p50", _median(profile)),
        ("p95", units.format_duration(latency.p95_ns)),
        ("p99", units.format_duration(latency.p99_ns)),
        ("fastest", units.format_duration(latency.min_ns)),
        ("timed calls", str(len(latency.samples_ns))),
        ("non-MAC time", units.format_share(profile.non_mac_share)),
        ("MACs", units.format_macs(profile.macs)),
        ("MAC rate", units.format_rate(profile.mac_rate)),
        ("parameters", None if profile.parameters is None else f"{profile.parameters:,}"),
        *_energy(profile.energy),
        ("activation peak", _bytes(profile.activation_peak_bytes)),
        ("allocated", _bytes(profile.allocated_bytes)),
        ("model", profile.model),
        ("mode", f"{profile.grad_mode}, {profile.device}"),
        ("unexplained", units.format_share(abs(profile.profiler.residual_share))),
    ]
    return [(term, visible(value)) for term, value in facts if value]


def _median(profile: Profile) -> str:
    latency = profile.latency
    text = units.format_duration(latency.median_ns)
    if latency.median_ci_ns is None:
        return text
    low, high = map(units.format_duration, latency.median_ci_ns)
    return f"{text} ({low} to {high})"


def _energy(use: EnergyUse | None) -> list[tuple[str, str | None]]:
    if use is None:
        return []
    return [
        ("energy", energy_text(use)),
        ("above idle", units.format_energy(use.above_idle_nj)),
        ("power", power_text(use)),
        ("energy meter", f"{use.meter}, {use.domain}"),
    ]


def _bytes(size: int | None) -> str | None:
    return None if size is None else units.format_bytes(size)


def _verdict(verdict: Verdict) -> dict[str, str]:
    return {
        "check": visible(verdict.check),
        "verdict": verdict.verdict,
        "measured": "-" if verdict.measured is None else quantity(verdict, verdict.measured),
        "interval": interval_text(verdict),
        "allowed": allowed(verdict),
        "why": visible(verdict.explanation),
    }


def _remarks(profile: Profile) -> Sequence[str]:
    health = profile.health
    unfit = "; ".join((*health.reasons, *health.remedies))
    lines = [] if health.fit else [f"unfit for timing: {unfit}"]
    lines += [*other_remarks(profile), *unknown_energies([profile])]
    lines += [*health.remarks, *profile.notes]
    return [visible(line) for line in dict.fromkeys(lines)]
