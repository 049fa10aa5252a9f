"""Baselines are found under the id of a test, whatever plugins make of its node id."""

from __future__ import annotations

import pytest

from tests.changed_node_ids import CHANGES, GROUPS
from tests.recorded_suites import COPYING, ONE, RECORD
from tests.repositories import commit
from tests.run.modes.given_pairs import GivenPairs
from tests.run.modes.test_against_baseline import Gated, gated, pairs

fixtures = (gated, pairs)  # pytest finds them by these names

PARAMETERS = """
@pytest.mark.parametrize("size", ["größe", "a@b"])
def test_sizes(hiddencost, size):
    hiddencost(MODEL, X)
"""


def change(gated: Gated, conftest: str) -> None:
    (gated.folder / "conftest.py").write_text(conftest, encoding="utf-8")


@pytest.mark.parametrize("name", CHANGES)
def test_the_baseline_of_a_plain_run_judges_the_test_under_another_node_id(
    gated: Gated, name: str
) -> None:
    gated.record(ONE, PARAMETERS)
    change(gated, CHANGES[name])
    assert gated.run("--hiddencost-strict") == 0, gated.stdout
    gated.write(COPYING, PARAMETERS)
    assert gated.run() == 1
    assert gated.checks()["regression[calls]"] == "fail"
    assert "new" not in gated.stdout


@pytest.mark.parametrize("name", CHANGES)
def test_a_baseline_recorded_under_another_node_id_judges_a_plain_run(
    gated: Gated, name: str
) -> None:
    change(gated, CHANGES[name])
    gated.record(ONE, PARAMETERS)
    plain = {"test_one", "test_sizes[gr\\xf6\\xdfe]", "test_sizes[a@b]"}
    assert set(gated.entries()) == plain
    change(gated, "")
    assert gated.run("--hiddencost-strict") == 0, gated.stdout


def test_an_unused_entry_is_seen_under_other_node_ids(gated: Gated) -> None:
    gated.record(ONE, PARAMETERS)
    gated.write(ONE)
    change(gated, GROUPS)
    assert gated.run() == 0
    assert "2 unused baseline entries: test_it.py::test_sizes[a@b], " in gated.stdout


def test_only_the_test_that_failed_is_not_recorded(gated: Gated) -> None:
    change(gated, GROUPS)
    failing = "def test_failing(hiddencost):\n    hiddencost(MODEL, X)\n    assert False"
    gated.write(ONE, failing)
    assert gated.run(*RECORD) == 1
    assert set(gated.entries()) == {"test_one"}
    assert "not recorded, since they did not pass: test_it.py::test_failing;" in gated.stdout


def test_workers_are_asked_for_the_test_by_its_id(gated: Gated, pairs: GivenPairs) -> None:
    change(gated, GROUPS)
    gated.record(ONE)
    commit(gated.folder)
    assert gated.run("--hiddencost-interleave=always") == 0, gated.stdout
    assert {call.test for call in pairs.asked} == {"test_it.py::test_one"}
