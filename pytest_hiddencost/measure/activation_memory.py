"""Memory of one call: the peak of its live bytes, all bytes it allocated, and those it keeps."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import torch
from torch._C._profiler import _EventType

from pytest_hiddencost.core.records import MemoryPoint
from pytest_hiddencost.core.units import format_quantity
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.folding import is_operator
from pytest_hiddencost.measure.operators.profiler import profiled

Allocation = tuple[int, int, int]
"""Time in ns, address, and bytes: positive when allocated, negative when freed."""

MOST_POINTS = 200  # of the memory over a call, in a profile


@dataclass(frozen=True)
class Memory:
    """Bytes of one call; ``None`` if the device does not count them.

    ``kept_bytes`` are live after the call and its output are gone; negative if it frees more.
    """

    peak_bytes: int | None
    allocated_bytes: int | None
    kept_bytes: int = field(default=0, compare=False)
    over_call: tuple[MemoryPoint, ...] = field(default=(), compare=False)


def memory_of(call: Call) -> Memory:
    """Run ``call`` once and return its activation peak and the sum of its allocations.

    On the CPU the events come from a profiler session, on CUDA from the caching allocator.
    """
    with call.gradients():
        run = call.prepared()
    return _memory_of(call, run)


def growth_note(call: Call, memory: Memory) -> tuple[str, ...]:
    """Return a note if every call keeps memory, as a hook does that stores outputs.

    ``memory`` is that of one call. Two more calls confirm the kept bytes, and show whether the
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
    tree = session.result.experimental_event_tree()
    found = list(_allocations(tree))
    sizes = [size for _, _, size in found]
    return Memory(
        peak_bytes=peak_bytes(found),
        allocated_bytes=sum(size for size in sizes if size > 0),
        kept_bytes=sum(sizes),
        over_call=memory_points(
            live_bytes(found), [(n.start_time_ns, n.end_time_ns, n.name) for n in tree]
        ),
    )


def peak_bytes(allocations: Iterable[Allocation]) -> int:
    """Return the peak of the live bytes."""
    return max((size for _, size in live_bytes(allocations)), default=0)


def live_bytes(allocations: Iterable[Allocation]) -> list[tuple[int, int]]:
    """Return the live bytes after every change, with its time; frees of older memory do not count.

    ``allocations`` may come in any order; they are sorted by time.
    """
    sizes: dict[int, int] = {}
    live, found = 0, []
    for time_ns, address, size in sorted(allocations, key=itemgetter(0)):
        live -= sizes.pop(address, 0)  # freed now, or by another thread without an event
        if size > 0:
            sizes[address] = size
            live += size
        found.append((time_ns, live))
    return found


def memory_points(
    live: Sequence[tuple[int, int]], events: Sequence[tuple[int, int, str]]
) -> tuple[MemoryPoint, ...]:
    """Return the live bytes over a call: the highest of each ``MOST_POINTS``-th of the changes.

    ``events`` are the start, the end and the name of each event that no other contains.
    """
    if not live:
        return ()
    start_ns = min([live[0][0], *(start for start, _, _ in events)])
    end_ns = max([live[-1][0], *(end for _, end, _ in events)])
    roots = sorted(event for event in events if is_operator(event[2]))
    starts = [start for start, _, _ in roots]

    def root_at(time_ns: int) -> str:
        position = bisect_right(starts, time_ns) - 1
        inside = position >= 0 and time_ns <= roots[position][1]
        return roots[position][2] if inside else ""

    each = -(-len(live) // MOST_POINTS)
    highest = [max(live[i : i + each], key=itemgetter(1)) for i in range(0, len(live), each)]
    whole_ns = max(1, end_ns - start_ns)
    return tuple(
        MemoryPoint((time_ns - start_ns) / whole_ns, size, root_at(time_ns))
        for time_ns, size in highest
    )


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
