"""Synthetic profiles whose parts add up like a measured one's, and a reader of printed tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import LIMIT, Check, CheckKind, Outcome
from pytest_hiddencost.core.energy_records import EnergyUnknown, EnergyUse
from pytest_hiddencost.core.intervals import median_interval, quantile
from pytest_hiddencost.core.records import (
    CallsChange,
    CallSiteCost,
    Comparison,
    CompositeCost,
    Device,
    DeviceFigures,
    DeviceHealth,
    InsideCost,
    InterleavedComparison,
    LatencySamples,
    MacKindCost,
    MemoryPoint,
    OperatorChange,
    OperatorCost,
    Profile,
    ProfilerCost,
    ReferenceTime,
    Verdict,
)
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.core.units import Kind

US, MS, S = 10**3, 10**6, 10**9
WINDOWS = 12
CONFIDENCE = 0.99

patient = settings(deadline=None)
"""For properties: no example may fail because a shared machine was slow."""

DEVICE = Device(
    key="cpu-some-board-torch-2.13",
    kind="cpu",
    model="Some Board",
    cores=4,
    threads=2,
    arch="aarch64",
    os="Linux",
    python="3.11.7",
    torch="2.13.0",
)


# --- profiles that add up ----------------------------------------------------------------------


def samples_around(median_ns: int, count: int = 600, spread: float = 0.05) -> tuple[int, ...]:
    """Evenly spaced times with that median, ``spread`` of it to each side, in no order."""
    half = round(median_ns * spread)
    steps = max(1, count - 1)
    ordered = [median_ns - half + round(2 * half * i / steps) for i in range(count)]
    return (*ordered[::2], *ordered[1::2][::-1])


def latency_of(samples_ns: Sequence[int], confidence: float = CONFIDENCE) -> LatencySamples:
    """The record of these samples."""
    ordered = [float(sample) for sample in sorted(samples_ns)]
    return LatencySamples(
        median_ns=quantile(ordered, 0.5),
        p95_ns=quantile(ordered, 0.95),
        p99_ns=quantile(ordered, 0.99),
        min_ns=ordered[0],
        samples_ns=tuple(samples_ns),
        median_ci_ns=median_interval(ordered, confidence),
        confidence=confidence,
    )


def operator(
    name: str,
    self_ns: float,
    calls: int = 1,
    *,
    macs: int = 0,
    mac_share: float | None = None,
    spread: float = 0.0,
    windows: int = WINDOWS,
    calls_range: tuple[int, int] | None = None,
    uncertainty_ns: float = 0.0,
    below_resolution: bool = False,
    call_sites: Sequence[CallSiteCost] = (),
) -> OperatorCost:
    """One operator in its group; its windows lie evenly within ``spread`` of its self time."""
    group = DEFAULT.group(name)
    steps = max(1, windows - 1)
    return OperatorCost(
        name=name,
        group=group,
        calls=calls,
        self_ns=float(self_ns),
        raw_self_ns=self_ns * 1.25,
        macs=macs,
        mac_share=float(group == "mac") if mac_share is None else mac_share,
        windows_ns=tuple(self_ns * (1 + spread * (2 * i / steps - 1)) for i in range(windows)),
        calls_range=calls_range,
        uncertainty_ns=uncertainty_ns,
        below_resolution=below_resolution,
        call_sites=tuple(call_sites),
    )


def composite(name: str, calls: int, inside: Mapping[str, tuple[int, float]]) -> CompositeCost:
    """A composite from the calls and self time (ns) of each operator inside."""
    total_ns = float(sum(self_ns for _, self_ns in inside.values()))
    costs = tuple(
        InsideCost(inner, count, self_ns, self_ns + 400 * count)
        for inner, (count, self_ns) in inside.items()
    )
    return CompositeCost(name, calls, total_ns, sum(c.raw_self_ns for c in costs), costs)


def profile_of(
    *operators: OperatorCost,
    latency_ns: int = 10 * MS,
    samples_ns: Sequence[int] | None = None,
    confidence: float = CONFIDENCE,
    composites: Sequence[CompositeCost] | None = None,
    **changes: Any,
) -> Profile:
    """A profile of these operators: the rest of the latency is outside, MACs are theirs.

    Without ``composites``, Python called every operator directly.
    """
    latency = latency_of(samples_ns or samples_around(latency_ns), confidence)
    macs = sum(o.macs for o in operators)
    mac_ns = sum(o.self_ns * o.mac_share for o in operators)
    if composites is None:
        composites = [composite(o.name, o.calls, {o.name: (o.calls, o.self_ns)}) for o in operators]
    profile = Profile(
        test="test_models.py::test_it",
        label="",
        latency=latency,
        macs=macs,
        thop_macs=None,
        mac_rate=macs / latency.median_ns * 1e9,
        parameters=1_000_000,
        mac_ns=mac_ns,
        non_mac_share=1.0 - mac_ns / latency.median_ns,
        outside_ns=latency.median_ns - sum(o.self_ns for o in operators),
        activation_peak_bytes=24 * 2**20,
        operators=operators,
        composites=tuple(composites),
        mac_kinds=(),
        profiler=ProfilerCost(
            event_cost_ns=400.0,
            events=sum(o.calls for o in operators),
            inflation_share=0.25,
            residual_share=-0.015,
            windows=len(operators[0].windows_ns) if operators else WINDOWS,
            inside_cost_ns=80.0,
            observed_cost_ns=410.0,
            calibrated_cost_ns=350.0,
        ),
        health=DeviceHealth(fit=True),
        model="MobileNet",
    )
    return replace(profile, **changes)


def network(**changes: Any) -> Profile:
    """A small convolutional network of 10 ms: 60 % in the kernels, a 2 ms batch_norm, 1 ms cat."""
    return profile_of(
        operator("aten::mkldnn_convolution", 6 * MS, 20, macs=30_000_000, spread=0.05),
        operator("aten::native_batch_norm", 2 * MS, 20, spread=0.05),
        operator("aten::cat", 1 * MS, 12, spread=0.05),
        operator("aten::copy_", 0.4 * MS, 14, spread=0.05),
        operator("aten::_convolution", 0.2 * MS, 20, spread=0.05),
        **changes,
    )


def energy_use(energy_nj: float, spread: float = 0.01, **changes: Any) -> EnergyUse:
    """The energy of a call over nine windows, evenly within ``spread`` of it to each side."""
    windows_nj = tuple(energy_nj * (1.0 + spread * (i - 4) / 4) for i in range(9))
    use = EnergyUse(
        energy_nj=energy_nj,
        interval_nj=median_interval(windows_nj, CONFIDENCE),
        windows_nj=windows_nj,
        calls=900,
        power_w=5.0,
        idle_w=2.0,
        resolution_share=0.01,
        meter="bench meter",
        domain="board",
    )
    return replace(use, **changes)


def limit_on(key: str) -> Check:
    """The check on a limit of a budget."""
    return Check(LIMIT, key)


# --- any profile there could be ----------------------------------------------------------------

_count = st.integers(0, 2**53)
_number = st.floats(allow_nan=False, allow_infinity=False)
_text = st.text(max_size=12)


def _tuple_of(items: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=most).map(tuple)


def _maybe(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | items


_interval = _maybe(st.tuples(_number, _number))


def _operators() -> st.SearchStrategy[OperatorCost]:
    call_sites = st.builds(
        CallSiteCost, module=_text, line=_text, calls=_count, self_ns=_number, root=_text
    )
    return st.builds(
        OperatorCost, name=_text, group=_text, calls=_count, self_ns=_number, raw_self_ns=_number,
        macs=_count, mac_share=_number, windows_ns=_tuple_of(_number),
        calls_range=_maybe(st.tuples(_count, _count)), uncertainty_ns=_number,
        below_resolution=st.booleans(), call_sites=_tuple_of(call_sites),
    )  # fmt: skip


def _composites() -> st.SearchStrategy[CompositeCost]:
    inside = st.builds(InsideCost, name=_text, calls=_count, self_ns=_number)
    return st.builds(
        CompositeCost, name=_text, calls=_count, total_ns=_number, raw_total_ns=_number,
        clocked=st.booleans(), event_cost_ns=_maybe(_number),
        inside=_tuple_of(inside),
    )  # fmt: skip


def _verdicts() -> st.SearchStrategy[Verdict]:
    checks = st.builds(Check, kind=st.sampled_from(get_args(CheckKind)), key=_text)
    return st.builds(
        Verdict, check=checks, verdict=st.sampled_from(get_args(Outcome)),
        measured=_maybe(_number), limit=_number, reason=_text,
        unit=st.sampled_from(get_args(Kind)), interval=_interval,
        at_least=st.booleans(), sampling_helps=st.booleans(), remedy=_text,
    )  # fmt: skip


def _calls_changes() -> st.SearchStrategy[CallsChange]:
    return st.builds(CallsChange, operator=_text, calls=_count, modules=_text, line=_text)


def _comparisons() -> st.SearchStrategy[Comparison]:
    return st.builds(
        Comparison, baseline=_text, growth=_maybe(_number), interval=_interval,
        changed_calls=_tuple_of(_calls_changes()),
        reference_growth=_maybe(_number), launches=_count, improved=_tuple_of(_text),
    )  # fmt: skip


def _interleaved() -> st.SearchStrategy[InterleavedComparison]:
    changes = st.builds(
        OperatorChange, name=_text, base_calls=_count, head_calls=_count, base_ns=_number,
        head_ns=_number,
    )  # fmt: skip
    return st.builds(
        InterleavedComparison, revision=_text, commit=_text, ratio=_maybe(_number),
        interval=_interval, operators=_tuple_of(changes), imported=_maybe(st.tuples(_text, _text)),
        changed_calls=_tuple_of(_calls_changes()),
    )  # fmt: skip


def any_profiles() -> st.SearchStrategy[Profile]:
    """Profiles with every field free within its type, whether they add up or not."""
    latencies = st.builds(
        LatencySamples, median_ns=_number, p95_ns=_number, p99_ns=_number, min_ns=_number,
        samples_ns=_tuple_of(_count), median_ci_ns=_interval, confidence=_number,
    )  # fmt: skip
    kinds = st.builds(MacKindCost, kind=_text, calls=_count, macs=_count, self_ns=_maybe(_number))
    profilers = st.builds(
        ProfilerCost, event_cost_ns=_number, events=_count, inflation_share=_number,
        residual_share=_number, windows=_count, inside_cost_ns=_number,
        observed_cost_ns=_number, calibrated_cost_ns=_number,
    )  # fmt: skip
    figures = st.builds(
        DeviceFigures, stolen_share=_maybe(_number), waiting_share=_maybe(_number),
        involuntary_switches_per_cpu_s=_maybe(_number),
    )  # fmt: skip
    health = st.builds(
        DeviceHealth, fit=st.booleans(), reasons=_tuple_of(_text), remarks=_tuple_of(_text),
        figures=_maybe(figures), remedies=_tuple_of(_text),
    )  # fmt: skip
    energies = st.builds(
        EnergyUse, energy_nj=_number, interval_nj=_interval, windows_nj=_tuple_of(_number),
        calls=_count, power_w=_number, idle_w=_number, resolution_share=_number, meter=_text,
        domain=_text, confidence=_number,
    )  # fmt: skip
    references = st.builds(
        ReferenceTime, mean_ns=_number, relative=_number, blocks=_count, version=_count
    )
    return st.builds(
        Profile, test=_text, label=_text, latency=latencies, macs=_count, thop_macs=_maybe(_count),
        mac_rate=_number, parameters=_maybe(_count), mac_ns=_number, non_mac_share=_number,
        outside_ns=_number, activation_peak_bytes=_maybe(_count),
        operators=_tuple_of(_operators()), composites=_tuple_of(_composites()),
        mac_kinds=_tuple_of(kinds), profiler=profilers, health=health,
        verdicts=_tuple_of(_verdicts()), model=_text, grad_mode=_text, device=_text,
        structure_varies=st.booleans(), varies=_tuple_of(_text), unseen_ns=_count,
        waiting_for_host_ns=_maybe(_number),
        uncosted=_tuple_of(_text),
        thop_note=_text,
        notes=_tuple_of(_text), allocated_bytes=_maybe(_count), reference=references,
        memory=_tuple_of(st.builds(MemoryPoint, share=_number, live_bytes=_count, root=_text)),
        comparison=_maybe(_comparisons()), interleaved=_maybe(_interleaved()),
        energy=_maybe(energies),
        energy_unknown=_maybe(st.builds(EnergyUnknown, reason=_text, remedy=_text)),
    )  # fmt: skip


# --- what was printed --------------------------------------------------------------------------

_RULE = re.compile(r" *-+(?:  -+)+")  # two columns at least


def read_tables(lines: Sequence[str]) -> list[list[dict[str, str]]]:
    """The rows of every table among these lines, by header; a blank line ends a table.

    Every line must keep to the columns of the rule of dashes: a cell that strays fails the test.
    """
    return [_rows(lines[i - 1 :]) for i, line in enumerate(lines) if _RULE.fullmatch(line.rstrip())]


def read_table(lines: Sequence[str]) -> list[dict[str, str]]:
    """The rows of the one table among these lines."""
    tables = read_tables(lines)
    assert len(tables) == 1, f"expected one table: {lines}"
    return tables[0]


def _rows(lines: Sequence[str]) -> list[dict[str, str]]:
    spans = [match.span() for match in re.finditer("-+", lines[1])]
    head = _cells(lines[0], spans)
    assert all(head[1:]), head  # only a first column may do without a header
    assert len(set(head)) == len(head), head
    rows = []
    for line in lines[2:]:
        if not line.strip():
            break
        rows.append(dict(zip(head, _cells(line, spans), strict=True)))
    return rows


def _cells(line: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    edges = [0, *(edge for span in spans for edge in span), max(len(line), spans[-1][1])]
    gaps = [line[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]
    assert not "".join(gaps).strip(), f"a cell strays from its column: {line!r}"
    return [line[start:end].strip() for start, end in spans]
