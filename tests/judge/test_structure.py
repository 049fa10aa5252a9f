"""Structure against a baseline or the base: compared exactly, with the place of each difference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS, REGRESSION
from pytest_hiddencost.core.records import GENERATED, CallsChange, CallSiteCost, Profile
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.structure import check_structure
from tests.judge.launches import CAT, COPY, NORM, launch
from tests.profiles import operator, patient

EXACT = Tolerances()


def verdicts(profile: Profile, entry: Entry, tolerances: Tolerances = EXACT) -> dict[str, str]:
    """The verdicts, by key."""
    found = check_structure(profile, entry, tolerances).verdicts
    return {verdict.check.key: verdict.verdict for verdict in found}


def differences(profile: Profile, entry: Entry) -> tuple[str, ...]:
    return check_structure(profile, entry, EXACT).differences


def test_the_same_structure_passes_without_a_reason() -> None:
    found = check_structure(launch(), entry_of([launch()]), EXACT)
    assert {v.verdict for v in found.verdicts} == {PASS}
    assert {v.check.kind for v in found.verdicts} == {REGRESSION}
    assert not any(v.explanation for v in found.verdicts)
    assert (found.differences, found.improved, found.failed) == ((), (), False)


def test_one_more_call_is_a_regression() -> None:
    now = launch(calls={COPY: 15})
    assert verdicts(now, entry_of([launch()])) == {
        "calls": FAIL, "macs": PASS, "allocated_bytes": PASS, "activation_memory": PASS,
    }  # fmt: skip
    found = check_structure(now, entry_of([launch()]), EXACT)
    assert found.failed
    assert found.differences == ("+1 aten::copy_", "MACs unchanged")
    assert found.verdicts[0].reason == "+1 aten::copy_; MACs unchanged"


@pytest.mark.parametrize("back", [False, True])
def test_products_that_move_between_operators_and_generated_kernels_are_no_growth(
    back: bool,
) -> None:
    in_operators = launch(kinds={"linear": 50})
    in_kernels = launch(kinds={"linear": 10, GENERATED: 40})
    now, before = (in_operators, in_kernels) if back else (in_kernels, in_operators)
    assert verdicts(now, entry_of([before]))["macs"] == PASS
    more = launch(kinds={"linear": 11, GENERATED: 40})
    assert verdicts(more, entry_of([before]))["macs"] == FAIL


def test_calls_that_were_added_are_listed_with_their_call_sites() -> None:
    at = [CallSiteCost(f"blocks.{i}.shuffle", "model.py:41", 1, 10.0) for i in range(24)]
    now = launch(
        calls={COPY: 38, "aten::contiguous": 24}, call_sites={COPY: at, "aten::contiguous": at}
    )
    assert differences(now, entry_of([launch()])) == (
        "+24 aten::contiguous, +24 aten::copy_ (blocks.*.shuffle, model.py:41)",
        "MACs unchanged",
    )


def test_changed_calls_are_data_as_well_as_lines() -> None:
    at = [CallSiteCost("blocks.0", "model.py:41", 24, 10.0)]
    now = launch(calls={COPY: 38, "aten::gelu": 2, CAT: 0}, call_sites={COPY: at})
    assert check_structure(now, entry_of([launch()]), EXACT).changed_calls == (
        CallsChange(COPY, 24, "blocks.0", "model.py:41"),
        CallsChange("aten::gelu", 2),
        CallsChange(CAT, -12),
    )
    assert check_structure(launch(), entry_of([launch()]), EXACT).changed_calls == ()


def test_the_call_site_is_where_calls_were_added_not_where_most_are() -> None:
    old = [CallSiteCost("stem", "model.py:3", 100, 1e6)]
    new = [*old, CallSiteCost("head", "model.py:9", 2, 10.0)]
    before = launch(calls={COPY: 100}, call_sites={COPY: old})
    now = launch(calls={COPY: 102}, call_sites={COPY: new})
    assert differences(now, entry_of([before]))[0] == "+2 aten::copy_ (head, model.py:9)"


def test_an_operator_that_replaces_another_is_a_regression_to_accept() -> None:
    now = launch(calls={CAT: 0, "aten::stack": 12})
    assert verdicts(now, entry_of([launch()]))["calls"] == FAIL
    assert differences(now, entry_of([launch()]))[0] == "+12 aten::stack, -12 aten::cat"


def test_the_calls_of_a_failure_are_more_than_those_that_are_allowed() -> None:
    entry = entry_of([launch()])
    swapped = check_structure(launch(calls={"aten::gelu": 8, NORM: 0}), entry, EXACT).verdicts[0]
    assert (swapped.verdict, swapped.measured, swapped.limit) == (FAIL, 8, 0)
    added = check_structure(launch(calls={"aten::gelu": 8}), entry, EXACT).verdicts[0]
    assert (added.verdict, added.measured, added.limit) == (FAIL, 74, 66)


def test_fewer_calls_are_an_improvement() -> None:
    now = launch(calls={NORM: 0})
    found = check_structure(now, entry_of([launch()]), EXACT)
    assert {v.verdict for v in found.verdicts} == {PASS}
    assert found.differences[0] == "-20 aten::native_batch_norm"
    assert found.improved == ("calls",)


@pytest.mark.parametrize(("more", "verdict"), [(2, PASS), (3, FAIL)])
def test_a_tolerance_allows_more_calls_of_each_operator(more: int, verdict: str) -> None:
    now = launch(calls={NORM: 20 + more})
    loosened = Tolerances(own={"calls": 0.1})
    assert verdicts(now, entry_of([launch()]), loosened)["calls"] == verdict


def test_a_tolerance_allows_no_new_operator() -> None:
    now = launch(calls={"aten::clone": 1})
    assert verdicts(now, entry_of([launch()]), Tolerances(own={"calls": 0.5}))["calls"] == FAIL


def test_macs_that_move_to_another_kind_are_a_regression() -> None:
    now = launch(kinds={"conv2d 3x3": 29_000_000, "conv2d depthwise 3x3": 1_000_000})
    assert verdicts(now, entry_of([launch()]))["macs"] == FAIL
    assert differences(now, entry_of([launch()])) == (
        "MACs: -1 MMAC conv2d 3x3, +1 MMAC conv2d depthwise 3x3",
    )


def test_a_structure_that_varies_is_never_an_improvement() -> None:
    now = replace(launch(calls={NORM: 0}), structure_varies=True)
    assert check_structure(now, entry_of([launch()]), EXACT).improved == ()


def test_a_long_line_of_operators_is_cut() -> None:
    now = launch(calls={f"aten::operator_{i:02}": 1 for i in range(20)})
    assert differences(now, entry_of([launch()]))[0].endswith(
        "+1 aten::operator_11 and 8 more operators"
    )


@pytest.mark.parametrize("quantity", ["allocated_bytes", "activation_memory"])
def test_one_byte_more_is_a_regression(quantity: str) -> None:
    field = {"allocated_bytes": "allocated_bytes", "activation_memory": "activation_peak_bytes"}
    recorded = launch()
    now = launch(**{field[quantity]: getattr(recorded, field[quantity]) + 1})
    assert verdicts(now, entry_of([recorded]))[quantity] == FAIL
    assert verdicts(recorded, entry_of([now]))[quantity] == PASS
    assert verdicts(now, entry_of([recorded]), Tolerances(own={quantity: 0.01}))[quantity] == PASS


@pytest.mark.parametrize(
    ("recorded", "now", "side", "measured"),
    [
        (2**22, None, "this measurement", None),
        (None, 2**22, "the baseline or base", 2.0**22),
    ],
)
def test_bytes_that_are_unknown_on_one_side_are_inconclusive(
    recorded: int | None, now: int | None, side: str, measured: float | None
) -> None:
    found = check_structure(
        launch(allocated_bytes=now), entry_of([launch(allocated_bytes=recorded)]), EXACT
    )
    [verdict] = [v for v in found.verdicts if v.check.key == "allocated_bytes"]
    assert (verdict.verdict, verdict.measured) == (INCONCLUSIVE, measured)
    assert verdict.reason == f"{side} has no byte counts, and the other side has some"
    assert verdict.remedy == "measure both sides on the same device (--hiddencost-device)"


def test_bytes_that_the_device_never_counts_are_not_checked() -> None:
    without = launch(allocated_bytes=None, activation_peak_bytes=None)
    assert set(verdicts(without, entry_of([without]))) == {"calls", "macs"}


def varying(low: int, high: int) -> Profile:
    found = launch()
    operators = [
        replace(o, calls=low, calls_range=(low, high)) if o.name == COPY else o
        for o in found.operators
    ]
    return replace(found, operators=tuple(operators), structure_varies=True)


@pytest.mark.parametrize(
    ("recorded", "now"),
    [((10, 20), (12, 15)), ((10, 20), (20, 30)), ((10, 20), (21, 30)), ((10, 20), (25, 25))],
)
def test_calls_that_vary_are_neither_more_nor_less(
    recorded: tuple[int, int], now: tuple[int, int]
) -> None:
    then, head = varying(*recorded), varying(*now)
    assert verdicts(head, entry_of([then]))["calls"] == INCONCLUSIVE
    assert verdicts(then, entry_of([head]))["calls"] == INCONCLUSIVE


def test_beside_calls_that_vary_a_new_operator_is_a_regression() -> None:
    entry, head = entry_of([varying(10, 20)]), varying(12, 15)
    norm, clone = operator(NORM, 10, 99), operator("aten::clone", 10, 1, calls_range=(1, 2))
    steady = [o for o in head.operators if o.name != NORM]
    for more in (norm, clone):
        grown = replace(head, operators=(*steady, more))
        assert verdicts(grown, entry)["calls"] == FAIL


@pytest.mark.parametrize("key", ["calls", "macs", "allocated_bytes", "activation_memory"])
def test_what_varies_on_either_side_is_not_compared(key: str) -> None:
    more = launch(
        calls={COPY: 99}, kinds={"linear": 9}, allocated_bytes=2**40, activation_peak_bytes=2**40
    )
    for now, then in (
        (replace(more, varies=(key,)), launch()),
        (more, replace(launch(), varies=(key,))),
    ):
        found = verdicts(now, entry_of([then]))
        assert found.pop(key) == INCONCLUSIVE
        assert set(found.values()) == {FAIL}


FUSED = ("mkldnn::_convolution_pointwise",)


def test_macs_that_are_not_all_counted_never_pass() -> None:
    entry = entry_of([launch(uncosted=FUSED)])
    found = check_structure(launch(uncosted=FUSED), entry, EXACT).verdicts[1]
    assert (found.check.key, found.verdict) == ("macs", INCONCLUSIVE)
    assert found.reason == "MACs are incomplete: no formula for mkldnn::_convolution_pointwise"
    assert "register_flop_formula" in found.remedy


def test_counted_macs_that_grow_beside_the_same_uncounted_ones_fail() -> None:
    entry = entry_of([launch(uncosted=FUSED)])
    now = launch(kinds={"linear": 10**9}, uncosted=FUSED)
    assert verdicts(now, entry)["macs"] == FAIL


def test_macs_that_only_one_side_counts_are_no_growth() -> None:
    now = launch(kinds={"linear": 10**9})
    assert verdicts(now, entry_of([launch()]))["macs"] == FAIL
    assert verdicts(now, entry_of([launch(uncosted=FUSED)]))["macs"] == INCONCLUSIVE
    assert verdicts(replace(now, uncosted=FUSED), entry_of([launch()]))["macs"] == INCONCLUSIVE


def test_structure_of_which_a_part_is_out_of_sight_never_passes() -> None:
    hidden = launch(unseen_ns=90_000)
    for now, then in ((hidden, launch()), (launch(), hidden), (hidden, hidden)):
        found = check_structure(now, entry_of([then]), EXACT)
        assert {v.verdict for v in found.verdicts} == {INCONCLUSIVE}
        assert all("hiddencost saw only a part of the work" in v.reason for v in found.verdicts)


def test_growth_in_sight_is_growth_unless_the_baseline_may_have_had_it_out_of_sight() -> None:
    more = launch(calls={COPY: 99}, unseen_ns=90_000)
    assert verdicts(more, entry_of([launch()]))["calls"] == FAIL
    hidden = entry_of([launch(unseen_ns=90_000)])
    assert verdicts(launch(calls={COPY: 99}), hidden)["calls"] == INCONCLUSIVE


def test_work_that_moves_out_of_sight_is_no_improvement() -> None:
    less = launch(calls={COPY: 1}, unseen_ns=90_000)
    assert check_structure(less, entry_of([launch()]), EXACT).improved == ()


def test_the_most_unseen_work_of_any_launch_is_recorded() -> None:
    assert entry_of([launch(), launch(unseen_ns=7), launch(unseen_ns=5)]).unseen_ns == 7


def test_macs_and_bytes_that_differ_between_launches_are_recorded_as_varying() -> None:
    launches = [launch(), replace(launch(), macs=1, allocated_bytes=2)]
    assert entry_of(launches).varies == ("allocated_bytes", "macs")
    assert entry_of([launch(), launch()]).varies == ()


def test_launches_that_differ_are_recorded_as_a_range() -> None:
    entry = entry_of([launch(calls={COPY: 14}), launch(calls={COPY: 16}), launch()])
    assert (entry.operators[COPY].calls, entry.operators[COPY].calls_most) == (14, 16)
    assert verdicts(launch(calls={COPY: 16}), entry)["calls"] == INCONCLUSIVE
    assert verdicts(launch(calls={COPY: 17}), entry)["calls"] == INCONCLUSIVE
    assert verdicts(launch(calls={NORM: 99}), entry)["calls"] == FAIL


counts = st.dictionaries(
    st.sampled_from([COPY, CAT, NORM, "aten::add", "aten::relu"]), st.integers(0, 40)
)


@patient
@given(counts, counts)
def test_the_differences_are_the_calls_that_were_added_and_removed(
    before: dict[str, int], now: dict[str, int]
) -> None:
    old, new = launch(calls=before), launch(calls=now)
    found: dict[str, int] = {}
    for line in differences(new, entry_of([old])):
        if not line.startswith("MACs"):
            for part in line.split(", "):
                count, name = part.split(" ")
                found[name] = int(count)
    expected: dict[str, int] = {}
    for sign, profile in ((1, new), (-1, old)):
        for cost in profile.operators:
            expected[cost.name] = expected.get(cost.name, 0) + sign * cost.calls
    assert found == {name: count for name, count in expected.items() if count}
