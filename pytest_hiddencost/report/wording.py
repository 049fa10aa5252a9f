"""Words and figures that several reports share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import INCONCLUSIVE, NEW, REGRESSION
from pytest_hiddencost.core.energy_records import EnergyUse
from pytest_hiddencost.core.intervals import samples_needed
from pytest_hiddencost.core.lengthy import (
    FEWEST_LENGTHY_SAMPLES,
    LENGTHY_CALL_NS,
    format_wait,
)
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.core.records import (
    Comparison,
    Device,
    InterleavedComparison,
    LatencySamples,
    Profile,
    Verdict,
    call_name,
)
from pytest_hiddencost.core.tolerances import ENERGY

LONG_WAIT_NS = 60_000_000_000  # of one measurement, after which a person wants to know why

_COMMAND = re.compile(r"((?:\A|[\r\n])\s*)::")

K = TypeVar("K")


def grouped(pairs: Iterable[tuple[K, str]]) -> dict[K, list[str]]:
    """Return the names by key, in their order."""
    found: dict[K, list[str]] = {}
    for key, name in pairs:
        found.setdefault(key, []).append(name)
    return found


def quantity(verdict: Verdict, value: float) -> str:
    """Return a value of a verdict with its unit; a growth has its sign."""
    if verdict.check.kind == REGRESSION and verdict.unit == "share":
        return units.format_growth(value)
    return units.format_quantity(verdict.unit, value)


def interval_text(verdict: Verdict) -> str:
    """Return the interval of a measured value: ``35.5 to 54.8 %``."""
    if verdict.interval is None or verdict.measured is None:
        return "-"
    low, high = verdict.interval
    if low == high:
        return "exact"
    unit = units.column_unit(verdict.unit, [high])
    return (
        f"{units.format_number(verdict.unit, low, unit)} to "
        f"{units.format_quantity(verdict.unit, high, unit=unit)}"
    )


def device_line(device: Device) -> str:
    """Return the device in words: kind, model, cores, threads and torch."""
    threads = "thread" if device.threads == 1 else "threads"
    return (
        f"{device.kind}: {device.model}, {device.cores} cores, {device.threads} {threads}, "
        f"torch {device.torch}"
    )


def allowed(verdict: Verdict) -> str:
    """Return the limit in words: ``at most 8 ms``; a dash for a new call, which has none."""
    if verdict.verdict == NEW:
        return "-"
    return f"at {'least' if verdict.at_least else 'most'} {quantity(verdict, verdict.limit)}"


def check_in_words(verdict: Verdict) -> str:
    """Return a check with its figures: ``p95 10.5 ms, at most 8 ms``."""
    if verdict.verdict == NEW:
        return f"new: {verdict.reason}"
    if verdict.measured is None:  # a limit that checked nothing
        return f"{verdict.check}: {verdict.reason.partition(';')[0]}"
    inconclusive = "is inconclusive: " if verdict.verdict == INCONCLUSIVE else ""
    measured = quantity(verdict, verdict.measured)
    return f"{verdict.check} {inconclusive}{measured}, {allowed(verdict)}"


def inert(text: str) -> str:
    """Return a text in which CI services find no command.

    GitHub's runner takes a line that begins with ``::``, and ``##[`` anywhere, for a command.
    """
    return _COMMAND.sub(r"\1: :", text.replace("##[", "## ["))


def unfit_line(profiles: Sequence[Profile]) -> str:
    """Return how many calls the device was unfit for, and the first reason; empty if for none."""
    unfit = [profile for profile in profiles if not profile.health.fit]
    if not unfit:
        return ""
    health = unfit[0].health
    why = "; ".join((*health.reasons, *health.remedies))
    return f"unfit for timing ({len(unfit)} of {len(profiles)}): {why}"


def stale_line(comparison: Comparison) -> str:
    """Return the quantities that fell below the baseline, with the remedy."""
    return f"baseline is stale: less {listed(comparison.improved)}; accept with --hiddencost-update"


def revision_name(found: InterleavedComparison) -> str:
    """Return the base as the user named it, and its commit if it has one."""
    return f"{found.revision} ({found.commit[:10]})" if found.commit else found.revision


def growth_with_interval(ratio: float, interval: tuple[float, float]) -> str:
    """Return a ratio as growth: ``+5.1 % (+3.9 to +6.3 %)``."""
    low, high = (100 * (bound - 1.0) for bound in interval)
    return f"{100 * (ratio - 1.0):+.1f} % ({low:+.1f} to {high:+.1f} %)"


def energy_text(use: EnergyUse) -> str:
    """Return an energy with its interval: ``12.1 mJ (12 to 12.3 mJ)``."""
    text = units.format_energy(use.energy_nj)
    if use.interval_nj is None:
        return text
    low, high = map(units.format_energy, use.interval_nj)
    return f"{text} ({low} to {high})"


def power_text(use: EnergyUse) -> str:
    """Return the power during the calls and that of the idle device."""
    power, idle = map(units.format_power, (use.power_w, use.idle_w))
    return f"{power}, idle {idle}"


def unknown_energies(profiles: Iterable[Profile]) -> list[str]:
    """Return each reason of energies that were asked for in vain, unless a verdict gives it."""
    found = grouped(
        (f"{p.energy_unknown.reason}; {p.energy_unknown.remedy}", printable(call_name(*p.key)))
        for p in profiles
        if p.energy_unknown is not None and not any(v.check.key == ENERGY for v in p.verdicts)
    )
    return [
        f"energy unknown ({len(names)}): {listed(names)}: {why}" for why, names in found.items()
    ]


def waiting_lines(profile: Profile) -> list[str]:
    """Return the work on a call that took minutes, with the remedy; none for a faster one."""
    latency, lines = profile.latency, []
    lengthy = latency.median_ns >= LENGTHY_CALL_NS
    if profile.spent_ns >= LONG_WAIT_NS:
        each = f" of {units.format_duration(latency.median_ns)}" if lengthy else ""
        wait = format_wait(profile.spent_ns / 1e9)
        lines.append(
            f"{profile.calls_made} calls{each} took {wait}; {_quicker(latency, lengthy=lengthy)}"
        )
    pairs = profile.interleaved
    if lengthy and pairs is not None and pairs.spent_ns >= LONG_WAIT_NS:
        wait = format_wait(pairs.spent_ns / 1e9)
        fewer = "a lower --hiddencost-confidence needs fewer"
        lines.append(f"{pairs.launches} pairs of processes took {wait}; {fewer}")
    return lines


def _quicker(latency: LatencySamples, *, lengthy: bool) -> str:
    """Return the remedies that make fewer calls, or shorter ones."""
    shorter = "measure a smaller input or a part of the model (label=...)"
    if not lengthy:
        return f"lower --hiddencost-max-time, make setup= cheaper, or {shorter}"
    count, needed = len(latency.samples_ns), samples_needed(0.5, latency.confidence)
    if count > max(needed, FEWEST_LENGTHY_SAMPLES):
        return f"lower --hiddencost-max-time, or {shorter}"
    if count > FEWEST_LENGTHY_SAMPLES:
        return f"lower --hiddencost-confidence, or {shorter}"
    return shorter
