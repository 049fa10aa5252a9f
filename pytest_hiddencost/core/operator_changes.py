"""Operators of two profiles side by side."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_hiddencost.core.records import OperatorChange, Profile

OperatorFigures = Mapping[str, tuple[int, float]]
"""Calls and self time in ns, by operator."""


def operator_figures(profile: Profile) -> dict[str, tuple[int, float]]:
    """Return the calls and the self time of every operator."""
    return {operator.name: (operator.calls, operator.self_ns) for operator in profile.operators}


def changes_between(base: OperatorFigures, head: OperatorFigures) -> list[OperatorChange]:
    """Return each operator of base or head; one that a side lacks has no calls there."""
    found = []
    for name in {**base, **head}:
        base_calls, base_ns = base.get(name, (0, 0.0))
        head_calls, head_ns = head.get(name, (0, 0.0))
        found.append(OperatorChange(name, base_calls, head_calls, base_ns, head_ns))
    return found
