"""Memory of one call: the peak of its live bytes, all bytes it allocated, and what it keeps."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import torch
from torch._C._profiler import _EventType

from pytest_hiddencost.core.units import format_quantity
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.profiler import profiled

Allocation = tuple[int, int, int]
"""Time in ns, address, and bytes: positive when allocated, negative when freed."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one call; ``None`` if the device does not count them.

    ``kept_bytes`` are live after the call and its output are gone; negative if it frees more.
    """

    peak_bytes: int | None
    allocated_bytes: int | None
    kept_bytes: int = field(default=0, compare=False)


def memory_of(call: Call) -> Memory:
    """Run ``call`` once and return its activation peak and the sum of its allocations.

    On the CPU the events come from a profiler session, on CUDA from the caching allocator.
    """
    with call.gradients():
        run = call.prepared()
    return _memory_of(call, run)


def growth_note(call: Call, memory: Memory) -> tuple[str, ...]:
    """Return a note if every call keeps memory, as a hook does that stores outputs.

    ``memory`` is that of one call. Two more calls confirm what it keeps, and show whether the
    garbage collector, which is off during a measurement, would free it.
    """
    if memory.kept_bytes <= 0:
        return ()

    def two_calls() -> None:
        call.run_synchronized()
        call.run_synchronized()

    def collected() -> None:
        two_calls()
        gc.collect()

    if (kept := _memory_of(call, collected).kept_bytes) > 0:
        found = f"every call keeps {format_quantity('bytes', kept / 2)} more memory"
        return (f"{found}; look for hooks, lists or caches that store its tensors",)
    if (kept := _memory_of(call, two_calls).kept_bytes) > 0:
        found = f"every call leaves {format_quantity('bytes', kept / 2)} in reference cycles"
        return (f"{found}, which grow while hiddencost measures; break the cycles",)
    return ()


def _memory_of(call: Call, run: Callable[[], object]) -> Memory:
    if call.device.type == "cuda":
        return _cuda_memory(call, run)
    if call.device.type != "cpu":
        return Memory(None, None)
    with call.gradients():
        session = profiled(run, memory=True)
    found = list(_allocations(session.result.experimental_event_tree()))
    sizes = [size for _, _, size in found]
    return Memory(peak_bytes(found), sum(size for size in sizes if size > 0), sum(sizes))


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


def _cuda_memory(call: Call, run: Callable[[], object]) -> Memory:
    torch.cuda.synchronize(call.device)
    torch.cuda.reset_peak_memory_stats(call.device)
    before = torch.cuda.memory_allocated(call.device)
    allocated = _cuda_allocated(call)
    with call.gradients():
        output = run()
    peak = torch.cuda.max_memory_allocated(call.device)
    del output
    kept = torch.cuda.memory_allocated(call.device) - before
    return Memory(peak - before, _cuda_allocated(call) - allocated, kept)


def _cuda_allocated(call: Call) -> int:
    return int(torch.cuda.memory_stats(call.device).get("allocated_bytes.all.allocated", 0))
