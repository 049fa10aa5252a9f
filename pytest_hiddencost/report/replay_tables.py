"""Tables of a call's replays: each operator below the device's roofs, and the MAC kinds."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_hiddencost.core import units
from pytest_hiddencost.core.operator_rates import OperatorRate, Peaks
from pytest_hiddencost.core.records import MacKindCost, Profile
from pytest_hiddencost.core.roofline import bound_by, shares_by_bound
from pytest_hiddencost.report.cost_tables import aligned, mac_kind_cells

MOST_REPLAYS = 12
MOST_SHAPES = 2  # input and weight; biases and states say little


def replay_blocks(profile: Profile) -> list[str]:
    """Return the tables and lines on the replays of a call; none if it was not replayed."""
    if not profile.replays or profile.peaks is None:
        return []
    return [
        peaks_line(profile.peaks),
        _replay_table(profile, profile.peaks),
        f"{_bounds_line(profile.replays, profile.peaks)}\n{check_line(profile)}",
        _kind_table(profile),
    ]


def peaks_line(peaks: Peaks) -> str:
    """Return the peaks of the device in words."""
    return (
        f"peaks: {units.format_rate(peaks.mac_rate)} in a matrix product; copies "
        f"{units.format_byte_rate(peaks.cache_byte_rate)} in caches, "
        f"{units.format_byte_rate(peaks.memory_byte_rate)} in memory; "
        f"{units.format_duration(peaks.call_ns)} for a call of one element"
    )


def check_line(profile: Profile) -> str:
    """Return the check of the replays: their sum against the call."""
    replayed_ns = replayed_total_ns(profile.replays)
    latency_ns = profile.latency.median_ns
    return (
        f"check: the replays take {units.format_duration(replayed_ns)} together, the call takes "
        f"{units.format_duration(latency_ns)} ({units.format_share(replayed_ns / latency_ns)}); "
        "views, allocations and Python are not replayed"
    )


def replayed_total_ns(replays: Sequence[OperatorRate]) -> float:
    """Return the sum of the replays, each as often as the call runs the operator."""
    return sum(replay.total_ns for replay in replays)


def short_shapes(shapes: str) -> str:
    """Return the shapes of input and weight: the first with more than one dimension."""
    found = shapes.split()
    return " ".join([shape for shape in found if "x" in shape][:MOST_SHAPES]) or " ".join(found[:1])


def nj_per_mac_text(found: OperatorRate | MacKindCost) -> str:
    """Return the energy of a MAC in nJ, as a number."""
    energy_nj = found.energy_nj_per_mac
    return "-" if energy_nj is None else f"{energy_nj:.3g}"


def _replay_table(profile: Profile, peaks: Peaks) -> str:
    latency_ns = profile.latency.median_ns
    shown, rest = profile.replays[:MOST_REPLAYS], profile.replays[MOST_REPLAYS:]
    rows: list[tuple[str, ...]] = [
        (
            found.operator.removeprefix("aten::"),
            short_shapes(found.shapes),
            str(found.calls),
            units.format_duration(found.total_ns),
            units.format_share(found.total_ns / latency_ns),
            units.format_number("mac_rate", found.mac_rate, "GMAC/s") if found.macs else "-",
            units.format_number("byte_rate", found.byte_rate, "GB/s"),
            bound_by(found, peaks),
        )
        for found in shown
    ]
    if rest:
        calls, total_ns = sum(found.calls for found in rest), replayed_total_ns(rest)
        share = units.format_share(total_ns / latency_ns)
        time = units.format_duration(total_ns)
        rows.append((f"{len(rest)} more", "", str(calls), time, share, "", "", ""))
    headers = ["replay", "shapes", "calls", "time", "share", "GMAC/s", "GB/s", "bound by"]
    return aligned(rows, headers, last="left")


def _bounds_line(replays: Sequence[OperatorRate], peaks: Peaks) -> str:
    shares = shares_by_bound(replays, peaks)
    parts = (f"{bound} {units.format_share(share)}" for bound, share in shares.items())
    return f"bound by: {', '.join(parts)} of the replayed time"


def _kind_table(profile: Profile) -> str:
    rows = [
        (
            *mac_kind_cells(kind),
            "-" if kind.replay_ns is None else units.format_duration(kind.replay_ns),
            _rate(kind.replay_rate),
            nj_per_mac_text(kind),
        )
        for kind in profile.mac_kinds
    ]
    headers = ["MAC kind", "calls", "MACs", "in the call", "replayed", "GMAC/s", "nJ/MAC"]
    return aligned(rows, headers) if rows else ""


def _rate(mac_rate: float | None) -> str:
    return "-" if mac_rate is None else units.format_number("mac_rate", mac_rate, "GMAC/s")
