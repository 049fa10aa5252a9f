"""The device's threads are those before the first test, whichever test that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.suites import BRIEF, run_file, run_here, suite

FIRST = """
def test_first(hiddencost):
    torch.set_num_threads(3)
    hiddencost(MODEL, X)
"""
EARLIER = """
def test_earlier():
    torch.set_num_threads(3)
"""
SECOND = """
def test_second(hiddencost):
    hiddencost(MODEL, X)
"""
DYNAMIC = """
def test_dynamic(request):
    request.getfixturevalue("hiddencost")(MODEL, X)
"""


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def device(pytester: pytest.Pytester, tests: list[str], *arguments: str) -> dict[str, Any]:
    """The record of the device in the run file of these tests."""
    (pytester.path / "test_it.py").write_text(suite(*tests), encoding="utf-8")
    run_here(pytester, BRIEF, "--hiddencost-json=run.json", *arguments)
    found: dict[str, Any] = run_file(pytester.path)["device"]
    return found


@pytest.mark.parametrize("tests", [[FIRST, SECOND], [SECOND, FIRST], [EARLIER, SECOND]])
def test_a_test_that_changes_the_threads_does_not_change_the_device(
    pytester: pytest.Pytester, tests: list[str]
) -> None:
    found = device(pytester, tests)
    assert found["threads"] == 2
    assert "c2t-" in found["key"]


def test_threads_that_a_conftest_or_a_module_sets_are_those_of_the_device(
    pytester: pytest.Pytester,
) -> None:
    found = device(pytester, ["torch.set_num_threads(1)", SECOND])
    assert found["threads"] == 1


def test_threads_of_the_option_go_first(pytester: pytest.Pytester) -> None:
    assert device(pytester, [FIRST], "--hiddencost-threads=1")["threads"] == 1


def test_a_run_that_did_not_know_of_the_fixture_has_the_threads_of_its_first_call(
    pytester: pytest.Pytester,
) -> None:
    assert device(pytester, [DYNAMIC])["threads"] == 2
