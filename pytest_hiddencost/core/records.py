"""What was measured, as frozen plain data: the ``Profile`` of one call and its parts.

Times are in ns per call of the model, sizes in bytes, shares 0 to 1. JSON in and out by
:mod:`pytest_hiddencost.core.codec`. Attribute names are the run file's keys, except where a
field's metadata gives the key of format 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from pytest_hiddencost.core.checks import Check, Outcome
from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.units import Kind


@dataclass(frozen=True)
class Sampling:
    """How long and how surely to measure one call."""

    max_time_ns: int = 2_000_000_000
    min_samples: int = 20
    confidence: float = 0.99


@dataclass(frozen=True)
class Device:
    """The hardware and software a profile was measured on."""

    key: str
    kind: str
    model: str
    cores: int
    threads: int
    arch: str
    os: str
    python: str
    torch: str


@dataclass(frozen=True)
class LatencySamples:
    """Plain timed calls, no instrument on. ``median_ci_ns``: None with too few samples for one."""

    median_ns: float
    p95_ns: float
    p99_ns: float
    min_ns: float
    samples_ns: tuple[int, ...]
    median_ci_ns: tuple[float, float] | None
    confidence: float = 0.99


@dataclass(frozen=True)
class ReferenceTime:
    """The reference workload as it ran between the calls; zeros where it did not run.

    ``mean_ns`` is that of its parts, ``relative`` that of latency / control, each the geometric
    mean over ``blocks``: a call or a few milliseconds of calls with the reference workload before and after
    them. What the whole machine does, faster or slower, is not in ``relative``. Times relative to
    a workload of another ``version`` cannot be compared.
    """

    mean_ns: float = 0.0
    relative: float = 0.0
    blocks: int = 0
    version: int = 1  # that of files which do not say


@dataclass(frozen=True)
class CallSiteCost:
    """An operator as it was called from one module path and one line of the user's code.

    Either is empty where it is not known; ``line`` is ``file.py:number``.
    """

    module: str
    line: str
    calls: int
    self_ns: float


@dataclass(frozen=True)
class OperatorCost:
    """One operator's share of a call: calls, self time (latency scale), MACs.

    ``self_ns`` is corrected for what the profiler cost, ``raw_self_ns`` is what the profiler said.
    ``uncertainty_ns`` is by how much the correction may be wrong; ``below_resolution`` says that
    one call is too short to be told from the profiler's events, so that only sums mean something.
    ``mac_share`` is the part of the self time that is MAC time: 1 for a MAC kernel, 0 for most
    others, between for a wrapper that runs kernels the profiler cannot see.
    ``windows_ns`` holds the self time in every kept profiler window, on the latency's scale;
    ``calls_range`` the fewest and most calls where the structure varies from call to call;
    ``sites`` where in the user's code it was called, costliest first, as far as that is known.
    """

    name: str
    group: str
    calls: int
    self_ns: float
    raw_self_ns: float
    macs: int = 0
    mac_share: float = 0.0
    windows_ns: tuple[float, ...] = ()
    calls_range: tuple[int, int] | None = None
    uncertainty_ns: float = 0.0
    below_resolution: bool = False
    call_sites: tuple[CallSiteCost, ...] = field(default=(), metadata={"key": "sites"})


@dataclass(frozen=True)
class InsideCost:
    """An operator as it occurs inside one composite; ``raw_self_ns`` is what the profiler said."""

    name: str
    calls: int
    self_ns: float
    raw_self_ns: float = 0.0


@dataclass(frozen=True)
class CompositeCost:
    """An operator no other operator called, and everything inside it, itself included.

    ``total_ns`` is corrected for what the profiler cost, ``raw_total_ns`` is what it said.
    """

    name: str
    calls: int
    total_ns: float
    raw_total_ns: float
    inside: tuple[InsideCost, ...]


@dataclass(frozen=True)
class MacKindCost:
    """MACs of one kind; ``self_ns``: the self time of their MAC kernels, None if not known."""

    kind: str
    calls: int
    macs: int
    self_ns: float | None

    @property
    def mac_rate(self) -> float | None:
        """MACs per second of kernel self time."""
        return self.macs / self.self_ns * 1e9 if self.self_ns else None


@dataclass(frozen=True)
class ProfilerCost:
    """What the profiler itself did to the measurement, and how it was taken out.

    ``event_cost_ns`` is the cost of one event that times are corrected by, of which
    ``inside_cost_ns`` lies in the event's own interval; ``observed_cost_ns`` is (profiled - plain)
    / events of this call alone, ``calibrated_cost_ns`` what trivial operators paid.
    ``inflation_share`` is profiled / plain - 1. ``residual_share`` is the part of the latency that
    corrected times and ``outside_ns`` leave unexplained; negative where they explain too much.
    """

    event_cost_ns: float
    events: int
    inflation_share: float
    residual_share: float
    windows: int = 0
    inside_cost_ns: float = 0.0
    observed_cost_ns: float = 0.0
    calibrated_cost_ns: float = 0.0


@dataclass(frozen=True)
class DeviceFigures:
    """What is known by number of the time of a measurement; no judgement is tied to the last two.

    ``stolen_share`` is of the time in which the usable cores were wanted, ``waiting_share`` of the
    time in which some task, ours or not, waited for a core.
    """

    stolen_share: float | None
    waiting_share: float | None
    involuntary_switches_per_cpu_s: float | None


@dataclass(frozen=True)
class DeviceHealth:
    """Whether the device was in a state to be measured, and why not.

    ``remarks`` are no objections; ``unknown`` are the sources that this device does not have.
    """

    fit: bool
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    figures: DeviceFigures | None = None
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The answer to one check; ``unit`` is the kind of quantity ``measured`` and ``limit`` are.

    ``reason`` says what was found, against what; ``remedy`` says what to do. Every inconclusive or
    new verdict has both. ``sampling_helps``: more samples could decide. ``gate`` is the check as
    text, for readers of the run file.
    """

    check: Check
    verdict: Outcome
    measured: float | None
    limit: float
    reason: str = ""
    unit: Kind = "duration"
    interval: tuple[float, float] | None = None
    at_least: bool = False
    sampling_helps: bool = False
    remedy: str = ""
    gate: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate", str(self.check))

    @property
    def explanation(self) -> str:
        """Reason and remedy as one text; empty where there is neither."""
        return "; ".join(part for part in (self.reason, self.remedy) if part)


@dataclass(frozen=True)
class Comparison:
    """A profile held against its baseline; growths are shares, None where nothing can be said.

    ``growth`` is that of p50 relative to the reference workload, with its ``interval``; ``smallest_growth``
    the least that would have been called a regression. ``launches`` were recorded, ``fresh`` ran to
    confirm. ``differences`` are lines on the structure, ``improved`` the gates that got better.
    """

    baseline: str
    growth: float | None = None
    interval: tuple[float, float] | None = None
    smallest_growth: float | None = None
    reference_growth: float | None = field(default=None, metadata={"key": "control_growth"})
    launches: int = 0
    fresh: int = 0
    differences: tuple[str, ...] = ()
    improved: tuple[str, ...] = ()


@dataclass(frozen=True)
class OperatorChange:
    """One operator on both sides of a paired run: calls and self time of one call of the model."""

    name: str
    base_calls: int = field(metadata={"key": "calls_there"})
    head_calls: int = field(metadata={"key": "calls_here"})
    base_ns: float = field(metadata={"key": "there_ns"})
    head_ns: float = field(metadata={"key": "here_ns"})


@dataclass(frozen=True)
class InterleavedComparison:
    """A profile beside another revision's, measured in lock-step; ratios are here / there.

    ``revision`` is as the user named it, ``commit`` its id where it has one. ``ratio`` is that of
    p50, from ``blocks`` pairs of blocks in each of ``launches`` pairs of processes; None where
    nothing could be measured. Each ratio has its ``interval``. ``differences`` are lines on the
    structure, ``improved`` the gates that got better, ``operators`` those whose time differs most.
    ``imported`` says what this side and the other run of their own.
    """

    revision: str
    commit: str = ""
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    non_mac_ratio: float | None = None
    non_mac_interval: tuple[float, float] | None = None
    blocks: int = 0
    launches: int = 0
    differences: tuple[str, ...] = ()
    improved: tuple[str, ...] = ()
    operators: tuple[OperatorChange, ...] = ()
    imported: tuple[str, str] | None = None


CallKey: TypeAlias = tuple[str, str]
"""A measured call: the id of its test, and its label."""


def call_name(test: str, label: str) -> str:
    """Test id, and label where there is one."""
    return f"{test} {label}" if label else test


def stale(profile: Profile) -> bool:
    """Whether a profile is better than its baseline, which then is to be recorded again."""
    return profile.comparison is not None and bool(profile.comparison.improved)


@dataclass(frozen=True)
class Profile:
    """Everything measured about one call of one model."""

    test: str
    label: str
    latency: LatencySamples
    macs: int
    thop_macs: int | None
    mac_rate: float
    parameters: int | None
    mac_ns: float
    non_mac_share: float
    outside_ns: float
    activation_peak_bytes: int | None
    operators: tuple[OperatorCost, ...]
    composites: tuple[CompositeCost, ...]
    mac_kinds: tuple[MacKindCost, ...]
    profiler: ProfilerCost
    health: DeviceHealth = field(metadata={"key": "fitness"})
    verdicts: tuple[Verdict, ...] = ()
    model: str = ""
    grad_mode: str = "inference"
    device: str = "cpu"
    structure_varies: bool = False
    uncosted: tuple[str, ...] = ()
    thop_note: str = ""
    notes: tuple[str, ...] = ()
    allocated_bytes: int | None = None
    reference: ReferenceTime = field(default=ReferenceTime(), metadata={"key": "control"})
    comparison: Comparison | None = None
    interleaved: InterleavedComparison | None = field(default=None, metadata={"key": "paired"})

    def group_ns(self) -> dict[str, float]:
        """Self time per operator group, largest first, in ns."""
        totals: dict[str, float] = {}
        for operator in self.operators:
            mac_ns = operator.self_ns * operator.mac_share
            for group, self_ns in (("mac", mac_ns), (operator.group, operator.self_ns - mac_ns)):
                if self_ns:
                    totals[group] = totals.get(group, 0.0) + self_ns
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def operator(self, name: str) -> OperatorCost:
        """The cost of one operator; ``KeyError`` names those there are."""
        for cost in self.operators:
            if cost.name == name:
                return cost
        raise KeyError(f"{name!r} was not called; operators: {[o.name for o in self.operators]}")

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data, the run file's ``profiles`` entry."""
        data: dict[str, object] = encode(self)
        return data

    @classmethod
    def from_dict(cls, data: object) -> Profile:
        """The profile :meth:`to_dict` came from; ``FormatError`` if it is not one."""
        return decode(cls, data, "profile")
