"""One measurement of one call, pass by pass: structure, latency, operators.

Each pass makes its own calls of the model, so no instrument runs while the latency is taken.
The result is a ``Profile`` without a test id and without verdicts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Protocol

import torch

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.intervals import samples_needed
from pytest_hiddencost.core.records import DeviceHealth, Profile, Sampling
from pytest_hiddencost.core.taxonomy import DEFAULT, Taxonomy
from pytest_hiddencost.measure.activation_memory import Memory, growth_note, memory_of
from pytest_hiddencost.measure.arguments import (
    naming_way_out,
    refuse_deferred_output,
    way_out,
)
from pytest_hiddencost.measure.calls import Call, check_output_device, tensors_in
from pytest_hiddencost.measure.device.description import intra_op_threads
from pytest_hiddencost.measure.device.health import DeviceWatch
from pytest_hiddencost.measure.graphs import fused_kernels
from pytest_hiddencost.measure.latency.reference_workload import ReferenceWorkload
from pytest_hiddencost.measure.latency.sampler import LONG_CALL_NS, LatencySampler
from pytest_hiddencost.measure.macs.compiled import CompiledCounter
from pytest_hiddencost.measure.macs.counting import MacCount, count_macs
from pytest_hiddencost.measure.macs.thop_count import thop_macs
from pytest_hiddencost.measure.modes import training_notes
from pytest_hiddencost.measure.operators.attribution import Attribution, attribute
from pytest_hiddencost.measure.operators.folding import CallSite
from pytest_hiddencost.measure.operators.overhead import NO_COST, calibrated, event_cost
from pytest_hiddencost.measure.operators.profiler import refuse_if_profiling
from pytest_hiddencost.measure.operators.tracing import root_call_sites
from pytest_hiddencost.measure.operators.windows import OperatorWindows
from pytest_hiddencost.measure.state import Preserved, preserved
from pytest_hiddencost.measure.variation import REMEDY, Variation, signature, variation_of

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
FEWEST_WINDOWS = 3
LATER_COUNTS = 3  # of MACs, after all other passes; one of a long call
USUAL_WINDOWS = 8  # the fewest that give a 99 % interval of a median
LONGEST_FACTOR = 2  # times max_time: from the warm-up until the limits are decided, or stay open


def profile(
    model: Callable[..., object],
    *args: object,
    label: str = "",
    grad_mode: str = "inference",
    sampling: Sampling | None = None,
    setup: Callable[[], object] | None = None,
    **kwargs: object,
) -> Profile:
    """Measure ``model(*args, **kwargs)`` on the device of its tensors, without pytest.

    ``grad_mode`` is ``"inference"`` (``torch.inference_mode``), ``"no_grad"`` or ``"grad"``.
    ``setup`` makes the arguments anew for every call, outside the measured time: it returns a
    tuple of arguments, or ``(args, kwargs)``. Then ``args`` and ``kwargs`` are not accepted.
    Raises what the model raises, and ``MeasurementError`` for a call that cannot be measured.
    """
    if not isinstance(label, str):
        raise MeasurementError(f"label={label!r:.60}: a label is text; {way_out('label')}")
    call = Call(model, args, kwargs, torch.device("cpu"), grad_mode, setup)
    call = replace(call, device=_device_of(call))
    given = {"label": bool(label), "sampling": sampling is not None, "setup": setup is not None}
    with naming_way_out({**given, "grad_mode": grad_mode != "inference"}):
        return replace(measure(call, sampling or Sampling()), label=label)


def _device_of(call: Call) -> torch.device:
    parameters = [] if call.module is None else list(call.module.parameters())[:1]
    for tensor in parameters or tensors_in(call.arguments()):
        return tensor.device
    return torch.get_default_device()


class Windows:
    """The operator pass of one call, one profiler window at a time.

    Its ``max_time`` includes the time to read the events of a window.
    """

    def __init__(self, windows: OperatorWindows, sampling: Sampling, *, decides: bool) -> None:
        self.windows = windows
        self._spent_ns = 0
        self._max_time_ns = sampling.max_time_ns
        self._floor = samples_needed(0.5, sampling.confidence) if decides else FEWEST_WINDOWS

    @property
    def time_left(self) -> bool:
        """Whether ``max_time`` allows more windows."""
        return self._spent_ns < self._max_time_ns

    @property
    def wanted(self) -> int:
        """Number of windows still to take."""
        taken, kept = len(self.windows.windows), len(self.windows.kept)
        if not self.time_left and kept >= self._floor:
            return 0
        # Replacing disturbed windows ends: at least half of all windows are kept.
        return max(0, max(USUAL_WINDOWS, self._floor) - taken, self._floor - kept)

    def prepare(self) -> None:
        """Run the warm-up windows; they do not count."""
        self.windows.discard_cold()

    def take_all(self) -> None:
        """Take windows until no more are wanted."""
        self.prepare()
        while self.wanted:
            self.add()

    def add(self) -> tuple[int, int]:
        """Take one window; return its time outside MAC kernels and its whole time, in ns.

        Both times include the profiler's overhead.
        """
        start = perf_counter_ns()
        window = self.windows.add()
        self._spent_ns += perf_counter_ns() - start
        return self.windows.outside_and_whole_ns(window)

    def add_more(self, last_ns: int) -> None:
        """Take a quarter more windows, within ``max_time`` and until ``last_ns`` on the clock."""
        for _ in range(max(1, len(self.windows.windows) // 4)):
            if self.time_left and perf_counter_ns() < last_ns:
                self.add()


class Pace(Protocol):
    """The decision when the timed calls and the windows of one measurement run.

    Without ``whole`` only times are wanted: call sites and memory are left out.
    """

    whole: bool

    def latency(self, sampler: LatencySampler) -> None:
        """Take the latency samples of a call that is warm."""

    def windows(self, windows: Windows) -> None:
        """Take the profiler windows."""


def measure(
    call: Call,
    sampling: Sampling,
    *,
    threads: int | None = None,
    taxonomy: Taxonomy = DEFAULT,
    undecided: Callable[[Profile], bool] | None = None,
    pace: Pace | None = None,
) -> Profile:
    """Measure ``call``; take more samples and windows while ``undecided`` returns true.

    From the warm-up on, that ends after ``LONGEST_FACTOR`` times ``max_time``.
    ``threads`` is the number of intra-op threads (None: torch's setting). With a ``pace``, another
    process measures in turns with this one: thop and the reference workload are left out.
    """
    refuse_if_profiling()
    watch = DeviceWatch(threads or intra_op_threads(), device_type=call.device.type)
    with preserved(call, threads) as state:
        seen = _first_call(call, state)
        decides = undecided is not None
        measurement = _Measurement(call, sampling, taxonomy, watch, decides, pace, seen)
        measurement.take()
        result = measurement.compared(measurement.decide(undecided))
    notes = training_notes(state.ran, call.module)
    return replace(result, notes=(*notes, *measurement.notes, *result.notes, *state.notes))


@dataclass(frozen=True)
class _FirstCall:
    """The signature of its output, and fused kernels that neither dispatcher nor profiler sees."""

    output: str
    fused: tuple[str, ...]


def _first_call(call: Call, state: Preserved) -> _FirstCall:
    """Run the call without a profiler, so that a model that raises does so here."""
    with call.gradients(), state.watching():
        output = call.run_synchronized()
    refuse_deferred_output(output, call.name)
    check_output_device(output, call)
    return _FirstCall(signature(output), fused_kernels(state.tops))


@dataclass
class _Measurement:
    """All passes over one call, and the profile of the data so far."""

    call: Call
    sampling: Sampling
    taxonomy: Taxonomy
    watch: DeviceWatch
    decides: bool
    pace: Pace | None
    first: _FirstCall
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        call, decides, alone = self.call, self.decides, self.pace is None
        self._outputs = [self.first.output]
        self._counter = CompiledCounter(self._counted_once)
        self._macs = self._counted()
        self._whole = alone or (self.pace is not None and self.pace.whole)
        self._memory = memory_of(call) if self._whole else Memory(None, None)
        self.notes = growth_note(call, self._memory)
        self._thop_macs, self._thop_note = thop_macs(call) if alone else (None, "")
        reference = ReferenceWorkload(call.device) if alone else None
        self._latency = LatencySampler(call, self.sampling, decides=decides, reference=reference)
        self._windows: Windows
        self._last_ns = 0

    def _counted(self) -> MacCount:
        """Return the MACs of one call and remember what it returned."""
        with self.call.gradients():
            counted = self._counter()
        return replace(counted, unformulated=(*counted.unformulated, *self.first.fused))

    def _counted_once(self) -> MacCount:
        call = self.call.prepared()

        def run() -> None:
            self._outputs.append(signature(call()))

        return count_macs(run)

    def compared(self, result: Profile) -> Profile:
        """Return the profile with what differs between the early calls and calls made now."""
        if not self._whole:
            return result
        long = result.latency.median_ns >= LONG_CALL_NS
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
        return _with_variation(result, found)

    def _settled(self, result: Profile) -> tuple[Profile, list[Memory]]:
        """Return the profile, with the bytes of calls made now if they settled, and all bytes."""
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
        self._latency.warm_up()
        if self.pace is None:
            self._latency.sample()
        else:
            self.pace.latency(self._latency)
        call_sites, notes = _call_sites(self.call) if self._whole else ([], ())
        self.notes += notes
        # Turns compare shares of windows, so plain calls between windows would be lost time.
        plain_ns = None if self.pace is None else self._latency.result().median_ns
        windows = OperatorWindows(self.call, self._macs.calls, self.taxonomy, call_sites, plain_ns)
        self._windows = Windows(windows, self.sampling, decides=self.decides)
        if self.pace is None:
            self._windows.take_all()
        else:
            self.pace.windows(self._windows)

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
            reference=self._latency.reference_time(),
            health=_health(self.watch),
            model=self.call.name,
            grad_mode=self.call.grad_mode,
            device=str(self.call.device),
            structure_varies=self._windows.windows.structure_varies,
            **vars(found),
        )

    def _attribution(self, latency_ns: float) -> Attribution:
        windows, macs, taxonomy = self._windows.windows, self._macs, self.taxonomy
        kept, disturbed = windows.kept, windows.disturbed
        if self.call.device.type != "cpu":
            return attribute(kept, latency_ns, macs, taxonomy, NO_COST, disturbed, on_host=False)
        cost = event_cost(calibrated(), windows.excesses())
        return attribute(kept, latency_ns, macs, taxonomy, cost, disturbed)


def _with_variation(result: Profile, found: Variation) -> Profile:
    """Return the profile with its variation; a trend makes its times unfit to be judged."""
    if not found.varies:
        return result
    health = result.health
    if found.trend:
        reasons = (*health.reasons, f"the call is not the same every time: {found.trend}")
        health = replace(health, fit=False, reasons=reasons, remedies=(*health.remedies, REMEDY))
    notes = (*result.notes, found.note)
    return replace(result, varies=found.varies, health=health, notes=notes)


def _call_sites(call: Call) -> tuple[list[tuple[str, CallSite]], tuple[str, ...]]:
    """Return the call sites of the root operators, or a note why they are not known."""
    try:
        return root_call_sites(call), ()
    except Exception as error:  # a model that cannot be traced is still measured
        text = f"{type(error).__name__}: {error}"
        return [], (f"the call sites of the operators are not known: {text:.200}",)


def _health(watch: DeviceWatch) -> DeviceHealth:
    objections = watch.objections()  # takes a reading, so it comes first
    return DeviceHealth(
        fit=not objections,
        reasons=objections,
        remarks=watch.remarks(),
        unknown=watch.unknown(),
        figures=watch.figures(),
        remedies=watch.remedies(),
    )
