"""The entry of a call in a baseline: its structure once, its times per launch, no samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pytest_hiddencost.core.call_sites import calls_by_modules
from pytest_hiddencost.core.energy_records import EnergyUse
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import Profile

LARGEST = 2**62  # of any number in an entry: ns, bytes, calls


@dataclass(frozen=True)
class OperatorEntry:
    """One operator's structure, and its self time in every launch."""

    group: str
    calls: int
    self_ns: tuple[int, ...]
    calls_most: int | None = None  # if the number of calls varies
    below_resolution: bool = False
    modules: Mapping[str, int] = field(default_factory=dict)  # calls by path: blocks.*.shuffle

    @property
    def calls_bounds(self) -> tuple[int, int]:
        """The fewest and most calls of all launches."""
        return self.calls, self.calls_most or self.calls


@dataclass(frozen=True)
class Entry:
    """One recorded call of a test; each of the tuples has one value per launch.

    ``relative`` is latency / reference workload, over blocks. Bytes are None if the device does
    not count them. ``commit`` and ``reason`` may be empty.
    """

    model: str
    created: str
    commit: str
    reason: str
    macs: int
    mac_kinds: Mapping[str, int]
    allocated_bytes: int | None
    activation_peak_bytes: int | None
    p50_ns: tuple[int, ...]
    reference_ns: tuple[int, ...] = field(metadata={"key": "control_ns"})
    relative: tuple[float, ...]
    non_mac_ns: tuple[int, ...]
    groups_ns: Mapping[str, tuple[int, ...]]
    operators: Mapping[str, OperatorEntry]
    # Files that name none have 1.
    reference_version: int = field(default=1, metadata={"key": "control_version"})
    varies: tuple[str, ...] = ()  # keys of quantities that differ from call to call
    uncosted: tuple[str, ...] = ()  # operators whose MACs are not counted
    unseen_ns: int = 0  # most CPU time of a call in other threads or processes
    unfit: str = ""  # why the device was unfit for timing; the structure is exact all the same
    energy_nj: tuple[int, ...] = ()  # empty unless every launch measured it, by one meter
    energy_meter: str = ""

    @property
    def launches(self) -> int:
        """The number of fresh processes that measured the call."""
        return len(self.p50_ns)


def entry_of(
    launches: Sequence[Profile], *, created: str = "", commit: str = "", reason: str = ""
) -> Entry:
    """Return the entry of one call from its profile in every launch (at least one)."""
    first = launches[0]
    groups = [profile.group_ns() for profile in launches]
    return Entry(
        model=first.model,
        created=created,
        commit=commit,
        reason=reason,
        macs=first.macs,
        mac_kinds={kind.kind: kind.macs for kind in first.mac_kinds},
        allocated_bytes=first.allocated_bytes,
        activation_peak_bytes=first.activation_peak_bytes,
        p50_ns=tuple(round(p.latency.median_ns) for p in launches),
        reference_ns=tuple(round(p.reference.mean_ns) for p in launches),
        relative=tuple(float(f"{p.reference.relative:.6g}") for p in launches),
        non_mac_ns=tuple(max(0, round(p.latency.median_ns - p.mac_ns)) for p in launches),
        groups_ns={
            name: tuple(round(found.get(name, 0.0)) for found in groups)
            for name in sorted({name for found in groups for name in found})
        },
        operators=_operators(launches),
        reference_version=first.reference.version,
        varies=_varying(launches),
        uncosted=tuple(sorted({name for profile in launches for name in profile.uncosted})),
        unseen_ns=max(profile.unseen_ns for profile in launches),
        unfit=next(("; ".join(p.health.reasons) for p in launches if not p.health.fit), ""),
        **_energy(launches),
    )


def meter_of(use: EnergyUse) -> str:
    """Return the meter and its domain in words."""
    return f"{use.meter} ({use.domain})"


def _energy(launches: Sequence[Profile]) -> dict[str, Any]:
    """Return the energy in every launch and its meter; nothing unless all launches have both."""
    found = [profile.energy for profile in launches if profile.energy is not None]
    meters = set(map(meter_of, found))
    if len(found) < len(launches) or len(meters) != 1:
        return {}
    energy_nj = tuple(max(1, round(use.energy_nj)) for use in found)
    return {"energy_nj": energy_nj, "energy_meter": meters.pop()}


def _varying(launches: Sequence[Profile]) -> tuple[str, ...]:
    """Return the keys of exact quantities that differ between calls, or between launches."""
    found = {key for profile in launches for key in profile.varies}
    exact: dict[str, set[int | None]] = {
        "macs": {p.macs for p in launches},
        "allocated_bytes": {p.allocated_bytes for p in launches},
        "activation_memory": {p.activation_peak_bytes for p in launches},
    }
    return tuple(sorted(found | {key for key, values in exact.items() if len(values) > 1}))


def _operators(launches: Sequence[Profile]) -> dict[str, OperatorEntry]:
    tables = [{cost.name: cost for cost in profile.operators} for profile in launches]
    found = {}
    for name in sorted({name for table in tables for name in table}):
        costs = [table[name] for table in tables if name in table]
        lows, highs = zip(*(cost.calls_bounds for cost in costs), strict=True)
        least, most = min(lows) if len(costs) == len(tables) else 0, max(highs)
        found[name] = OperatorEntry(
            group=costs[0].group,
            calls=least,
            self_ns=tuple(round(t[name].self_ns) if name in t else 0 for t in tables),
            calls_most=most if most != least else None,
            below_resolution=median([cost.below_resolution for cost in costs]) >= 0.5,
            modules=dict(sorted(calls_by_modules(costs[0]).items())),
        )
    return found


def checked(entry: Entry, where: str) -> Entry:
    """Return the entry if its numbers are possible. Raises ``FormatError`` naming the wrong one."""
    columns: dict[str, Sequence[float]] = {
        "p50_ns": entry.p50_ns,
        "control_ns": entry.reference_ns,
        "relative": entry.relative,
        "non_mac_ns": entry.non_mac_ns,
        **({"energy_nj": entry.energy_nj} if entry.energy_nj else {}),
        **{f"groups_ns[{name!r}]": values for name, values in entry.groups_ns.items()},
        **{f"operators[{n!r}].self_ns": o.self_ns for n, o in entry.operators.items()},
    }
    for name, values in columns.items():
        if len(values) != entry.launches or not values:
            raise FormatError(
                f"{where}: {name} has {len(values)} values for {entry.launches} launches"
            )
        least = 1e-9 if name in ("p50_ns", "relative", "energy_nj") else 0
        for value in values:
            if not (math.isfinite(value) and least <= value <= LARGEST):
                raise FormatError(f"{where}: {name}: {value!r:.40} is not a possible value")
    for name, count in _counts(entry):
        if not 0 <= (count or 0) <= LARGEST:
            raise FormatError(f"{where}: {name}: {count!r:.40} is not a possible count")
    return entry


def _counts(entry: Entry) -> Iterator[tuple[str, int | None]]:
    yield "macs", entry.macs
    yield "allocated_bytes", entry.allocated_bytes
    yield "activation_peak_bytes", entry.activation_peak_bytes
    yield "unseen_ns", entry.unseen_ns
    yield from ((f"mac_kinds[{name!r}]", macs) for name, macs in entry.mac_kinds.items())
    for name, operator in entry.operators.items():
        yield f"operators[{name!r}].calls", operator.calls
        yield f"operators[{name!r}].calls_most", operator.calls_most
        for module, calls in operator.modules.items():
            yield f"operators[{name!r}].modules[{module!r}]", calls
