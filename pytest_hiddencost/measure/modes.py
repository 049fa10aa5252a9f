"""Notes on modules that run in training mode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import FunctionType

from torch import nn

from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.measure import graphs
from pytest_hiddencost.measure.modules import before_compilation

_MOST_NAMED = 3
_FOUND = "in training mode: dropout and batch statistics are measured"


def name_of(module: nn.Module) -> str:
    """Return the class of a module, or the class that a ScriptModule was made of."""
    return str(getattr(module, "original_name", type(module).__name__))


def training_notes(ran: Sequence[tuple[nn.Module, bool]], model: nn.Module | None) -> list[str]:
    """Return notes on training mode, each with advice that its modules can follow.

    ``ran`` are the modules that ran with their modes, outer ones first. ``model`` is the module
    that the user measures: a note gives its mode even if no part of it depends on the mode.
    """
    covered: set[int] = set()
    advised: dict[str, list[str]] = {}
    for module, training in ran:
        if id(module) in covered:
            continue
        advice = _advice(module, training=training, asked=module is model)
        if advice:
            advised.setdefault(advice, []).append(name_of(module))
        if advice or graphs.has_graph(before_compilation(module)):
            exported = {id(m) for m in module.modules() if m is not module and _exported(m)}
            covered |= {id(m) for m in module.modules()} - exported
    return [
        f"{shown(names)} {'is' if len(set(names)) == 1 else 'are'} {_FOUND}; {advice}"
        for advice, names in advised.items()
    ]


def _advice(module: nn.Module, *, training: bool, asked: bool) -> str:
    """Return how to leave training mode; empty if the module is not in it."""
    module = before_compilation(module)  # the wrapper's attribute says nothing about a graph
    if graphs.has_graph(module):
        if graphs.trains_by_graph(module):
            return "export or trace it in eval mode to measure inference"
        modes = (getattr(m, "training", False) for m in module.modules())
        reads = not _exported(module) and graphs.reads_mode(module) and any(modes)
        return "call .eval() to measure inference" if reads else ""
    if not training:
        return ""
    others = [m for m in module.modules() if not graphs.has_graph(m)]
    if any(_exported(m) for m in module.modules()):  # eval() of the whole would raise
        mode_matters = any(map(_reads_mode, others))
        return "call .eval() on its modules that are not exported" if mode_matters else ""
    if asked or len(others) > 1 or _reads_mode(module):
        return "call .eval() to measure inference"
    return ""


def _exported(module: nn.Module) -> bool:
    return graphs.is_exported(module)


def _reads_mode(module: nn.Module) -> bool:
    """Return whether the code of a module's class names the attribute ``training``."""
    classes = [c for c in type(module).__mro__ if c not in (nn.Module, object)]
    functions = [f for c in classes for f in vars(c).values() if isinstance(f, FunctionType)]
    return any("training" in function.__code__.co_names for function in functions)


def shown(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are; equal names count once."""
    return listed(list(dict.fromkeys(names)), _MOST_NAMED)
