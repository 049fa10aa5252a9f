"""The structure of a call against its baseline or base: calls, MACs and bytes, exactly."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from pytest_hiddencost.core.call_sites import calls_by_modules, grouped_call_sites
from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS, regression
from pytest_hiddencost.core.records import (
    GENERATED,
    CallsChange,
    OperatorCost,
    Profile,
    Verdict,
)
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.core.units import format_signed
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.baseline.entries import Entry, OperatorEntry
from pytest_hiddencost.judge.reasons import Reason

MOST_NAMED = 12  # operators in one line


@dataclass(frozen=True)
class Structure:
    """The comparison of one call's structure.

    ``differences`` are lines in words; ``improved`` are the keys of quantities that shrank;
    ``changed_calls`` are the operators with another number of calls, most added ones first.
    """

    verdicts: tuple[Verdict, ...]
    differences: tuple[str, ...]
    improved: tuple[str, ...]
    changed_calls: tuple[CallsChange, ...]

    @property
    def failed(self) -> bool:
        """Whether a quantity grew beyond its tolerance."""
        return any(verdict.verdict == FAIL for verdict in self.verdicts)


def check_structure(profile: Profile, entry: Entry, tolerances: Tolerances) -> Structure:
    """Compare calls, MACs and bytes of a profile with those of an entry."""
    calls, changes = _calls(profile, entry, tolerances.structural("calls"))
    macs, mac_line = _macs(profile, entry, tolerances.structural("macs"))
    sizes = (
        ("allocated_bytes", profile.allocated_bytes, entry.allocated_bytes),
        ("activation_memory", profile.activation_peak_bytes, entry.activation_peak_bytes),
    )
    compared = [_bytes(*size, tolerances) for size in sizes if size[1:] != (None, None)]
    found = [calls, macs, *(verdict for verdict, _ in compared)]
    lines = [*_lines(changes), *(line for _, line in compared if line)]
    if lines or mac_line:
        lines.append(mac_line or "MACs unchanged")
    reason = "; ".join(lines)
    less = [v.check.key for v in found if v.verdict == PASS and (v.measured or 0) < v.limit]
    found = [_open_if_varying(verdict, {*profile.varies, *entry.varies}) for verdict in found]
    found[1] = _open_if_incomplete(found[1], set(profile.uncosted), set(entry.uncosted))
    found = [_open_if_unseen(verdict, profile, entry) for verdict in found]
    return Structure(
        tuple(replace(v, reason=reason) if v.verdict == FAIL else v for v in found),
        tuple(lines),
        () if profile.structure_varies or profile.unseen_ns else tuple(less),
        tuple(changes),
    )


def _calls(profile: Profile, entry: Entry, tolerance: float) -> tuple[Verdict, list[CallsChange]]:
    now = {cost.name: cost for cost in profile.operators}
    changes: list[CallsChange] = []
    grown_calls: list[tuple[int, int]] = []  # now and recorded, of operators beyond the tolerance
    varies = False
    for name in sorted({*now, *entry.operators}):
        recorded = entry.operators.get(name)
        least, most = now[name].calls_bounds if name in now else (0, 0)
        low, high = (0, 0) if recorded is None else recorded.calls_bounds
        steady = least == most and low == high
        varies = varies or not steady
        if least > high:
            changes.append(_added(now[name], recorded, least - high))
            # An operator that was never there before cannot be one that only varies.
            if least > high * (1.0 + tolerance) and (steady or high == 0):
                grown_calls.append((least, high))
        elif most < low:
            changes.append(CallsChange(name, most - low))
    total = sum(cost.calls for cost in profile.operators)
    recorded_total = sum(operator.calls for operator in entry.operators.values())
    if grown_calls and total <= recorded_total:  # others were removed, which excuses no growth
        total, recorded_total = (sum(calls) for calls in zip(*grown_calls, strict=True))
    verdict = verdicts.exact("calls", "calls", total, recorded_total, grown=bool(grown_calls))
    if varies and not grown_calls:
        verdict = _open_if_varying(verdict, {"calls"})
    return verdict, sorted(changes, key=lambda change: (-change.calls, change.operator))


def _open_if_varying(verdict: Verdict, varies: Collection[str]) -> Verdict:
    """Return the verdict, inconclusive if its quantity varies from call to call."""
    reason = verdicts.varying(varies, verdict.check.key)
    return verdict if reason is None else _open(verdict, reason)


def _open_if_incomplete(verdict: Verdict, now: set[str], recorded: set[str]) -> Verdict:
    """Return the verdict on MACs, inconclusive if operators without a formula may change it.

    ``now`` and ``recorded`` are such operators. If they are the same, counted growth is growth.
    """
    if not now | recorded or (verdict.verdict == FAIL and now == recorded):
        return verdict
    reason = reasons.UNCOUNTED_MACS.filled(operators=", ".join(sorted(now | recorded)))
    return _open(verdict, reason)


def _open_if_unseen(verdict: Verdict, profile: Profile, entry: Entry) -> Verdict:
    """Return the verdict, inconclusive if unseen work could change it.

    Growth of the seen part is growth, unless the entry has unseen work: head may do it in sight.
    """
    grown = verdict.verdict == FAIL and not entry.unseen_ns
    unseen_ns = max(profile.unseen_ns, entry.unseen_ns)
    if not unseen_ns or grown or verdict.verdict == INCONCLUSIVE:
        return verdict
    return _open(verdict, verdicts.unseen(unseen_ns))


def _open(verdict: Verdict, reason: Reason) -> Verdict:
    measured, limit, unit = verdict.measured, verdict.limit, verdict.unit
    return verdicts.undecided(verdict.check, limit, unit, reason, measured=measured)


def _added(cost: OperatorCost, recorded: OperatorEntry | None, calls: int) -> CallsChange:
    """Return added calls, with the busiest call site in the module path that gained most calls."""
    gained = calls_by_modules(cost)
    gained.subtract({} if recorded is None else recorded.modules)
    groups = grouped_call_sites(cost)
    most = max(groups, key=lambda group: gained[group.modules], default=None)
    if most is None or gained[most.modules] <= 0:
        return CallsChange(cost.name, calls)
    busiest = max((g for g in groups if g.modules == most.modules), key=lambda g: g.calls)
    return CallsChange(cost.name, calls, busiest.modules, busiest.line)


def _lines(changes: Iterable[CallsChange]) -> list[str]:
    """Return a line per call site."""
    by_call_site: dict[str, list[str]] = {}
    for change in changes:
        named = f"{change.calls:+d} {change.operator}"
        by_call_site.setdefault(change.where, []).append(named)
    lines = []
    for call_site, found in by_call_site.items():
        shown = ", ".join(found[:MOST_NAMED])
        if len(found) > MOST_NAMED:
            shown += f" and {len(found) - MOST_NAMED} more operators"
        lines.append(f"{shown} ({call_site})" if call_site else shown)
    return lines


def _macs(profile: Profile, entry: Entry, tolerance: float) -> tuple[Verdict, str]:
    now, recorded = {kind.kind: kind.macs for kind in profile.mac_kinds}, entry.mac_kinds
    # torch.compile moves products between operators and generated kernels as it likes.
    kinds = {} if GENERATED in {*now, *recorded} else now
    grown = profile.macs > entry.macs * (1.0 + tolerance) or any(
        macs > recorded.get(kind, 0) * (1.0 + tolerance) for kind, macs in kinds.items()
    )
    more = {k: now.get(k, 0) - recorded.get(k, 0) for k in sorted({*now, *recorded})}
    if not any(more.values()):
        more = {"": profile.macs - entry.macs}
    parts = [
        f"{format_signed('macs', macs)} {kind}".rstrip() for kind, macs in more.items() if macs
    ]
    line = f"MACs: {', '.join(parts)}" if parts else ""
    return verdicts.exact("macs", "macs", profile.macs, entry.macs, grown=grown), line


def _bytes(
    key: str, now: int | None, recorded: int | None, tolerances: Tolerances
) -> tuple[Verdict, str]:
    if recorded is None or now is None:
        side = "this measurement" if now is None else "the baseline or base"
        reason = reasons.NO_BYTES.filled(side=side)
        found = verdicts.undecided(regression(key), float(recorded or 0), "bytes", reason)
        return replace(found, measured=None if now is None else float(now)), ""
    grown = now > recorded * (1.0 + tolerances.structural(key))
    changed = f"{key.replace('_', ' ')} {format_signed('bytes', now - recorded)}"
    found = verdicts.exact(key, "bytes", now, recorded, grown=grown)
    return found, "" if now == recorded else changed
