"""The quantities of a call that go to dashboards, in ns, nJ, bytes, calls and shares of 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.core.records import Profile, call_name
from pytest_hiddencost.core.units import Kind


@dataclass(frozen=True)
class CallQuantity:
    """One quantity of every call: its key, its kind, and a sentence on it."""

    key: str
    kind: Kind
    meaning: str
    of: Callable[[Profile], float | None]  # None if it was not measured


CALL_QUANTITIES: tuple[CallQuantity, ...] = (
    CallQuantity("p50", "duration", "Median latency of a call.", lambda p: p.latency.median_ns),
    CallQuantity(
        "p95", "duration", "95th percentile of the latency.", lambda p: p.latency.p95_ns
    ),
    CallQuantity(
        "p99", "duration", "99th percentile of the latency.", lambda p: p.latency.p99_ns
    ),
    CallQuantity(
        "non_mac",
        "duration",
        "Time of a call outside MAC kernels.",
        lambda p: p.latency.median_ns - p.mac_ns,
    ),
    CallQuantity(
        "non_mac_share", "share", "Share of the latency outside MAC kernels.",
        lambda p: p.non_mac_share,
    ),
    CallQuantity("macs", "macs", "Multiply-accumulates of a call.", lambda p: p.macs),
    CallQuantity(
        "mac_rate", "mac_rate", "Multiply-accumulates per second of a call.", lambda p: p.mac_rate
    ),
    CallQuantity(
        "calls", "calls", "Operators that one call runs.", lambda p: operator_calls(p)
    ),
    CallQuantity(
        "activation_memory", "bytes", "Most live bytes that one call allocated.",
        lambda p: p.activation_peak_bytes,
    ),
    CallQuantity(
        "allocated_bytes", "bytes", "Bytes that one call allocated.", lambda p: p.allocated_bytes
    ),
    CallQuantity(
        "energy", "energy", "Energy of a call, idle power included.",
        lambda p: p.energy.energy_nj if p.energy else None,
    ),
)  # fmt: skip
"""In the order of reports. Less is better, except for the MAC rate."""


def operator_calls(profile: Profile) -> int:
    """Return how many operators one call runs."""
    return sum(operator.calls for operator in profile.operators)


def uniquely_named(
    profiles: Iterable[Profile], longest: int = 10**6
) -> Iterator[tuple[str, Profile]]:
    """Yield each profile with a name that no other has: test id and label, on one line.

    ``longest``: characters of a name. A name that two calls have gets a number.
    """
    taken: set[str] = set()
    for profile in profiles:
        text = printable(call_name(profile.test, profile.label)).strip() or "(no name)"
        name, number = _shortened(text, longest), 1
        while name in taken:
            number += 1
            suffix = f" ({number})"
            name = _shortened(text, longest - len(suffix)) + suffix
        taken.add(name)
        yield name, profile


def _shortened(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 2].rstrip()}.."
