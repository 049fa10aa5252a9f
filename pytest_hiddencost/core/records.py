"""Frozen plain data: the ``Profile`` of one measured call and its parts.

Times are in ns per call of the model, sizes in bytes, shares 0 to 1.
:mod:`pytest_hiddencost.core.codec` reads and writes the records as JSON. Attribute names are the
run file's keys, unless a field's metadata gives the key of format 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from pytest_hiddencost.core.checks import Check, Outcome
from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.energy_records import EnergyUnknown, EnergyUse
from pytest_hiddencost.core.operator_rates import OperatorRate, Peaks
from pytest_hiddencost.core.units import Kind


@dataclass(frozen=True)
class Sampling:
    """The time and the confidence for measuring one call."""

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
    """Plain timed calls, without a profiler. ``median_ci_ns`` is None if samples are too few."""

    median_ns: float
    p95_ns: float
    p99_ns: float
    min_ns: float
    samples_ns: tuple[int, ...]
    median_ci_ns: tuple[float, float] | None
    confidence: float = 0.99


@dataclass(frozen=True)
class ReferenceTime:
    """The reference workload's times between the calls, as geometric means over blocks.

    A block is one call, or a few milliseconds of calls, between two runs of the workload. Zeros
    mean that it did not run.
    """

    mean_ns: float = 0.0
    relative: float = 0.0  # latency / reference workload: the whole machine's speed cancels out
    blocks: int = 0
    version: int = 1  # of the workload; files that name none have 1


@dataclass(frozen=True)
class CallSiteCost:
    """Calls of an operator from one module path and one line of the user's code."""

    module: str  # empty if not known
    line: str  # file.py:number, or empty
    calls: int
    self_ns: float
    root: str = ""  # the operator that Python called, which ran this one; older files have none


@dataclass(frozen=True)
class OperatorCost:
    """One operator's part of a call; times are on the latency's scale.

    ``mac_share`` is 1 for a MAC kernel. It lies between 0 and 1 for a wrapper that runs kernels
    which the profiler cannot see. ``below_resolution``: one call is shorter than the profiler
    resolves, so only sums have a meaning.
    """

    name: str
    group: str
    calls: int
    self_ns: float  # corrected for the profiler's overhead
    raw_self_ns: float  # as the profiler reported it
    macs: int = 0
    mac_share: float = 0.0  # of the self time
    windows_ns: tuple[float, ...] = ()  # self time in every kept profiler window
    calls_range: tuple[int, int] | None = None  # fewest and most, if the structure varies
    uncertainty_ns: float = 0.0  # of the correction
    below_resolution: bool = False
    # The known ones, costliest first.
    call_sites: tuple[CallSiteCost, ...] = field(default=(), metadata={"key": "sites"})

    @property
    def calls_bounds(self) -> tuple[int, int]:
        """The fewest and most calls."""
        return self.calls_range or (self.calls, self.calls)


@dataclass(frozen=True)
class InsideCost:
    """An operator inside one composite."""

    name: str
    calls: int
    self_ns: float
    raw_self_ns: float = 0.0  # as the profiler reported it


@dataclass(frozen=True)
class MemoryPoint:
    """Live bytes that one call allocated, at a moment of the call."""

    share: float  # of the call's time, as profiled with every allocation
    live_bytes: int
    root: str  # the operator that Python called, at that moment; empty outside operators


@dataclass(frozen=True)
class CompositeCost:
    """An operator that no other operator called, with everything inside it, itself included.

    ``clocked``: a clock timed every call without the profiler, which gives only the parts inside.
    """

    name: str
    calls: int
    total_ns: float  # corrected for the profiler's overhead
    raw_total_ns: float  # as the profiler reported it
    inside: tuple[InsideCost, ...]
    clocked: bool = False
    event_cost_ns: float | None = None  # of the profiler, by the clock; noise can make it negative


WAITING_FOR_HOST: Final = "waiting for the host"
"""Part of the time outside operators: the accelerator is idle until the host launches a kernel."""

GENERATED = "generated kernels"
"""MAC kind of products that torch.compile put into kernels of its own: they have no events."""


@dataclass(frozen=True)
class MacKindCost:
    """MACs of one kind. Times are those of one call of the model, None if they are not known."""

    kind: str
    calls: int
    macs: int
    self_ns: float | None  # of the kernels, in the call
    replay_ns: float | None = None  # of its operators, each in a loop of its own
    energy_nj_per_mac: float | None = None  # in these loops

    @property
    def mac_rate(self) -> float | None:
        """MACs per second of kernel self time."""
        return self.macs / self.self_ns * 1e9 if self.self_ns else None

    @property
    def replay_rate(self) -> float | None:
        """MACs per second of the replays."""
        return self.macs / self.replay_ns * 1e9 if self.replay_ns else None


@dataclass(frozen=True)
class ProfilerCost:
    """The profiler's overhead, and how it was taken out."""

    event_cost_ns: float  # taken out per event
    events: int
    inflation_share: float  # profiled / plain - 1
    residual_share: float  # of the latency: not explained by corrected times and outside_ns
    windows: int = 0
    inside_cost_ns: float = 0.0  # part of event_cost_ns within the event's own interval
    observed_cost_ns: float = 0.0  # (profiled - plain) / events of this call alone
    calibrated_cost_ns: float = 0.0  # of an event of trivial operators


@dataclass(frozen=True)
class DeviceFigures:
    """Load figures of a measurement; only ``stolen_share`` decides whether the device was fit."""

    stolen_share: float | None  # of the time in which the usable cores were wanted
    waiting_share: float | None  # of the time: some task, ours or not, waited for a core
    involuntary_switches_per_cpu_s: float | None


@dataclass(frozen=True)
class DeviceHealth:
    """Device health: whether the device was fit to be measured, with reasons and remedies."""

    fit: bool
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # these leave the device fit
    unknown: tuple[str, ...] = ()  # readings that this device does not offer
    figures: DeviceFigures | None = None
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The answer to one check; an inconclusive or new one has a reason and a remedy."""

    check: Check
    verdict: Outcome
    measured: float | None
    limit: float
    reason: str = ""  # what was found, against what
    unit: Kind = "duration"  # of measured, limit and interval
    interval: tuple[float, float] | None = None
    at_least: bool = False
    sampling_helps: bool = False  # more samples could decide
    remedy: str = ""  # what to do
    gate: str = field(init=False, default="")  # the check as text, for readers of the run file

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate", str(self.check))

    @property
    def explanation(self) -> str:
        """Reason and remedy as one text; empty if there is neither."""
        return "; ".join(filter(None, (self.reason, self.remedy)))


@dataclass(frozen=True)
class CallsChange:
    """One operator whose number of calls differs from the baseline or base.

    If calls were added, modules and line are the busiest call site of the module path that gained
    most; they are empty if it is not known.
    """

    operator: str
    calls: int  # more than the other side has; negative: fewer
    modules: str = ""  # blocks.*.shuffle
    line: str = ""  # file.py:number

    @property
    def where(self) -> str:
        """Module path and line, as far as they are known."""
        return ", ".join(filter(None, (self.modules, self.line)))


@dataclass(frozen=True)
class Comparison:
    """A profile compared with its baseline; growths are shares, None if they are not known."""

    baseline: str
    growth: float | None = None  # of p50 relative to the reference workload
    interval: tuple[float, float] | None = None
    smallest_growth: float | None = None  # the smallest that could fail
    reference_growth: float | None = field(default=None, metadata={"key": "control_growth"})
    launches: int = 0  # recorded
    fresh: int = 0  # relaunches that measured the call again
    differences: tuple[str, ...] = ()  # lines on the structure
    improved: tuple[str, ...] = ()  # keys of checks
    changed_calls: tuple[CallsChange, ...] = ()  # most added calls first


@dataclass(frozen=True)
class OperatorChange:
    """One operator in head and base: calls and self time of one call of the model."""

    name: str
    base_calls: int = field(metadata={"key": "calls_there"})
    head_calls: int = field(metadata={"key": "calls_here"})
    base_ns: float = field(metadata={"key": "there_ns"})
    head_ns: float = field(metadata={"key": "here_ns"})


@dataclass(frozen=True)
class InterleavedComparison:
    """A call measured in head and base, interleaved; ratios are head / base, None if not known."""

    revision: str  # the base as the user named it
    commit: str = ""  # the base's id, if it has one
    ratio: float | None = None  # of p50
    interval: tuple[float, float] | None = None
    non_mac_ratio: float | None = None
    non_mac_interval: tuple[float, float] | None = None
    blocks: int = 0  # in each pair of processes
    launches: int = 0  # pairs of processes
    differences: tuple[str, ...] = ()  # lines on the structure
    improved: tuple[str, ...] = ()  # keys of checks
    changed_calls: tuple[CallsChange, ...] = ()  # most added calls first
    operators: tuple[OperatorChange, ...] = ()  # those whose time differs most
    imported: tuple[str, str] | None = None  # the user's code that head and base imported, in words
    spent_ns: int = 0  # by all pairs


CallKey: TypeAlias = tuple[str, str]
"""A measured call: the id of its test, and its label."""


LATENCY: Final = "latency"
"""The key in ``Profile.varies`` of a call that changes as it is repeated."""


def call_name(test: str, label: str) -> str:
    """Return the test's id, with the label if it has one."""
    return f"{test} {label}" if label else test


def stale(profile: Profile) -> bool:
    """Return whether a profile is better than its baseline, so that the user should accept it."""
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
    # Keys of quantities that differ from call to call: macs, allocated_bytes, LATENCY and others.
    varies: tuple[str, ...] = ()
    unseen_ns: int = 0  # unexplained CPU time of a call in other threads or processes
    waiting_for_host_ns: float | None = None  # by an idle accelerator; None if not known
    uncosted: tuple[str, ...] = ()
    thop_note: str = ""
    notes: tuple[str, ...] = ()
    allocated_bytes: int | None = None
    memory: tuple[MemoryPoint, ...] = ()  # over the call; empty if the device records no events
    reference: ReferenceTime = field(default=ReferenceTime(), metadata={"key": "control"})
    calls_made: int = 0  # by this measurement, in all passes
    spent_ns: int = 0  # by this measurement
    comparison: Comparison | None = None
    interleaved: InterleavedComparison | None = field(default=None, metadata={"key": "paired"})
    energy: EnergyUse | None = None  # only if it was asked for
    energy_unknown: EnergyUnknown | None = None  # if it was asked for in vain
    replays: tuple[OperatorRate, ...] = ()  # of each distinct operator, longest first
    peaks: Peaks | None = None  # of the device, if operators were replayed

    @property
    def key(self) -> CallKey:
        """The key of the measured call."""
        return self.test, self.label

    @property
    def generated_macs(self) -> int:
        """MACs in generated kernels, whose time counts as non-MAC time."""
        return sum(kind.macs for kind in self.mac_kinds if kind.kind == GENERATED)

    def outside_parts_ns(self) -> dict[str, float]:
        """Return the parts of the time outside operators in ns, by name."""
        if self.waiting_for_host_ns is None:
            return {"outside": self.outside_ns}
        waiting_ns = min(self.waiting_for_host_ns, self.outside_ns)
        return {WAITING_FOR_HOST: waiting_ns, "outside": self.outside_ns - waiting_ns}

    def group_ns(self) -> dict[str, float]:
        """Return the self time in ns per operator group, largest first."""
        totals: dict[str, float] = {}
        for operator in self.operators:
            mac_ns = operator.self_ns * operator.mac_share
            for group, self_ns in (("mac", mac_ns), (operator.group, operator.self_ns - mac_ns)):
                if self_ns:
                    totals[group] = totals.get(group, 0.0) + self_ns
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def operator(self, name: str) -> OperatorCost:
        """Return the cost of one operator; ``KeyError`` names those that were called."""
        for cost in self.operators:
            if cost.name == name:
                return cost
        raise KeyError(f"{name!r} was not called; operators: {[o.name for o in self.operators]}")

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON data, as in the run file's ``profiles``."""
        return dict(encode(self))

    @classmethod
    def from_dict(cls, data: object) -> Profile:
        """Return the profile that :meth:`to_dict` encoded. Raises ``FormatError``."""
        return decode(cls, data, "profile")
