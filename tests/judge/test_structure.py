"""Structure against the baseline: exact, and told as a difference that names the place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS
from pytest_hiddencost.core.records import CallSiteCost, Profile
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.structure import check_structure
from tests.judge.launched import CAT, COPY, NORM, launch

EXACT = Tolerances()
patient = settings(deadline=None)


def verdicts(profile: Profile, entry: Entry, tolerances: Tolerances = EXACT) -> dict[str, str]:
    found, _, _ = check_structure(profile, entry, tolerances)
    return {v.gate.removeprefix("regression[").removesuffix("]"): v.verdict for v in found}


def told(profile: Profile, entry: Entry) -> tuple[str, ...]:
    return check_structure(profile, entry, EXACT)[1]


def test_the_same_structure_passes_without_a_word() -> None:
    found, differences, improved = check_structure(launch(), entry_of([launch()]), EXACT)
    assert {v.verdict for v in found} == {PASS}
    assert not differences
    assert not improved
    assert not any(v.reason for v in found)


def test_one_more_call_is_a_regression() -> None:
    now = launch(calls={COPY: 15})
    assert verdicts(now, entry_of([launch()])) == {
        "calls": FAIL, "macs": PASS, "allocated_bytes": PASS, "activation_memory": PASS,
    }  # fmt: skip
    assert told(now, entry_of([launch()])) == ("+1 aten::copy_", "MACs unchanged")


def test_what_came_is_told_with_where_it_came_from() -> None:
    at = [CallSiteCost(f"blocks.{i}.shuffle", "model.py:41", 1, 10.0) for i in range(24)]
    now = launch(
        calls={COPY: 38, "aten::contiguous": 24}, call_sites={COPY: at, "aten::contiguous": at}
    )
    assert told(now, entry_of([launch()])) == (
        "+24 aten::contiguous, +24 aten::copy_ (blocks.*.shuffle, model.py:41)",
        "MACs unchanged",
    )


def test_the_place_is_where_calls_were_added_not_where_most_are() -> None:
    old = [CallSiteCost("stem", "model.py:3", 100, 1e6)]
    new = [*old, CallSiteCost("head", "model.py:9", 2, 10.0)]
    before = launch(calls={COPY: 100}, call_sites={COPY: old})
    now = launch(calls={COPY: 102}, call_sites={COPY: new})
    assert told(now, entry_of([before]))[0] == "+2 aten::copy_ (head, model.py:9)"


def test_an_operator_that_gives_way_to_another_is_a_change_to_accept() -> None:
    now = launch(calls={CAT: 0, "aten::stack": 12})
    assert verdicts(now, entry_of([launch()]))["calls"] == FAIL
    assert told(now, entry_of([launch()]))[0] == "+12 aten::stack, -12 aten::cat"


def test_fewer_calls_are_better_and_not_a_failure() -> None:
    now = launch(calls={NORM: 0})
    found, differences, improved = check_structure(now, entry_of([launch()]), EXACT)
    assert {v.verdict for v in found} == {PASS}
    assert differences[0] == "-20 aten::native_batch_norm"
    assert improved == ("regression[calls]",)


@pytest.mark.parametrize(("more", "verdict"), [(2, PASS), (3, FAIL)])
def test_a_tolerance_loosens_calls_of_each_operator(more: int, verdict: str) -> None:
    now = launch(calls={NORM: 20 + more})
    loosened = Tolerances(own={"calls": 0.1})
    assert verdicts(now, entry_of([launch()]), loosened)["calls"] == verdict


def test_a_tolerance_lets_no_new_operator_in() -> None:
    now = launch(calls={"aten::clone": 1})
    assert verdicts(now, entry_of([launch()]), Tolerances(own={"calls": 0.5}))["calls"] == FAIL


def test_macs_that_move_to_another_kind_are_a_regression() -> None:
    now = launch(kinds={"conv2d 3x3": 29_000_000, "conv2d depthwise 3x3": 1_000_000})
    found, differences, _ = check_structure(now, entry_of([launch()]), EXACT)
    assert {v.gate: v.verdict for v in found}["regression[macs]"] == FAIL
    assert differences == ("MACs: -1 MMAC conv2d 3x3, +1 MMAC conv2d depthwise 3x3",)


@pytest.mark.parametrize("quantity", ["allocated_bytes", "activation_memory"])
def test_one_byte_more_is_a_regression(quantity: str) -> None:
    field = {"allocated_bytes": "allocated_bytes", "activation_memory": "activation_peak_bytes"}
    recorded = launch()
    now = launch(**{field[quantity]: getattr(recorded, field[quantity]) + 1})
    assert verdicts(now, entry_of([recorded]))[quantity] == FAIL
    assert verdicts(recorded, entry_of([now]))[quantity] == PASS
    assert verdicts(now, entry_of([recorded]), Tolerances(own={quantity: 0.01}))[quantity] == PASS


def test_bytes_that_are_not_known_now_are_inconclusive() -> None:
    now = launch(allocated_bytes=None)
    assert verdicts(now, entry_of([launch()]))["allocated_bytes"] == INCONCLUSIVE


def test_bytes_that_no_device_counts_are_no_gate() -> None:
    without = launch(allocated_bytes=None, activation_peak_bytes=None)
    assert set(verdicts(without, entry_of([without]))) == {"calls", "macs"}


def varying(low: int, high: int) -> Profile:
    from dataclasses import replace

    found = launch()
    operators = [
        replace(o, calls=low, calls_range=(low, high)) if o.name == COPY else o
        for o in found.operators
    ]
    return replace(found, operators=tuple(operators), structure_varies=True)


@pytest.mark.parametrize(
    ("recorded", "now", "verdict"),
    [((10, 20), (12, 15), PASS), ((10, 20), (20, 30), PASS), ((10, 20), (21, 30), FAIL)],
)
def test_calls_that_vary_are_held_to_the_range_that_was_recorded(
    recorded: tuple[int, int], now: tuple[int, int], verdict: str
) -> None:
    assert verdicts(varying(*now), entry_of([varying(*recorded)]))["calls"] == verdict


def test_launches_that_differ_are_recorded_as_a_range() -> None:
    entry = entry_of([launch(calls={COPY: 14}), launch(calls={COPY: 16}), launch()])
    assert (entry.operators[COPY].calls, entry.operators[COPY].calls_most) == (14, 16)
    assert verdicts(launch(calls={COPY: 16}), entry)["calls"] == PASS
    assert verdicts(launch(calls={COPY: 17}), entry)["calls"] == FAIL


counts = st.dictionaries(
    st.sampled_from([COPY, CAT, NORM, "aten::add", "aten::relu"]), st.integers(0, 40)
)


@patient
@given(counts, counts)
def test_the_difference_is_what_was_done(before: dict[str, int], now: dict[str, int]) -> None:
    old, new = launch(calls=before), launch(calls=now)
    differences = told(new, entry_of([old]))
    found: dict[str, int] = {}
    for line in differences:
        if not line.startswith("MACs"):
            for part in line.split(", "):
                count, name = part.split(" ")
                found[name] = int(count)
    expected: dict[str, Any] = {}
    for sign, profile in ((1, new), (-1, old)):
        for cost in profile.operators:
            expected[cost.name] = expected.get(cost.name, 0) + sign * cost.calls
    assert found == {name: count for name, count in expected.items() if count}
