"""Markers of test functions: parameters share one, labels have their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.records import DeviceHealth, Profile
from pytest_hiddencost.judge.budgets import check
from pytest_hiddencost.run.markers import latency_budget
from pytest_hiddencost.suggest.by_function import (
    FEWEST_RUNS,
    FunctionSuggestion,
    SuggestedMarker,
    function_of,
    suggestions,
)
from tests.profiles import MS, network, operator, patient, profile_of
from tests.suggest.measured_profiles import holds, measured_profiles


def called(test: str, label: str = "", profile: Profile | None = None) -> Profile:
    return replace(profile or network(), test=test, label=label)


def only(*profiles: Profile) -> FunctionSuggestion:
    (function,) = suggestions(profiles)
    return function


def texts(marker: SuggestedMarker) -> dict[str, str]:
    return {str(suggested.limit.check): suggested.text for suggested in marker.limits}


@pytest.mark.parametrize(
    ("test", "function"),
    [
        ("tests/test_a.py::test_x", "tests/test_a.py::test_x"),
        ("test_a.py::TestA::TestB::test_x[1-a]", "test_a.py::TestA::TestB::test_x"),
        ("test_a.py::test_x[a::b[1]]", "test_a.py::test_x"),
        ("odd[dir]/test_a.py::test_x[1]", "odd[dir]/test_a.py::test_x"),
        ("no test id", "no test id"),
    ],
)
def test_a_function_is_the_id_without_parameters(test: str, function: str) -> None:
    assert function_of(test) == function


def test_functions_keep_the_order_of_the_run() -> None:
    found = suggestions([called("b::x[1]"), called("a::y"), called("b::x[2]")])
    assert [function.id for function in found] == ["b::x", "a::y"]


def test_a_marker_holds_for_all_parameters() -> None:
    small, large = network(), network(latency_ns=20 * MS, macs=60_000_000)
    function = only(called("a::t[1]", "", small), called("a::t[8]", "", large))
    (marker,) = function.markers
    assert marker.label is None
    assert texts(marker)["p50"] == "22 ms"
    assert texts(marker)["macs"] == "60 MMAC"
    assert holds(marker, [small, large])


def test_a_limit_that_one_parameter_cannot_have_is_left_out() -> None:
    varying = network(varies=("macs",))
    (marker,) = only(called("a::t[1]"), called("a::t[2]", "", varying)).markers
    assert "macs" not in texts(marker)


def test_parameters_of_which_one_has_no_share_are_limited_by_calls() -> None:
    doubtful = profile_of(
        operator("aten::addmm", 6 * MS, macs=1000),
        operator("aten::cat", 1 * MS, 40, uncertainty_ns=2 * MS),
    )
    (marker,) = only(called("a::t[1]"), called("a::t[2]", "", doubtful)).markers
    assert texts(marker)["operators[concatenation]"] == "40 calls"
    assert "operators[normalization]" not in texts(marker)  # the second call runs none


def test_each_label_has_a_marker_of_its_own() -> None:
    slow = network(latency_ns=20 * MS)
    function = only(called("a::t", "b1"), called("a::t", "b8", slow), called("a::t", ""))
    found = {marker.label: texts(marker)["p50"] for marker in function.markers}
    assert found == {"b1": "11 ms", "b8": "22 ms", None: "11 ms"}


def test_a_marker_without_a_label_holds_for_labels_that_have_none() -> None:
    slow = network(latency_ns=90 * MS, varies=("macs", "activation_memory"))
    undecided = replace(slow, health=DeviceHealth(False, ("hot",)), operators=())
    (marker,) = only(called("a::t"), called("a::t", "b", undecided), called("a::t", "c")).markers
    assert marker.label == "c"


def test_labels_that_differ_between_parameters_share_a_marker() -> None:
    """A label that matches no call of a test would fail it."""
    function = only(called("a::t[1]", "b1"), called("a::t[8]", "b8"))
    assert [marker.label for marker in function.markers] == [None]
    assert len(only(called("a::t", "b1")).markers) == 1


def test_a_call_of_which_nothing_is_decided_has_no_marker() -> None:
    nothing = profile_of(
        samples_ns=[10 * MS] * 3, activation_peak_bytes=None, varies=("activation_memory",)
    )
    assert only(called("a::t", "", nothing)).markers == ()


def test_a_time_is_limited_if_enough_runs_measured_the_call() -> None:
    often, once = called("a::often"), called("a::once")
    by_id = {f.id: f.markers[0] for f in suggestions([often, often, often, once], FEWEST_RUNS)}
    assert texts(by_id["a::often"])["p50"] == "11 ms"
    assert "p50" not in texts(by_id["a::once"])
    assert "non_mac" in texts(by_id["a::once"])


def test_a_run_that_holds_a_call_several_times_is_one_run() -> None:
    [function] = suggestions([called("a::t")] * 3, 1)
    assert "p50" not in texts(function.markers[0])


def test_a_parameter_that_one_run_measured_leaves_its_function_without_a_time() -> None:
    often, once = called("a::t[1]"), called("a::t[2]")
    [function] = suggestions([often, often, often, once], FEWEST_RUNS)
    assert "p50" not in texts(function.markers[0])


def test_a_run_with_limits_is_recognised() -> None:
    verdicts = check(network(), latency_budget(p50="1 s"))
    assert not only(called("a::t")).limited_in_run
    assert only(called("a::t"), called("a::t", "b", network(verdicts=verdicts))).limited_in_run


@settings(patient, max_examples=25)
@given(st.lists(measured_profiles(), min_size=2, max_size=3))
def test_a_joint_marker_passes_on_all_of_its_profiles(profiles: list[Profile]) -> None:
    found = [replace(p, test=f"a::t[{i}]") for i, p in enumerate(profiles)]
    for marker in only(*found).markers:
        assert holds(marker, [call.profile for call in marker.calls])
