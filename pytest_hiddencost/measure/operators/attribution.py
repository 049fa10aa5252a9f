"""Attribution: shares the latency of a call out over its operators, from folded windows.

First, the profiler overhead is subtracted from every cell. Then each window is scaled to the
latency, by the time of the plain calls around it. The part of the latency that stays unexplained
is the residual: it is reported, not spread over the operators.

A cost is the mean over the windows, without the slowest and the fastest eighth. Unlike medians,
means of parts add up to the mean of the whole, so operators, composites, call sites and MAC kinds
agree with each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import NamedTuple, TypeVar

from pytest_hiddencost.core.records import (
    GENERATED,
    CallSiteCost,
    CompositeCost,
    InsideCost,
    MacKindCost,
    OperatorCost,
    ProfilerCost,
)
from pytest_hiddencost.core.taxonomy import Taxonomy
from pytest_hiddencost.core.units import format_quantity
from pytest_hiddencost.measure.macs.counting import MacCount
from pytest_hiddencost.measure.operators.folding import CallStructure, Cell, CellKey, Window
from pytest_hiddencost.measure.operators.overhead import EventCost, fit

_Name = TypeVar("_Name", bound=Hashable)
_NOTHING: Cell = [0, 0, 0, 0]
UNMATCHED = "MACs could not be matched with profiler events: MAC kinds have no times"
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


class _Part(NamedTuple):
    """The cells of a structure that belong together: their positions, and their counts added up."""

    positions: tuple[int, ...]
    calls: int
    children: int
    annotations: int

    def cell(self, window: Window) -> Cell:
        """Return the cells of one window added up."""
        raw_ns = sum(map(window.raw_ns.__getitem__, self.positions))
        return [self.calls, raw_ns, self.children, self.annotations]


def _parts(
    structure: CallStructure, name_of: Callable[[CellKey], _Name | None]
) -> dict[_Name, _Part]:
    """Return the parts of a structure by name; a cell without a name belongs to none."""
    positions: dict[_Name, list[int]] = {}
    for position, key in enumerate(structure.keys):
        if (name := name_of(key)) is not None:
            positions.setdefault(name, []).append(position)
    counts = (structure.calls, structure.children, structure.annotations)
    return {
        name: _Part(tuple(found), *(sum(map(count.__getitem__, found)) for count in counts))
        for name, found in positions.items()
    }


def _sums(
    windows: Sequence[Window], name_of: Callable[[CellKey], _Name | None]
) -> dict[_Name, list[Cell]]:
    """Return the cells of every window, added up by a part of their key."""
    # Windows share their structure, so it is read once and not for every window.
    structures = {id(window.structure): window.structure for window in windows}
    parts = {key: _parts(structure, name_of) for key, structure in structures.items()}
    names = dict.fromkeys(name for of_structure in parts.values() for name in of_structure)

    def cell(window: Window, name: _Name) -> Cell:
        part = parts[id(window.structure)].get(name)
        return _NOTHING if part is None else part.cell(window)

    return {name: [cell(window, name) for window in windows] for name in names}


@dataclass
class _Attributor:
    windows: Sequence[Window]
    latency_ns: float
    macs: MacCount
    taxonomy: Taxonomy
    cost: EventCost
    disturbed: Sequence[Window]
    on_host: bool

    def __post_init__(self) -> None:
        windows = self.windows
        self._structure = windows[0].structure
        net_ns = [self._net_ns(window) for window in windows]
        # The scales remove the noise between windows and keep a misfit as the residual.
        share = fit([net / w.plain_ns for net, w in zip(net_ns, windows, strict=True)])
        self._scales = [self.latency_ns * share / net for net in net_ns]
        self._nothing = [_NOTHING] * len(windows)
        order = sorted(range(len(windows)), key=lambda i: windows[i].wall_ns)
        # If the structure varies, slow windows are those with more work: all count.
        varies = any(w.structure != self._structure for w in windows)
        left_out = 0 if varies else int(UNTYPICAL_SHARE * len(windows) + 0.5)
        self._typical = order[left_out : len(windows) - left_out]

    def _net_ns(self, window: Window) -> float:
        """Return a window's time without the overhead; kernels on an accelerator have none."""
        if not self.on_host:
            return window.plain_ns
        seen = window.structure
        profiler_ns = self.cost.total_ns(seen.events, seen.root_events)
        return max(window.wall_ns - profiler_ns, LEAST_SHARE * window.wall_ns)

    def result(self) -> Attribution:
        operators = self._operators()
        outside_ns = self._outside_ns()
        explained_ns = sum(operator.self_ns for operator in operators) + outside_ns
        attributed = all(w.structure.matched == len(self.macs.calls) for w in self.windows)
        return Attribution(
            operators=operators,
            composites=self._composites(),
            mac_kinds=(
                *(self._mac_kinds() if attributed else counted_kinds(self.macs)),
                *generated_kind(self.macs),
            ),
            profiler=ProfilerCost(
                event_cost_ns=self.cost.event_ns,
                events=self._structure.events,
                inflation_share=median(w.wall_ns / w.plain_ns for w in self.windows) - 1.0,
                residual_share=1.0 - explained_ns / self.latency_ns,
                windows=len(self.windows),
                inside_cost_ns=self.cost.inside_ns,
                observed_cost_ns=self.cost.observed_ns,
                calibrated_cost_ns=self.cost.calibrated_ns,
            ),
            mac_ns=sum(operator.self_ns * operator.mac_share for operator in operators),
            outside_ns=outside_ns,
            uncosted=self._uncosted(),
            notes=(*(() if attributed else (UNMATCHED,)), *_generated_note(self.macs)),
        )

    def _corrected_ns(self, cells: Sequence[Cell]) -> tuple[float, ...]:
        """Return a part's self time in every window, on the latency's scale."""
        return tuple(
            scale * max(0.0, self.cost.net_ns(*cell))
            for scale, cell in zip(self._scales, cells, strict=True)
        )

    def _self_ns(self, cells: Sequence[Cell]) -> float:
        """Return a part's mean self time over the typical windows, on the latency's scale."""
        means = (self._scales[i] * self.cost.net_ns(*cells[i]) for i in self._typical)
        return max(0.0, fmean(means))

    def _outside_ns(self) -> float:
        def net_ns(window: Window) -> float:
            whole_ns = window.wall_ns if self.on_host else window.plain_ns
            raw_ns = whole_ns - sum(window.raw_ns)
            seen = window.structure
            return self.cost.outside_ns(raw_ns, seen.root_events, seen.root_annotations)

        return max(0.0, fmean(self._scales[i] * net_ns(self.windows[i]) for i in self._typical))

    def _operators(self) -> tuple[OperatorCost, ...]:
        cells = _sums([*self.windows, *self.disturbed], lambda key: key.operator)
        kernels = _sums(self.windows, lambda key: key.operator if key.is_mac else None)
        call_sites = self._call_sites()
        costs = [
            self._operator(
                name, all_cells, kernels.get(name, self._nothing), call_sites.get(name, ())
            )
            for name, all_cells in cells.items()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.self_ns))

    def _call_sites(self) -> dict[str, list[CallSiteCost]]:
        sums = _sums(
            self.windows,
            lambda key: (key.operator, key.root) if key.root.call_site else None,
        )
        found: dict[str, list[CallSiteCost]] = {}
        for (operator, root), cells in sums.items():
            module, line = root.call_site or ("", "")
            cost = CallSiteCost(module, line, cells[0][0], self._self_ns(cells), root.name)
            found.setdefault(operator, []).append(cost)
        return found

    def _operator(
        self,
        name: str,
        all_cells: Sequence[Cell],
        kernels: Sequence[Cell],
        call_sites: Iterable[CallSiteCost],
    ) -> OperatorCost:
        cells = all_cells[: len(self.windows)]  # those of disturbed windows follow
        calls = [cell[0] for cell in all_cells]
        self_ns = self._self_ns(cells)
        mean_calls, children = (fmean(cells[i][n] for i in self._typical) for n in (0, 2))
        group = self.taxonomy.group(name)
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
            uncertainty_ns=self._scales[0] * self.cost.uncertainty_ns(mean_calls, children),
            below_resolution=not self.cost.resolves(self_ns, mean_calls),
            call_sites=tuple(sorted(call_sites, key=lambda cost: -cost.self_ns)),
        )

    def _hidden_share(self, cells: Sequence[Cell], kernels: Sequence[Cell]) -> float:
        """Return the share of a wrapper's self time in a MAC kernel that has no event."""
        whole_ns = self._self_ns(cells)
        return min(1.0, self._self_ns(kernels) / whole_ns) if whole_ns else 0.0

    def _composites(self) -> tuple[CompositeCost, ...]:
        by_root = _sums(self.windows, lambda key: key.root.name)
        calls = Counter[str]()
        for root, count in self._structure.roots.items():
            calls[root.name] += count
        composites = [
            CompositeCost(
                name=name,
                calls=calls[name],
                total_ns=sum(cost.self_ns for cost in inside),
                raw_total_ns=_raw_ns(by_root[name]),
                inside=tuple(sorted(inside, key=lambda cost: -cost.self_ns)),
            )
            for name, inside in self._inside().items()
        ]
        return tuple(sorted(composites, key=lambda cost: -cost.total_ns))

    def _inside(self) -> dict[str, list[InsideCost]]:
        sums = _sums(self.windows, lambda key: (key.root.name, key.operator))
        found: dict[str, list[InsideCost]] = {}
        for (root, operator), cells in sums.items():
            cost = InsideCost(operator, cells[0][0], self._self_ns(cells), _raw_ns(cells))
            found.setdefault(root, []).append(cost)
        return found

    def _mac_kinds(self) -> tuple[MacKindCost, ...]:
        kernels = _sums(self.windows, lambda key: key.kind if key.is_mac else None)
        costs = [
            MacKindCost(kind, *count, self._self_ns(kernels.get(kind, self._nothing)))
            for kind, count in self._structure.kinds.items()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.macs))

    def _uncosted(self) -> tuple[str, ...]:
        """Return the operators that may do MACs and that no formula counts."""
        plain = {key.operator for key in self._structure.keys if key.kind is None}
        suspects = filter(self.taxonomy.looks_like_mac, plain - self._structure.around_macs)
        return tuple(sorted({*suspects, *self.macs.unformulated}))


def _raw_ns(cells: Iterable[Cell]) -> float:
    """Return the median self time as profiled, in ns."""
    return float(median(max(0, cell[1]) for cell in cells))


def generated_kind(macs: MacCount) -> tuple[MacKindCost, ...]:
    """Return the kind of products in generated kernels, if there are any."""
    found = macs.generated_macs
    return (MacKindCost(GENERATED, 1, found, None),) if found else ()


def _generated_note(macs: MacCount) -> tuple[str, ...]:
    if not macs.generated_macs:
        return ()
    found = format_quantity("macs", macs.generated_macs)
    what = f"{found} ran in {GENERATED}, whose time counts as non-MAC time"
    return (f"{what}; limit p50 or macs instead of non_mac",)


def counted_kinds(macs: MacCount) -> tuple[MacKindCost, ...]:
    """Return the kinds of counted MACs, without times."""
    totals = Counter[str]()
    for call in macs.calls:
        totals[call.kind] += call.macs
    calls = Counter(call.kind for call in macs.calls)
    return tuple(MacKindCost(kind, calls[kind], totals[kind], None) for kind in calls)
