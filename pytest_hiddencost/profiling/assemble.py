"""From folded windows and plain latencies to the records of a profile.

The profiler's own cost is taken out of every cell; what is left of a window is brought to the
latency by what the call took without the profiler in the same seconds. What then remains
unexplained is the residual: it is reported, not spread over the operators. A cost is the mean over
the windows, an eighth of them, the slowest and the fastest, left out at either end: unlike medians,
means of parts add up to that of the whole, so that operators, composites, sites and kinds all tell
the same story.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Generic, TypeVar

from pytest_hiddencost.profiling.folding import Cell, Key, Window, add
from pytest_hiddencost.profiling.macs import MacCount
from pytest_hiddencost.profiling.perturbation import EventCost, fit
from pytest_hiddencost.records import (
    CompositeCost,
    InsideCost,
    MacKindCost,
    OperatorCost,
    ProfilerCost,
    SiteCost,
)
from pytest_hiddencost.taxonomy import Taxonomy

K = TypeVar("K", bound=Hashable)
UNTYPICAL_SHARE = 0.125  # of the windows, at either end
LEAST_SHARE = 0.05  # of a window is the call's own, whatever its events are said to cost


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
    cost: EventCost,
    disturbed: Sequence[Window] = (),
    *,
    on_host: bool = True,
) -> Attribution:
    """Share a latency (ns per call) out over what the windows of that call saw.

    ``cost`` is the event cost to take out. ``on_host``: operators run in the caller's thread and
    their durations include it; otherwise they are charged with kernels. Of ``disturbed`` windows
    the calls count, and the times do not.
    """
    return _Assembly(windows, latency_ns, macs, taxonomy, cost, disturbed, on_host).attribution()


class _Sum(Generic[K]):
    """Cells of each window added up by some part of their key."""

    def __init__(self, windows: Iterable[Window], part_of: Callable[[Key], K | None]) -> None:
        self._windows: list[dict[K, Cell]] = []
        for window in windows:
            totals: dict[K, Cell] = {}
            for key, cell in window.cells():
                part = part_of(key)
                if part is not None:
                    add(totals, part, cell)
            self._windows.append(totals)

    def parts(self) -> list[K]:
        """Every part that occurs in a window."""
        return list(dict.fromkeys(part for totals in self._windows for part in totals))

    def cells(self, part: K) -> list[Cell]:
        """The part's cell of every window."""
        return [totals.get(part, [0, 0, 0, 0]) for totals in self._windows]


class _Assembly:
    def __init__(
        self,
        windows: Sequence[Window],
        latency_ns: float,
        macs: MacCount,
        taxonomy: Taxonomy,
        cost: EventCost,
        disturbed: Sequence[Window],
        on_host: bool,
    ) -> None:
        self._windows = windows
        self._latency_ns = latency_ns
        self._macs = macs
        self._taxonomy = taxonomy
        self._cost = cost
        self._disturbed = disturbed
        self._on_host = on_host
        self._structure = windows[0].structure
        net_ns = [self._net_ns(window) for window in windows]
        # Noise of the windows goes, a misfit of the correction stays: the residual.
        share = fit([net / w.plain_ns for net, w in zip(net_ns, windows, strict=True)])
        self._scales = [latency_ns * share / net for net in net_ns]
        order = sorted(range(len(windows)), key=lambda i: windows[i].wall_ns)
        varies = any(w.structure != self._structure for w in windows)  # some have more to do
        left_out = 0 if varies else int(UNTYPICAL_SHARE * len(windows) + 0.5)
        self._typical = order[left_out : len(windows) - left_out]

    def _net_ns(self, window: Window) -> float:
        """What a window took without its events; kernels on a device took what they took."""
        if not self._on_host:
            return window.plain_ns
        seen = window.structure
        profiler_ns = self._cost.total_ns(seen.events, seen.root_events)
        return max(window.wall_ns - profiler_ns, LEAST_SHARE * window.wall_ns)

    def attribution(self) -> Attribution:
        operators = self._operators()
        outside_ns = self._outside_ns()
        explained_ns = sum(operator.self_ns for operator in operators) + outside_ns
        attributed = all(w.structure.matched == len(self._macs.calls) for w in self._windows)
        return Attribution(
            operators=operators,
            composites=self._composites(),
            mac_kinds=self._mac_kinds() if attributed else _counted_kinds(self._macs),
            profiler=ProfilerCost(
                event_cost_ns=self._cost.event_ns,
                events=self._structure.events,
                inflation_share=median(w.wall_ns / w.plain_ns for w in self._windows) - 1.0,
                residual_share=1.0 - explained_ns / self._latency_ns,
                windows=len(self._windows),
                inside_cost_ns=self._cost.inside_ns,
                observed_cost_ns=self._cost.observed_ns,
                calibrated_cost_ns=self._cost.calibrated_ns,
            ),
            mac_ns=sum(operator.self_ns * operator.mac_share for operator in operators),
            outside_ns=outside_ns,
            uncosted=self._uncosted(),
            notes=()
            if attributed
            else ("MACs could not be matched with profiler events: no time per kind of MACs",),
        )

    def _corrected_ns(self, cells: Sequence[Cell]) -> tuple[float, ...]:
        """A part's self time in every window, on the latency's scale."""
        return tuple(
            scale * max(0.0, self._cost.net_ns(*cell))
            for scale, cell in zip(self._scales, cells, strict=True)
        )

    def _self_ns(self, cells: Sequence[Cell]) -> float:
        """A part's self time on the latency's scale."""
        return max(
            0.0,
            fmean(self._scales[i] * self._cost.net_ns(*cells[i]) for i in self._typical),
        )

    def _outside_ns(self) -> float:
        def net_ns(window: Window) -> float:
            whole_ns = window.wall_ns if self._on_host else window.plain_ns
            raw_ns = whole_ns - sum(window.raw_ns)
            seen = window.structure
            return self._cost.outside_ns(raw_ns, seen.root_events, seen.root_annotations)

        return max(0.0, fmean(self._scales[i] * net_ns(self._windows[i]) for i in self._typical))

    @cached_property
    def _by_operator(self) -> _Sum[str]:
        return _Sum([*self._windows, *self._disturbed], lambda key: key.operator)

    def _operators(self) -> tuple[OperatorCost, ...]:
        kernels = _Sum(self._windows, lambda key: key.operator if key.is_mac else None)
        by_site = _Sum(
            self._windows, lambda key: (key.operator, key.root.site) if key.root.site else None
        )
        sites: dict[str, list[SiteCost]] = {}
        for operator, site in by_site.parts():
            cells = by_site.cells((operator, site))
            self_ns = self._self_ns(cells)
            sites.setdefault(operator, []).append(SiteCost(*site, cells[0][0], self_ns))
        costs = [
            self._operator(name, kernels.cells(name), sites.get(name, ()))
            for name in self._by_operator.parts()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.self_ns))

    def _operator(
        self, name: str, kernels: Sequence[Cell], sites: Iterable[SiteCost]
    ) -> OperatorCost:
        everywhere = self._by_operator.cells(name)
        cells = everywhere[: len(self._windows)]
        calls = [cell[0] for cell in everywhere]
        windows_ns = self._corrected_ns(cells)
        self_ns = self._self_ns(cells)
        mean_calls, children = (fmean(cells[i][n] for i in self._typical) for n in (0, 2))
        group = self._taxonomy.group(name)
        return OperatorCost(
            name=name,
            group=group,
            calls=calls[0],
            self_ns=self_ns,
            raw_self_ns=_raw_ns(cells),
            macs=self._structure.operator_macs.get(name, 0),
            mac_share=1.0 if group == "mac" else self._hidden_share(cells, kernels),
            windows_ns=windows_ns,
            calls_range=(min(calls), max(calls)) if min(calls) != max(calls) else None,
            uncertainty_ns=self._scales[0] * self._cost.uncertainty_ns(mean_calls, children),
            below_resolution=not self._cost.resolves(self_ns, mean_calls),
            sites=tuple(sorted(sites, key=lambda cost: -cost.self_ns)),
        )

    def _hidden_share(self, cells: Sequence[Cell], kernels: Sequence[Cell]) -> float:
        """The share of a wrapper's self time in which it ran a MAC kernel no event shows."""
        whole_ns = self._self_ns(cells)
        return min(1.0, self._self_ns(kernels) / whole_ns) if whole_ns else 0.0

    def _composites(self) -> tuple[CompositeCost, ...]:
        by_root = _Sum(self._windows, lambda key: key.root.name)
        within = _Sum(self._windows, lambda key: (key.root.name, key.operator))
        inside: dict[str, list[InsideCost]] = {}
        for root, operator in within.parts():
            cells = within.cells((root, operator))
            inside.setdefault(root, []).append(
                InsideCost(operator, cells[0][0], self._self_ns(cells), _raw_ns(cells))
            )
        calls: dict[str, int] = {}
        for called, count in self._structure.roots.items():
            calls[called.name] = calls.get(called.name, 0) + count
        costs = [
            CompositeCost(
                name=root,
                calls=calls.get(root, 0),
                total_ns=sum(cost.self_ns for cost in costs),
                raw_total_ns=_raw_ns(by_root.cells(root)),
                inside=tuple(sorted(costs, key=lambda cost: -cost.self_ns)),
            )
            for root, costs in inside.items()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.total_ns))

    def _mac_kinds(self) -> tuple[MacKindCost, ...]:
        kernels = _Sum(self._windows, lambda key: key.kind if key.is_mac else None)
        costs = [
            MacKindCost(kind, count.calls, count.macs, self._self_ns(kernels.cells(kind)))
            for kind, count in self._structure.kinds.items()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.macs))

    def _uncosted(self) -> tuple[str, ...]:
        """Operators that may do MACs and are in no formula."""
        plain = {key.operator for key in self._structure.keys if key.kind is None}
        plain -= self._structure.around_macs
        suspects = {name for name in plain if self._taxonomy.looks_like_mac(name)}
        return tuple(sorted(suspects | set(self._macs.unformulated)))


def _raw_ns(cells: Iterable[Cell]) -> float:
    """Self time as the profiler has it."""
    return float(median(max(0, cell[1]) for cell in cells))


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
