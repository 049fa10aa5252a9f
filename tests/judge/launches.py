"""Profiles as launches measure them, to be compared with each other and with recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_hiddencost.core.records import (
    CallSiteCost,
    DeviceHealth,
    MacKindCost,
    OperatorCost,
    Profile,
    ProfilerCost,
    ReferenceTime,
)
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.latency.sampler import latency_of

MS = 1_000_000
REFERENCE_NS = 500_000.0
CONV, NORM, CAT, COPY = (
    "aten::mkldnn_convolution", "aten::native_batch_norm", "aten::cat", "aten::copy_",
)  # fmt: skip
SHARES = {CONV: 0.6, NORM: 0.2, CAT: 0.1, COPY: 0.04}
CALLS = {CONV: 20, NORM: 20, CAT: 12, COPY: 14}


def launch(
    p50_ns: float = 10 * MS,
    *,
    reference_ns: float = REFERENCE_NS,
    calls: dict[str, int] | None = None,
    shares: dict[str, float] | None = None,
    call_sites: dict[str, Sequence[CallSiteCost]] | None = None,
    kinds: dict[str, int] | None = None,
    unfit: str = "",
    **changes: object,
) -> Profile:
    """A profile of one launch: a convolutional network of 10 ms, 60 % of it in the kernels.

    ``calls``, and ``shares`` of the latency, are by operator; ``unfit`` is the device's trouble.
    """
    calls, shares = {**CALLS, **(calls or {})}, {**SHARES, **(shares or {})}
    kinds = kinds or {"conv2d 3x3": 30_000_000}
    operators = tuple(
        OperatorCost(
            name=name,
            group=DEFAULT.group(name),
            calls=count,
            self_ns=shares.get(name, 0.001) * p50_ns,
            raw_self_ns=shares.get(name, 0.001) * p50_ns,
            mac_share=1.0 if name == CONV else 0.0,
            call_sites=tuple((call_sites or {}).get(name, ())),
        )
        for name, count in calls.items()
        if count
    )
    found = Profile(
        test="test_models.py::test_it",
        label="",
        latency=latency_of([round(p50_ns)] * 20, 0.99),
        macs=sum(kinds.values()),
        thop_macs=None,
        mac_rate=1e9,
        parameters=1,
        mac_ns=shares[CONV] * p50_ns,
        non_mac_share=1.0 - shares[CONV],
        outside_ns=0.06 * p50_ns,
        activation_peak_bytes=2**20,
        operators=operators,
        composites=(),
        mac_kinds=tuple(MacKindCost(kind, 1, macs, None) for kind, macs in kinds.items()),
        profiler=ProfilerCost(300.0, 100, 0.1, 0.0),
        health=DeviceHealth(not unfit, (unfit,) if unfit else ()),
        model="Net",
        allocated_bytes=2**22,
        reference=ReferenceTime(reference_ns, p50_ns / reference_ns, 40),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def launches(*p50_ms: float, reference_ns: float = REFERENCE_NS) -> list[Profile]:
    """One launch for each of these latencies."""
    return [launch(ms * MS, reference_ns=reference_ns) for ms in p50_ms]
