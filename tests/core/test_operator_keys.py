"""Which operators a key of a budget or tolerance names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.operator_keys import operators_of
from pytest_hiddencost.core.records import OperatorCost
from pytest_hiddencost.core.taxonomy import GROUPS
from tests.profiles import MS, network, operator, patient, profile_of

NAMES = [
    "aten::addmm", "aten::linear", "aten::_convolution", "aten::cat", "aten::copy_", "aten::view",
    "mylib::fused",
]  # fmt: skip


def named(key: str, *names: str) -> list[str]:
    """The names of those operators that the key means."""
    profile = profile_of(*(operator(name, MS) for name in names))
    return [found.name for found, _ in operators_of(profile, key)]


def test_a_name_means_one_operator() -> None:
    assert named("aten::add", "aten::add", "aten::add_", "aten::addmm") == ["aten::add"]


def test_a_glob_means_every_operator_that_it_matches() -> None:
    assert named("aten::add*", "aten::add", "aten::add_", "aten::cat") == [
        "aten::add", "aten::add_",
    ]  # fmt: skip


def test_a_glob_distinguishes_upper_and_lower_case() -> None:
    assert named("mylib::F*", "mylib::Fused", "mylib::fused") == ["mylib::Fused"]


def test_a_group_means_every_operator_in_it() -> None:
    assert named("data_movement", "aten::copy_", "aten::clone", "aten::cat") == [
        "aten::copy_", "aten::clone",
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["pooling", "aten::cta", "mylib::*", ""])
def test_a_key_may_match_nothing(key: str) -> None:
    assert operators_of(network(), key) == []


def test_a_wrapper_around_a_kernel_belongs_to_mac_with_that_part_only() -> None:
    wrapper = operator("aten::_convolution", 4 * MS, mac_share=0.75)
    profile = profile_of(wrapper, operator("aten::cat", MS))
    assert operators_of(profile, "mac") == [(wrapper, 0.75)]
    assert operators_of(profile, "wrapper") == [(wrapper, 0.25)]
    assert operators_of(profile, "aten::_convolution") == [(wrapper, 1.0)]


@patient
@given(
    st.lists(
        st.builds(operator, st.sampled_from(NAMES), st.integers(0, 10**9)),
        max_size=6,
        unique_by=lambda cost: cost.name,
    ),
    st.sampled_from(sorted(GROUPS)),
)
def test_the_operators_of_a_group_take_the_groups_time(
    costs: list[OperatorCost], group: str
) -> None:
    profile = profile_of(*costs)
    found_ns = sum(cost.self_ns * part for cost, part in operators_of(profile, group))
    assert found_ns == pytest.approx(profile.group_ns().get(group, 0.0))
