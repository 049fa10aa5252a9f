"""``--hiddencost-report``: the page of a run, its path in the summary, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

import pytest

from pytest_hiddencost.core import extras
from tests.report.html.reports import data_of
from tests.suites import BRIEF, JSON, NO_BASELINES, passes, profiles, run, run_here, write_suite

REPORT = "--hiddencost-report=report.html"
CALL = "def test_it(hiddencost): hiddencost(MODEL, X, label='<b>')"
TOUCHES = "def test_it(): open('was-run', 'w').close()"


def test_the_page_has_the_figures_of_the_run_file(pytester: pytest.Pytester) -> None:
    output = passes(pytester, CALL, REPORT, JSON)
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    _, (call,) = data_of(page)
    measured = profiles(pytester)["test_it <b>"]
    assert call["name"] == "test_it.py::test_it <b>"
    assert call["samples"]["count"] == len(measured["latency"]["samples_ns"])
    root_ps = call["icicle"]["values"][0]
    assert root_ps == pytest.approx(1000 * measured["latency"]["median_ns"], rel=1e-6)
    assert f"hiddencost report: {pytester.path / 'report.html'}" in output.splitlines()


def test_failing_calls_are_in_it(pytester: pytest.Pytester) -> None:
    result = run(pytester, "@budget(macs=1)\ndef test_it(hiddencost): hiddencost(MODEL, X)", REPORT)
    result.assert_outcomes(failed=1)
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    assert "Failing checks" in page
    assert "macs 128 MAC, at most 1 MAC" in page


def test_a_run_that_measured_nothing_writes_a_page(pytester: pytest.Pytester) -> None:
    passes(pytester, "def test_it(): pass", REPORT)
    assert "The run measured nothing." in (pytester.path / "report.html").read_text("utf-8")


def test_quiet_runs_print_no_path(pytester: pytest.Pytester) -> None:
    assert "report.html" not in passes(pytester, CALL, REPORT, "-q")


def refused(pytester: pytest.Pytester, *arguments: str) -> str:
    write_suite(pytester, TOUCHES)
    result = run_here(pytester, BRIEF, NO_BASELINES, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (pytester.path / "was-run").exists()
    (line,) = [line for line in result.stderr.lines if line.strip()]
    return line


def without(name: str) -> Callable[[str], ModuleSpec | None]:
    return lambda wanted: None if wanted == name else find_spec(wanted)


@pytest.mark.parametrize("missing", ["jinja2", "plotly"])
def test_a_missing_extra_is_a_usage_error_before_any_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(extras, "find_spec", without(missing))
    assert refused(pytester, REPORT) == (
        f"ERROR: --hiddencost-report: {missing} is not installed; "
        "run pip install 'pytest-hiddencost[report]'"
    )


def test_a_path_that_cannot_be_written_is_a_usage_error(pytester: pytest.Pytester) -> None:
    message = refused(pytester, "--hiddencost-report=nowhere/report.html")
    assert re.search("--hiddencost-report=.*nowhere.* does not exist; create it first", message)
    assert "is a folder" in refused(pytester, "--hiddencost-report=.")


def test_the_run_file_and_the_report_are_two_files(pytester: pytest.Pytester) -> None:
    (pytester.path / "page.html").symlink_to("run.json")
    for path in ("run.json", "page.html"):
        message = refused(pytester, f"--hiddencost-report={path}", JSON)
        assert "--hiddencost-json and --hiddencost-report name the same file" in message
