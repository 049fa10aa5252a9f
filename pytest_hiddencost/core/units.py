"""Quantities with units: text to number (``"15 ms"`` is 15,000,000 ns) and back.

Values are durations in ns, shares 0 to 1, rates in MAC/s and B/s, energies in nJ, powers in W, and
counts of MACs, bytes and calls.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Literal

from pytest_hiddencost.core.errors import UnitError

Kind = Literal[
    "duration", "share", "macs", "mac_rate", "bytes", "byte_rate", "calls", "energy", "power"
]
_Number = int | float


@dataclass(frozen=True)
class Quantity:
    """A parsed quantity: ``value`` in ns, 0..1, MACs, MAC/s, bytes, B/s, calls, nJ, W."""

    kind: Kind
    value: _Number


@dataclass(frozen=True)
class _Family:
    """One kind's units, smallest first: a value is a number of units * ``units[unit]`` / ``over``.

    ``counted`` quantities are whole numbers.
    """

    noun: str
    example: str
    units: Mapping[str, int]
    counted: bool = False
    over: int = 1

    @property
    def usual(self) -> str:
        return self.example.partition(" ")[2]

    @property
    def printed(self) -> list[str]:
        return [unit for unit in self.units if unit not in _ONLY_READ]

    def in_unit(self, value: float, unit: str) -> float:
        return value * self.over / self.units[unit]

    def size(self, unit: str) -> float:
        return self.units[unit] / self.over

    def __str__(self) -> str:
        return f"{self.noun} ({', '.join(self.units)})"


_MACS = {f"{prefix}MAC": 1000**n for n, prefix in enumerate(["", "k", "M", "G", "T"])}
_BYTES = {
    "B": 1, "KB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GB": 1000**3, "GiB": 1024**3,
}  # fmt: skip
_BYTE_RATES = {f"{prefix}B/s": 1000**n for n, prefix in enumerate(["", "K", "M", "G", "T"])}
_DURATIONS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
_ENERGIES = {"nJ": 1, "uJ": 10**3, "µJ": 10**3, "mJ": 10**6, "J": 10**9}
_ONLY_READ = {"µs", "µJ", "KB", "MB", "GB", "call"}  # boards have ASCII consoles, so us is printed

_FAMILIES: dict[Kind, _Family] = {
    "duration": _Family("a duration", "15 ms", _DURATIONS),
    "share": _Family("a share", "35 %", {"%": 1}, over=100),
    "macs": _Family("a number of MACs", "46.4 MMAC", _MACS, counted=True),
    "mac_rate": _Family("a MAC rate", "3 GMAC/s", {f"{unit}/s": n for unit, n in _MACS.items()}),
    "bytes": _Family("a size", "24 MiB", _BYTES, counted=True),
    "byte_rate": _Family("a byte rate", "10 GB/s", _BYTE_RATES),
    "calls": _Family("a number of calls", "12 calls", {"calls": 1, "call": 1}, counted=True),
    "energy": _Family("an energy", "12 mJ", _ENERGIES),
    "power": _Family("a power", "5 W", {"mW": 1, "W": 1000}, over=1000),
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
    """Return the quantity that ``text`` states, of one of the ``accepted`` kinds.

    ``what`` names the argument in messages (``"latency_budget(p50=...)"``). Two quantities need no
    unit: 0, which is of the first accepted kind, and an ``int`` if only MACs are accepted. Raises
    ``UnitError``, also for a negative quantity or a share above ``max_share``.
    """
    return _Parser(text, tuple(accepted), what).quantity(max_share)


@dataclass(frozen=True)
class _Parser:
    """One text to parse, with the accepted kinds and the argument that errors name."""

    given: object
    accepted: tuple[Kind, ...]
    what: str

    def quantity(self, max_share: float) -> Quantity:
        number, unit = self._split()
        if unit is None:
            return self._bare(number)
        kind, unit = self._known(unit, number)
        value = self._scaled(number, kind, unit)
        if kind == "share" and value > max_share:
            raise self._error(f"is more than {format_share(max_share)}")
        return Quantity(kind, value)

    def _split(self) -> tuple[_Number, str | None]:
        if isinstance(self.given, bool) or not isinstance(self.given, str | int | float):
            raise self._error(f"has the type {type(self.given).__name__}")
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

    def _bare(self, number: _Number) -> Quantity:
        if number == 0:
            return Quantity(self.accepted[0], 0)
        if self.accepted == ("macs",) and isinstance(self.given, int):
            return Quantity("macs", self.given)
        family = _FAMILIES[self.accepted[0]]
        if self.accepted[0] == "share" and number < 1:
            number *= 100
        # Nobody has a model of 5,000,000 MMAC in mind: that is a count.
        likely = family.usual if number < 10_000 else next(iter(family.units))
        raise self._error("has no unit", f"{_plain(number)} {likely}")

    def _known(self, unit: str, number: _Number) -> tuple[Kind, str]:
        unit = unit.replace("\u03bc", "\u00b5")  # the Greek mu for the micro sign
        for kind in self.accepted:
            if unit in _FAMILIES[kind].units:
                return kind, unit
        for family in _FAMILIES.values():
            if unit in family.units:
                raise self._error(f"is {family.noun}")
        known = [name for kind in self.accepted for name in _FAMILIES[kind].units]
        folded = unit.casefold()
        alike = [name for name in known if name.casefold() == folded]
        alike += [name for name in known if name == _SPELLED.get(folded)]
        near = alike or get_close_matches(unit, known, n=1)
        suggestion = f"{_plain(number)} {near[0]}" if near else None
        raise self._error(f"has the unknown unit {unit!r}", suggestion)

    def _scaled(self, number: _Number, kind: Kind, unit: str) -> _Number:
        family = _FAMILIES[kind]
        value: _Number = number * family.units[unit]
        if value > sys.float_info.max:
            raise self._error("is too large")
        if family.over != 1:
            return value / family.over
        if not family.counted:
            return value
        if family.units[unit] == 1 and value != int(value):
            raise self._error("is not a whole number")
        return round(value)

    def _error(self, problem: str, suggestion: str | None = None) -> UnitError:
        given = repr(self.given)
        given = given if len(given) <= 60 else f"{given[:57]}..."
        families = [_FAMILIES[kind] for kind in self.accepted]
        hint = f"did you mean {suggestion!r}? " if suggestion else ""
        accepted = " or ".join(map(str, families))
        return UnitError(
            f"{self.what}: {given} {problem}; "
            f"{hint}accepted is {accepted}, such as {families[0].example!r}"
        )


def _plain(number: _Number) -> str:
    return str(int(number)) if number == int(number) and number < 1e15 else f"{number:g}"


def format_quantity(kind: Kind, value: float, *, unit: str | None = None) -> str:
    """Return number and unit with three significant digits; exact calls in full.

    ``unit`` defaults to the one that reads best. Raises ``UnitError`` if it is none of ``kind``.
    """
    best = "call" if kind == "calls" and value == 1 else _best_unit(kind, value)
    return f"{format_number(kind, value, unit or best)} {unit or best}"


format_duration = partial(format_quantity, "duration")
"""``1.23 ms`` from a time in ns."""

format_share = partial(format_quantity, "share")
"""``35.2 %`` from a share of 0 to 1."""

format_macs = partial(format_quantity, "macs")
"""``46.4 MMAC`` from a number of MACs."""

format_rate = partial(format_quantity, "mac_rate")
"""``3.1 GMAC/s`` from MACs per second."""

format_bytes = partial(format_quantity, "bytes")
"""``24.1 MiB`` from a number of bytes."""

format_byte_rate = partial(format_quantity, "byte_rate")
"""``9.8 GB/s`` from bytes per second."""

format_energy = partial(format_quantity, "energy")
"""``12.1 mJ`` from an energy in nJ."""

format_power = partial(format_quantity, "power")
"""``5.2 W`` from a power in W."""


def format_signed(kind: Kind, change: float) -> str:
    """Return a change as :func:`format_quantity` does, with its sign: ``+1.2 ms``."""
    return f"{'-' if change < 0 else '+'}{format_quantity(kind, abs(change))}"


format_growth = partial(format_signed, "share")
"""``+3.1 %`` from a growth of 0.031, ``-3.1 %`` from a loss."""


def unit_size(kind: Kind, unit: str) -> float:
    """Return the value of one unit: 10**6 for ``ms``, whose values are in ns."""
    return _FAMILIES[kind].size(unit)


def format_confidence(confidence: float) -> str:
    """Return ``99.99 %`` for a confidence of 0.9999: every digit, so never a rounded 100 %."""
    return f"{100 * confidence:.10g} %"


def format_number(kind: Kind, value: float, unit: str) -> str:
    """Return the number alone, for a column with its unit in the header.

    Raises ``UnitError`` if ``unit`` is none of ``kind``.
    """
    family = _FAMILIES[kind]
    if unit not in family.units:
        raise UnitError(f"{unit!r} is no unit of {family.noun}: {', '.join(family.units)}")
    if kind == "calls" and float(value).is_integer():
        return str(int(value))
    return _three_digits(family.in_unit(value, unit))


def column_unit(kind: Kind, values: Iterable[float]) -> str:
    """Return a column's unit: the median's, or a larger one if the largest value needs it."""
    family = _FAMILIES[kind]
    sizes = sorted(abs(value) for value in values if value and math.isfinite(value))
    if not sizes:
        return family.usual
    first = family.printed.index(_best_unit(kind, sizes[(len(sizes) - 1) // 2]))
    larger = family.printed[first:]
    fitting = (unit for unit in larger if family.in_unit(sizes[-1], unit) < 9_999.5)
    return next(fitting, larger[-1])


def _best_unit(kind: Kind, value: float) -> str:
    """Return the largest unit that leaves a number of 1 or more; after rounding, hence 999.5."""
    family = _FAMILIES[kind]
    *units, largest = family.printed
    fitting = (unit for unit in units if not family.in_unit(abs(value), unit) >= 999.5)
    return next(fitting, largest)


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
