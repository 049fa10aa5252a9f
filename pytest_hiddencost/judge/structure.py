"""Structure against what was recorded, or the base: calls, MACs and bytes are compared exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pytest_hiddencost.core.call_sites import CallSiteGroup, grouped_call_sites
from pytest_hiddencost.core.checks import FAIL, PASS, regression
from pytest_hiddencost.core.records import OperatorCost, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.core.units import format_bytes, format_macs
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.baseline.entries import Entry, OperatorEntry

MOST_NAMED = 12  # operators in one line


@dataclass(frozen=True)
class _Difference:
    """How many more calls of one operator than recorded (negative: fewer), and from where."""

    name: str
    calls: int
    place: str = ""

    def __str__(self) -> str:
        return f"{self.calls:+d} {self.name}"


@dataclass(frozen=True)
class Structure:
    """The comparison of one call's structure.

    ``differences`` are lines in words; ``improved`` are the quantities that got less.
    """

    verdicts: tuple[Verdict, ...]
    differences: tuple[str, ...]
    improved: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether a quantity grew beyond what is allowed."""
        return any(verdict.verdict == FAIL for verdict in self.verdicts)


def check_structure(profile: Profile, entry: Entry, tolerances: Tolerances) -> Structure:
    """Compare calls, MACs and bytes of a profile with those of an entry."""
    calls, call_lines = _calls(profile, entry, tolerances.structural("calls"))
    macs, mac_line = _macs(profile, entry, tolerances.structural("macs"))
    sizes = [
        _bytes("allocated_bytes", profile.allocated_bytes, entry.allocated_bytes, tolerances),
        _bytes(
            "activation_memory",
            profile.activation_peak_bytes,
            entry.activation_peak_bytes,
            tolerances,
        ),
    ]
    found = [calls, macs, *(verdict for verdict, _ in sizes if verdict is not None)]
    changed = [*call_lines, *(line for _, line in sizes if line)]
    if changed or mac_line:
        changed.append(mac_line or "MACs unchanged")
    reason = "; ".join(changed)
    return Structure(
        tuple(replace(v, reason=reason) if v.verdict == FAIL else v for v in found),
        tuple(changed),
        () if profile.structure_varies else tuple(_less(found)),
    )


def _less(found: Iterable[Verdict]) -> list[str]:
    return [
        verdict.check.key
        for verdict in found
        if verdict.verdict == PASS
        and verdict.measured is not None
        and verdict.measured < verdict.limit
    ]


def _calls(profile: Profile, entry: Entry, tolerance: float) -> tuple[Verdict, list[str]]:
    now = {cost.name: cost for cost in profile.operators}
    differences: list[_Difference] = []
    grown = False
    for name in sorted({*now, *entry.operators}):
        cost, recorded = now.get(name), entry.operators.get(name)
        least, most = _range(cost)
        low = 0 if recorded is None else recorded.calls
        high = 0 if recorded is None else (recorded.calls_most or recorded.calls)
        if least > high:
            differences.append(_Difference(name, least - high, _where(cost, recorded)))
            grown = grown or least > high * (1.0 + tolerance)
        elif most < low:
            differences.append(_Difference(name, most - low))
    total = sum(cost.calls for cost in profile.operators)
    recorded_total = sum(operator.calls for operator in entry.operators.values())
    verdict = verdicts.exact("calls", "calls", total, recorded_total, grown=grown)
    return verdict, _lines(differences)


def _range(cost: OperatorCost | None) -> tuple[int, int]:
    if cost is None:
        return 0, 0
    return cost.calls_range or (cost.calls, cost.calls)


def _where(cost: OperatorCost | None, recorded: OperatorEntry | None) -> str:
    """Module path and line from which an operator is called more often than recorded."""
    if cost is None:
        return ""
    before: Mapping[str, int] = {} if recorded is None else recorded.modules
    by_module: dict[str, list[CallSiteGroup]] = {}
    for place in grouped_call_sites(cost):
        by_module.setdefault(place.modules, []).append(place)
    grown: list[tuple[int, CallSiteGroup]] = []
    for modules, found in by_module.items():
        more = sum(place.calls for place in found) - before.get(modules, 0)
        if more > 0:
            grown.append((more, max(found, key=lambda place: place.calls)))
    if not grown:
        return ""
    _, place = max(grown, key=lambda item: item[0])
    return ", ".join(part for part in (place.modules, place.line) if part)


def _lines(differences: Iterable[_Difference]) -> list[str]:
    """One line per place: what came, most calls first, then what went."""
    by_place: dict[str, list[_Difference]] = {}
    for difference in sorted(differences, key=lambda d: (-d.calls, d.name)):
        by_place.setdefault(difference.place, []).append(difference)
    lines = []
    for place, found in by_place.items():
        shown = ", ".join(str(difference) for difference in found[:MOST_NAMED])
        if len(found) > MOST_NAMED:
            shown += f" and {len(found) - MOST_NAMED} more operators"
        lines.append(f"{shown} ({place})" if place else shown)
    return lines


def _macs(profile: Profile, entry: Entry, tolerance: float) -> tuple[Verdict, str]:
    kinds = {kind.kind: kind.macs for kind in profile.mac_kinds}
    grown = profile.macs > entry.macs * (1.0 + tolerance) or any(
        macs > entry.mac_kinds.get(kind, 0) * (1.0 + tolerance) for kind, macs in kinds.items()
    )
    parts = [
        _signed_macs(kinds.get(kind, 0) - entry.mac_kinds.get(kind, 0), kind)
        for kind in sorted({*kinds, *entry.mac_kinds})
        if kinds.get(kind, 0) != entry.mac_kinds.get(kind, 0)
    ]
    if not parts and profile.macs != entry.macs:
        parts = [_signed_macs(profile.macs - entry.macs, "")]
    line = f"MACs: {', '.join(parts)}" if parts else ""
    return verdicts.exact("macs", "macs", profile.macs, entry.macs, grown=grown), line


def _signed_macs(more: int, kind: str) -> str:
    sign = "+" if more > 0 else "-"
    return f"{sign}{format_macs(abs(more))} {kind}".rstrip()


def _bytes(
    quantity: str, now: int | None, recorded: int | None, tolerances: Tolerances
) -> tuple[Verdict | None, str]:
    if recorded is None and now is None:
        return None, ""
    if recorded is None or now is None:
        when = "now" if now is None else "when the baseline was recorded"
        reason = reasons.NO_BYTES.filled(when=when)
        return verdicts.undecided(
            regression(quantity),
            float(recorded or 0),
            "bytes",
            reason,
            measured=None if now is None else float(now),
        ), ""
    grown = now > recorded * (1.0 + tolerances.structural(quantity))
    line = ""
    if now != recorded:
        sign = "+" if now > recorded else "-"
        line = f"{quantity.replace('_', ' ')} {sign}{format_bytes(abs(now - recorded))}"
    return verdicts.exact(quantity, "bytes", now, recorded, grown=grown), line
