"""The marker: ``latency_budget`` IS this function's signature."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import LIMIT, OPERATORS, Check
from pytest_hiddencost.core.errors import MarkerError, UnitError
from pytest_hiddencost.core.taxonomy import GROUPS
from pytest_hiddencost.core.tolerances import MOST_GROWTH, STRUCTURE, TIMED, Tolerances
from pytest_hiddencost.judge.budgets import Budget, Limit

NAME = "latency_budget"


class Marker(Protocol):
    """A marker as pytest keeps it."""

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments."""

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword arguments."""


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
    regression: object = None,
    label: object = None,
) -> Budget:
    """The limits of one test; every argument optional, at least one limit.

    p50, p95, p99: latency of one call at most, a time. non_mac: at most, a share of the latency
    or a time. operators: per operator, glob or group a share, a time or a number of calls, at most.
    mac_rate: at least. macs, activation_memory: at most. regression: allowed growth against the
    baseline, a share, or a mapping per quantity. label: the call it applies to.
    Raises ``MarkerError`` or ``UnitError`` naming the argument and what is accepted.
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
    ]
    allowed = _regression(regression)
    if not limits and allowed is None:
        raise MarkerError(
            f"{NAME}() sets no limit: give at least one of {', '.join(accepted_keywords()[:-1])}"
        )
    if label is not None and not (isinstance(label, str) and label):
        raise MarkerError(f"{NAME}(label=...): expected a non-empty string, got {label!r}")
    return Budget(limits=tuple(limits), label=label, regression=allowed or Tolerances())


def accepted_keywords() -> list[str]:
    """The marker's keywords, label last."""
    return list(inspect.signature(latency_budget).parameters)


def budget_from_marker(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Budget:
    """The budget of one marker as written; errors say what is accepted."""
    if args:
        raise MarkerError(
            f"{NAME} takes keyword arguments only, got {args[0]!r}: write for example "
            f'{NAME}(p50="15 ms")'
        )
    known = accepted_keywords()
    for name in kwargs:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise MarkerError(
                f"{NAME}({name}=...): no such keyword; {hint}accepted: {', '.join(known)}"
            )
    return latency_budget(**kwargs)


def budgets_of(levels: Sequence[Sequence[Marker]]) -> tuple[Budget, ...]:
    """The budgets of a test, closest first, from its markers by level (closest level first).

    Within a level a budget with a label goes before one for all calls; two for the same call are
    a ``MarkerError``, since one of them would never be checked.
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
    gate: str, value: object, accepted: list[units.Kind], *, at_least: bool = False
) -> list[Limit]:
    if value is None:
        return []
    quantity = units.parse(value, accepted, f"{NAME}({gate}=...)")
    if at_least and quantity.value == 0:
        raise UnitError(f"{NAME}({gate}=...): at least 0 is no limit; give a rate above 0")
    return [Limit(Check(LIMIT, gate), quantity.kind, float(quantity.value), str(value), at_least)]


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
        _check_key(key, where)
        quantity = units.parse(
            limit, ["share", "duration", "calls"], f"{NAME}(operators={{{key!r}: ...}})"
        )
        limits.append(
            Limit(Check(OPERATORS, key), quantity.kind, float(quantity.value), str(limit))
        )
    return limits


def _regression(value: object) -> Tolerances | None:
    where = f"{NAME}(regression=...)"
    if value is None:
        return None
    if not isinstance(value, Mapping):
        return Tolerances(everywhere=_growth(value, where))
    if not value:
        raise MarkerError(f"{where}: an empty mapping allows nothing in particular")
    found = {}
    for key, share in value.items():
        if key not in (*STRUCTURE, *TIMED):
            _check_regression_key(key, where)
        found[key] = _growth(share, f"{NAME}(regression={{{key!r}: ...}})")
    return Tolerances(own=found)


def _growth(value: object, where: str) -> float:
    return float(units.parse(value, ["share"], where, max_share=MOST_GROWTH).value)


def _check_regression_key(key: object, where: str) -> None:
    known = (*STRUCTURE, *TIMED, *GROUPS)
    if isinstance(key, str) and key and ("::" in key or key in known):
        return
    close = difflib.get_close_matches(str(key), known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise MarkerError(
        f"{where}: {key!r} is nothing a baseline holds; {hint}accepted: {', '.join(known)}, or an "
        "operator or glob such as 'aten::cat'"
    )


def _check_key(key: object, where: str) -> None:
    if not isinstance(key, str) or not key:
        raise MarkerError(f"{where}: expected an operator, glob or group as key, got {key!r}")
    if "::" in key or any(c in key for c in "*?[") or key in GROUPS:
        return
    close = difflib.get_close_matches(key, GROUPS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else f"an operator is written 'aten::{key}'. "
    raise MarkerError(f"{where}: no group {key!r}; {hint}Groups: {', '.join(GROUPS)}")
