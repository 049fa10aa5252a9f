"""One measurement of one call, pass by pass: structure, latency, operators.

Each pass makes its own calls of the model, so no instrument runs while the latency is taken.
The result is a ``Profile`` without a test id and without verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter_ns

from pytest_hiddencost.core.energy_records import EnergyUnknown, EnergyUse
from pytest_hiddencost.core.intervals import samples_needed
from pytest_hiddencost.core.lengthy import ENOUGH_NS, LENGTHY_CALL_NS
from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.core.taxonomy import Taxonomy
from pytest_hiddencost.measure.activation_memory import Memory, growth_note, memory_of
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.device.health import DeviceWatch
from pytest_hiddencost.measure.energy.energy_of_call import energy_of_call
from pytest_hiddencost.measure.latency.reference_workload import ReferenceWorkload
from pytest_hiddencost.measure.latency.sampler import LONG_CALL_NS, LatencySampler
from pytest_hiddencost.measure.macs.compiled import CompiledCounter
from pytest_hiddencost.measure.macs.counting import MacCount, count_macs
from pytest_hiddencost.measure.macs.thop_count import thop_macs
from pytest_hiddencost.measure.operators.attribution import NO_CLOCK, Attribution, attribute
from pytest_hiddencost.measure.operators.mac_kinds import counted_kinds, generated_kind
from pytest_hiddencost.measure.operators.overhead import NO_COST, calibrated, event_cost
from pytest_hiddencost.measure.operators.roots import RootOperators, root_operators
from pytest_hiddencost.measure.operators.window_pass import (
    FEWEST_LENGTHY_WINDOWS,
    FEWEST_WINDOWS,
    USUAL_WINDOWS,
    Windows,
)
from pytest_hiddencost.measure.operators.windows import OperatorWindows
from pytest_hiddencost.measure.outlook import Outlook
from pytest_hiddencost.measure.pace import Pace, Wanted
from pytest_hiddencost.measure.unseen_work import UnseenWork
from pytest_hiddencost.measure.variation import signature, variation_of

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
LATER_COUNTS = 3  # of MACs, after all other passes; one of a long call
LATER_CALLS = 2  # of a lengthy call after all other passes: its MACs, its memory
LONGEST_FACTOR = 2  # times max_time: from the warm-up until the limits are decided, or stay open


@dataclass(frozen=True)
class FirstCall:
    """The first call: its output's signature; kernels that dispatcher and profiler do not see."""

    output: str
    fused: tuple[str, ...]


@dataclass
class Passes:
    """All passes over one call, and the profile of the data so far."""

    call: Call
    sampling: Sampling
    taxonomy: Taxonomy
    watch: DeviceWatch
    wanted: Wanted
    pace: Pace | None
    first: FirstCall
    outlook: Outlook
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        call, alone = self.call, self.pace is None
        self._outputs = [self.first.output]
        self._counter = CompiledCounter(self._counted_once)
        self.outlook.begins("MACs")
        self._macs = self._counted()
        whole = self.pace is None or self.pace.whole
        self._checks = whole and self.wanted.checks
        self.outlook.begins("memory")
        self._memory = memory_of(call) if whole else Memory(None, None)
        self.notes = growth_note(call, self._memory)
        self.outlook.begins("warm-up")
        self._thop_macs, self._thop_note = self._thop()
        reference = ReferenceWorkload(call.device) if alone else None
        self._latency = LatencySampler(
            call,
            self.sampling,
            decides=self.wanted.samples,
            brief=not self.wanted.checks,
            reference=reference,
        )
        self._unseen = UnseenWork(call)
        self._energy: EnergyUse | None = None
        self._energy_unknown: EnergyUnknown | None = None
        self._windows: Windows
        self._roots = RootOperators([], NO_CLOCK)
        self._last_ns = 0

    def _thop(self) -> tuple[int | None, str]:
        """Return thop's count, or the reason why there is none; thop calls a copy of the model."""
        if not self.wanted.thop or self.pace is not None:
            return None, ""
        if self.outlook.shortest_ns >= max(LENGTHY_CALL_NS, self.sampling.max_time_ns):
            return None, "a call takes longer than --hiddencost-max-time"
        return thop_macs(self.call)

    def _counted(self) -> MacCount:
        """Return the MACs of one call and remember the signature of its output."""
        with self.call.gradients():
            counted = self._counter()
        return replace(counted, unformulated=(*counted.unformulated, *self.first.fused))

    def _counted_once(self) -> MacCount:
        call = self.call.prepared()

        def run() -> None:
            self._outputs.append(signature(call()))

        return count_macs(run)

    def taken(self, undecided: Callable[[Profile], bool] | None) -> Profile:
        """Take every pass and return the profile."""
        self.take()
        return self.compared(self.decide(undecided))

    def compared(self, result: Profile) -> Profile:
        """Return the profile with differences between early and late calls, and unseen work."""
        if not self._checks:
            return result
        long = result.latency.median_ns >= LONG_CALL_NS
        self.outlook.begins("once more")
        counts = [self._macs, *(self._counted() for _ in range(1 if long else LATER_COUNTS))]
        result, memories = self._settled(result)
        varying = [cost for cost in result.operators if cost.calls_range]
        found = variation_of(
            counts,
            memories,
            self._outputs,
            result.latency.samples_ns,
            calls_vary=result.structure_varies,
            mac_calls_vary=any(cost.macs or cost.group == "mac" for cost in varying),
        )
        unseen = self._unseen.found(result.latency.median_ns)
        result = replace(result, unseen_ns=unseen.ns, notes=(*unseen.notes, *result.notes))
        if not found.varies:
            return result
        return replace(result, varies=found.varies, notes=(*result.notes, found.note))

    def with_first_macs(self, result: Profile) -> Profile:
        """Return the profile with the MACs of a call like the first one, made now."""
        count = self._counted()
        rate = count.macs / result.latency.median_ns * 1e9
        kinds = (*counted_kinds(count), *generated_kind(count))
        return replace(result, macs=count.macs, mac_kinds=kinds, mac_rate=rate)

    def _settled(self, result: Profile) -> tuple[Profile, list[Memory]]:
        """Return the profile and the memories of calls; if late ones agree, their bytes count."""
        memories = [self._memory, memory_of(self.call)]
        if memories[0] != memories[1]:
            memories.append(memory_of(self.call))
        if memories[0] == memories[1] or memories[1] != memories[2]:
            return result, memories
        peak, allocated = memories[1].peak_bytes, memories[1].allocated_bytes
        result = replace(result, activation_peak_bytes=peak, allocated_bytes=allocated)
        return result, memories[1:]

    def take(self) -> None:
        """Warm the call up, then take samples and windows: all at once, or at the pace."""
        self._last_ns = perf_counter_ns() + LONGEST_FACTOR * self.sampling.max_time_ns
        self._latency.warm_up(warm=self.outlook.lengthy)
        self._foresee("timed", first=True)
        with self._unseen.suspecting(lambda: self._latency.spent_ns):
            if self.pace is None:
                self._latency.sample()
            else:
                self.pace.latency(self._latency)
        self._foresee("energy")
        self._take_energy()
        lengthy = self._latency.lengthy
        self._foresee("call sites")
        if self._checks:
            clocked = self.pace is None and not lengthy
            latency_ns = self._latency.result().median_ns if clocked else None
            self._roots = root_operators(self.call, latency_ns)
            self.notes += self._roots.notes
        # Turns compare shares of windows, so plain calls between windows would be lost time.
        known = lengthy or self.pace is not None
        windows = OperatorWindows(
            self.call,
            self._macs.calls,
            self.taxonomy,
            self._roots.call_sites,
            plain_ns=self._latency.result().median_ns if known else None,
            cold=0 if lengthy else OperatorWindows.COLD,
        )
        self._windows = Windows(windows, self.sampling, *self._fewest_windows())
        self._foresee("profiled")
        if self.pace is None:
            self._windows.take_all()
        else:
            self.pace.windows(self._windows)

    def _take_energy(self) -> None:
        """Measure the energy if it is wanted, before the profiler has run."""
        if self.wanted.meter is None or self.pace is not None:
            return
        found = energy_of_call(self.call, self.wanted.meter, self.sampling)
        if isinstance(found, EnergyUse):
            self._energy = found
        else:
            self._energy_unknown = found

    def _fewest_windows(self) -> tuple[int, int]:
        """Return the fewest windows to take, and the fewest if they take many seconds."""
        if self.wanted.windows:
            return (samples_needed(0.5, self.sampling.confidence),) * 2
        return FEWEST_WINDOWS, FEWEST_LENGTHY_WINDOWS if self.wanted.checks else 1

    def _foresee(self, pass_name: str, *, first: bool = False) -> None:
        """Enter a pass of lengthy calls; with the ``first``, foresee all calls until the end."""
        if not self.outlook.lengthy or self.pace is not None:
            self.outlook.rests()
            return
        self.outlook.begins(pass_name)
        if first:
            call_ns, confidence = self.outlook.shortest_ns, self.sampling.confidence
            samples = self._latency.foreseen(call_ns)
            fewest, fewest_lengthy = self._fewest_windows()
            windows = max(
                min(fewest, math.ceil(ENOUGH_NS / call_ns)),
                fewest_lengthy,
                min(USUAL_WINDOWS, math.ceil(self.sampling.max_time_ns / call_ns)),
            )
            energy = 0 if self.wanted.meter is None else 1 + samples_needed(0.5, confidence)
            self.outlook.foresee(samples + energy + 1 + windows + LATER_CALLS)

    def decide(self, undecided: Callable[[Profile], bool] | None) -> Profile:
        """Return the profile; take more while it leaves a limit undecided and time is left."""
        result = self._profile()
        # The reference workload and this assembly take time too, so the wall clock ends the loop.
        while undecided is not None and undecided(result) and perf_counter_ns() < self._last_ns:
            if not (self._latency.time_left or self._windows.time_left):
                break
            if self._latency.time_left:
                self._latency.sample_more()
            self._windows.add_more(self._last_ns)
            result = self._profile()
        return result

    def _profile(self) -> Profile:
        latency = self._latency.result()
        found = self._attribution(latency.median_ns)
        module = self.call.module
        return Profile(
            test="",
            label="",
            latency=latency,
            macs=self._macs.macs,
            thop_macs=self._thop_macs,
            thop_note=self._thop_note,
            mac_rate=self._macs.macs / latency.median_ns * 1e9,
            parameters=None if module is None else sum(p.numel() for p in module.parameters()),
            non_mac_share=min(1.0, max(0.0, 1.0 - found.mac_ns / latency.median_ns)),
            activation_peak_bytes=self._memory.peak_bytes,
            allocated_bytes=self._memory.allocated_bytes,
            memory=self._memory.over_call,
            reference=self._latency.reference_time(),
            health=self.watch.health(),
            model=self.call.name,
            grad_mode=self.call.grad_mode,
            device=str(self.call.device),
            structure_varies=self._windows.windows.structure_varies,
            energy=self._energy,
            energy_unknown=self._energy_unknown,
            **vars(found),
        )

    def _attribution(self, latency_ns: float) -> Attribution:
        windows, macs, taxonomy = self._windows.windows, self._macs, self.taxonomy
        kept, disturbed = windows.kept, windows.disturbed
        if self.call.device.type != "cpu":
            return attribute(kept, latency_ns, macs, taxonomy, NO_COST, disturbed, on_host=False)
        cost = event_cost(calibrated(), windows.excesses())
        return attribute(
            kept, latency_ns, macs, taxonomy, cost, disturbed, clocked=self._roots.shares
        )
