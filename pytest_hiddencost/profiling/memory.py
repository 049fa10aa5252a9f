"""Activation memory: the most bytes live during a call beyond what was live before it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch._C._profiler import _EventType

from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.kineto import profiled

_ALLOCATION = _EventType.Allocation
# (time in ns, address, bytes: positive when allocated, negative when freed)
Allocation = tuple[int, int, int]


def activation_peak_bytes(call: Call) -> int | None:
    """Peak of one call in a session of its own, bytes; None where the device keeps no account."""
    if call.device.type == "cuda":
        return _cuda_peak(call)
    if call.device.type != "cpu":
        return None
    with call.gradients():
        session = profiled(call.run_synchronized, memory=True)
    return peak_bytes(_allocations(session.result.experimental_event_tree()))


def peak_bytes(allocations: Iterable[Allocation]) -> int:
    """The peak of the running sum; frees of what was allocated before do not count."""
    sizes: dict[int, int] = {}
    live = peak = 0
    for _, address, size in sorted(allocations, key=lambda allocation: allocation[0]):
        if size > 0:
            live -= sizes.pop(address, 0)  # freed unseen, by another thread
            sizes[address] = size
            live += size
            peak = max(peak, live)
        else:
            live -= sizes.pop(address, 0)
    return peak


def _allocations(nodes: Iterable[Any]) -> list[Allocation]:
    found: list[Allocation] = []
    _collect(nodes, found)
    return found


def _collect(nodes: Iterable[Any], found: list[Allocation]) -> None:
    for node in nodes:
        children = node.children
        if children:
            _collect(children, found)
        elif node.tag == _ALLOCATION:
            fields = node.extra_fields
            if fields.device.type == "cpu":
                found.append((node.start_time_ns, fields.ptr, fields.alloc_size))


def _cuda_peak(call: Call) -> int:
    torch.cuda.synchronize(call.device)
    torch.cuda.reset_peak_memory_stats(call.device)
    before = torch.cuda.memory_allocated(call.device)
    with call.gradients():
        output = call.run_synchronized()
    peak = torch.cuda.max_memory_allocated(call.device)
    del output
    return peak - before
