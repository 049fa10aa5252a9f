"""What ``-v`` and ``-vv`` add to the summary: groups, MAC kinds, operators, composites."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from pytest_hiddencost.core import units
from pytest_hiddencost.core.call_sites import call_site_lines
from pytest_hiddencost.core.records import DeviceFigures, Profile
from pytest_hiddencost.report.cost_tables import cost_table

CALL_SITES_EACH, CALL_SITES_IN_ALL = 3, 20


def detail_lines(profile: Profile, verbosity: int) -> list[str]:
    """Return the details of one profile; every operator from verbosity 2 on."""
    blocks = [_groups(profile)]
    if profile.mac_kinds:
        blocks.append(_kinds(profile))
    if line := _device_figures(profile.health.figures):
        blocks.append([line])
    if verbosity >= 2:
        blocks.append(cost_table(profile).splitlines())
        if rough := _resolution(profile):
            blocks.append([rough])
        if found := call_site_lines(profile.operators, CALL_SITES_EACH, CALL_SITES_IN_ALL):
            blocks.append(found)
        blocks += _insides(profile)
        blocks.append([_profiler_line(profile)])
    first, *others = blocks
    return [*first, *(line for block in others for line in ("", *block))]


def _device_figures(found: DeviceFigures | None) -> str:
    """How busy the device was meanwhile, as far as that is known."""
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
    return _figures(rows, ["group", "calls", "time", "share"])


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
    return _figures(rows, ["MAC kind", "calls", "MACs", "kernel time", "MAC rate"])


def _insides(profile: Profile) -> list[list[str]]:
    """A table for each composite that called other operators."""
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
        found.append(_figures(rows, [head, "calls", "time", "share"]))
    return found


def _figures(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> list[str]:
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
