"""Suggestions for each test function: markers that hold for all of its measured calls.

A marker stands on a function, so its limits must hold for every parameter that was measured, and in
every run if several are given: the spread between runs is then a measured one. If
every test of the function makes the same labelled calls, each label gets a marker of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_hiddencost.core.checks import LIMIT, OPERATORS, Check
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.options import MODELS
from pytest_hiddencost.suggest.limits import (
    LeftOut,
    SuggestedLimit,
    check_measured,
    which_pass,
    whole_call,
)
from pytest_hiddencost.suggest.ranking import RankedCost, ranked_costs

FEWEST_RUNS = 3
"""Runs that show how far the times of a call differ: with fewer, its time is not limited."""
FEW_RUNS = (
    "fewer than three runs measured the call, and do not show how far its times differ; run its "
    "test three times or more, and give all run files"
)


@dataclass(frozen=True)
class CallSuggestion:
    """The suggestions for one measured call."""

    profile: Profile
    whole: tuple[SuggestedLimit | LeftOut, ...]
    costs: tuple[RankedCost, ...]

    @property
    def left_out(self) -> list[LeftOut]:
        """The limits on the whole call that are not suggested."""
        return [found for found in self.whole if isinstance(found, LeftOut)]

    def cost(self, key: str) -> RankedCost | None:
        """Return the hidden cost of this key, if the call has it."""
        return next((cost for cost in self.costs if cost.key == key), None)


@dataclass(frozen=True)
class SuggestedMarker:
    """A marker for all calls of a function, or for those with ``label``."""

    label: str | None
    calls: tuple[CallSuggestion, ...]
    limits: tuple[SuggestedLimit, ...]


@dataclass(frozen=True)
class FunctionSuggestion:
    """The suggestions for one test function; ``id`` is its node id without parameters."""

    id: str
    calls: tuple[CallSuggestion, ...]
    markers: tuple[SuggestedMarker, ...]

    @property
    def named_model(self) -> str:
        """The name of a model without a test file; empty for a test function."""
        path, _, name = self.id.partition("::")
        return name if path == MODELS else ""

    @cached_property
    def limited_in_run(self) -> bool:
        """Whether a marker limited any of its calls when they were measured."""
        verdicts = [verdict for call in self.calls for verdict in call.profile.verdicts]
        return any(verdict.check.kind in (LIMIT, OPERATORS) for verdict in verdicts)


def function_of(test: str) -> str:
    """Return a test's node id without its parameters, which may contain anything.

    A named model has no function, and each of its variants can have limits of its own.
    """
    path, colons, names = test.partition("::")
    return test if path == MODELS else f"{path}{colons}{names.partition('[')[0]}"


def suggestions(profiles: Sequence[Profile], runs: int | None = None) -> list[FunctionSuggestion]:
    """Return the suggestions for the functions in the order of the run. Raises ``FormatError``.

    ``runs``: how many runs the profiles come from. A call that fewer than ``FEWEST_RUNS`` of them
    measured gets no limit on its time. None: every call may get one.
    """
    measured = Counter((profile.test, profile.label) for profile in profiles)
    by_function: dict[str, list[CallSuggestion]] = {}
    for profile in profiles:
        launches = measured[profile.test, profile.label]
        timed = runs is None or min(launches, runs) >= FEWEST_RUNS
        call = _of_call(profile, timed=timed)
        by_function.setdefault(function_of(profile.test), []).append(call)
    return [
        FunctionSuggestion(function, tuple(calls), tuple(_markers(calls)))
        for function, calls in by_function.items()
    ]


def joint_marker(calls: Sequence[CallSuggestion], label: str | None = None) -> SuggestedMarker:
    """Return the marker that holds for all of these calls, with the limits that each can have."""
    limits = [*_whole_limits(calls), *_operator_limits(calls)]
    limits.sort(key=lambda suggested: _ORDER.index(_argument(suggested.limit.check)))
    for call in calls:
        held = which_pass(call.profile, limits)
        limits = [limit for limit, holds in zip(limits, held, strict=True) if holds]
    return SuggestedMarker(label, tuple(calls), tuple(limits))


_ORDER = ("p50", "p95", "non_mac", "operators", "macs", "activation_memory")


def _argument(check: Check) -> str:
    return "operators" if check.kind == OPERATORS else check.key


def _of_call(profile: Profile, *, timed: bool) -> CallSuggestion:
    check_measured(profile)
    whole = whole_call(profile)
    if not timed:
        whole = [_without_time(found) for found in whole]
    return CallSuggestion(profile, tuple(whole), tuple(ranked_costs(profile)))


def _without_time(found: SuggestedLimit | LeftOut) -> SuggestedLimit | LeftOut:
    if isinstance(found, SuggestedLimit) and found.limit.unit == "duration":
        return LeftOut(found.limit.check.key, FEW_RUNS)
    return found


def _markers(calls: Sequence[CallSuggestion]) -> list[SuggestedMarker]:
    by_test: dict[str, set[str]] = {}
    for call in calls:
        by_test.setdefault(call.profile.test, set()).add(call.profile.label)
    first, *others = by_test.values()
    # A marker with a label fails every test without such a call.
    if len(first) < 2 or any(labels != first for labels in others):
        found = [joint_marker(calls)]
    else:
        found = _markers_by_label(calls)
    return [marker for marker in found if marker.limits]


def _markers_by_label(calls: Sequence[CallSuggestion]) -> list[SuggestedMarker]:
    """Return a marker for each label, and one for the calls without one."""
    by_label: dict[str, list[CallSuggestion]] = {}
    for call in calls:
        by_label.setdefault(call.profile.label, []).append(call)
    unlabelled = by_label.pop("", None)
    found = [joint_marker(of_label, label) for label, of_label in by_label.items()]
    if unlabelled is None:
        return found
    # A marker without a label is for every call that has no other.
    bare = [call for marker in found if not marker.limits for call in marker.calls]
    return [*found, joint_marker([*unlabelled, *bare])]


def _whole_limits(calls: Sequence[CallSuggestion]) -> list[SuggestedLimit]:
    return _loosest([[s for s in c.whole if isinstance(s, SuggestedLimit)] for c in calls])


def _operator_limits(calls: Sequence[CallSuggestion]) -> list[SuggestedLimit]:
    """Return limits on the costs that are worth one in any call: shares if all calls have them."""
    worth = dict.fromkeys(c.key for call in calls for c in call.costs if c.limit is not None)
    found: list[SuggestedLimit] = []
    for key in worth:
        costs = [call.cost(key) for call in calls]
        by_time = [[cost.by_time] for cost in costs if cost and cost.by_time]
        by_calls = [[cost.by_calls] for cost in costs if cost and cost.by_calls]
        best = next((way for way in (by_time, by_calls) if len(way) == len(calls)), [])
        found += _loosest(best)
    return found


def _loosest(of_calls: Sequence[Sequence[SuggestedLimit]]) -> list[SuggestedLimit]:
    """Return the highest limit on each quantity that every call has a limit on."""
    by_check: dict[Check, list[SuggestedLimit]] = {}
    for suggested in (s for of_call in of_calls for s in of_call):
        by_check.setdefault(suggested.limit.check, []).append(suggested)
    return [
        max(found, key=lambda suggested: suggested.limit.value)
        for found in by_check.values()
        if len(found) == len(of_calls)
    ]
