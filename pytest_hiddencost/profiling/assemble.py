"""From folded windows and plain latencies to the records of a profile.

Every window's self times are scaled by plain latency over profiled wall time, then the median
over the windows is taken per operator: profiler windows say how the time is shared out, the
plain calls how much of it there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pytest_hiddencost.profiling.folding import Window
from pytest_hiddencost.profiling.macs import MacCount
from pytest_hiddencost.records import (
    CompositeCost,
    InsideCost,
    MacKindCost,
    OperatorCost,
    ProfilerCost,
)
from pytest_hiddencost.taxonomy import Taxonomy


@dataclass(frozen=True)
class Attribution:
    """The operator part of a profile."""

    operators: tuple[OperatorCost, ...]
    composites: tuple[CompositeCost, ...]
    mac_kinds: tuple[MacKindCost, ...]
    profiler: ProfilerCost
    mac_ns: float
    outside_ns: float
    uncosted: tuple[str, ...]
    notes: tuple[str, ...]


def attribute(
    windows: Sequence[Window],
    latency_ns: float,
    macs: MacCount,
    taxonomy: Taxonomy,
    disturbed: Sequence[Window] = (),
) -> Attribution:
    """Share a latency (ns per call) out over what the windows of that call saw.

    Of ``disturbed`` windows the calls count, and the times do not.
    """
    scales = [latency_ns / window.wall_ns for window in windows]
    operators = _operators(windows, scales, taxonomy, disturbed)
    outside_ns = median(
        max(0.0, scale * (window.wall_ns - sum(max(0, c[1]) for c in window.operators().values())))
        for scale, window in zip(scales, windows, strict=True)
    )
    explained_ns = sum(operator.self_ns for operator in operators) + outside_ns
    events = windows[0].events
    wall_ns = median(window.wall_ns for window in windows)
    attributed = all(window.matched == len(macs.calls) for window in windows)
    return Attribution(
        operators=operators,
        composites=_composites(windows, scales),
        mac_kinds=_mac_kinds(windows, scales) if attributed else _counted_kinds(macs),
        profiler=ProfilerCost(
            event_cost_ns=max(0.0, wall_ns - latency_ns) / events if events else 0.0,
            events=events,
            inflation_share=wall_ns / latency_ns - 1.0,
            residual_share=1.0 - explained_ns / latency_ns,
            windows=len(windows),
        ),
        mac_ns=sum(operator.self_ns * operator.mac_share for operator in operators),
        outside_ns=outside_ns,
        uncosted=_uncosted(windows[0], macs, taxonomy),
        notes=()
        if attributed
        else ("MACs could not be matched with profiler events: no time per kind of MACs",),
    )


def _operators(
    windows: Sequence[Window],
    scales: Sequence[float],
    taxonomy: Taxonomy,
    disturbed: Sequence[Window],
) -> tuple[OperatorCost, ...]:
    by_window = [window.operators() for window in windows]
    everywhere = by_window + [window.operators() for window in disturbed]
    costs = []
    for name in dict.fromkeys(name for cells in everywhere for name in cells):
        calls = [cells[name][0] if name in cells else 0 for cells in everywhere]
        raw_ns = [max(0, cells[name][1]) if name in cells else 0 for cells in by_window]
        group = taxonomy.group(name)
        scaled_ns = tuple(scale * ns for scale, ns in zip(scales, raw_ns, strict=True))
        costs.append(
            OperatorCost(
                name=name,
                group=group,
                calls=calls[0],
                self_ns=median(scaled_ns),
                raw_self_ns=float(median(raw_ns)),
                macs=windows[0].operator_macs.get(name, 0),
                mac_share=1.0 if group == "mac" else _hidden_share(windows, name, sum(raw_ns)),
                windows_ns=scaled_ns,
                calls_range=(min(calls), max(calls)) if min(calls) != max(calls) else None,
            )
        )
    return tuple(sorted(costs, key=lambda cost: -cost.self_ns))


def _hidden_share(windows: Sequence[Window], name: str, raw_ns: int) -> float:
    """The share of a wrapper's self time in which it ran a MAC kernel the profiler cannot see."""
    hidden_ns = sum(window.hidden_kernel_ns.get(name, 0) for window in windows)
    return min(1.0, hidden_ns / raw_ns) if raw_ns else 0.0


def _composites(windows: Sequence[Window], scales: Sequence[float]) -> tuple[CompositeCost, ...]:
    by_window = [window.composites() for window in windows]
    costs = []
    for root in dict.fromkeys(root for roots in by_window for root in roots):
        inside = _inside([roots.get(root, {}) for roots in by_window], scales)
        costs.append(
            CompositeCost(
                name=root,
                calls=windows[0].root_calls.get(root, 0),
                total_ns=sum(cost.self_ns for cost in inside),
                raw_total_ns=float(
                    median(
                        sum(max(0, c[1]) for c in roots.get(root, {}).values())
                        for roots in by_window
                    )
                ),
                inside=inside,
            )
        )
    return tuple(sorted(costs, key=lambda cost: -cost.total_ns))


def _inside(
    by_window: Sequence[Mapping[str, list[int]]], scales: Sequence[float]
) -> tuple[InsideCost, ...]:
    names = dict.fromkeys(name for cells in by_window for name in cells)
    costs = [
        InsideCost(
            name=name,
            calls=by_window[0][name][0] if name in by_window[0] else 0,
            self_ns=median(
                scale * max(0, cells[name][1]) if name in cells else 0.0
                for scale, cells in zip(scales, by_window, strict=True)
            ),
        )
        for name in names
    ]
    return tuple(sorted(costs, key=lambda cost: -cost.self_ns))


def _mac_kinds(windows: Sequence[Window], scales: Sequence[float]) -> tuple[MacKindCost, ...]:
    costs = [
        MacKindCost(
            kind=kind,
            calls=total.calls,
            macs=total.macs,
            self_ns=median(
                scale * window.kinds[kind].self_ns if kind in window.kinds else 0.0
                for scale, window in zip(scales, windows, strict=True)
            ),
        )
        for kind, total in windows[0].kinds.items()
    ]
    return tuple(sorted(costs, key=lambda cost: -cost.macs))


def _counted_kinds(macs: MacCount) -> tuple[MacKindCost, ...]:
    kinds = dict.fromkeys(call.kind for call in macs.calls)
    return tuple(
        MacKindCost(
            kind=kind,
            calls=sum(1 for call in macs.calls if call.kind == kind),
            macs=sum(call.macs for call in macs.calls if call.kind == kind),
            self_ns=None,
        )
        for kind in kinds
    )


def _uncosted(window: Window, macs: MacCount, taxonomy: Taxonomy) -> tuple[str, ...]:
    """Operators that may do MACs and are in no formula."""
    plain = {name for cells in window.plain.values() for name in cells}
    suspects = {name for name in plain - window.around_macs if taxonomy.looks_like_mac(name)}
    return tuple(sorted(suspects | set(macs.unformulated)))
