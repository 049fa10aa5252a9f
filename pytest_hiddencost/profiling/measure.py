"""One call measured in full, pass by pass: structure, latency, operators.

Every pass has its own calls, so that no instrument is on while the latency is taken. Data flows
one way: from here out comes a ``Profile`` without test id and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter_ns
from typing import Protocol

import torch

from pytest_hiddencost.intervals import samples_needed
from pytest_hiddencost.profiling.assemble import attribute
from pytest_hiddencost.profiling.calls import Call, check_output_device
from pytest_hiddencost.profiling.control import Control
from pytest_hiddencost.profiling.fitness import DeviceWatch
from pytest_hiddencost.profiling.folding import Site
from pytest_hiddencost.profiling.kineto import refuse_if_profiling
from pytest_hiddencost.profiling.latency import LatencySampler
from pytest_hiddencost.profiling.macs import MacCount, count_macs
from pytest_hiddencost.profiling.memory import Memory, memory_of
from pytest_hiddencost.profiling.operators import OperatorWindows
from pytest_hiddencost.profiling.perturbation import NO_COST, calibrated, event_cost
from pytest_hiddencost.profiling.sites import root_sites
from pytest_hiddencost.profiling.state import preserved
from pytest_hiddencost.profiling.thop_macs import thop_macs
from pytest_hiddencost.records import Fitness, Profile, Sampling
from pytest_hiddencost.taxonomy import DEFAULT, Taxonomy

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
FEWEST_WINDOWS = 3
PATIENCE = 2  # times max_time, for everything done to decide a limit
WINDOWS = 8  # as many as the 99 % interval of a median needs


def profile(
    model: Callable[..., object],
    *args: object,
    label: str = "",
    grad_mode: str = "inference",
    sampling: Sampling | None = None,
    **kwargs: object,
) -> Profile:
    """Measure ``model(*args, **kwargs)`` on the device its tensors are on, without pytest.

    ``grad_mode`` is ``"inference"`` (``torch.inference_mode``), ``"no_grad"`` or ``"grad"``.
    Raises what the model raises, and ``MeasurementError`` for a call that cannot be measured.
    """
    call = Call(model, args, kwargs, _device_of(model, args, kwargs), grad_mode)
    return replace(measure(call, sampling or Sampling()), label=label)


def _device_of(
    model: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> torch.device:
    call = Call(model, args, kwargs, torch.device("cpu"))
    parameters = [] if call.module is None else list(call.module.parameters())[:1]
    for tensor in [*parameters, *call.input_tensors()]:
        return tensor.device
    return torch.get_default_device()


class Windows(Protocol):
    """The operator pass of one call, a profiler window at a time."""

    @property
    def wanted(self) -> int:
        """Windows still to be taken."""

    def prepare(self) -> None:
        """Run the windows that do not count."""

    def add(self) -> tuple[int, int]:
        """Take one window: the time outside MAC kernels, and all of it, in ns.

        Both with the profiler's cost.
        """


class Pace(Protocol):
    """Who decides when the timed calls and the windows of a measurement run: it, or turns."""

    def latency(self, sampler: LatencySampler) -> None:
        """Take the samples; the call is warm."""

    def windows(self, windows: Windows) -> None:
        """Take the windows."""


class AtOnce:
    """Everything in one go: nothing else is measured meanwhile."""

    def latency(self, sampler: LatencySampler) -> None:
        """As many samples as their spread asks for."""
        sampler.sample()

    def windows(self, windows: Windows) -> None:
        """As many as are wanted."""
        windows.prepare()
        while windows.wanted:
            windows.add()


def measure(
    call: Call,
    sampling: Sampling,
    *,
    threads: int | None = None,
    taxonomy: Taxonomy = DEFAULT,
    undecided: Callable[[Profile], bool] | None = None,
    pace: Pace | None = None,
) -> Profile:
    """Measure ``call``; go on within ``max_time`` while ``undecided`` sees an interval straddle."""
    refuse_if_profiling()
    watch = DeviceWatch(threads or torch.get_num_threads(), device_type=call.device.type)
    with preserved(call, threads) as findings:
        notes = _first_call(call)
        macs = _counted(call)
        memory = memory_of(call)
        # A side of a pair is asked for no second opinion and has the other one for a control.
        in_turns = pace is not None
        thop, thop_note = (None, "") if in_turns else thop_macs(call)
        control = None if in_turns else Control(call.device)
        pace = pace or AtOnce()
        latency = LatencySampler(call, sampling, decides=undecided is not None, control=control)
        latency.warm_up()
        pace.latency(latency)
        sites, sites_note = _sites(call)
        # What counts in turns are shares of windows: these instead of plain calls between them.
        plain_ns = latency.result().median_ns if in_turns else None
        windows = OperatorWindows(call, macs.calls, taxonomy, sites, plain_ns)
        operators = _WindowPass(windows, sampling, decides=undecided is not None)
        pace.windows(operators)

        def assembled() -> Profile:
            profile = _assembled(call, macs, memory, latency, operators, taxonomy)
            objections = watch.objections()
            fitness = Fitness(
                not objections, objections, watch.remarks(), watch.unknown(), watch.figures()
            )
            return replace(profile, fitness=fitness)

        result = assembled()
        # Looking takes time as well, so rounds grow, and the clock on the wall has the last word.
        last_ns = perf_counter_ns() + PATIENCE * sampling.max_time_ns
        while undecided is not None and undecided(result) and perf_counter_ns() < last_ns:
            if not latency.time_left and not operators.time_left:
                break
            if latency.time_left:
                latency.sample_more()
            if operators.time_left:
                operators.add_more()
            result = assembled()
    return replace(
        result,
        thop_macs=thop,
        thop_note=thop_note,
        notes=(*notes, *sites_note, *result.notes, *findings.notes),
    )


def _first_call(call: Call) -> tuple[str, ...]:
    """Run once, unmeasured: a model that raises does so here, with nothing of ours switched on."""
    with call.gradients():
        output = call.run_synchronized()
    check_output_device(output, call)
    if call.module is not None and call.module.training:
        return (
            f"{call.name} is in training mode: dropout and batch statistics are measured; "
            "call .eval() to measure inference",
        )
    return ()


def _counted(call: Call) -> MacCount:
    def run() -> object:
        with call.gradients():
            return call.run_synchronized()

    return count_macs(run)


def _sites(call: Call) -> tuple[list[tuple[str, Site]], tuple[str, ...]]:
    """Where operators come from; a model that cannot be watched is measured all the same."""
    try:
        return root_sites(call), ()
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        return [], (f"where in the code operators are called is not known: {told:.200}",)


class _WindowPass:
    """Profiler windows within the time allowed; time here includes reading the events."""

    def __init__(self, windows: OperatorWindows, sampling: Sampling, *, decides: bool) -> None:
        self.windows = windows
        self.spent_ns = 0
        self._max_time_ns = sampling.max_time_ns
        self._floor = samples_needed(0.5, sampling.confidence) if decides else FEWEST_WINDOWS

    @property
    def time_left(self) -> bool:
        return self.spent_ns < self._max_time_ns

    @property
    def wanted(self) -> int:
        taken, kept = len(self.windows.windows), len(self.windows.kept)
        if not self.time_left and kept >= self._floor:
            return 0
        # Disturbed ones are replaced; this ends, since half of all windows are kept at least.
        return max(0, max(WINDOWS, self._floor) - taken, self._floor - kept)

    def prepare(self) -> None:
        self.windows.discard_cold()

    def add_more(self) -> None:
        """Another quarter of what there is, within the time allowed."""
        for _ in range(max(1, len(self.windows.windows) // 4)):
            if self.time_left:
                self.add()

    def add(self) -> tuple[int, int]:
        start = perf_counter_ns()
        window = self.windows.add()
        self.spent_ns += perf_counter_ns() - start
        return self.windows.outside_and_whole_ns(window)


def _assembled(
    call: Call,
    macs: MacCount,
    memory: Memory,
    sampler: LatencySampler,
    operators: _WindowPass,
    taxonomy: Taxonomy,
) -> Profile:
    latency = sampler.result()
    windows = operators.windows
    on_host = call.device.type == "cpu"
    cost = event_cost(calibrated(), windows.excesses()) if on_host else NO_COST
    found = attribute(
        windows.kept,
        latency.median_ns,
        macs,
        taxonomy,
        cost,
        windows.disturbed,
        on_host=on_host,
    )
    module = call.module
    return Profile(
        test="",
        label="",
        latency=latency,
        macs=macs.macs,
        thop_macs=None,
        mac_rate=macs.macs / latency.median_ns * 1e9,
        parameters=None if module is None else sum(p.numel() for p in module.parameters()),
        mac_ns=found.mac_ns,
        non_mac_share=min(1.0, max(0.0, 1.0 - found.mac_ns / latency.median_ns)),
        outside_ns=found.outside_ns,
        activation_peak_bytes=memory.peak_bytes,
        allocated_bytes=memory.allocated_bytes,
        control=sampler.control_time(),
        operators=found.operators,
        composites=found.composites,
        mac_kinds=found.mac_kinds,
        profiler=found.profiler,
        fitness=Fitness(fit=True),
        model=call.name,
        grad_mode=call.grad_mode,
        device=str(call.device),
        structure_varies=operators.windows.structure_varies,
        uncosted=found.uncosted,
        notes=found.notes,
    )
