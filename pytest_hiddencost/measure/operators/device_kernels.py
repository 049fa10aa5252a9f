"""Operators of an accelerator: host events with the time of the kernels that they launched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch._C._autograd import DeviceType

from pytest_hiddencost.measure.operators.folding import is_operator


@dataclass
class DeviceNode:
    """An operator on the host; its duration is that of all kernels launched inside it, in ns."""

    name: str
    start_ns: int
    end_ns: int
    duration_time_ns: int
    children: list[DeviceNode] = field(default_factory=list)


def device_nodes(raw: Iterable[Any], start_ns: int, end_ns: int) -> list[DeviceNode]:
    """Return the operators that start between two times as a tree, with their kernels' times.

    ``raw`` are the events of a profiler session; kernels are linked by their correlation id.
    """
    kernels_ns = Counter[int]()
    operators = []
    for event in raw:
        if event.device_type() == DeviceType.CPU:
            if is_operator(event.name()) and start_ns <= event.start_ns() < end_ns:
                operators.append(event)
        elif event.linked_correlation_id() > 0:
            kernels_ns[event.linked_correlation_id()] += event.duration_ns()
    nodes = [
        DeviceNode(
            operator.name(),
            operator.start_ns(),
            operator.start_ns() + operator.duration_ns(),
            kernels_ns[operator.correlation_id()],
        )
        for operator in operators
    ]
    return _nested(sorted(nodes, key=lambda node: (node.start_ns, -node.end_ns)))


def _nested(nodes: Iterable[DeviceNode]) -> list[DeviceNode]:
    """Return nodes, sorted by start, as a tree; a parent's duration includes its children's."""
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
