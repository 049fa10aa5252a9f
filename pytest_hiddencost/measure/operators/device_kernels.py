"""Operators of an accelerator: host events with the time of the kernels that they launched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch._C._autograd import DeviceType

from pytest_hiddencost.measure.operators.device_timeline import is_device_work, is_runtime_call
from pytest_hiddencost.measure.operators.folding import is_operator

RUNTIME = "runtime::"  # namespace of calls of the accelerator's runtime, as operators


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

    ``raw`` are the events of a profiler session; kernels are linked to operators by their
    correlation id. Kernels that no operator launched, such as those of a captured graph, belong to
    the call of the runtime that launched them: ``runtime::cudaGraphLaunch``.
    """
    events = list(raw)
    called = [e for e in events if e.device_type() == DeviceType.CPU]
    within = [e for e in called if start_ns <= e.start_ns() < end_ns]
    operators = [event for event in within if is_operator(event.name())]
    launches = [event for event in within if is_runtime_call(event.name())]
    known = {e.correlation_id() for e in called if is_operator(e.name())}
    of_operators, of_launches = Counter[int](), Counter[int]()
    for event in filter(is_device_work, events):
        if event.linked_correlation_id() in known:
            of_operators[event.linked_correlation_id()] += event.duration_ns()
        else:
            of_launches[event.correlation_id()] += event.duration_ns()
    nodes = [_node(event, of_operators) for event in operators]
    alone = [event for event in launches if event.correlation_id() in of_launches]
    nodes += [_node(event, of_launches, RUNTIME) for event in alone]
    return _nested(sorted(nodes, key=lambda node: (node.start_ns, -node.end_ns)))


def _node(event: Any, kernels_ns: Counter[int], namespace: str = "") -> DeviceNode:
    name, start_ns = f"{namespace}{event.name()}", event.start_ns()
    end_ns, kernel_ns = start_ns + event.duration_ns(), kernels_ns[event.correlation_id()]
    return DeviceNode(name, start_ns, end_ns, kernel_ns)


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
