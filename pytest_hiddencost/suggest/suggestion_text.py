"""Suggestions as text: the markers of a function, and the ranking of each call's hidden costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_hiddencost.core import units
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.core.records import CallKey, call_name
from pytest_hiddencost.report.cost_tables import aligned
from pytest_hiddencost.report.wording import grouped
from pytest_hiddencost.suggest.by_function import (
    CallSuggestion,
    FunctionSuggestion,
    SuggestedMarker,
    joint_marker,
)
from pytest_hiddencost.suggest.limits import LeftOut
from pytest_hiddencost.suggest.marker_text import ini_lines, marker_text
from pytest_hiddencost.suggest.ranking import WORTH_SHARE, RankedCost

NOTHING = 0.0001  # a lower bound that is no more than this is shown as 0
UNLIKE = 2.0  # calls that differ by this factor are better limited one by one


class Sentence(str):
    """A line that may be wrapped, unlike code and rows of tables."""

    __slots__ = ()


def suggestion_lines(function: FunctionSuggestion) -> list[str]:
    """Return the lines on one test function, its id first."""
    lines = [function.id]
    model = function.named_model
    if function.limited_in_run:
        lines.append(Sentence("It has limits already; these would hold as well:"))
    if model and function.markers:
        lines.append(Sentence("In the ini file, under hiddencost_model_budget:"))
    for marker in function.markers:
        text = ini_lines(marker, model) if model else f"@{marker_text(marker)}".splitlines()
        lines += [*text, *_remarks(marker)]
    if not function.markers:
        lines.append(Sentence("No limit on it can be decided."))
    calls = _launches(function.calls)
    shared = [marker for marker in function.markers if len(_launches(marker.calls)) > 1]
    for (test, label), launches in calls.items():
        lines.append("")
        if len(calls) > 1:
            lines.append(f"{call_name(test, label)}:")
        own = joint_marker(launches)
        if own.limits and any(launches[0] in marker.calls for marker in shared):
            lines.append(Sentence("Alone, pytest.param(..., marks=...) could have:"))
            lines += marker_text(own).splitlines()
        lines += call_lines(launches[-1])
    return lines


def _launches(calls: Sequence[CallSuggestion]) -> dict[CallKey, list[CallSuggestion]]:
    """Return the launches of each call; several run files have several."""
    found: dict[CallKey, list[CallSuggestion]] = {}
    for call in calls:
        found.setdefault((call.profile.test, call.profile.label), []).append(call)
    return found


def call_lines(call: CallSuggestion) -> list[str]:
    """Return the ranking of the hidden costs of a call, and the limits that are left out."""
    worth = [cost for cost in call.costs if cost.worth_a_limit]
    rows = [_row(cost) for cost in worth]
    headers = ["hidden cost", "share", "at least", "limit", "where"]
    lines = aligned(rows, headers, last="left").splitlines() if rows else []
    lines += _small([cost for cost in call.costs if not cost.worth_a_limit])
    untimed = [(f"time of {c.key}", c.untimed) for c in worth if c.untimed is not None]
    return lines + _left_out([*((left.key, left) for left in call.left_out), *untimed])


def _left_out(found: Sequence[tuple[str, LeftOut]]) -> list[Sentence]:
    """Return a line for each reason, with the limits that are left out for it."""
    named = [
        (left.reason, f"{name} ({left.figures})" if left.figures else name) for name, left in found
    ]
    return [
        Sentence(f"Not limited: {listed(names, len(names))}: {why}")
        for why, names in grouped(named).items()
    ]


def _remarks(marker: SuggestedMarker) -> list[Sentence]:
    """Return the headroom of a marker's limits, and the calls that it holds for."""
    timed = [
        f"{suggested.limit.check.key} {units.format_share(suggested.headroom)}"
        for suggested in marker.limits
        if suggested.limit.timed
    ]
    headroom = f"Headroom by the measured spread: {listed(timed, len(timed))}."
    lines = [Sentence(headroom)] if timed else []
    calls = _launches(marker.calls)
    if (runs := max(map(len, calls.values()))) > 1:
        lines.append(Sentence(f"It holds in all {runs} runs."))
    if len(calls) < 2:
        return lines
    names = listed(_short_names(calls))
    lines.append(Sentence(f"It holds for all {len(calls)} measured calls: {names}."))
    medians = [max(c.profile.latency.median_ns for c in of_call) for of_call in calls.values()]
    if max(medians) > UNLIKE * min(medians):
        fastest, slowest = map(units.format_duration, (min(medians), max(medians)))
        loose = f"They take {fastest} to {slowest}, so the limits are loose for the fastest: "
        remedy = "give each parameter a marker of its own with pytest.param(..., marks=...)."
        lines.append(Sentence(loose + remedy))
    return lines


def _short_names(calls: Iterable[CallKey]) -> list[str]:
    """Return the parameters and the label of each call."""
    names = [(test.partition("::")[2], label) for test, label in calls]
    alike = len({name for name, _ in names}) == 1
    return [
        " ".join(filter(None, ["" if alike else "".join(name.partition("[")[1:]), label]))
        for name, label in names
    ]


def _row(cost: RankedCost) -> list[str]:
    return [
        printable(cost.key),
        units.format_share(cost.share),
        "" if cost.interval is None else _share(cost.interval[0]),
        "" if cost.limit is None else cost.limit.text,
        printable(_where(cost)),
    ]


def _where(cost: RankedCost) -> str:
    """Return the costliest operator of a cost, and the call site with most of its time."""
    if not cost.operators:
        return "no operator; p50 and non_mac contain it"
    name = cost.operators[0].removeprefix("aten::")
    return f"{name}, from {cost.where}" if cost.where else name


def _share(share: float) -> str:
    return units.format_share(share if share >= NOTHING else 0.0)


def _small(costs: Sequence[RankedCost]) -> list[Sentence]:
    if not costs:
        return []
    shown = [f"{cost.key} {units.format_share(cost.share)}" for cost in costs]
    least = units.format_share(WORTH_SHARE)
    return [Sentence(f"Below {least}, so not worth a limit: {listed(shown, len(shown))}")]
