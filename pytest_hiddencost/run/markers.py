"""The marker ``latency_budget``, which is the function of that name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import LIMIT, OPERATORS, Check
from pytest_hiddencost.core.errors import MarkerError, UnitError
from pytest_hiddencost.core.fused_kernels import is_fused_kernel
from pytest_hiddencost.core.taxonomy import GROUPS
from pytest_hiddencost.core.tolerances import ENERGY, MOST_GROWTH, STRUCTURE, TIMED, Tolerances
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.judge.quantities import Limit

if TYPE_CHECKING:
    import pytest

NAME = "latency_budget"
COMPARED = (*STRUCTURE, *TIMED, ENERGY)
"""The quantities whose growth a marker may allow."""


def latency_budget(
    *,
    p50: object = None,
    p95: object = None,
    p99: object = None,
    non_mac: object = None,
    operators: object = None,
    mac_rate: object = None,
    macs: object = None,
    activation_memory: object = None,
    energy: object = None,
    regression: object = None,
    label: object = None,
) -> Budget:
    """Return the limits of one test, each with its unit; at least one is needed.

    p50, p95, p99: the longest latency. non_mac: a share of it or a time. operators: a share, a time
    or a number of calls, by operator, glob or group. mac_rate: the lowest. macs, activation_memory,
    energy: the most. regression: the allowed growth over baseline or base, a share or a mapping
    from quantity to share. label: the call that the limits are for. Raises ``MarkerError`` or
    ``UnitError`` that names the argument and what it accepts.
    """
    limits = [
        *_one("p50", p50, ["duration"]),
        *_one("p95", p95, ["duration"]),
        *_one("p99", p99, ["duration"]),
        *_one("non_mac", non_mac, ["share", "duration"]),
        *_operators(operators),
        *_one("mac_rate", mac_rate, ["mac_rate"], at_least=True),
        *_one("macs", macs, ["macs"]),
        *_one("activation_memory", activation_memory, ["bytes"]),
        *_one("energy", energy, ["energy"]),
    ]
    allowed = _regression(regression)
    if not limits and allowed is None:
        raise MarkerError(
            f"{NAME}() sets no limit: give at least one of {', '.join(accepted_keywords()[:-1])}"
        )
    return Budget(tuple(limits), _checked_label(label), allowed or Tolerances())


def _checked_label(label: object) -> str | None:
    if label is None or (isinstance(label, str) and label):
        return label
    raise MarkerError(f"{NAME}(label=...): expected a non-empty string, got {label!r}")


def accepted_keywords() -> list[str]:
    """Return the marker's keywords, label last."""
    return list(inspect.signature(latency_budget).parameters)


def budget_from_marker(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Budget:
    """Return the budget of one marker. Raises ``MarkerError`` or ``UnitError``."""
    if args:
        raise MarkerError(
            f"{NAME} takes keyword arguments only, got {args[0]!r}: write for example "
            f'{NAME}(p50="15 ms")'
        )
    known = accepted_keywords()
    for name in kwargs:
        if name not in known:
            raise MarkerError(
                f"{NAME}({name}=...): no such keyword; {_hint(name, known)}accepted: "
                f"{', '.join(known)}"
            )
    return latency_budget(**kwargs)


def budgets_of(levels: Sequence[Sequence[pytest.Mark]]) -> tuple[Budget, ...]:
    """Return the budgets of a test, closest first, from its markers by level, closest level first.

    Within a level a budget with a label goes before one for all calls. Raises ``MarkerError`` for
    two about the same call, since one of them would never be checked, and ``UnitError``.
    """
    found: list[Budget] = []
    for level in levels:
        by_label: dict[str | None, Budget] = {}
        for marker in level:
            budget = budget_from_marker(marker.args, marker.kwargs)
            if budget.label in by_label:
                about = f"label={budget.label!r}" if budget.label else "all calls"
                raise MarkerError(
                    f"two {NAME} markers on one function or class are about {about}: put their "
                    "limits into one, or give each a label of its own"
                )
            by_label[budget.label] = budget
        found += sorted(by_label.values(), key=lambda budget: budget.label is None)
    return tuple(found)


def _one(
    key: str, value: object, accepted: list[units.Kind], *, at_least: bool = False
) -> list[Limit]:
    if value is None:
        return []
    quantity = units.parse(value, accepted, f"{NAME}({key}=...)")
    if at_least and quantity.value == 0:
        raise UnitError(f"{NAME}({key}=...): 0 is not a limit; give a rate above 0")
    return [Limit(Check(LIMIT, key), quantity.kind, float(quantity.value), at_least)]


def _operators(value: object) -> list[Limit]:
    if value is None:
        return []
    where = f"{NAME}(operators=...)"
    if not isinstance(value, Mapping) or not value:
        raise MarkerError(
            f"{where}: expected a mapping from an operator, glob or group to a limit such as "
            f'{{"aten::cat": "5%"}}, got {value!r:.80}'
        )
    limits = []
    for key, limit in value.items():
        _check_operators_key(key, where)
        argument = f"{NAME}(operators={{{key!r}: ...}})"
        found = units.parse(limit, ["share", "duration", "calls"], argument)
        limits.append(Limit(Check(OPERATORS, key), found.kind, float(found.value)))
    return limits


def _regression(value: object) -> Tolerances | None:
    where = f"{NAME}(regression=...)"
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return Tolerances(everywhere=_growth(value, where))
    if not value:
        raise MarkerError(
            f"{where}: an empty mapping sets no allowed growth; give a share such as "
            '"5%", or a mapping such as {"p50": "5%"}'
        )
    found = {}
    for key, share in value.items():
        if key not in COMPARED:
            _check_regression_key(key, where)
        found[key] = _growth(share, f"{NAME}(regression={{{key!r}: ...}})")
    return Tolerances(own=found)


def _growth(value: object, where: str) -> float:
    return float(units.parse(value, ["share"], where, max_share=MOST_GROWTH).value)


def _check_regression_key(key: object, where: str) -> None:
    raise MarkerError(
        f"{where}: a baseline does not compare {key!r}; {_hint(str(key), COMPARED)}accepted: "
        f"{', '.join(COMPARED)}; limit the time of operators with operators={{...}}"
    )


def _check_operators_key(key: object, where: str) -> None:
    if not isinstance(key, str) or not key:
        raise MarkerError(f"{where}: expected an operator, glob or group as key, got {key!r}")
    if "::" in key or any(c in key for c in "*?[") or key in GROUPS or is_fused_kernel(key):
        return
    hint = _hint(key, GROUPS) or f"an operator is written 'aten::{key}'. "
    raise MarkerError(f"{where}: no group {key!r}; {hint}Groups: {', '.join(GROUPS)}")


def _hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}? " if close else ""
