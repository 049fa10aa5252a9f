"""Plugins that report more often, or that are switched off: no verdict is lost or counted twice."""

from __future__ import annotations

import pytest

from tests.changed_node_ids import GROUPS, READABLE
from tests.suites import finished_here, passes, profiles, properties, run, section, verdicts

# --- sub-tests ----------------------------------------------------------------------------------

subtests = pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest 9 has sub-tests")
MEASURING = """
@budget(macs=128)
def test_it(hiddencost, subtests):
    for rows in (1, 2):
        with subtests.test(rows=rows):
            hiddencost(MODEL, torch.ones(rows, 8), label=f"rows {rows}")
"""
FAILING = (
    MEASURING
    + """
        with subtests.test("after", rows=rows):
            assert rows != 1
"""
)
SKIPPING = (
    MEASURING
    + """
        with subtests.test("after", rows=rows):
            pytest.skip("not today")
"""
)


@subtests
@pytest.mark.parametrize("body", [MEASURING, FAILING, SKIPPING])
def test_calls_in_sub_tests_have_their_verdicts(pytester: pytest.Pytester, body: str) -> None:
    finished = finished_here(pytester, body)
    found = finished.profiles
    assert verdicts(found["test_it rows 1"])["macs"] == "pass"
    assert verdicts(found["test_it rows 2"])["macs"] == "fail"
    assert len(finished.document["profiles"]) == 2
    lines = section(finished.stdout)
    assert sum("test_it.py::test_it rows" in line for line in lines) == 2
    shown = properties(finished.cases["test_it"])
    assert shown["hiddencost[rows 1].verdict.macs"] == "pass"
    assert shown["hiddencost[rows 2].verdict.macs"] == "fail"
    assert finished.code == 1


@subtests
def test_a_measurement_that_fails_in_a_sub_test_leaves_the_others(
    pytester: pytest.Pytester,
) -> None:
    broken = MEASURING.replace("rows in (1, 2)", "rows in (1, 'no number')")
    finished = finished_here(pytester, broken)
    assert list(finished.profiles) == ["test_it rows 1"]
    assert finished.code == 1


# --- node ids that plugins change ---------------------------------------------------------------

THREE = """
@budget(macs=128)
@pytest.mark.parametrize("name", ["b@c", "ü", "a"])
def test_it(hiddencost, name): hiddencost(MODEL, X)
"""


@pytest.mark.parametrize("conftest", [GROUPS, READABLE], ids=["groups", "readable"])
def test_a_run_file_has_the_ids_of_a_plain_run_in_its_order(
    pytester: pytest.Pytester, conftest: str
) -> None:
    finished_here(pytester, THREE)
    plain = list(profiles(pytester))
    pytester.makeconftest(conftest)
    finished_here(pytester, THREE)
    assert list(profiles(pytester)) == plain


def test_a_quiet_run_shows_the_table_of_a_failure_under_another_node_id(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(GROUPS)
    result = run(pytester, THREE.replace("128", "127"), "-q")
    rows = [line.split() for line in section(result.stdout.str())]
    assert [row[-1] for row in rows if row[0] == "test_it.py::test_it[a]"] == ["fail"]


# --- plugins that are switched off --------------------------------------------------------------

ONE = "@budget(macs=128)\ndef test_it(hiddencost): hiddencost(MODEL, X)"


def test_a_run_without_a_terminal_judges_and_writes_its_files(pytester: pytest.Pytester) -> None:
    finished = finished_here(pytester, ONE, "-p", "no:terminal")
    assert verdicts(finished.profiles["test_it"])["macs"] == "pass"
    assert finished.code == 0
    assert finished_here(pytester, ONE.replace("128", "127"), "-p", "no:terminal").code == 1


@pytest.mark.parametrize(
    "plugin",
    [
        "capture",
        "warnings",
        "faulthandler",
        "junitxml",
        "logging",
        "tmpdir",
        "setupplan",
        "setuponly",
    ],
)
def test_no_plugin_of_pytest_is_needed(pytester: pytest.Pytester, plugin: str) -> None:
    passes(pytester, ONE, "-p", f"no:{plugin}")
