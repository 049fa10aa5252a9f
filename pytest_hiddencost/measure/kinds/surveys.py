"""The surveys of ``hiddencost kinds``: the battery on a device, and named models on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch.utils._python_dispatch import _disable_current_modes

from pytest_hiddencost.core.errors import EnergyError, HiddenCostError, MeasurementError
from pytest_hiddencost.core.model_names import Variant
from pytest_hiddencost.core.operator_rates import DeviceKinds, OperatorRate
from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.energy.available import energy_meter
from pytest_hiddencost.measure.energy.shared_meter import SharedMeter
from pytest_hiddencost.measure.kinds.battery import BatteryEntry, battery
from pytest_hiddencost.measure.kinds.peaks import measured_peaks
from pytest_hiddencost.measure.kinds.repetitions import operator_rate, repetition_energy_nj
from pytest_hiddencost.measure.model_files import one_line
from pytest_hiddencost.measure.named_models import load_model
from pytest_hiddencost.measure.one_call import measure
from pytest_hiddencost.measure.pace import Wanted

Tell: TypeAlias = Callable[[str], None]
"""Takes in the progress in words."""


def measured_kinds(
    device: torch.device, threads: int | None, tell: Tell, *, energy: bool
) -> DeviceKinds:
    """Measure the device's peaks, and every entry of the battery.

    It takes about a quarter of a minute, and a minute with ``energy``. If the meter is missing or
    fails, the result has the reason.
    """
    entries = list(battery())
    rates: list[OperatorRate] = []
    with _threads(threads), torch.inference_mode(), _disable_current_modes():
        tell("peaks")
        peaks = measured_peaks(device, torch.get_num_threads())
        for number, entry in enumerate(entries, 1):
            tell(f"operator {number} of {len(entries)}: {entry.name}")
            work, runs = entry.work(), entry.runs(device)
            touched_bytes = len(runs) * work.moved_bytes
            rates.append(operator_rate(work, runs, device, touched_bytes=touched_bytes))
        found = DeviceKinds(peaks, tuple(rates), "not asked for, see --energy")
        return _with_energies(found, entries, device, tell) if energy else found


def _with_energies(
    found: DeviceKinds, entries: Sequence[BatteryEntry], device: torch.device, tell: Tell
) -> DeviceKinds:
    """Return the device's kinds with the energy of each operator that has MACs."""
    rates = list(found.operators)
    try:
        meter = SharedMeter(energy_meter(device))
    except EnergyError as error:
        return replace(found, energy_note=str(error))
    with meter:  # only now: a thread of the meter would disturb the times
        for number, (entry, rate) in enumerate(zip(entries, rates, strict=True)):
            if rate.macs and meter.failure is None:
                tell(f"energy of operator {number + 1} of {len(entries)}: {entry.name}")
                runs, time_ns = entry.runs(device), rate.repetition_ns
                energy_nj = repetition_energy_nj(runs, device, time_ns, meter)
                rates[number] = replace(rate, energy_nj=energy_nj)
    note = "" if meter.failure is None else str(meter.failure)
    return replace(found, operators=tuple(rates), energy_note=note)


def named_call(variant: Variant, device: torch.device) -> Call:
    """Return the call of a named model. Raises ``MeasurementError`` in one line."""
    folder = Path.cwd()
    loaded = load_model(variant, device, folder, [folder])
    return Call(loaded.module, loaded.args, loaded.kwargs, device)


def measured_model(name: str, call: Call, threads: int | None, *, energy: bool) -> Profile:
    """Measure a named model, with replays. Raises ``MeasurementError`` in one line."""
    wanted = Wanted(thop=False, replays=True, meter=energy_meter if energy else None)
    try:
        found = measure(call, Sampling(), threads=threads, wanted=wanted)
    except HiddenCostError:
        raise
    except Exception as error:
        raise MeasurementError(
            f"{name} failed: {one_line(error)}; choose another --input"
        ) from error
    return replace(found, test=name)


@contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    """Run the block with so many intra-op threads; None leaves torch's setting."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
