"""Activation memory of one call: the peak of its live bytes, and all bytes it allocated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import torch
from torch._C._profiler import _EventType

from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.profiler import profiled

Allocation = tuple[int, int, int]
"""Time in ns, address, and bytes: positive when allocated, negative when freed."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one call; ``None`` if the device does not count them."""

    peak_bytes: int | None
    allocated_bytes: int | None


def memory_of(call: Call) -> Memory:
    """Run ``call`` once and return its activation peak and the sum of its allocations.

    On the CPU the events come from a profiler session, on CUDA from the caching allocator.
    """
    if call.device.type == "cuda":
        return _cuda_memory(call)
    if call.device.type != "cpu":
        return Memory(None, None)
    with call.gradients():
        session = profiled(call.prepared(), memory=True)
    found = list(_allocations(session.result.experimental_event_tree()))
    return Memory(peak_bytes(found), sum(size for _, _, size in found if size > 0))


def peak_bytes(allocations: Iterable[Allocation]) -> int:
    """Return the peak of the live bytes; frees of older memory do not count.

    ``allocations`` may come in any order; they are sorted by time.
    """
    sizes: dict[int, int] = {}
    live = peak = 0
    for _, address, size in sorted(allocations, key=itemgetter(0)):
        live -= sizes.pop(address, 0)  # freed now, or by another thread without an event
        if size > 0:
            sizes[address] = size
            live += size
            peak = max(peak, live)
    return peak


def _allocations(nodes: Iterable[Any]) -> Iterator[Allocation]:
    for node in nodes:
        if children := node.children:
            yield from _allocations(children)
        elif node.tag == _EventType.Allocation:
            fields = node.extra_fields
            if fields.device.type == "cpu":
                yield node.start_time_ns, fields.ptr, fields.alloc_size


def _cuda_memory(call: Call) -> Memory:
    with call.gradients():
        run = call.prepared()
        torch.cuda.synchronize(call.device)
        torch.cuda.reset_peak_memory_stats(call.device)
        before = torch.cuda.memory_allocated(call.device)
        allocated = _cuda_allocated(call)
        output = run()
    peak = torch.cuda.max_memory_allocated(call.device)
    del output
    return Memory(peak - before, _cuda_allocated(call) - allocated)


def _cuda_allocated(call: Call) -> int:
    return int(torch.cuda.memory_stats(call.device).get("allocated_bytes.all.allocated", 0))
