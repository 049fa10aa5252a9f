"""Attribution: shares the latency of a call out over its operators, from folded windows.

First, the profiler overhead is subtracted from every cell. Then each window is scaled to the
latency, by the time of the plain calls around it. The cells of a root operator that a clock timed
are scaled to its time by the clock; the rest of the latency is the time outside operators. Without
a clock, that time comes from the windows, and the part of the latency that stays unexplained is
the residual: it is reported, not spread over the operators.

A cost is the mean over the windows, without the slowest and the fastest eighth. Unlike medians,
means of parts add up to the mean of the whole, so operators, composites, call sites and MAC kinds
agree with each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from types import MappingProxyType

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
from pytest_hiddencost.measure.operators.folding import Root, Window
from pytest_hiddencost.measure.operators.mac_kinds import (
    UNMATCHED,
    counted_kinds,
    generated_kind,
    generated_note,
)
from pytest_hiddencost.measure.operators.overhead import EventCost, fit
from pytest_hiddencost.measure.operators.sums import NO_CELLS, Scale, Sum, Sums

UNTYPICAL_SHARE = 0.125  # of the windows, left out at either end
LEAST_SHARE = 0.05  # of a window belongs to the call, however large the overhead seems
_GRAPH_LAUNCH = "GraphLaunch"  # ends the names of calls that replay a captured graph
LEAST_NET = 0.2  # of a composite's time as profiled, if the overhead is taken out of its parts
NO_CLOCK: Mapping[Root, float] = MappingProxyType({})


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
    waiting_for_host_ns: float | None


def attribute(
    windows: Sequence[Window],
    latency_ns: float,
    macs: MacCount,
    taxonomy: Taxonomy,
    cost: EventCost,
    disturbed: Sequence[Window] = (),
    *,
    on_host: bool = True,
    clocked: Mapping[Root, float] = NO_CLOCK,
) -> Attribution:
    """Share the latency of a call (in ns) out over the operators of its ``windows``, one at least.

    ``macs`` are the counted MAC calls and ``cost`` is the event cost to subtract. ``on_host``:
    operators run on the CPU, so their durations include the overhead; otherwise durations are
    those of kernels. ``disturbed`` windows count with their calls, not with their times.
    ``clocked`` has the share of the latency of each root operator that a clock timed.
    """
    return _Attributor(
        windows, latency_ns, macs, taxonomy, cost, disturbed, on_host, clocked
    ).result()


@dataclass
class _Attributor:
    windows: Sequence[Window]
    latency_ns: float
    macs: MacCount
    taxonomy: Taxonomy
    cost: EventCost
    disturbed: Sequence[Window]
    on_host: bool
    clocked: Mapping[Root, float]

    def __post_init__(self) -> None:
        windows = self.windows
        self._structure = windows[0].structure
        net_ns = [self._net_ns(window) for window in windows]
        # The scales remove the noise between windows and keep a misfit as the residual.
        share = fit([net / w.plain_ns for net, w in zip(net_ns, windows, strict=True)])
        self._scales = [self.latency_ns * share / net for net in net_ns]
        self._nothing = [NO_CELLS] * len(windows)
        order = sorted(range(len(windows)), key=lambda i: windows[i].wall_ns)
        # If the structure varies, slow windows are those with more work: all count.
        varies = any(w.structure != self._structure for w in windows)
        left_out = 0 if varies else int(UNTYPICAL_SHARE * len(windows) + 0.5)
        self._typical = order[left_out : len(windows) - left_out]
        self._sums = Sums(self.cost)
        if not varies:
            self._sums = Sums(self.cost, self._clock_scales())

    def _clock_scales(self) -> dict[Root, Scale]:
        """Return the scale of each root operator that a clock timed."""
        inside: dict[Root, list[list[Sum]]] = {}
        found = self._sums.by(self.windows, lambda key: (key.root, key.operator))
        for (root, _), sums in found.items():
            if root in self.clocked:
                inside.setdefault(root, []).append(sums)
        return {
            root: self._clock_scale(self.clocked[root] * self.latency_ns, parts)
            for root, parts in inside.items()
        }

    def _clock_scale(self, clocked_ns: float, parts: Sequence[Sequence[Sum]]) -> Scale:
        net_ns = sum(map(self._self_ns, parts))
        raw_ns = sum(self._mean([one.raw_ns for one in sums]) for sums in parts)
        if net_ns > LEAST_NET * raw_ns:
            return Scale(clocked_ns / net_ns)
        return Scale(clocked_ns / raw_ns if raw_ns > 0 else 0.0, corrected=False)

    def _net_ns(self, window: Window) -> float:
        """Return a window's time without the overhead; kernels on an accelerator have none."""
        if not self.on_host:
            return window.plain_ns
        seen = window.structure
        profiler_ns = self.cost.total_ns(seen.events, seen.root_events)
        return max(window.wall_ns - profiler_ns, LEAST_SHARE * window.wall_ns)

    def result(self) -> Attribution:
        operators, composites = self._operators(), self._composites()
        operators_ns = sum(operator.self_ns for operator in operators)
        outside_ns = self._outside_ns(composites)
        attributed = all(w.structure.matched == len(self.macs.calls) for w in self.windows)
        return Attribution(
            operators=operators,
            composites=composites,
            mac_kinds=(
                *(self._mac_kinds() if attributed else counted_kinds(self.macs)),
                *generated_kind(self.macs),
            ),
            profiler=ProfilerCost(
                event_cost_ns=self.cost.event_ns,
                events=self._structure.events,
                inflation_share=median(w.wall_ns / w.plain_ns for w in self.windows) - 1.0,
                residual_share=1.0 - (operators_ns + outside_ns) / self.latency_ns,
                windows=len(self.windows),
                inside_cost_ns=self.cost.inside_ns,
                observed_cost_ns=self.cost.observed_ns,
                calibrated_cost_ns=self.cost.calibrated_ns,
            ),
            mac_ns=sum(operator.self_ns * operator.mac_share for operator in operators),
            outside_ns=outside_ns,
            uncosted=self._uncosted(),
            notes=(*(() if attributed else (UNMATCHED,)), *generated_note(self.macs)),
            waiting_for_host_ns=self._waiting_for_host_ns(),
        )

    def _corrected_ns(self, sums: Sequence[Sum]) -> tuple[float, ...]:
        """Return a part's self time in every window, on the latency's scale."""
        return tuple(
            scale * max(0.0, one.net_ns) for scale, one in zip(self._scales, sums, strict=True)
        )

    def _self_ns(self, sums: Sequence[Sum]) -> float:
        """Return a part's mean self time over the typical windows, on the latency's scale."""
        return max(0.0, self._mean([one.net_ns for one in sums]))

    def _mean(self, times_ns: Sequence[float]) -> float:
        """Return the mean of one time of each window, on the latency's scale."""
        return fmean(self._scales[i] * times_ns[i] for i in self._typical)

    def _outside_ns(self, composites: Iterable[CompositeCost]) -> float:
        if self._sums.scales:  # windows would overstate it: the profiler slows Python as well
            return max(0.0, self.latency_ns - sum(cost.total_ns for cost in composites))

        def net_ns(window: Window) -> float:
            whole_ns = window.wall_ns if self.on_host else window.plain_ns
            raw_ns = whole_ns - sum(window.raw_ns)
            seen = window.structure
            return self.cost.outside_ns(raw_ns, seen.root_events, seen.root_annotations)

        return max(0.0, self._mean([net_ns(window) for window in self.windows]))

    def _waiting_for_host_ns(self) -> float | None:
        """Return the mean time that the accelerator waited for the host; None if not known.

        The profiler slows the host down. So the windows only say which share of the idle time was
        waiting, and the plain calls say how long the accelerator was idle.
        """
        waited_ns = []
        for i in self._typical:
            window, timeline = self.windows[i], self.windows[i].timeline
            if timeline is None:
                return None
            share = timeline.waiting_ns / max(1, window.wall_ns - timeline.busy_ns)
            idle_ns = max(0.0, window.plain_ns - timeline.busy_ns)
            waited_ns.append(self._scales[i] * idle_ns * min(1.0, share))
        return fmean(waited_ns)

    def _operators(self) -> tuple[OperatorCost, ...]:
        sums = self._sums.by([*self.windows, *self.disturbed], lambda key: key.operator)
        kernels = self._sums.by(self.windows, lambda key: key.operator if key.is_mac else None)
        call_sites = self._call_sites()
        costs = [
            self._operator(name, of_all, kernels.get(name, self._nothing), call_sites.get(name, ()))
            for name, of_all in sums.items()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.self_ns))

    def _call_sites(self) -> dict[str, list[CallSiteCost]]:
        by_site = self._sums.by(
            self.windows,
            lambda key: (key.operator, key.root) if key.root.call_site else None,
        )
        found: dict[str, list[CallSiteCost]] = {}
        for (operator, root), sums in by_site.items():
            module, line = root.call_site or ("", "")
            cost = CallSiteCost(module, line, sums[0].calls, self._self_ns(sums), root.name)
            found.setdefault(operator, []).append(cost)
        return found

    def _operator(
        self,
        name: str,
        of_all: Sequence[Sum],
        kernels: Sequence[Sum],
        call_sites: Iterable[CallSiteCost],
    ) -> OperatorCost:
        sums = of_all[: len(self.windows)]  # those of disturbed windows follow
        calls = [one.calls for one in of_all]
        self_ns = self._self_ns(sums)
        mean_calls = fmean(sums[i].calls for i in self._typical)
        children = fmean(sums[i].children for i in self._typical)
        group = self.taxonomy.group(name)
        return OperatorCost(
            name=name,
            group=group,
            calls=calls[0],
            self_ns=self_ns,
            raw_self_ns=_raw_ns(sums),
            macs=self._structure.operator_macs.get(name, 0),
            mac_share=1.0 if group == "mac" else self._hidden_share(sums, kernels),
            windows_ns=self._corrected_ns(sums),
            calls_range=(min(calls), max(calls)) if min(calls) != max(calls) else None,
            uncertainty_ns=self._scales[0] * self.cost.uncertainty_ns(mean_calls, children),
            below_resolution=not self.cost.resolves(self_ns, mean_calls),
            call_sites=tuple(sorted(call_sites, key=lambda cost: -cost.self_ns)),
        )

    def _hidden_share(self, sums: Sequence[Sum], kernels: Sequence[Sum]) -> float:
        """Return the share of a wrapper's self time in a MAC kernel that has no event."""
        whole_ns = self._self_ns(sums)
        return min(1.0, self._self_ns(kernels) / whole_ns) if whole_ns else 0.0

    def _composites(self) -> tuple[CompositeCost, ...]:
        by_root = self._sums.by(self.windows, lambda key: key.root.name)
        unclocked = {root.name for root in self._structure.roots if root not in self._sums.scales}
        calls = Counter[str]()
        for root, count in self._structure.roots.items():
            calls[root.name] += count
        composites = []
        for name, inside in self._inside().items():
            total_ns = sum(cost.self_ns for cost in inside)
            clocked = name not in unclocked
            composite = CompositeCost(
                name=name,
                calls=calls[name],
                total_ns=total_ns,
                raw_total_ns=_raw_ns(by_root[name]),
                inside=tuple(sorted(inside, key=lambda cost: -cost.self_ns)),
                clocked=clocked,
                event_cost_ns=self._event_cost_ns(by_root[name], total_ns) if clocked else None,
            )
            composites.append(composite)
        return tuple(sorted(composites, key=lambda cost: -cost.total_ns))

    def _event_cost_ns(self, sums: Sequence[Sum], clocked_ns: float) -> float:
        """Return the time in ns by which a profiler event lengthened a composite."""
        raw_ns = fmean(
            sums[i].raw_ns * self.latency_ns / self.windows[i].plain_ns for i in self._typical
        )
        return (raw_ns - clocked_ns) / fmean(sums[i].events for i in self._typical)

    def _inside(self) -> dict[str, list[InsideCost]]:
        by_operator = self._sums.by(self.windows, lambda key: (key.root.name, key.operator))
        found: dict[str, list[InsideCost]] = {}
        for (root, operator), sums in by_operator.items():
            cost = InsideCost(operator, sums[0].calls, self._self_ns(sums), _raw_ns(sums))
            found.setdefault(root, []).append(cost)
        return found

    def _mac_kinds(self) -> tuple[MacKindCost, ...]:
        kernels = self._sums.by(self.windows, lambda key: key.kind if key.is_mac else None)
        costs = [
            MacKindCost(kind, *count, self._self_ns(kernels.get(kind, self._nothing)))
            for kind, count in self._structure.kinds.items()
        ]
        return tuple(sorted(costs, key=lambda cost: -cost.macs))

    def _uncosted(self) -> tuple[str, ...]:
        """Return the operators that may do MACs and that no formula counts."""
        plain = {key.operator for key in self._structure.keys if key.kind is None}
        suspects = set(filter(self.taxonomy.looks_like_mac, plain - self._structure.around_macs))
        if not self.macs.generated_macs:  # a call in eager mode counted the products of a graph
            suspects |= {name for name in plain if name.endswith(_GRAPH_LAUNCH)}
        return tuple(sorted({*suspects, *self.macs.unformulated}))


def _raw_ns(sums: Iterable[Sum]) -> float:
    """Return the median self time as profiled, in ns."""
    return float(median(max(0, one.raw_ns) for one in sums))
