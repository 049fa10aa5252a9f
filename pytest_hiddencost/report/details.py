"""Tables that ``-v`` and ``-vv`` add: groups, MAC kinds, operators, composites."""

from __future__ import annotations

from collections.abc import Callable

from pytest_hiddencost.core import units
from pytest_hiddencost.core.call_sites import call_site_lines
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report.cost_tables import aligned, cost_table, mac_kind_cells
from pytest_hiddencost.report.replay_tables import replay_blocks
from pytest_hiddencost.report.wording import energy_text, power_text

CALL_SITES_EACH, CALL_SITES_IN_ALL = 3, 20


def detail_lines(profile: Profile, verbosity: int) -> list[str]:
    """Return the details of one profile; every operator from verbosity 2 on."""
    blocks = [_groups(profile), _kinds(profile), _energy(profile), _load(profile)]
    blocks += replay_blocks(profile)
    if verbosity >= 2:
        blocks += [
            cost_table(profile),
            _resolution(profile),
            "\n".join(call_site_lines(profile.operators, CALL_SITES_EACH, CALL_SITES_IN_ALL)),
            *_insides(profile),
            _unclocked(profile),
            _profiler_line(profile),
        ]
    return "\n\n".join(filter(None, blocks)).split("\n")


def _energy(profile: Profile) -> str:
    """Return the energy of a call, the power beside that of the idle device, and the meter."""
    use = profile.energy
    if use is None:
        return ""
    above = units.format_energy(use.above_idle_nj)
    return (
        f"energy of a call: {energy_text(use)}, {above} of it above idle; "
        f"power {power_text(use)}; {use.calls} calls in {len(use.windows_nj)} windows; "
        f"meter: {use.meter}, {use.domain}"
    )


def _load(profile: Profile) -> str:
    """Return the load on the device during the measurement, as far as it is known."""
    found = profile.health.figures
    if found is None:
        return ""
    switches = found.involuntary_switches_per_cpu_s
    shown: list[tuple[float | None, Callable[[float], str], str]] = [
        (found.stolen_share, units.format_share, "of the processor time stolen"),
        (found.waiting_share, units.format_share, "of the time a task waited for a core"),
        (switches, "{:.3g}".format, "involuntary switches per CPU second"),
    ]
    parts = [f"{text(figure)} {words}" for figure, text, words in shown if figure is not None]
    return f"load meanwhile: {', '.join(parts)}" if parts else ""


def _groups(profile: Profile) -> str:
    latency_ns = profile.latency.median_ns
    calls: dict[str, int] = {}
    for operator in profile.operators:
        calls[operator.group] = calls.get(operator.group, 0) + operator.calls
    # A group may be called and take no more time than the profiler's overhead.
    found = {**dict.fromkeys(calls, 0.0), **profile.group_ns(), **profile.outside_parts_ns()}
    rows = [
        (name, calls.get(name, ""), units.format_duration(ns), units.format_share(ns / latency_ns))
        for name, ns in sorted(found.items(), key=lambda item: -item[1])
    ]
    return aligned(rows, ["group", "calls", "time", "share"])


def _kinds(profile: Profile) -> str:
    rows = [
        (
            *mac_kind_cells(kind),
            "-" if kind.mac_rate is None else units.format_rate(kind.mac_rate),
        )
        for kind in profile.mac_kinds
    ]
    headers = ["MAC kind", "calls", "MACs", "kernel time", "MAC rate"]
    return aligned(rows, headers) if rows else ""


def _insides(profile: Profile) -> list[str]:
    """Return a table for each composite that called other operators."""
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
        found.append(aligned(rows, [head, "calls", "time", "share"]))
    return found


def _unclocked(profile: Profile) -> str:
    """Return the composites whose times come from the profiler alone."""
    names = [composite.name for composite in profile.composites if not composite.clocked]
    if not names:
        return ""
    every = len(names) == len(profile.composites)
    shown = "every operator" if every else listed(names)
    return f"timed by the profiler alone, since no clock saw all calls: {shown}"


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
        f"profiler: {cost.events} events in each of {cost.windows} windows; their cost, "
        f"{units.format_duration(cost.event_cost_ns)} each "
        f"(calibrated: {units.format_duration(cost.calibrated_cost_ns)}), is subtracted; "
        f"profiled calls took {units.format_share(abs(cost.inflation_share))} {longer}; "
        f"{units.format_share(abs(cost.residual_share))} of the latency is unexplained; "
        f"{len(profile.latency.samples_ns)} timed calls"
    )
