"""Quantities with units: text to number (``"15 ms"`` is 15,000,000 ns) and back.

Held as: durations in ns, shares 0 to 1, MACs and bytes and calls as counts, MAC rates in MAC/s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pytest_hiddencost.core.errors import UnitError

Kind = Literal["duration", "share", "macs", "mac_rate", "bytes", "calls"]


@dataclass(frozen=True)
class Unit:
    """A unit: one of it is ``times / over`` of what its kind is held in (35 % is 35 * 1 / 100)."""

    symbol: str
    times: int = 1
    over: int = 1
    printed: bool = True


@dataclass(frozen=True)
class Quantity:
    """A parsed quantity: ``value`` in ns, 0..1, MACs, MAC/s, bytes, calls; ``text`` as written."""

    kind: Kind
    value: int | float
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Family:
    """The units of one kind, smallest first; ``counted`` quantities are whole numbers."""

    noun: str
    example: str
    units: tuple[Unit, ...]
    counted: bool = False

    @property
    def usual(self) -> str:
        return self.example.partition(" ")[2]

    @property
    def printed(self) -> list[Unit]:
        return [unit for unit in self.units if unit.printed]

    def __str__(self) -> str:
        return f"{self.noun} ({', '.join(unit.symbol for unit in self.units)})"


def _macs(suffix: str) -> tuple[Unit, ...]:
    return tuple(Unit(f"{p}MAC{suffix}", 1000**n) for n, p in enumerate(["", "k", "M", "G", "T"]))


_FAMILIES: dict[Kind, _Family] = {
    "duration": _Family(
        "a duration",
        "15 ms",
        (
            Unit("ns"),
            Unit("us", 10**3),  # printed rather than the micro sign: boards have ASCII consoles
            Unit("µs", 10**3, printed=False),
            Unit("ms", 10**6),
            Unit("s", 10**9),
        ),
    ),
    "share": _Family("a share", "35 %", (Unit("%", over=100),)),
    "macs": _Family("a number of MACs", "46.4 MMAC", _macs(""), counted=True),
    "mac_rate": _Family("a MAC rate", "3 GMAC/s", _macs("/s")),
    "bytes": _Family(
        "a size",
        "24 MiB",
        (
            Unit("B"),
            Unit("KB", 1000, printed=False),
            Unit("KiB", 1024),
            Unit("MB", 1000**2, printed=False),
            Unit("MiB", 1024**2),
            Unit("GB", 1000**3, printed=False),
            Unit("GiB", 1024**3),
        ),
        counted=True,
    ),
    "calls": _Family(
        "a number of calls", "12 calls", (Unit("calls"), Unit("call", printed=False)), counted=True
    ),
}

_NUMBER_AND_UNIT = re.compile(
    r"(?P<sign>[+-]?)(?P<digits>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"\s*(?P<unit>(?:[^\W\d_]|%).*)?"
)
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_SPELLED = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "usec": "us",
    "nsec": "ns", "percent": "%", "pct": "%", "bytes": "B",
}  # fmt: skip


def parse(
    text: object, accepted: Collection[Kind], what: str, *, max_share: float = 1.0
) -> Quantity:
    """The quantity that ``text`` states, of one of the ``accepted`` kinds.

    ``what`` names the argument in messages (``"latency_budget(p50=...)"``). Without a unit only 0
    is understood, as the first accepted kind, and an ``int`` where MACs alone are accepted.
    Anything else, a negative quantity, or a share above ``max_share`` is a ``UnitError``.
    """
    return _Parser(text, tuple(accepted), what).quantity(max_share)


@dataclass(frozen=True)
class _Parser:
    """One text being parsed, and what an error about it has to name."""

    given: object
    accepted: tuple[Kind, ...]
    what: str

    def quantity(self, max_share: float) -> Quantity:
        number, symbol = self._split()
        if symbol is None:
            return self._bare(number)
        kind, unit = self._unit(symbol, number)
        value = self._scaled(number, kind, unit)
        if kind == "share" and value > max_share:
            raise self._error(f"is more than {format_share(max_share)}")
        return Quantity(kind, value, str(self.given).strip())

    def _split(self) -> tuple[int | float, str | None]:
        """The number, and the unit's symbol if there is one."""
        if isinstance(self.given, bool) or not isinstance(self.given, str | int | float):
            raise self._error(f"is no quantity but of type {type(self.given).__name__}")
        text = str(self.given).strip()
        if not text:
            raise self._error("is empty")
        match = _NUMBER_AND_UNIT.fullmatch(text)
        if _NOT_FINITE.match(text) or (match and not math.isfinite(float(match["digits"]))):
            raise self._error("is not a finite number")
        if match is None:
            raise self._error("is not a number and a unit")
        if match["sign"] == "-":
            raise self._error("is negative")
        digits = match["digits"]
        return int(digits) if digits.isdecimal() else float(digits), match["unit"]

    def _bare(self, number: int | float) -> Quantity:
        text = str(self.given).strip()
        if number == 0:
            return Quantity(self.accepted[0], 0, text)
        if self.accepted == ("macs",) and isinstance(self.given, int):
            return Quantity("macs", self.given, text)
        raise self._error("has no unit", self._with_likely_unit(number))

    def _with_likely_unit(self, number: int | float) -> str:
        family = _FAMILIES[self.accepted[0]]
        if self.accepted[0] == "share" and number < 1:
            number *= 100
        # Nobody has a model of 5,000,000 MMAC in mind: that is a count.
        likely = family.usual if number < 10_000 else family.units[0].symbol
        return f"{_plain(number)} {likely}"

    def _unit(self, symbol: str, number: int | float) -> tuple[Kind, Unit]:
        symbol = symbol.replace("\u03bc", "\u00b5")  # the Greek mu for the micro sign
        candidates = [(kind, unit) for kind in self.accepted for unit in _FAMILIES[kind].units]
        for kind, unit in candidates:
            if unit.symbol == symbol:
                return kind, unit
        for family in _FAMILIES.values():
            if any(unit.symbol == symbol for unit in family.units):
                raise self._error(f"is {family.noun}")
        near = _nearest(symbol, [unit.symbol for _, unit in candidates])
        suggestion = f"{_plain(number)} {near}" if near else None
        raise self._error(f"has the unknown unit {symbol!r}", suggestion)

    def _scaled(self, number: int | float, kind: Kind, unit: Unit) -> int | float:
        value: int | float = number * unit.times
        if not _is_finite(value):
            raise self._error("is too large")
        if unit.over != 1:
            return value / unit.over
        if not _FAMILIES[kind].counted:
            return value
        if unit.times == 1 and value != int(value):
            raise self._error("is not a whole number")
        return round(value)

    def _error(self, problem: str, suggestion: str | None = None) -> UnitError:
        given = repr(self.given)
        given = given if len(given) <= 60 else f"{given[:57]}..."
        families = [_FAMILIES[kind] for kind in self.accepted]
        hint = f"did you mean {suggestion!r}? " if suggestion else ""
        accepted = " or ".join(str(family) for family in families)
        return UnitError(
            f"{self.what}: {given} {problem}; "
            f"{hint}accepted is {accepted}, such as {families[0].example!r}"
        )


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int no float can hold
        return False


def _plain(number: int | float) -> str:
    return str(int(number)) if number == int(number) and number < 1e15 else f"{number:g}"


def _nearest(symbol: str, symbols: list[str]) -> str | None:
    for known in symbols:
        if known.casefold() == symbol.casefold():
            return known
    spelled = _SPELLED.get(symbol.casefold())
    if spelled in symbols:
        return spelled
    return next(iter(get_close_matches(symbol, symbols, n=1)), None)


def format_duration(ns: float, *, unit: str | None = None) -> str:
    """``1.23 ms`` from a time in ns; in ``unit`` if given, else the one that reads best."""
    return format_quantity("duration", ns, unit=unit)


def format_share(share: float, *, unit: str | None = None) -> str:
    """``35.2 %`` from a share of 0 to 1."""
    return format_quantity("share", share, unit=unit)


def format_growth(growth: float) -> str:
    """``+3.1 %`` from a growth of 0.031; ``-3.1 %`` where it is a loss."""
    return f"{'-' if growth < 0 else '+'}{format_share(abs(growth))}"


def format_confidence(confidence: float) -> str:
    """``99.99 %`` from a confidence level, every digit of it: 100 % would be a lie."""
    return f"{100 * confidence:.10g} %"


def format_macs(macs: float, *, unit: str | None = None) -> str:
    """``46.4 MMAC`` from a number of MACs."""
    return format_quantity("macs", macs, unit=unit)


def format_rate(macs_per_s: float, *, unit: str | None = None) -> str:
    """``3.1 GMAC/s`` from MACs per second."""
    return format_quantity("mac_rate", macs_per_s, unit=unit)


def format_bytes(size: float, *, unit: str | None = None) -> str:
    """``24.1 MiB`` from a number of bytes."""
    return format_quantity("bytes", size, unit=unit)


def format_quantity(kind: Kind, value: float, *, unit: str | None = None) -> str:
    """Number and unit, three significant digits; calls, which are compared exactly, in full.

    A ``unit`` that is not one of ``kind`` is a ``UnitError``.
    """
    symbol = unit or _best_unit(kind, value)
    if kind == "calls" and unit is None and value == 1:
        symbol = "call"
    return f"{format_number(kind, value, symbol)} {symbol}"


def format_number(kind: Kind, value: float, unit: str) -> str:
    """The number alone, for a column whose unit is in its header."""
    known = {known.symbol: known for known in _FAMILIES[kind].units}
    if unit not in known:
        raise UnitError(f"{unit!r} is no unit of {_FAMILIES[kind].noun}: {', '.join(known)}")
    if kind == "calls" and float(value).is_integer():
        return str(int(value))
    return _three_digits(value * known[unit].over / known[unit].times)


def column_unit(kind: Kind, values: Iterable[float]) -> str:
    """One unit for all of a column: the median's, or a larger one if the largest would not fit."""
    sizes = sorted(abs(value) for value in values if value and math.isfinite(value))
    if not sizes:
        return _FAMILIES[kind].usual
    units = _FAMILIES[kind].printed
    first = [unit.symbol for unit in units].index(_best_unit(kind, sizes[(len(sizes) - 1) // 2]))
    fitting = (unit for unit in units[first:] if sizes[-1] * unit.over / unit.times < 9_999.5)
    return next(fitting, units[-1]).symbol


def _best_unit(kind: Kind, value: float) -> str:
    """The largest unit that leaves a number of 1 or more; after rounding, hence 999.5."""
    units = _FAMILIES[kind].printed
    for unit in units[:-1]:
        if not abs(value) * unit.over / unit.times >= 999.5:
            return unit.symbol
    return units[-1].symbol


def _three_digits(number: float) -> str:
    if number == 0:
        return "0"  # never "-0"
    if not math.isfinite(number):
        return f"{number:g}"
    magnitude = math.floor(math.log10(abs(number)))
    if magnitude < -6:
        return f"{number:.3g}"
    digits = 2 - magnitude
    text = f"{round(number, digits):.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
