"""Tables of ``hiddencost kinds``: a device's throughput by operator kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_hiddencost.core import units
from pytest_hiddencost.core.operator_rates import DeviceKinds, OperatorRate, Peaks
from pytest_hiddencost.core.roofline import bound_by
from pytest_hiddencost.report.cost_tables import aligned
from pytest_hiddencost.report.replay_tables import nj_per_mac_text, peaks_line, short_shapes


def battery_blocks(found: DeviceKinds) -> Iterator[str]:
    """Yield the tables and lines on a device."""
    with_macs = [each for each in found.operators if each.macs]
    yield peaks_line(found.peaks)
    yield _mac_table(with_macs, found.peaks)
    yield f"{_spread_line(with_macs)}\n{_energy_line(found)}"
    yield _byte_table([each for each in found.operators if not each.macs], found.peaks)


def _mac_table(operators: Sequence[OperatorRate], peaks: Peaks) -> str:
    rows = [
        (
            each.kind,
            short_shapes(each.shapes),
            units.format_number("macs", each.macs, "MMAC"),
            units.format_duration(each.repetition_ns),
            units.format_number("mac_rate", each.mac_rate, "GMAC/s"),
            units.format_share(each.mac_rate / peaks.mac_rate),
            f"{each.macs_per_byte:.3g}",
            nj_per_mac_text(each),
            bound_by(each, peaks),
        )
        for each in operators
    ]
    headers = [
        "kind", "shapes", "MMAC", "time", "GMAC/s", "of peak", "MAC/B", "nJ/MAC", "bound by",
    ]  # fmt: skip
    return aligned(rows, headers, last="left")


def _byte_table(operators: Sequence[OperatorRate], peaks: Peaks) -> str:
    rows = [
        (
            each.operator.removeprefix("aten::"),
            short_shapes(each.shapes),
            units.format_bytes(each.moved_bytes),
            units.format_duration(each.repetition_ns),
            units.format_number("byte_rate", each.byte_rate, "GB/s"),
            units.format_share(each.byte_rate / peaks.byte_rate(each.working_bytes)),
            bound_by(each, peaks),
        )
        for each in operators
    ]
    headers = ["operator", "shapes", "moved", "time", "GB/s", "of a copy", "bound by"]
    return aligned(rows, headers, last="left")


def _spread_line(operators: Sequence[OperatorRate]) -> str:
    """Return the fastest and the slowest operator, and the spread over kinds."""
    best: dict[str, float] = {}
    for each in operators:
        best[each.kind] = max(best.get(each.kind, 0.0), each.mac_rate)
    fastest, slowest = max(best, key=lambda k: best[k]), min(best, key=lambda k: best[k])
    return (
        f"spread over kinds, each at its fastest size: {best[fastest] / best[slowest]:.3g} x, from "
        f"{slowest} ({units.format_rate(best[slowest])}) to {fastest} "
        f"({units.format_rate(best[fastest])})"
    )


def _energy_line(found: DeviceKinds) -> str:
    known = [(e.energy_nj_per_mac, e.kind) for e in found.operators if e.energy_nj_per_mac]
    if not known:
        return f"energy of a MAC: {found.energy_note}"
    (least, cheapest), (most, dearest) = min(known), max(known)
    unknown = f"; unknown for the rest: {found.energy_note}" if found.energy_note else ""
    return (
        f"energy of a MAC: {most / least:.3g} x, from {cheapest} ({least:.3g} nJ) to {dearest} "
        f"({most:.3g} nJ){unknown}"
    )
