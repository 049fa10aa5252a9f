"""Operators on the host, charged with the kernels on a device that they launched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch._C._autograd import DeviceType

from pytest_hiddencost.profiling.folding import is_operator


@dataclass
class DeviceNode:
    """An operator on the host with the time of the kernels launched below it, ns."""

    name: str
    start_ns: int
    end_ns: int
    duration_time_ns: int
    children: list[DeviceNode] = field(default_factory=list)


def device_nodes(raw: Iterable[Any], start_ns: int, end_ns: int) -> list[DeviceNode]:
    """Operators between two times as a tree, charged by kernels (linked by correlation id)."""
    launched: dict[int, int] = {}
    hosted = []
    for e in raw:
        if e.device_type() == DeviceType.CPU:
            if is_operator(e.name()) and start_ns <= e.start_ns() < end_ns:
                hosted.append(e)
        elif e.linked_correlation_id() > 0:
            key = e.linked_correlation_id()
            launched[key] = launched.get(key, 0) + e.duration_ns()
    nodes = [
        DeviceNode(
            e.name(),
            e.start_ns(),
            e.start_ns() + e.duration_ns(),
            launched.get(e.correlation_id(), 0),
        )
        for e in hosted
    ]
    nodes.sort(key=lambda node: (node.start_ns, -node.end_ns))
    return _nested(nodes)


def _nested(nodes: Iterable[DeviceNode]) -> list[DeviceNode]:
    """Nodes in the order of their start as a tree; children's durations added to their parents'."""
    roots: list[DeviceNode] = []
    opened: list[DeviceNode] = []
    for node in nodes:
        while opened and opened[-1].end_ns <= node.start_ns:
            opened.pop()
        (opened[-1].children if opened else roots).append(node)
        for ancestor in opened:
            ancestor.duration_time_ns += node.duration_time_ns
        opened.append(node)
    return roots
