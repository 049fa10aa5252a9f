"""Checks: a kind and a key, and the text that the run file and JUnit show."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import LIMIT, OPERATORS, REGRESSION, Check, regression
from tests.profiles import patient


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (Check(LIMIT, "p50"), "p50"),
        (Check(OPERATORS, "aten::cat"), "operators[aten::cat]"),
        (Check(OPERATORS, "aten::*copy*"), "operators[aten::*copy*]"),
        (Check(REGRESSION, "aten::cat"), "regression[aten::cat]"),
        (Check(REGRESSION), "regression"),
    ],
)
def test_a_check_as_text(check: Check, text: str) -> None:
    assert str(check) == text


def test_a_regression_check_without_a_key_is_the_whole_comparison() -> None:
    assert regression("p50") == Check(REGRESSION, "p50")
    assert regression() == Check(REGRESSION, "")


@patient
@given(
    st.builds(Check, st.sampled_from([OPERATORS, REGRESSION]), st.text(min_size=1)),
    st.builds(Check, st.sampled_from([OPERATORS, REGRESSION]), st.text(min_size=1)),
)
def test_two_checks_have_two_texts(one: Check, other: Check) -> None:
    assert (str(one) == str(other)) == (one == other)


def test_a_check_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Check(LIMIT, "p50").key = "p95"  # type: ignore[misc]
