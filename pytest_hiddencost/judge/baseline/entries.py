"""What a baseline keeps of a profiled call: structure once, times per launch, never samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from pytest_hiddencost.core.call_sites import grouped_call_sites
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import Profile

LARGEST = 2**62  # of any number in an entry: ns, bytes, calls


@dataclass(frozen=True)
class OperatorEntry:
    """One operator: exact calls (``calls_most`` where they vary), self time of every launch in ns.

    ``modules``: its calls by module path, like modules as one (``blocks.*.shuffle``).
    """

    group: str
    calls: int
    self_ns: tuple[int, ...]
    calls_most: int | None = None
    below_resolution: bool = False
    modules: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One call of one test as recorded: ``p50_ns[i]``, ``control_ns[i]`` ... are of launch i.

    ``relative[i]`` is that launch's median of latency / reference workload, block by block.
    Bytes are None on devices that keep no account; ``commit`` and ``reason`` may be empty.
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
    # 1: that of files which do not say.
    reference_version: int = field(default=1, metadata={"key": "control_version"})

    @property
    def launches(self) -> int:
        """How many fresh processes measured it."""
        return len(self.p50_ns)


def entry_of(
    launches: Sequence[Profile], *, created: str = "", commit: str = "", reason: str = ""
) -> Entry:
    """The entry of one call, from its profile in every launch (at least one)."""
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
        relative=tuple(_digits(p.reference.relative) for p in launches),
        non_mac_ns=tuple(round(p.latency.median_ns - p.mac_ns) for p in launches),
        groups_ns={
            name: tuple(round(found.get(name, 0.0)) for found in groups)
            for name in sorted({name for found in groups for name in found})
        },
        operators=_operators(launches),
        reference_version=first.reference.version,
    )


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _operators(launches: Sequence[Profile]) -> dict[str, OperatorEntry]:
    tables = [{cost.name: cost for cost in profile.operators} for profile in launches]
    found = {}
    for name in sorted({name for table in tables for name in table}):
        costs = [table[name] for table in tables if name in table]
        ranges = [cost.calls_range or (cost.calls, cost.calls) for cost in costs]
        least = min(low for low, _ in ranges) if len(costs) == len(tables) else 0
        most = max(high for _, high in ranges)
        modules: dict[str, int] = {}
        for place in grouped_call_sites(costs[0]):
            modules[place.modules] = modules.get(place.modules, 0) + place.calls
        found[name] = OperatorEntry(
            group=costs[0].group,
            calls=least,
            self_ns=tuple(round(t[name].self_ns) if name in t else 0 for t in tables),
            calls_most=most if most != least else None,
            below_resolution=median([cost.below_resolution for cost in costs]) >= 0.5,
            modules=dict(sorted(modules.items())),
        )
    return found


def checked(entry: Entry, where: str) -> Entry:
    """The entry if its numbers can have been measured; ``FormatError`` says which cannot."""
    columns: dict[str, Sequence[float]] = {
        "p50_ns": entry.p50_ns,
        "control_ns": entry.reference_ns,
        "relative": entry.relative,
        "non_mac_ns": entry.non_mac_ns,
        **{f"groups_ns[{name!r}]": values for name, values in entry.groups_ns.items()},
        **{f"operators[{n!r}].self_ns": o.self_ns for n, o in entry.operators.items()},
    }
    for name, values in columns.items():
        if len(values) != entry.launches or not values:
            raise FormatError(
                f"{where}: {name} has {len(values)} values for {entry.launches} launches"
            )
        least = 0 if name not in ("p50_ns", "relative") else 1e-9
        for value in values:
            if not (math.isfinite(value) and least <= value <= LARGEST):
                raise FormatError(f"{where}: {name}: {value!r:.40} was never measured")
    counts: dict[str, int | None] = {
        "macs": entry.macs,
        "allocated_bytes": entry.allocated_bytes,
        "activation_peak_bytes": entry.activation_peak_bytes,
        **{f"mac_kinds[{name!r}]": macs for name, macs in entry.mac_kinds.items()},
    }
    for name, operator in entry.operators.items():
        counts[f"operators[{name!r}].calls"] = operator.calls
        counts[f"operators[{name!r}].calls_most"] = operator.calls_most
        for module, calls in operator.modules.items():
            counts[f"operators[{name!r}].modules[{module!r}]"] = calls
    for name, count in counts.items():
        if count is not None and not 0 <= count <= LARGEST:
            raise FormatError(f"{where}: {name}: {count!r:.40} is no count")
    return entry
