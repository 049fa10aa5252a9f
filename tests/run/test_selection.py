"""The selection of a run: whether it is the whole suite, the markers of a test, plugins."""

from __future__ import annotations

import pytest

from pytest_hiddencost.run.markers import budgets_of
from pytest_hiddencost.run.selection import (
    collected_in_full,
    conftests,
    marker_levels,
    plugin_names,
    whole_suite,
)
from pytest_hiddencost.workers.invocation import WRITERS
from tests.suites import suite

QUIET = ("-p", "no:hypothesispytest")


def config(pytester: pytest.Pytester, *arguments: str) -> pytest.Config:
    for name in ("test_one.py", "test_two.py"):
        (pytester.path / name).touch()
    return pytester.parseconfig(*QUIET, *arguments)


# --- what is collected in full --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        ((), ["."]),
        (("test_one.py",), ["test_one.py"]),
        (("test_one.py", "test_two.py"), ["test_one.py", "test_two.py"]),
        (("test_one.py::test_it", "test_two.py"), ["test_two.py"]),
        (("test_one.py::test_it",), []),
    ],
)
def test_files_and_folders_are_collected_in_full(
    pytester: pytest.Pytester, arguments: tuple[str, ...], places: list[str]
) -> None:
    found = collected_in_full(config(pytester, *arguments))
    assert found == tuple((pytester.path / place).resolve() for place in places)


@pytest.mark.parametrize("argument", ["--ignore=test_two.py", "--ignore-glob=*two*", "--lf"])
def test_a_filtered_collection_is_not_known_to_be_full(
    pytester: pytest.Pytester, argument: str
) -> None:
    assert collected_in_full(config(pytester, argument)) is None
    assert not whole_suite(config(pytester, argument))


def test_places_are_those_where_pytest_was_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = pytester.mkdir("below")
    monkeypatch.chdir(below)
    assert collected_in_full(config(pytester, "../test_one.py")) == (
        (pytester.path / "test_one.py").resolve(),
    )


def test_the_whole_suite_is_what_no_argument_chooses_from(pytester: pytest.Pytester) -> None:
    assert whole_suite(config(pytester))
    assert whole_suite(config(pytester, "-v"))
    assert not whole_suite(config(pytester, "test_one.py"))
    assert not whole_suite(config(pytester, "."))


def test_testpaths_of_the_ini_file_choose_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntestpaths = test_one.py")
    assert whole_suite(config(pytester))


# --- markers ------------------------------------------------------------------------------------

MARKED = """
pytestmark = budget(macs=1)

@budget(macs=2)
class TestClass:
    @budget(macs=4, label="a")
    @budget(macs=3)
    @pytest.mark.parametrize("x", [0, pytest.param(1, marks=budget(macs=5))])
    def test_it(self, x): pass

def test_of_module(): pass
"""


def test_markers_are_by_level_the_closest_first(pytester: pytest.Pytester) -> None:
    found = {
        item.name: [[mark.kwargs["macs"] for mark in level] for level in marker_levels(item)]
        for item in pytester.getitems(suite(MARKED))
    }
    assert found == {
        "test_it[0]": [[], [3, 4], [2], [1]],
        "test_it[1]": [[5], [3, 4], [2], [1]],
        "test_of_module": [[], [1]],
    }


INHERITED = """
pytestmark = budget(macs=1)

@budget(macs=2)
@budget(macs=3, label="a")
class Base:
    @budget(macs=9)
    def test_it(self): pass

class Other:
    pytestmark = budget(macs=4)

class TestSame(Base): pass

@budget(macs=5)
class TestOwn(Base): pass

@budget(macs=6)
class TestFar(TestOwn, Other): pass

class TestAgain(Base):
    pytestmark = [*Base.pytestmark, budget(macs=7)]
"""


def test_a_base_class_is_a_level_behind_its_subclass(pytester: pytest.Pytester) -> None:
    found = {
        item.nodeid.split("::")[1]: [[mark.kwargs["macs"] for mark in level] for level in levels]
        for item in pytester.getitems(suite(INHERITED))
        if (levels := marker_levels(item))
    }
    assert found == {
        "TestSame": [[], [9], [3, 2], [1]],
        "TestOwn": [[], [9], [5], [3, 2], [1]],
        "TestFar": [[], [9], [6], [5], [3, 2], [4], [1]],
        "TestAgain": [[], [9], [3, 2, 7], [1]],
    }


def test_the_budget_of_a_subclass_goes_before_that_of_its_base_class(
    pytester: pytest.Pytester,
) -> None:
    found = {
        item.nodeid.split("::")[1]: [
            (budget.limits[0].value, budget.label) for budget in budgets_of(marker_levels(item))
        ]
        for item in pytester.getitems(suite(INHERITED))
        if "TestAgain" not in item.nodeid
    }
    assert found["TestOwn"] == [(9, None), (5, None), (3, "a"), (2, None), (1, None)]
    assert found["TestSame"] == [(9, None), (3, "a"), (2, None), (1, None)]


# --- plugins ------------------------------------------------------------------------------------


def test_conftest_files_are_those_of_the_run(pytester: pytest.Pytester) -> None:
    here = pytester.makeconftest("")
    below = pytester.mkdir("below") / "conftest.py"
    below.touch()
    assert conftests(config(pytester)) == [here]
    assert sorted(conftests(config(pytester, ".", "below"))) == sorted([here, below])


REPORTING = """
def pytest_addoption(parser):
    parser.addoption("--report-log")
    parser.addoption("--html", dest="htmlpath")
    parser.addoption("--json-report", action="store_true")
    parser.addoption("--alluredir", dest="allure_report_dir")
    parser.addoption("--benchmark-json")
"""


def test_plugins_have_names(pytester: pytest.Pytester) -> None:
    plain = plugin_names(config(pytester))
    assert {"hiddencost", "xdist", "tmpdir", "cacheprovider", "logging"} <= plain
    assert "xdist" not in plugin_names(config(pytester, "-p", "no:xdist"))


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("junitxml", "--junitxml=file"),
        ("pytest_reportlog", "--report-log=file"),
        ("html", "--html=file"),
        ("pytest_jsonreport", "--json-report"),
        ("allure_pytest", "--alluredir=folder"),
        ("benchmark", "--benchmark-json=file"),
        ("helpconfig", "--debug=file"),
    ],
)
def test_a_plugin_that_writes_a_report_is_named_only_if_it_writes_one(
    pytester: pytest.Pytester, name: str, argument: str
) -> None:
    """Whatever the module is called that ``-p`` names."""
    pytester.makepyfile(reporting=REPORTING)
    pytester.syspathinsert()
    quiet = ("-p", "reporting", "-p", "no:benchmark")
    assert name in WRITERS
    assert name not in plugin_names(config(pytester, *quiet))
    assert name in plugin_names(config(pytester, *quiet, argument))
