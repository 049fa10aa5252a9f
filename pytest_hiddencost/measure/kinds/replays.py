"""Replays: each distinct operator of a call in a loop of its own.

A replay has the shapes, strides and dtypes of the call, and tensors of its own. Its weights rotate
over as many copies as the model's weights have bytes, so that the caches hold them no better than
in the call. Other inputs are in the caches, as they are when the operator before has made them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch.utils._python_dispatch import _disable_current_modes

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.operator_rates import OperatorRate
from pytest_hiddencost.core.records import MacKindCost, Profile, Sampling
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.energy.energy_of_call import MeterSearch
from pytest_hiddencost.measure.energy.meter import EnergyMeter
from pytest_hiddencost.measure.kinds.operator_recording import (
    RecordedOperator,
    recorded_operators,
    weights_of,
)
from pytest_hiddencost.measure.kinds.peaks import cold_bytes, measured_peaks
from pytest_hiddencost.measure.kinds.repetitions import (
    USUAL_PACING,
    operator_rate,
)
from pytest_hiddencost.measure.kinds.traffic import tensor_bytes
from pytest_hiddencost.measure.model_files import one_line
from pytest_hiddencost.measure.pace import Wanted

MOST_COPIES = 64  # of the weights of an operator
_MOST_NAMED = 3  # operators that cannot be replayed, in a note


def with_replays(result: Profile, call: Call, sampling: Sampling, wanted: Wanted) -> Profile:
    """Return the profile with a replay of each operator, and the peaks of the device, if wanted.

    All replays together take about as long as the timed calls. With an energy meter, each operator
    with MACs takes seconds more.
    """
    if not wanted.replays:
        return result
    meter = None if wanted.meter is None else _meter(wanted.meter, call)
    with call.gradients():
        recorded = recorded_operators(call)
        with _disable_current_modes():
            replays, failed = _replayed(recorded, call, sampling, meter)
    return replace(
        result,
        replays=tuple(sorted(replays, key=lambda found: -found.total_ns)),
        peaks=measured_peaks(call.device, torch.get_num_threads()),
        mac_kinds=tuple(_with_replay(kind, replays) for kind in result.mac_kinds),
        notes=(*result.notes, *_note(failed)),
    )


def _meter(find_meter: MeterSearch, call: Call) -> EnergyMeter | None:
    """Return the meter; without one, the profile gives the reason (``energy_unknown``)."""
    try:
        return find_meter(call.device)
    except EnergyError:
        return None


def _replayed(
    recorded: Sequence[RecordedOperator],
    call: Call,
    sampling: Sampling,
    meter: EnergyMeter | None,
) -> tuple[list[OperatorRate], dict[str, str]]:
    """Return the replays, and the errors of operators that cannot be replayed, by name."""
    each_ns = sampling.max_time_ns / max(1, len(recorded))
    pacing = replace(USUAL_PACING, enough_ns=min(USUAL_PACING.enough_ns, each_ns))
    model_bytes = min(cold_bytes(), tensor_bytes(weights_of(call)))

    def replay(operator: RecordedOperator) -> OperatorRate | str:
        try:
            work, copies = operator.work, _copies(operator, model_bytes)
            with _onednn(enabled=operator.onednn):
                return operator_rate(
                    work,
                    operator.copies(copies),
                    call.device,
                    pacing,
                    calls=operator.calls,
                    touched_bytes=work.moved_bytes + (copies - 1) * operator.weight_bytes,
                    meter=meter,
                )
        except Exception as error:  # it may depend on values, or the meter may stall
            return one_line(error)

    found = [(operator.work.operator, replay(operator)) for operator in recorded]
    replays = [rate for _, rate in found if isinstance(rate, OperatorRate)]
    return replays, {name: error for name, error in found if isinstance(error, str)}


@contextmanager
def _onednn(*, enabled: bool) -> Iterator[None]:
    """Switch oneDNN on or off in the block, without the warnings of ``torch.backends``."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(enabled)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _copies(operator: RecordedOperator, model_bytes: int) -> int:
    """Return the number of copies of an operator's weights that take as much as the model's."""
    if not operator.weight_bytes:
        return 1
    return max(1, min(MOST_COPIES, math.ceil(model_bytes / operator.weight_bytes)))


def _with_replay(kind: MacKindCost, replays: Iterable[OperatorRate]) -> MacKindCost:
    """Return a MAC kind with the time and the energy of its replays, if they have all its MACs."""
    found = [replay for replay in replays if replay.kind == kind.kind]
    macs = sum(replay.calls * replay.macs for replay in found)
    if not macs or macs != kind.macs:
        return kind
    energies_nj = [r.energy_nj * r.calls for r in found if r.energy_nj is not None]
    known = len(energies_nj) == len(found)
    return replace(
        kind,
        replay_ns=sum(replay.total_ns for replay in found),
        energy_nj_per_mac=sum(energies_nj) / macs if known else None,
    )


def _note(failed: dict[str, str]) -> Iterator[str]:
    if not failed:
        return
    shown = [f"{name} ({error})" for name, error in list(failed.items())[:_MOST_NAMED]]
    more = f" and {len(failed) - _MOST_NAMED} more" if len(failed) > _MOST_NAMED else ""
    yield f"some operators are not replayed: {', '.join(shown)}{more}"
