"""A call against its base or baseline: intervals, waterfalls, differences of structure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import regression
from pytest_hiddencost.core.operator_changes import changes_between
from pytest_hiddencost.core.records import (
    Comparison,
    InterleavedComparison,
    OperatorChange,
    Profile,
)
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.structure import check_structure
from pytest_hiddencost.report.call_parts import UNKNOWN_SITE
from pytest_hiddencost.report.html.escaping import short, visible
from pytest_hiddencost.report.wording import (
    growth_with_interval,
    revision_name,
    stale_line,
)

MOST_STEPS = 12  # of a waterfall; smaller ones are put together
OUTSIDE, UNEXPLAINED, OTHERS = "outside operators", "unexplained", "others"

PartTimes = Mapping[str, float]
"""PartTimes in ns by the name of an operator or a module."""


@dataclass(frozen=True)
class GrowthOver:
    """The growth of one quantity over its base; ``limit`` is the growth that is allowed."""

    name: str
    ratio: float
    interval: tuple[float, float] | None
    limit: float | None = None

    @property
    def text(self) -> str:
        """The growth in words, with its interval if it is known."""
        if self.interval is None:
            return f"{100 * (self.ratio - 1.0):+.1f} %"
        return growth_with_interval(self.ratio, self.interval)

    def data(self) -> dict[str, Any]:
        """Return growths in percent."""
        low, high = self.interval or (None, None)
        return {
            "name": self.name,
            "growth": _percent(self.ratio),
            "low": None if low is None else _percent(low),
            "high": None if high is None else _percent(high),
            "limit": None if self.limit is None else round(100.0 * self.limit, 3),
            "text": self.text,
        }


def _percent(ratio: float) -> float:
    return round(100.0 * (ratio - 1.0), 3)


def changes(profile: Profile, base: Profile | None, base_name: str) -> list[dict[str, Any]]:
    """Return every comparison of a call: with the base run, its revision, its baseline."""
    found = []
    if base is not None:
        found.append(_against_run(profile, base, base_name))
    if profile.interleaved is not None:
        found.append(_against_base(profile, profile.interleaved))
    if profile.comparison is not None:
        found.append(_against_recorded(profile, profile.comparison))
    return found


def growth_over(profile: Profile, base: Profile | None) -> GrowthOver | None:
    """Return the growth of p50 that the overview shows; None if nothing was compared."""
    if base is not None:
        return _p50_growth(profile, base)
    pairs = profile.interleaved
    if pairs is not None and pairs.ratio is not None:
        return GrowthOver("p50", pairs.ratio, pairs.interval, _allowed(profile, "p50"))
    return None if profile.comparison is None else _recorded_growth(profile, profile.comparison)


def _recorded_growth(profile: Profile, found: Comparison) -> GrowthOver | None:
    if found.growth is None:
        return None
    low_high = found.interval
    bounds = None if low_high is None else (1.0 + low_high[0], 1.0 + low_high[1])
    return GrowthOver("p50", 1.0 + found.growth, bounds, _allowed(profile, "p50"))


def _allowed(profile: Profile, key: str) -> float | None:
    """Return the growth that the check on a quantity allows."""
    limits = [v.limit for v in profile.verdicts if v.check == regression(key) and v.unit == "share"]
    return limits[0] if limits else None


# --- another run file ---------------------------------------------------------------------------


def _against_run(profile: Profile, base: Profile, name: str) -> dict[str, Any]:
    growths = [growth for growth in (_p50_growth(profile, base), _non_mac(profile, base)) if growth]
    ends = base.latency.median_ns, profile.latency.median_ns
    base_times, head_times = operator_times(base), operator_times(profile)
    operators = changes_between(_with_calls(base, base_times), _with_calls(profile, head_times))
    structure = check_structure(profile, entry_of([base]), Tolerances())
    return {
        "title": f"against {visible(name)}",
        "facts": [f"{growth.name} {growth.text}" for growth in growths],
        "intervals": [growth.data() for growth in growths],
        "waterfalls": [
            waterfall("by operator", ends, base_times, head_times),
            waterfall("by module", ends, module_times(base), module_times(profile)),
        ],
        "differences": [visible(line) for line in structure.differences],
        "operators": _rows(sorted(operators, key=lambda c: -abs(c.head_ns - c.base_ns))),
    }


def _with_calls(profile: Profile, times: PartTimes) -> dict[str, tuple[int, float]]:
    calls = {operator.name: operator.calls for operator in profile.operators}
    return {name: (calls.get(name, 0), ns) for name, ns in times.items()}


def _p50_growth(profile: Profile, base: Profile) -> GrowthOver | None:
    """Return the growth between two runs; its bounds are those of both medians together."""
    head_ns, base_ns = profile.latency.median_ns, base.latency.median_ns
    if base_ns <= 0.0:
        return None
    head, of_base = profile.latency.median_ci_ns, base.latency.median_ci_ns
    interval = None
    if head is not None and of_base is not None and min(of_base) > 0.0:
        interval = (head[0] / of_base[1], head[1] / of_base[0])
    return GrowthOver("p50", head_ns / base_ns, interval)


def _non_mac(profile: Profile, base: Profile) -> GrowthOver | None:
    base_ns = base.latency.median_ns - base.mac_ns
    head_ns = profile.latency.median_ns - profile.mac_ns
    return GrowthOver("non-MAC time", head_ns / base_ns, None) if base_ns > 0.0 else None


def operator_times(profile: Profile) -> dict[str, float]:
    """Return the self time of every operator, and the rest of the latency, which sum to it."""
    return _with_rest(profile, {o.name: o.self_ns for o in profile.operators})


def module_times(profile: Profile) -> dict[str, float]:
    """Return the time by module path, and the rest of the latency, which sum to it."""
    times: dict[str, float] = {}
    for operator in profile.operators:
        left_ns = operator.self_ns
        for site in operator.call_sites:
            name = site.module or site.line or UNKNOWN_SITE
            times[name] = times.get(name, 0.0) + site.self_ns
            left_ns -= site.self_ns
        if abs(left_ns) > 1e-6 * abs(operator.self_ns):
            times[UNKNOWN_SITE] = times.get(UNKNOWN_SITE, 0.0) + left_ns
    return _with_rest(profile, times)


def _with_rest(profile: Profile, times: dict[str, float]) -> dict[str, float]:
    rest_ns = profile.latency.median_ns - profile.outside_ns - sum(times.values())
    return {**times, OUTSIDE: profile.outside_ns, UNEXPLAINED: rest_ns}


# --- a revision, a baseline ---------------------------------------------------------------------


def _against_base(profile: Profile, found: InterleavedComparison) -> dict[str, Any]:
    growths = []
    if found.ratio is not None:
        growths.append(GrowthOver("p50", found.ratio, found.interval, _allowed(profile, "p50")))
    if found.non_mac_ratio is not None:
        limit = _allowed(profile, "non_mac")
        growths.append(
            GrowthOver("non-MAC time", found.non_mac_ratio, found.non_mac_interval, limit)
        )
    facts = [f"{growth.name} {growth.text}" for growth in growths]
    facts.append(f"{found.launches} pairs of processes, {found.blocks} blocks in turns")
    waterfalls = []
    if found.ratio and found.operators:
        head_ns = profile.latency.median_ns
        base = {change.name: change.base_ns for change in found.operators}
        head = {change.name: change.head_ns for change in found.operators}
        waterfalls = [waterfall("by operator", (head_ns / found.ratio, head_ns), base, head)]
    return {
        "title": f"against {visible(revision_name(found))}",
        "facts": facts,
        "intervals": [growth.data() for growth in growths],
        "waterfalls": waterfalls,
        "differences": [visible(line) for line in found.differences],
        "operators": _rows(found.operators),
    }


def _against_recorded(profile: Profile, found: Comparison) -> dict[str, Any]:
    growth = _recorded_growth(profile, found)
    facts = [] if growth is None else [f"p50 {growth.text}"]
    if found.reference_growth is not None:
        facts.append(f"reference workload {units.format_growth(found.reference_growth)}")
    if found.smallest_growth is not None:
        smallest = units.format_growth(found.smallest_growth)
        facts.append(f"smallest growth that could fail {smallest}")
    facts.append(f"{found.launches} recorded launches, {found.fresh} relaunches")
    if found.improved:
        facts.append(stale_line(found))
    return {
        "title": "against the baseline" + (f" of {visible(found.baseline)}" * bool(found.baseline)),
        "facts": [visible(fact) for fact in facts],
        "intervals": [] if growth is None else [growth.data()],
        "waterfalls": [],
        "differences": [visible(line) for line in found.differences],
        "operators": [],
    }


# --- waterfall ----------------------------------------------------------------------------------


def waterfall(
    title: str, ends_ns: tuple[float, float], base: PartTimes, head: PartTimes
) -> dict[str, Any]:
    """Return the steps from the base's latency to head's; what no step explains is ``others``."""
    base_ns, head_ns = ends_ns
    steps = {name: head.get(name, 0.0) - base.get(name, 0.0) for name in {**base, **head}}
    ordered = sorted(steps.items(), key=lambda step: (-abs(step[1]), step[0]))
    largest = sorted(dict(ordered[:MOST_STEPS]).items(), key=lambda step: -step[1])
    left_ns = head_ns - base_ns - sum(ns for _, ns in largest)
    unit = units.column_unit("duration", [base_ns, head_ns])
    per_unit = units.unit_size("duration", unit)
    drawn = [step for step in largest if abs(step[1]) > 1e-4 * max(abs(base_ns), abs(head_ns))]
    left_ns += sum(ns for _, ns in largest) - sum(ns for _, ns in drawn)
    return {
        "title": title,
        "unit": unit,
        "base": base_ns / per_unit,
        "head": head_ns / per_unit,
        "base_text": units.format_duration(base_ns),
        "head_text": units.format_duration(head_ns),
        "names": [*(short(name) for name, _ in drawn), OTHERS],
        "steps": [*(ns / per_unit for _, ns in drawn), left_ns / per_unit],
        "texts": [
            *(units.format_signed("duration", ns) for _, ns in drawn),
            units.format_signed("duration", left_ns),
        ],
    }


def _rows(operators: Iterable[OperatorChange]) -> list[list[str]]:
    """Return rows of operator, calls, base, head, change and growth."""
    return [
        [
            visible(change.name),
            f"{change.base_calls} → {change.head_calls}"
            if change.base_calls or change.head_calls
            else "",
            units.format_duration(change.base_ns),
            units.format_duration(change.head_ns),
            units.format_signed("duration", change.head_ns - change.base_ns),
        ]
        for change in operators
    ]
