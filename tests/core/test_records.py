"""Figures derived from records: groups, rates, names, and the text of a verdict."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import INCONCLUSIVE, REGRESSION, Check
from pytest_hiddencost.core.records import (
    Comparison,
    MacKindCost,
    OperatorCost,
    Verdict,
    call_name,
    stale,
)
from pytest_hiddencost.core.taxonomy import GROUPS
from tests.profiles import MS, network, operator, patient, profile_of

NAMES = (
    "aten::mkldnn_convolution", "aten::addmm", "aten::cat", "aten::copy_", "aten::clone",
    "aten::relu", "aten::hardtanh_", "mylib::who_knows",
)  # fmt: skip
WRAPPERS = ("aten::_convolution", "aten::linear")
times_ns = st.integers(0, 10**9)
operators = st.lists(
    st.builds(operator, st.sampled_from(NAMES), times_ns)
    | st.builds(operator, st.sampled_from(WRAPPERS), times_ns, mac_share=st.floats(0, 1)),
    max_size=8,
    unique_by=lambda cost: cost.name,
)


def test_groups_add_up_and_the_largest_comes_first() -> None:
    assert network().group_ns() == {
        "mac": 6 * MS,
        "normalization": 2 * MS,
        "concatenation": 1 * MS,
        "data_movement": 0.4 * MS,
        "wrapper": 0.2 * MS,
    }
    assert list(network().group_ns()) == [
        "mac", "normalization", "concatenation", "data_movement", "wrapper",
    ]  # fmt: skip


def test_a_wrapper_that_hides_a_kernel_is_split_between_its_groups() -> None:
    profile = profile_of(operator("aten::_convolution", 4 * MS, mac_share=0.75))
    assert profile.group_ns() == {"mac": 3 * MS, "wrapper": 1 * MS}
    assert profile.mac_ns == 3 * MS


def test_a_group_without_time_is_not_listed() -> None:
    profile = profile_of(
        operator("aten::_convolution", 4 * MS, mac_share=1.0), operator("aten::view", 0)
    )
    assert profile.group_ns() == {"mac": 4 * MS}


@patient
@given(operators)
def test_no_time_is_lost_between_the_groups(costs: list[OperatorCost]) -> None:
    profile = profile_of(*costs)
    groups = profile.group_ns()
    assert sum(groups.values()) == pytest.approx(sum(cost.self_ns for cost in costs))
    assert groups.get("mac", 0.0) == pytest.approx(profile.mac_ns)
    assert set(groups) <= set(GROUPS)
    assert list(groups.values()) == sorted(groups.values(), reverse=True)


@pytest.mark.parametrize(
    ("waiting_ns", "parts"),
    [
        (None, {"outside": 50.0}),
        (0.0, {"waiting for the host": 0.0, "outside": 50.0}),
        (20.0, {"waiting for the host": 20.0, "outside": 30.0}),
        (80.0, {"waiting for the host": 50.0, "outside": 0.0}),  # streams that overlap
    ],
)
def test_the_parts_of_the_time_outside_add_up_to_it(
    waiting_ns: float | None, parts: dict[str, float]
) -> None:
    assert network(outside_ns=50.0, waiting_for_host_ns=waiting_ns).outside_parts_ns() == parts


def test_an_operator_is_found_by_name() -> None:
    assert network().operator("aten::cat").calls == 12


def test_an_operator_that_was_not_called_is_refused_with_those_there_are() -> None:
    with pytest.raises(KeyError) as error:
        network().operator("aten::add")
    message = str(error.value)
    assert "'aten::add' was not called" in message
    assert all(cost.name in message for cost in network().operators)


def test_the_mac_rate_of_a_kind_is_per_second_of_kernel_time() -> None:
    assert MacKindCost("linear", 1, 3_000_000, 1_000_000.0).mac_rate == 3e9
    assert MacKindCost("linear", 1, 3_000_000, None).mac_rate is None
    assert MacKindCost("linear", 1, 3_000_000, 0.0).mac_rate is None


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        network().macs = 0  # type: ignore[misc]


# --- verdicts and comparisons ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "remedy", "explanation"),
    [("", "", ""), ("why", "", "why"), ("why", "do it", "why; do it")],
)
def test_an_explanation_is_reason_and_remedy(reason: str, remedy: str, explanation: str) -> None:
    verdict = Verdict(Check(REGRESSION), INCONCLUSIVE, None, 0.0, reason, remedy=remedy)
    assert verdict.explanation == explanation


def test_a_gate_is_the_text_of_its_check() -> None:
    verdict = Verdict(Check(REGRESSION, "p50"), INCONCLUSIVE, 0.0, 0.05)
    assert verdict.gate == "regression[p50]"
    other = dataclasses.replace(verdict, check=Check(REGRESSION, "macs"))
    assert other.gate == "regression[macs]"


def test_a_gate_cannot_be_given() -> None:
    with pytest.raises(TypeError):
        Verdict(Check(REGRESSION), INCONCLUSIVE, 0.0, 0.0, gate="p50")  # type: ignore[call-arg]


def test_a_call_is_named_by_its_test_and_its_label() -> None:
    assert call_name("a.py::test_a", "") == "a.py::test_a"
    assert call_name("a.py::test_a", "b 1") == "a.py::test_a b 1"


def test_a_baseline_is_stale_once_something_improved() -> None:
    assert not stale(network())
    assert not stale(network(comparison=Comparison("0123abc")))
    assert stale(network(comparison=Comparison("0123abc", improved=("p50",))))
