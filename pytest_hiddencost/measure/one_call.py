"""The measurement of one call, from its arguments to a ``Profile`` without test id and verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter_ns

import torch

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.records import LATENCY, DeviceHealth, Profile, Sampling
from pytest_hiddencost.core.taxonomy import DEFAULT, Taxonomy
from pytest_hiddencost.measure.arguments import (
    naming_way_out,
    refuse_deferred_output,
    way_out,
)
from pytest_hiddencost.measure.calls import Call, check_output_device, tensors_in
from pytest_hiddencost.measure.device.description import intra_op_threads
from pytest_hiddencost.measure.device.health import DeviceWatch
from pytest_hiddencost.measure.graphs import fused_kernels
from pytest_hiddencost.measure.kinds.replays import with_replays
from pytest_hiddencost.measure.latency.tracers import unavoidable_tracing
from pytest_hiddencost.measure.modes import training_notes
from pytest_hiddencost.measure.operators.profiler import refuse_if_profiling
from pytest_hiddencost.measure.outlook import CallProgress, Outlook
from pytest_hiddencost.measure.pace import Pace, Wanted
from pytest_hiddencost.measure.passes import FirstCall, Passes
from pytest_hiddencost.measure.state import Preserved, preserved
from pytest_hiddencost.measure.user_warnings import warned_once
from pytest_hiddencost.measure.variation import signature

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True


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
    Raises the errors of the model, and ``MeasurementError`` for a call that cannot be measured.
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


def measure(
    call: Call,
    sampling: Sampling,
    *,
    threads: int | None = None,
    taxonomy: Taxonomy = DEFAULT,
    undecided: Callable[[Profile], bool] | None = None,
    wanted: Wanted | None = None,
    pace: Pace | None = None,
    tell: Callable[[CallProgress], None] | None = None,
) -> Profile:
    """Measure ``call``; take more samples and windows while ``undecided`` returns true.

    It ends ``LONGEST_FACTOR`` times ``max_time`` after the start of the warm-up.
    ``threads`` is the number of intra-op threads (None: torch's setting). With a ``pace``, another
    process measures in turns with this one: thop and the reference workload are left out.
    ``tell`` gets the progress before each call that takes seconds.
    """
    refuse_if_profiling()
    start_ns, made_before = perf_counter_ns(), call.tally.calls
    watch = DeviceWatch(threads or intra_op_threads(), device_type=call.device.type)
    with warned_once(), preserved(call, threads) as state:
        outlook = Outlook(call.tally, tell if pace is None else pace.tell)
        outlook.begins("first call")
        seen = _first_call(call, state)
        wanted = wanted or Wanted(samples=undecided is not None, windows=undecided is not None)
        passes = Passes(call, sampling, taxonomy, watch, wanted, pace, seen, outlook)
        result = _with_tracers(passes.taken(undecided))
        if LATENCY in result.varies:
            state.rewind()
            result = passes.with_first_macs(result)
        outlook.rests()
        result = with_replays(result, call, sampling, wanted)
    notes = (*training_notes(state.ran, call.module), *passes.notes)
    return replace(
        result,
        notes=(*notes, *result.notes, *state.notes),
        calls_made=call.tally.calls - made_before,
        spent_ns=perf_counter_ns() - start_ns,
    )


def _first_call(call: Call, state: Preserved) -> FirstCall:
    """Run the call without a profiler, so that a model that raises does so here."""
    with call.gradients(), state.watching():
        output = call.run_synchronized()
    refuse_deferred_output(output, call.name)
    check_output_device(output, call)
    return FirstCall(signature(output), fused_kernels(state.tops))


def _with_tracers(result: Profile) -> Profile:
    """Return the profile; tracers that stayed on make its times unfit to be judged."""
    found = unavoidable_tracing(in_threads=bool(result.unseen_ns))
    if not found.reason:
        return result
    return replace(result, health=_unfit(result.health, found.reason, found.remedy))


def _unfit(health: DeviceHealth, reason: str, remedy: str) -> DeviceHealth:
    reasons, remedies = (*health.reasons, reason), (*health.remedies, remedy)
    return replace(health, fit=False, reasons=reasons, remedies=remedies)
