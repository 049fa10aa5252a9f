"""Limits as a person would write them in a marker: two significant digits, or exactly."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Final

from pytest_hiddencost.core import units
from pytest_hiddencost.core.units import Kind

DIGITS: Final = 2  # significant ones, of a limit with headroom
MOST_EXACT_DIGITS: Final = 4  # of an exact limit in a larger unit, such as 46.4 MMAC
_LARGER: Final[dict[str, tuple[str, ...]]] = {
    "macs": ("TMAC", "GMAC", "MMAC", "kMAC"),
    "bytes": ("GiB", "MiB", "KiB"),
}


def rounded_up(kind: Kind, value: float) -> str:
    """Return the least quantity of two significant digits that is at least ``value``.

    ``value`` is above 0, and not a count.
    """
    unit = units.column_unit(kind, [value])
    number = Decimal(repr(float(value))) / _scale(kind, unit)
    step = Decimal(1).scaleb(number.adjusted() - DIGITS + 1)
    text = _spelled(number.quantize(step, ROUND_CEILING), unit)
    rounded = value_of(kind, text)
    if units.column_unit(kind, [rounded]) != unit:  # 996 us became 1000 us: write 1 ms
        return rounded_up(kind, rounded)
    return text


def exactly(kind: Kind, value: int) -> str:
    """Return a count in the largest unit in which a few digits state it exactly."""
    if kind == "calls":
        return f"{value} call" if value == 1 else f"{value} calls"
    for unit in _LARGER[kind]:
        scale = int(_scale(kind, unit))
        if value >= scale and value * 1000 % scale == 0:
            number = Decimal(value) / scale
            if len(number.normalize().as_tuple().digits) <= MOST_EXACT_DIGITS:
                return _spelled(number, unit)
    return f"{value} {'MAC' if kind == 'macs' else 'B'}"


def value_of(kind: Kind, text: str) -> float:
    """Return the quantity that a marker with this text sets."""
    return float(units.parse(text, [kind], "a suggested limit").value)


def _scale(kind: Kind, unit: str) -> Decimal:
    return Decimal(repr(value_of(kind, f"1 {unit}")))


def _spelled(number: Decimal, unit: str) -> str:
    digits = f"{number:f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits}{unit}" if unit == "%" else f"{digits} {unit}"
