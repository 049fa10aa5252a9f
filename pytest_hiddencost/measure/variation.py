"""Whether a call does the same every time: its MACs, bytes, outputs and latency, early and late.

A cache that grows, an iterator that is used up and layers that are skipped at random make every
call another one. Exact limits and times of such a call depend on the number of calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from pytest_hiddencost.core.records import LATENCY
from pytest_hiddencost.core.units import format_quantity
from pytest_hiddencost.measure.activation_memory import Memory
from pytest_hiddencost.measure.macs.counting import MacCount

TREND_BLOCKS = 8  # of samples; their medians rise in order by chance once in 40,320 times
TREND = 1.2  # the last block over the first one, at least
REMEDY = "make fresh arguments for every call with hiddencost(model, setup=...)"


@dataclass(frozen=True)
class Variation:
    """The differences from call to call.

    ``varies`` are the keys of quantities. ``trend`` describes the change of a call that changes as
    it is repeated; otherwise it is empty. Times then depend on the number of calls, and ``varies``
    has ``latency``.
    """

    varies: tuple[str, ...] = ()
    trend: str = ""
    note: str = ""


def signature(output: Any) -> str:
    """Return the structure, types and shapes of an output, without its values."""
    leaves, spec = tree_flatten(output)
    return f"{spec} {list(map(_shape, leaves))}"


def _shape(leaf: object) -> str:
    if not isinstance(leaf, torch.Tensor) or leaf.is_nested:  # a nested tensor may have no shape
        return type(leaf).__name__
    return f"{leaf.dtype}{list(leaf.shape)}"


def variation_of(
    counts: Sequence[MacCount],
    memories: Sequence[Memory],
    outputs: Sequence[str],
    samples_ns: Sequence[int],
    *,
    calls_vary: bool,
    mac_calls_vary: bool,
) -> Variation:
    """Compare calls in the order in which they were made.

    ``calls_vary``: profiler windows differ in their operators; ``mac_calls_vary``: in MAC kernels.
    """
    macs_vary = mac_calls_vary or any(_products(count) != _products(counts[0]) for count in counts)
    trend = _changed(counts, memories, outputs, calls_vary=calls_vary) or _slower(samples_ns)
    if trend:
        varies: tuple[str, ...] = (
            "calls", "macs", "activation_memory", "allocated_bytes", LATENCY
        )  # fmt: skip
    else:
        names = ("activation_memory", "allocated_bytes")
        bytes_vary = calls_vary or macs_vary or len(set(memories)) > 1
        varies = (("macs",) if macs_vary else ()) + (names if bytes_vary else ())
    if not varies:
        return Variation()
    found = trend or _differing(counts, memories, macs_vary=macs_vary)
    return Variation(varies, trend, f"the call is not the same every time: {found}; {REMEDY}")


def _changed(
    counts: Sequence[MacCount],
    memories: Sequence[Memory],
    outputs: Sequence[str],
    *,
    calls_vary: bool,
) -> str:
    """Return the difference between early and late calls in words; empty without one."""
    if outputs[0] != outputs[-1] and len(set(outputs[1:])) == 1:
        return f"the first call returned {outputs[0]:.80}, later ones {outputs[-1]:.80}"
    macs = [count.macs for count in counts]
    used_up = len(set(macs)) > len(set(macs[1:])) == 1 and not calls_vary
    if used_up or _moves(macs):
        early, late = format_quantity("macs", macs[0]), format_quantity("macs", macs[-1])
        return f"its MACs went from {early} to {late}"
    sizes = [memory.allocated_bytes or 0 for memory in memories]
    if _moves(sizes) and not calls_vary:
        early, late = format_quantity("bytes", sizes[0]), format_quantity("bytes", sizes[-1])
        return f"the bytes that it allocates went from {early} to {late}"
    return ""


def _products(count: MacCount) -> tuple[object, int]:
    return count.calls, count.generated_macs


def _moves(values: Sequence[int]) -> bool:
    """Return whether all of three or more values rise, or all fall."""
    steps = [after - before for before, after in pairwise(values)]
    return len(steps) >= 2 and (all(s > 0 for s in steps) or all(s < 0 for s in steps))


def _slower(samples_ns: Sequence[int]) -> str:
    size = len(samples_ns) // TREND_BLOCKS
    if size < 2:
        return ""
    medians = [median(samples_ns[size * i : size * (i + 1)]) for i in range(TREND_BLOCKS)]
    rises = all(before < after for before, after in pairwise(medians))
    if not rises or medians[-1] < TREND * medians[0]:
        return ""
    early, late = (format_quantity("duration", medians[i]) for i in (0, -1))
    return f"its latency rose from {early} to {late} while it was measured"


def _differing(counts: Sequence[MacCount], memories: Sequence[Memory], *, macs_vary: bool) -> str:
    macs = sorted({count.macs for count in counts})
    if len(macs) > 1:
        low, high = (format_quantity("macs", found) for found in (macs[0], macs[-1]))
        return f"its MACs differ from call to call, from {low} to {high}"
    if macs_vary:
        return "its MACs differ from call to call"
    if len(set(memories)) > 1:
        return "its bytes differ from call to call"
    return "its operators differ from call to call"
