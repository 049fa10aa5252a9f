"""Replays: each distinct operator of a call in a loop of its own.

A replay has the shapes, strides and dtypes of the call, and tensors of its own. Its weights rotate
over as many copies as the model's weights have bytes, so that the caches hold them no better than
in the call. Other inputs are in the caches, as they are when the operator before has made them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch.utils._python_dispatch import _disable_current_modes

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.operator_rates import OperatorRate
from pytest_hiddencost.core.records import MacKindCost, Profile, Sampling
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.energy.energy_of_call import MeterSearch
from pytest_hiddencost.measure.energy.shared_meter import SharedMeter
from pytest_hiddencost.measure.kinds.operator_recording import (
    RecordedOperator,
    recorded_operators,
    weights_of,
)
from pytest_hiddencost.measure.kinds.peaks import cold_bytes, measured_peaks
from pytest_hiddencost.measure.kinds.repetitions import (
    USUAL_PACING,
    Pacing,
    operator_rate,
    repetition_energy_nj,
)
from pytest_hiddencost.measure.kinds.traffic import tensor_bytes
from pytest_hiddencost.measure.model_files import one_line
from pytest_hiddencost.measure.pace import Wanted

MOST_COPIES = 64  # of the weights of an operator
_MOST_NAMED = 3  # operators that cannot be replayed, in a note


def with_replays(result: Profile, call: Call, sampling: Sampling, wanted: Wanted) -> Profile:
    """Return the profile with a replay of each operator, and the peaks of the device, if wanted.

    All replays together take about as long as the timed calls. With an energy meter, each operator
    with MACs takes seconds more. If the operators cannot be recorded, a note says so.
    """
    if not wanted.replays:
        return result
    try:
        with call.gradients():
            recorded = recorded_operators(call)
    except Exception as error:  # the call itself has run, so this is no error of the user's
        note = f"the operators are not replayed, since they cannot be recorded: {one_line(error)}"
        return replace(result, notes=(*result.notes, note))
    model_bytes = min(cold_bytes(call.device), tensor_bytes(weights_of(call)))
    found = [_Replay(operator, call.device, model_bytes) for operator in recorded]
    with call.gradients(), _disable_current_modes():
        notes = [*_timed(found, sampling), *_metered(found, wanted.meter, call.device)]
    replays = [replay.rate for replay in found if replay.rate is not None]
    return replace(
        result,
        replays=tuple(sorted(replays, key=lambda rate: -rate.total_ns)),
        peaks=measured_peaks(call.device, torch.get_num_threads()),
        mac_kinds=tuple(_with_replay(kind, replays) for kind in result.mac_kinds),
        notes=(*result.notes, *notes),
    )


@dataclass
class _Replay:
    """The replay of an operator; ``rate`` is None until it is timed, and if it cannot run."""

    operator: RecordedOperator
    device: torch.device
    model_bytes: int
    rate: OperatorRate | None = None

    def time(self, pacing: Pacing) -> None:
        """Measure the time of a repetition. Raises the errors of the operator."""
        work, copies = self.operator.work, _copies(self.operator, self.model_bytes)
        with _onednn(enabled=self.operator.onednn):
            self.rate = operator_rate(
                work,
                self.operator.copies(copies),
                self.device,
                pacing,
                calls=self.operator.calls,
                touched_bytes=work.moved_bytes + (copies - 1) * self.operator.weight_bytes,
            )

    def meter(self, meter: SharedMeter) -> None:
        """Measure the energy of a repetition, if it has MACs. Raises the errors of the operator."""
        if self.rate is None or not self.rate.macs or meter.failure is not None:
            return
        runs = self.operator.copies(_copies(self.operator, self.model_bytes))
        with _onednn(enabled=self.operator.onednn):
            energy_nj = repetition_energy_nj(runs, self.device, self.rate.repetition_ns, meter)
        self.rate = replace(self.rate, energy_nj=energy_nj)


def _timed(found: Sequence[_Replay], sampling: Sampling) -> Iterator[str]:
    """Time each replay; yield a note on those that cannot run."""
    each_ns = sampling.max_time_ns / max(1, len(found))
    pacing = replace(USUAL_PACING, enough_ns=min(USUAL_PACING.enough_ns, each_ns))
    failed = _failures(found, lambda replay: replay.time(pacing))
    if failed:
        yield f"some operators are not replayed: {failed}"


def _metered(
    found: Sequence[_Replay], find_meter: MeterSearch | None, device: torch.device
) -> Iterator[str]:
    """Measure the energy of each replay; yield notes on those whose energy is unknown.

    The times are known already, which a thread of the meter would disturb. Without a meter, the
    profile has the reason (``energy_unknown``).
    """
    if find_meter is None:
        return
    try:
        shared = SharedMeter(find_meter(device))
    except EnergyError:
        return
    with shared as meter:
        failed = _failures(found, lambda replay: replay.meter(meter))
    if failed:
        yield f"the energy of some replays is unknown: {failed}"
    if meter.failure is not None:
        yield f"the energy of some replays is unknown: {meter.failure}"


def _failures(found: Sequence[_Replay], measure: Callable[[_Replay], None]) -> str:
    """Measure each replay; return the operators that cannot run alone, with their errors."""
    failed: dict[str, str] = {}
    for replay in found:
        try:
            measure(replay)
        except Exception as error:  # noqa: PERF203  # it may depend on values
            failed[replay.operator.work.operator] = one_line(error)
    shown = [f"{name} ({error})" for name, error in list(failed.items())[:_MOST_NAMED]]
    more = f" and {len(failed) - _MOST_NAMED} more" if len(failed) > _MOST_NAMED else ""
    return f"{', '.join(shown)}{more}"


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
