"""Words and figures that several reports share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import FAIL, Check, regression
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.records import Comparison, InterleavedComparison, Verdict
from pytest_hiddencost.core.units import Kind
from pytest_hiddencost.report.wording import (
    grouped,
    growth_with_interval,
    quantity,
    revision_name,
    stale_line,
    waiting_lines,
)
from tests.profiles import S, limit_on, patient, profile_of, samples_around


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (list("abcd"), "a, b, c, d"),
        (list("abcdef"), "a, b, c, d and 2 more"),
    ],
)
def test_a_list_is_cut_with_the_number_of_the_rest(names: list[str], text: str) -> None:
    assert listed(names) == text


def test_a_list_may_be_longer() -> None:
    assert listed(list("abcdef"), 5) == "a, b, c, d, e and 1 more"


AGAINST = InterleavedComparison("main", launches=8, spent_ns=1_140 * S)


@pytest.mark.parametrize(
    ("call_ns", "samples", "spent_s", "against", "lines"),
    [
        (14 * S, 3, 59, None, []),
        (S // 200, 600, 59, AGAINST, []),
        (14 * S, 3, 154, None, ["11 calls of 14 s took 2.6 min; measure a smaller input or a"]),
        (14 * S, 8, 224, None, ["took 3.7 min; lower --hiddencost-confidence, or measure"]),
        (2 * S, 30, 90, None, ["calls of 2 s took 90 s; lower --hiddencost-max-time, or measure"]),
        (S // 200, 5, 180, None, ["11 calls took 3.0 min; lower --hiddencost-max-time, make"]),
        (
            2 * S, 3, 22, AGAINST,
            ["8 pairs of processes took 19 min; a lower --hiddencost-confidence needs fewer"],
        ),
    ],
)  # fmt: skip
def test_a_call_that_took_minutes_says_so_and_what_to_set(
    call_ns: int,
    samples: int,
    spent_s: int,
    against: InterleavedComparison | None,
    lines: list[str],
) -> None:
    profile = profile_of(
        samples_ns=samples_around(call_ns, samples),
        calls_made=11,
        spent_ns=spent_s * S,
        interleaved=against,
    )
    found = waiting_lines(profile)
    assert len(found) == len(lines)
    for line, part in zip(found, lines, strict=True):
        assert part in line


@patient
@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=3))))
def test_names_are_grouped_by_key_in_their_order(pairs: list[tuple[int, str]]) -> None:
    found = grouped(pairs)
    assert list(found) == list(dict.fromkeys(key for key, _ in pairs))
    for key, names in found.items():
        assert names == [name for other, name in pairs if other == key]


@pytest.mark.parametrize(
    ("check", "unit", "number", "text"),
    [
        (limit_on("non_mac"), "share", 0.1, "10 %"),
        (regression("p50"), "share", 0.1, "+10 %"),
        (regression("calls"), "calls", 12, "12 calls"),
        (limit_on("p50"), "duration", 2e6, "2 ms"),
    ],
)
def test_a_growth_alone_has_a_sign(check: Check, unit: Kind, number: float, text: str) -> None:
    assert quantity(Verdict(check, FAIL, number, 1.0, unit=unit), number) == text


def test_a_stale_baseline_names_the_improved_checks_and_the_option() -> None:
    comparison = Comparison(
        "0123abc", improved=("calls", "macs", "p50", "non_mac", "allocated_bytes")
    )
    assert stale_line(comparison) == (
        "baseline is stale: less calls, macs, p50, non_mac and 1 more; accept with "
        "--hiddencost-update"
    )


def test_a_revision_has_its_commit_and_a_folder_has_none() -> None:
    assert revision_name(InterleavedComparison("main", "0123456789abcdef")) == "main (0123456789)"
    assert revision_name(InterleavedComparison("../other")) == "../other"


@pytest.mark.parametrize(
    ("ratio", "interval", "text"),
    [
        (1.051, (1.039, 1.063), "+5.1 % (+3.9 to +6.3 %)"),
        (0.9, (0.85, 1.0), "-10.0 % (-15.0 to +0.0 %)"),
    ],
)
def test_a_ratio_is_shown_as_growth_with_its_interval(
    ratio: float, interval: tuple[float, float], text: str
) -> None:
    assert growth_with_interval(ratio, interval) == text
