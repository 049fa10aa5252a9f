"""Reads the graph of a ScriptModule or of an exported module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import fx, nn

_MODE_ARGUMENTS = ("training", "train", "use_input_stats")  # of dropout and normalization
_FUSED = ("prim::mkldnn_convolution", "FusionGroup", "TensorExprGroup", "TensorExprDynamicGroup")


def is_exported(module: nn.Module) -> bool:
    """Return whether a module comes from ``torch.export``, which replaces ``eval``."""
    return isinstance(module, fx.GraphModule) and "eval" in vars(module)


def has_graph(module: nn.Module) -> bool:
    """Return whether a graph, and not Python code, defines the module."""
    return isinstance(module, torch.jit.ScriptModule) or is_exported(module)


def trains_by_graph(module: nn.Module) -> bool:
    """Return whether the graph fixes the training mode of an operator, whatever the attribute."""
    if isinstance(module, fx.GraphModule):
        return any(_fx_node_trains(node) for node in module.graph.nodes)
    return any(_jit_node_trains(node) for node in _jit_nodes(module))


def reads_mode(module: nn.Module) -> bool:
    """Return whether the graph of a ScriptModule reads the attribute ``training``."""
    attributes = (n for n in _jit_nodes(module) if n.kind() == "prim::GetAttr")
    return any(node.s("name") == "training" for node in attributes)


def fused_kernels(modules: Iterable[nn.Module]) -> tuple[str, ...]:
    """Return the fused kernels of ScriptModules, which neither dispatcher nor profiler sees.

    Some are fused when the module runs, so it must have run before.
    """
    nodes = (node for m in modules for node in (*_jit_nodes(m), *_executed_nodes(m)))
    kinds = dict.fromkeys(node.kind() for node in nodes)
    return tuple(kind for kind in kinds if kind.endswith(_FUSED))


def _fx_node_trains(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    if node.op != "call_function" or schema is None:
        return False
    names = [argument.name for argument in schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    return any(given.get(name) is True for name in _MODE_ARGUMENTS)


def _jit_node_trains(node: Any) -> bool:
    if node.schema() == "(no schema)":
        return False
    arguments = torch._C.parse_schema(node.schema()).arguments
    inputs = zip(arguments, node.inputs(), strict=False)
    return any(a.name in _MODE_ARGUMENTS and value.toIValue() is True for a, value in inputs)


def _jit_nodes(module: nn.Module) -> Iterator[Any]:
    """Yield the nodes of a ScriptModule's graph; none without a graph."""
    if isinstance(module, torch.jit.ScriptModule):
        try:
            graph = module.inlined_graph
        except (AttributeError, RuntimeError):  # it has no forward
            return
        yield from _nodes_in(graph)


def _executed_nodes(module: nn.Module) -> Iterator[Any]:
    """Yield the nodes of the graphs that a ScriptModule has executed."""
    if isinstance(module, torch.jit.ScriptModule):
        try:
            plans = module.get_debug_state().execution_plans
        except (AttributeError, RuntimeError):  # it has no forward
            return
        for plan in plans.values():
            yield from _nodes_in(plan.graph)


def _nodes_in(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph, those of inner blocks included."""
    for node in graph.nodes():
        yield node
        for block in node.blocks():
            yield from _nodes_in(block)
