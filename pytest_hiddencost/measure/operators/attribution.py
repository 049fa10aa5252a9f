"""Attribution: shares the latency of a call out over its operators, from folded windows.

First, the profiler overhead is subtracted from every cell. Then each window is scaled to the
latency, by the time of the plain calls around it. The part of the latency that stays unexplained
is the residual: it is reported, not spread over the operators.

A cost is the mean over the windows, without the slowest and the fastest eighth. Unlike medians,
means of parts add up to the mean of the whole, so operators, composites, call sites and MAC kinds
agree with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median
from typing import Generic, TypeVar

from pytest_hiddencost.core.records import (
    CallSiteCost,
    CompositeCost,
    InsideCost,
    MacKindCost,
    OperatorCost,
    ProfilerCost,
)
from pytest_hiddencost.core.taxonomy import Taxonomy
from pytest_hiddencost.measure.macs.counting import MacCount
from pytest_hiddencost.measure.operators.folding import Cell, CellKey, Window, add
from pytest_hiddencost.measure.operators.overhead import EventCost, fit

_Part = TypeVar("_Part", bound=Hashable)
UNTYPICAL_SHARE = 0.125  # of the windows, left out at either end
LEAST_SHARE = 0.05  # of a window belongs to the call, however large the overhead seems


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
    """Share the latency of a call (in ns) out over the operators of its ``windows``, one at least.

    ``macs`` are the counted MAC calls and ``cost`` is the event cost to subtract. ``on_host``:
    operators run on the CPU, so their durations include the overhead; otherwise durations are
    those of kernels. ``disturbed`` windows count with their calls, not with their times.
    """
    return _Attributor(windows, latency_ns, macs, taxonomy, cost, disturbed, on_host).result()


class _Sum(Generic[_Part]):
    """The cells of each window, added up by a part of their key."""

    def __init__(
        self, windows: Iterable[Window], part_of: Callable[[CellKey], _Part | None]
    ) -> None:
        self._windows: list[dict[_Part, Cell]] = []
        for window in windows:
            totals: dict[_Part, Cell] = {}
            for key, cell in window.cells():
                part = part_of(key)
                if part is not None:
                    add(totals, part, cell)
            self._windows.append(totals)

    def parts(self) -> list[_Part]:
        """Return every part that occurs in a window."""
        return list(dict.fromkeys(part for totals in self._windows for part in totals))

    def cells(self, part: _Part) -> list[Cell]:
        """Return the part's cell in every window."""
        return [totals.get(part, [0, 0, 0, 0]) for totals in self._windows]


class _Attributor:
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
        # The scales remove the noise between windows and keep a misfit as the residual.
        share = fit([net / w.plain_ns for net, w in zip(net_ns, windows, strict=True)])
        self._scales = [latency_ns * share / net for net in net_ns]
        order = sorted(range(len(windows)), key=lambda i: windows[i].wall_ns)
        # If the structure varies, slow windows are those with more work: all count.
        varies = any(w.structure != self._structure for w in windows)
        left_out = 0 if varies else int(UNTYPICAL_SHARE * len(windows) + 0.5)
        self._typical = order[left_out : len(windows) - left_out]

    def _net_ns(self, window: Window) -> float:
        """Return a window's time without the overhead; kernels on an accelerator have none."""
        if not self._on_host:
            return window.plain_ns
        seen = window.structure
        profiler_ns = self._cost.total_ns(seen.events, seen.root_events)
        return max(window.wall_ns - profiler_ns, LEAST_SHARE * window.wall_ns)

    def result(self) -> Attribution:
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
            else ("MACs could not be matched with profiler events: MAC kinds have no times",),
        )

    def _corrected_ns(self, cells: Sequence[Cell]) -> tuple[float, ...]:
        """Return a part's self time in every window, on the latency's scale."""
        return tuple(
            scale * max(0.0, self._cost.net_ns(*cell))
            for scale, cell in zip(self._scales, cells, strict=True)
        )

    def _self_ns(self, cells: Sequence[Cell]) -> float:
        """Return a part's mean self time over the typical windows, on the latency's scale."""
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
        call_sites = self._call_sites()
        costs = [
            self._operator(name, kernels.cells(name), call_sites.get(name, ()))
            for name in self._by_operator.parts()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.self_ns))

    def _call_sites(self) -> dict[str, list[CallSiteCost]]:
        by_call_site = _Sum(
            self._windows,
            lambda key: (key.operator, key.root.call_site) if key.root.call_site else None,
        )
        found: dict[str, list[CallSiteCost]] = {}
        for operator, call_site in by_call_site.parts():
            cells = by_call_site.cells((operator, call_site))
            cost = CallSiteCost(*call_site, cells[0][0], self._self_ns(cells))
            found.setdefault(operator, []).append(cost)
        return found

    def _operator(
        self, name: str, kernels: Sequence[Cell], call_sites: Iterable[CallSiteCost]
    ) -> OperatorCost:
        all_cells = self._by_operator.cells(name)
        cells = all_cells[: len(self._windows)]  # those of disturbed windows follow
        calls = [cell[0] for cell in all_cells]
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
            windows_ns=self._corrected_ns(cells),
            calls_range=(min(calls), max(calls)) if min(calls) != max(calls) else None,
            uncertainty_ns=self._scales[0] * self._cost.uncertainty_ns(mean_calls, children),
            below_resolution=not self._cost.resolves(self_ns, mean_calls),
            call_sites=tuple(sorted(call_sites, key=lambda cost: -cost.self_ns)),
        )

    def _hidden_share(self, cells: Sequence[Cell], kernels: Sequence[Cell]) -> float:
        """Return the share of a wrapper's self time in a MAC kernel that has no event."""
        whole_ns = self._self_ns(cells)
        return min(1.0, self._self_ns(kernels) / whole_ns) if whole_ns else 0.0

    def _composites(self) -> tuple[CompositeCost, ...]:
        by_root = _Sum(self._windows, lambda key: key.root.name)
        calls: dict[str, int] = {}
        for root, count in self._structure.roots.items():
            calls[root.name] = calls.get(root.name, 0) + count
        composites = [
            CompositeCost(
                name=name,
                calls=calls.get(name, 0),
                total_ns=sum(cost.self_ns for cost in inside),
                raw_total_ns=_raw_ns(by_root.cells(name)),
                inside=tuple(sorted(inside, key=lambda cost: -cost.self_ns)),
            )
            for name, inside in self._inside().items()
        ]
        return tuple(sorted(composites, key=lambda cost: -cost.total_ns))

    def _inside(self) -> dict[str, list[InsideCost]]:
        within = _Sum(self._windows, lambda key: (key.root.name, key.operator))
        found: dict[str, list[InsideCost]] = {}
        for root, operator in within.parts():
            cells = within.cells((root, operator))
            cost = InsideCost(operator, cells[0][0], self._self_ns(cells), _raw_ns(cells))
            found.setdefault(root, []).append(cost)
        return found

    def _mac_kinds(self) -> tuple[MacKindCost, ...]:
        kernels = _Sum(self._windows, lambda key: key.kind if key.is_mac else None)
        costs = [
            MacKindCost(kind, count.calls, count.macs, self._self_ns(kernels.cells(kind)))
            for kind, count in self._structure.kinds.items()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.macs))

    def _uncosted(self) -> tuple[str, ...]:
        """Return the operators that may do MACs and that no formula counts."""
        plain = {key.operator for key in self._structure.keys if key.kind is None}
        plain -= self._structure.around_macs
        suspects = {name for name in plain if self._taxonomy.looks_like_mac(name)}
        return tuple(sorted(suspects | set(self._macs.unformulated)))


def _raw_ns(cells: Iterable[Cell]) -> float:
    """Return the median self time as profiled, in ns."""

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
