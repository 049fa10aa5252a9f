"""The time and the energy of an operator in a loop of its own.

The loop runs in short blocks, and the median over blocks counts: other processes, which take the
core for milliseconds, then disturb few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from time import perf_counter_ns
from typing import TypeAlias

import torch

from pytest_hiddencost.core.intervals import Bounds, median_interval
from pytest_hiddencost.core.operator_rates import OperatorRate, OperatorWork
from pytest_hiddencost.measure.energy.shared_meter import SharedMeter
from pytest_hiddencost.measure.latency.tracers import untraced

Runs: TypeAlias = Sequence[Callable[[], object]]
"""The repetitions in turn: each may have tensors of its own, so that caches do not hold them."""

MEDIAN_CONFIDENCE = 0.99
BLOCK_NS = 500_000  # of repetitions; a longer operator is a block by itself
TIMED_BLOCKS = 11  # at least; the interval of the median needs 8 at this confidence
FEWEST_TIMED_BLOCKS = 3  # of an operator that takes too long for more
TRY_GROWTH = 4  # of the repetitions, from try to try
TRY_SHARE = 0.25  # of a block: a try of this length tells the number of repetitions
METERED_NS = 1_000_000  # of repetitions between two looks at the clock beside the meter


@dataclass(frozen=True)
class Pacing:
    """The time of all blocks together: enough of it, and the most for a slow operator."""

    enough_ns: float = 200_000_000
    longest_ns: float = 1_500_000_000


@dataclass(frozen=True)
class RepetitionTime:
    """The median over blocks, its interval, and the fastest block.

    The interval is None if the blocks were too few.
    """

    median_ns: float
    interval_ns: Bounds | None
    fastest_ns: float


USUAL_PACING = Pacing()


def operator_rate(
    work: OperatorWork,
    runs: Runs,
    device: torch.device,
    pacing: Pacing = USUAL_PACING,
    *,
    calls: int = 1,
    touched_bytes: int = 0,
) -> OperatorRate:
    """Repeat an operator and return its work with its time.

    ``calls`` are those in a call of the model, ``touched_bytes`` those of all ``runs``. Raises the
    errors of the operator.
    """
    time = repetition_time(runs, device, pacing)
    return OperatorRate(
        **vars(work),
        repetition_ns=time.median_ns,
        interval_ns=time.interval_ns,
        calls=calls,
        touched_bytes=touched_bytes,
    )


@untraced
def repetition_time(
    runs: Runs, device: torch.device, pacing: Pacing = USUAL_PACING
) -> RepetitionTime:
    """Repeat ``runs`` in turn, in blocks, and return the time of one repetition.

    Python calls the operator in every repetition, and its result is freed.
    """
    turns = cycle(runs)
    for run in islice(turns, len(runs)):
        run()
    repetitions = _repetitions(turns, device)
    found_ns: list[float] = []
    spent_ns = 0
    while (len(found_ns) < TIMED_BLOCKS or spent_ns < pacing.enough_ns) and (
        len(found_ns) < FEWEST_TIMED_BLOCKS or spent_ns < pacing.longest_ns
    ):
        taken_ns = _block(turns, repetitions, device)
        found_ns.append(taken_ns / repetitions)
        spent_ns += taken_ns
    interval_ns = median_interval(found_ns, MEDIAN_CONFIDENCE)
    return RepetitionTime(median(found_ns), interval_ns, min(found_ns))


@untraced
def repetition_energy_nj(
    runs: Runs, device: torch.device, repetition_ns: float, meter: SharedMeter
) -> float | None:
    """Return the energy of one repetition, that of an idle device included.

    None if the meter fails, which then has the reason. Raises the errors of the operator.
    """
    turns = cycle(runs)
    for run in islice(turns, len(runs)):
        run()
    repetitions = max(1, round(METERED_NS / repetition_ns))
    several_nj = meter.energy_nj(lambda: _block(turns, repetitions, device))
    return None if several_nj is None else several_nj / repetitions


def _repetitions(turns: Iterator[Callable[[], object]], device: torch.device) -> int:
    """Return the number of repetitions in a block; the tries warm the operator up."""
    tried = 1
    while (taken_ns := _block(turns, tried, device)) < TRY_SHARE * BLOCK_NS:
        tried *= TRY_GROWTH
    return max(1, round(tried * BLOCK_NS / taken_ns))


def _block(turns: Iterator[Callable[[], object]], count: int, device: torch.device) -> int:
    """Return the time of ``count`` repetitions in ns."""
    synchronize = None
    if device.type != "cpu":
        synchronize = torch.get_device_module(device).synchronize
        synchronize(device)
    start_ns = perf_counter_ns()
    for run in islice(turns, count):
        run()
    if synchronize is not None:
        synchronize(device)
    return perf_counter_ns() - start_ns
