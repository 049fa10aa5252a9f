"""Quantities: what is understood, what is refused and how, and that printing loses nothing."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.errors import HiddenCostError, UnitError
from pytest_hiddencost.core.units import (
    Kind,
    Quantity,
    column_unit,
    format_byte_rate,
    format_bytes,
    format_duration,
    format_energy,
    format_growth,
    format_macs,
    format_number,
    format_power,
    format_quantity,
    format_rate,
    format_share,
    parse,
)

ARGUMENT = "latency_budget(p50=...)"
UNITS: dict[Kind, dict[str, int]] = {
    "duration": {"ns": 1, "us": 10**3, "µs": 10**3, "\u03bcs": 10**3, "ms": 10**6, "s": 10**9},
    "macs": {"MAC": 1, "kMAC": 10**3, "MMAC": 10**6, "GMAC": 10**9, "TMAC": 10**12},
    "mac_rate": {
        "MAC/s": 1,
        "kMAC/s": 10**3,
        "MMAC/s": 10**6,
        "GMAC/s": 10**9,
        "TMAC/s": 10**12,
    },
    "bytes": {
        "B": 1,
        "KB": 10**3,
        "KiB": 2**10,
        "MB": 10**6,
        "MiB": 2**20,
        "GB": 10**9,
        "GiB": 2**30,
    },
    "byte_rate": {"B/s": 1, "KB/s": 10**3, "MB/s": 10**6, "GB/s": 10**9, "TB/s": 10**12},
    "calls": {"calls": 1, "call": 1},
    "energy": {"nJ": 1, "uJ": 10**3, "µJ": 10**3, "\u03bcJ": 10**3, "mJ": 10**6, "J": 10**9},
}
KINDS: tuple[Kind, ...] = get_args(Kind)
SCALES = [(kind, unit, scale) for kind, units in UNITS.items() for unit, scale in units.items()]
COUNTED = ("macs", "bytes", "calls")


def value(text: object, *accepted: Kind) -> float:
    return parse(text, accepted, ARGUMENT).value


def refusal(text: object, *accepted: Kind) -> str:
    with pytest.raises(UnitError) as error:
        parse(text, accepted, ARGUMENT)
    message = str(error.value)
    assert message.startswith(f"{ARGUMENT}: ")
    assert "accepted is" in message
    assert "\n" not in message
    return message


# --- understood --------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "unit", "scale"), SCALES)
@given(number=st.integers(0, 10**12), space=st.sampled_from(["", " ", "\t", "\u00a0", "  "]))
def test_whole_numbers_are_exact(
    kind: Kind, unit: str, scale: int, number: int, space: str
) -> None:
    parsed = parse(f"{number}{space}{unit}", [kind], ARGUMENT)
    assert parsed.kind == kind
    assert parsed.value == number * scale
    assert isinstance(parsed.value, int)


@given(st.integers(0, 100))
def test_whole_percentages_are_exact(number: int) -> None:
    assert value(f"{number}%", "share") == number / 100


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("15 ms", "duration", 15_000_000),
        (" 15 ms ", "duration", 15_000_000),
        ("+15 ms", "duration", 15_000_000),
        ("1.5e3 us", "duration", 1_500_000),
        ("1E-3s", "duration", 1_000_000),
        (".5 s", "duration", 500_000_000),
        ("5. ms", "duration", 5_000_000),
        ("0 ms", "duration", 0),
        ("35.2 %", "share", 0.352),
        ("100%", "share", 1),
        ("1.1 GMAC", "macs", 1_100_000_000),
        ("2.0 calls", "calls", 2),
        ("1e3 calls", "calls", 1000),
        ("0.1 KiB", "bytes", 102),
        ("24 MiB", "bytes", 25_165_824),
        ("3 GMAC/s", "mac_rate", 3_000_000_000),
    ],
)
def test_numbers_are_read_in_every_notation(text: str, kind: Kind, expected: float) -> None:
    assert value(text, kind) == pytest.approx(expected, rel=1e-12)


@given(st.floats(0, 1e9), st.sampled_from(["ns", "us", "ms", "s"]))
def test_decimals_keep_a_floats_precision(number: float, unit: str) -> None:
    expected = number * UNITS["duration"][unit]
    assert value(f"{number!r} {unit}", "duration") == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("kind", COUNTED)
def test_counts_are_ints(kind: Kind) -> None:
    unit = list(UNITS[kind])[1]
    assert isinstance(value(f"2.0 {unit}", kind), int)


def test_the_kind_follows_from_the_unit_where_several_are_accepted() -> None:
    kinds: tuple[Kind, ...] = ("share", "duration", "calls")
    assert parse("5%", kinds, ARGUMENT) == Quantity("share", 0.05)
    assert parse("0.4 ms", kinds, ARGUMENT) == Quantity("duration", 400_000)
    assert parse("12 calls", kinds, ARGUMENT) == Quantity("calls", 12)


@pytest.mark.parametrize("zero", [0, "0", 0.0, "0.0"])
def test_zero_needs_no_unit_and_is_of_the_first_kind(zero: object) -> None:
    assert parse(zero, ["share", "duration"], ARGUMENT) == Quantity("share", 0)


def test_a_bare_int_is_a_number_of_macs_where_nothing_else_is_accepted() -> None:
    assert value(46_446_592, "macs") == 46_446_592
    assert "has no unit" in refusal(46_446_592, "macs", "share")
    assert "has no unit" in refusal(4.6e7, "macs")
    assert "has no unit" in refusal("46446592", "macs")


def test_more_than_all_of_it_is_possible_only_for_growth() -> None:
    assert "more than 100 %" in refusal("100.1%", "share")
    assert parse("150%", ["share"], "regression", max_share=math.inf).value == 1.5


# --- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "problem"),
    [
        ("15 parsecs", "duration", "unknown unit 'parsecs'"),
        ("15 m/s", "duration", "unknown unit 'm/s'"),
        ("35%", "duration", "is a share"),
        ("15 ms", "share", "is a duration"),
        ("3 GMAC", "mac_rate", "is a number of MACs"),
        ("3 GMAC/s", "macs", "is a MAC rate"),
        ("12 calls", "bytes", "is a number of calls"),
        ("24 MiB", "calls", "is a size"),
        ("-3 ms", "duration", "is negative"),
        ("-0 ms", "duration", "is negative"),
        (-3, "macs", "is negative"),
        ("nan ms", "duration", "is not a finite number"),
        ("inf ms", "duration", "is not a finite number"),
        ("-Infinity s", "duration", "is not a finite number"),
        (math.nan, "duration", "is not a finite number"),
        (math.inf, "share", "is not a finite number"),
        ("1e400 ms", "duration", "is not a finite number"),
        ("1e308 s", "duration", "is too large"),
        ("9" * 308 + " s", "duration", "is too large"),
        (10**400, "macs", "is not a finite number"),
        ("", "duration", "is empty"),
        ("  ", "duration", "is empty"),
        ("fast", "duration", "is not a number and a unit"),
        ("ms", "duration", "is not a number and a unit"),
        ("%", "share", "is not a number and a unit"),
        ("1_000 ms", "duration", "is not a number and a unit"),
        ("1,5 ms", "duration", "is not a number and a unit"),
        ("1.2.3 ms", "duration", "is not a number and a unit"),
        ("\u0663 ms", "duration", "is not a number and a unit"),
        ("15 ms 3 us", "duration", "unknown unit 'ms 3 us'"),
        (None, "duration", "has the type NoneType"),
        (True, "macs", "has the type bool"),
        (False, "duration", "has the type bool"),
        (b"15 ms", "duration", "has the type bytes"),
        (["15 ms"], "duration", "has the type list"),
        ("120 %", "share", "is more than 100 %"),
        ("1.5 calls", "calls", "is not a whole number"),
        ("0.5 B", "bytes", "is not a whole number"),
        ("1e-3 MAC", "macs", "is not a whole number"),
        (15, "duration", "has no unit"),
        (0.35, "share", "has no unit"),
    ],
)
def test_text_that_is_no_such_quantity_is_refused(text: object, kind: Kind, problem: str) -> None:
    assert problem in refusal(text, kind)


@pytest.mark.parametrize(
    ("text", "kind", "suggestion"),
    [
        ("15", "duration", "15 ms"),
        (1.5, "duration", "1.5 ms"),
        (0.29, "share", "29 %"),
        ("35", "share", "35 %"),
        ("3", "mac_rate", "3 GMAC/s"),
        ("24", "bytes", "24 MiB"),
        (25_165_824, "bytes", "25165824 B"),
        ("46446592", "macs", "46446592 MAC"),
        (12, "calls", "12 calls"),
        ("15 MS", "duration", "15 ms"),
        ("15 Ms", "duration", "15 ms"),
        ("3 gmac/s", "mac_rate", "3 GMAC/s"),
        ("3 KMAC", "macs", "3 kMAC"),
        ("24 mib", "bytes", "24 MiB"),
        ("5 mb", "bytes", "5 MB"),
        ("15 msec", "duration", "15 ms"),
        ("2 seconds", "duration", "2 s"),
        ("50 percent", "share", "50 %"),
        ("3 GMACs/s", "mac_rate", "3 GMAC/s"),
        ("12 Calls", "calls", "12 calls"),
    ],
)
def test_a_refusal_suggests_what_was_meant(text: object, kind: Kind, suggestion: str) -> None:
    assert f"did you mean {suggestion!r}?" in refusal(text, kind)
    parse(suggestion, [kind], ARGUMENT)


def test_no_unit_is_suggested_that_would_be_a_guess() -> None:
    assert "did you mean" not in refusal("15 parsecs", "duration")
    assert "did you mean" not in refusal("3 GFLOP/s", "mac_rate")


def test_a_refusal_names_argument_value_and_every_accepted_unit() -> None:
    assert refusal("15 parsecs", "duration", "calls") == (
        "latency_budget(p50=...): '15 parsecs' has the unknown unit 'parsecs'; accepted is "
        "a duration (ns, us, µs, ms, s) or a number of calls (calls, call), such as '15 ms'"
    )


def test_a_refusal_of_a_long_text_stays_short() -> None:
    assert len(refusal("x" * 10_000, "duration")) < 200


def test_the_error_is_ours_and_a_value_error() -> None:
    assert issubclass(UnitError, HiddenCostError)
    assert issubclass(UnitError, ValueError)


@given(
    st.one_of(
        st.text(), st.from_regex(r"[0-9.eE+-]{1,6} ?[a-zA-Z%/]{0,6}"), st.floats(), st.integers()
    ),
    st.lists(st.sampled_from(KINDS), min_size=1, unique=True),
)
def test_anything_is_either_a_sound_quantity_or_refused(text: object, kinds: list[Kind]) -> None:
    try:
        parsed = parse(text, kinds, ARGUMENT)
    except UnitError:
        return
    assert parsed.kind in kinds
    assert math.isfinite(parsed.value)
    assert parsed.value >= 0
    assert isinstance(parsed.value, int) or parsed.kind not in COUNTED
    assert parsed.value <= 1 or parsed.kind != "share"


# --- printed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (format_duration(1_234_567), "1.23 ms"),
        (format_duration(0), "0 ns"),
        (format_duration(0.5), "0.5 ns"),
        (format_duration(999.4), "999 ns"),
        (format_duration(999.6), "1 us"),
        (format_duration(999_600), "1 ms"),
        (format_duration(15_000_000), "15 ms"),
        (format_duration(2e12), "2000 s"),
        (format_duration(1.234567e12), "1230 s"),
        (format_duration(-1_234_567), "-1.23 ms"),
        (format_duration(1_234_567, unit="us"), "1230 us"),
        (format_duration(120, unit="ms"), "0.00012 ms"),
        (format_duration(1, unit="s"), "1e-09 s"),
        (format_duration(1_500, unit="µs"), "1.5 µs"),
        (format_duration(-0.0), "0 ns"),
        (format_duration(math.nan), "nan ns"),
        (format_quantity("calls", math.nan), "nan calls"),
        (format_duration(math.inf), "inf s"),
        (format_share(0.35249), "35.2 %"),
        (format_share(1.5), "150 %"),
        (format_share(0.00012), "0.012 %"),
        (format_macs(46_446_592), "46.4 MMAC"),
        (format_macs(999_999), "1 MMAC"),
        (format_macs(7), "7 MAC"),
        (format_rate(3.1e9), "3.1 GMAC/s"),
        (format_rate(3.104e9), "3.1 GMAC/s"),
        (format_bytes(25_165_824), "24 MiB"),
        (format_bytes(999), "999 B"),
        (format_byte_rate(9.84e9), "9.84 GB/s"),
        (format_energy(12_340_000), "12.3 mJ"),
        (format_energy(0.4), "0.4 nJ"),
        (format_power(5.123), "5.12 W"),
        (format_power(0.0123), "12.3 mW"),
        (format_bytes(1023), "0.999 KiB"),
        (format_bytes(1_500_000, unit="MB"), "1.5 MB"),
        (format_quantity("calls", 46_096), "46096 calls"),
        (format_quantity("calls", 1), "1 call"),
        (format_quantity("calls", 1.25), "1.25 calls"),
        (format_number("duration", 1_234_567, "ms"), "1.23"),
    ],
)
def test_three_digits_and_the_unit_that_reads_best(printed: str, expected: str) -> None:
    assert printed == expected


@given(
    st.sampled_from(KINDS),
    st.floats(min_value=1e-6, max_value=1e18, allow_nan=False),
    st.data(),
)
def test_a_printed_value_is_the_measured_one_to_three_digits(
    kind: Kind, number: float, data: st.DataObject
) -> None:
    number = float(math.ceil(number)) if kind in COUNTED else number
    number = number / 1e18 if kind == "share" else number
    scaled = {"share": ["%"], "power": ["mW", "W"]}
    units = [u for u in UNITS.get(kind, scaled.get(kind, [])) if "\u03bc" not in u]
    unit = data.draw(st.sampled_from([None, *units]))
    again = value(format_quantity(kind, number, unit=unit), kind)
    assert again == pytest.approx(number, rel=0.005)
    if kind == "calls":
        assert again == number


@given(st.sampled_from(KINDS), st.floats(min_value=1e-3, max_value=1e15))
def test_at_most_three_digits_are_significant(kind: Kind, number: float) -> None:
    text = format_quantity(kind, number).partition(" ")[0]
    digits = text.replace(".", "").lstrip("0")
    assert "e" not in text
    assert len(digits.rstrip("0")) <= 3 or kind == "calls"


@given(st.sampled_from(KINDS), st.floats(min_value=0, max_value=1e15))
def test_a_negative_quantity_prints_as_its_size_with_a_sign(kind: Kind, number: float) -> None:
    printed = format_quantity(kind, number)
    if number and kind != "calls":
        assert format_quantity(kind, -number) == f"-{printed}"


def test_an_unknown_unit_to_print_in_is_refused() -> None:
    with pytest.raises(UnitError, match=r"'KB' is no unit of a duration: ns, us, µs, ms, s"):
        format_duration(1, unit="KB")


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("duration", [1e3, 2e6, 3e6], "ms"),
        ("duration", [900e3, 950e3, 2e6], "us"),
        ("duration", [1.0, 2.0, 3e9], "ms"),  # the largest would be 3,000,000,000 ns
        ("duration", [0.0, 0.0, 5e6], "ms"),  # zeros say nothing about a unit
        ("duration", [math.nan, math.inf, 5e3], "us"),
        ("duration", [-5e6, -6e6], "ms"),
        ("duration", [0.0], "ms"),
        ("duration", [], "ms"),
        ("share", [0.1, 0.9], "%"),
        ("bytes", [2048.0, 4096.0], "KiB"),
        ("macs", [4e7, 5e9], "MMAC"),
        ("calls", [3, 50_000], "calls"),
    ],
)
def test_column_unit(kind: Kind, values: list[float], expected: str) -> None:
    assert column_unit(kind, values) == expected


@given(st.sampled_from(KINDS), st.lists(st.floats(0, 1e12), min_size=1))
def test_a_column_has_no_number_too_long_to_read(kind: Kind, values: list[float]) -> None:
    unit = column_unit(kind, values)
    numbers = [float(format_number(kind, number, unit)) for number in values]
    largest_unit = unit in ("s", "%", "GiB", "TB/s", "TMAC", "TMAC/s", "calls", "J", "W")
    assert max(numbers) <= 10_000 or largest_unit


def test_importing_units_imports_no_torch() -> None:
    code = "import sys, pytest_hiddencost.core.units; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("growth", "text"), [(0.031, "+3.1 %"), (-0.031, "-3.1 %"), (0.0, "+0 %"), (1.5, "+150 %")]
)
def test_a_growth_has_its_sign(growth: float, text: str) -> None:
    assert format_growth(growth) == text
